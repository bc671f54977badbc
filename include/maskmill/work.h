/* How much arithmetic an architecture asks for, in multiply-adds; a GFLOP is 1e9 / 2 of them.
 *
 * These are counts of the algorithm, not of what kernels do: a rate quoted from them is comparable between programs and
 * versions, whatever those skip or do twice. Matrix products and convolutions count; norms, softmax, activations and
 * additions do not. What is counted, as docs/design.md has it:
 *
 * encode   The encoder as the reference runs it: windows that reach over the grid's edge count as whole ones, with the
 *          projections of their padded tokens, and so do relative positions (query x position for each key row and
 *          column). SAM ViT-B: 486e9.
 * prepare  What the decoder's first layer makes of the image before any token acts: three projections.
 * prompt   From a prompt of one point to its predicted IoU with projections folded into the token side (the formulas are
 *          in src/model/mask_decoder.h): T * H vectors meet the image instead of the image being projected, but for the
 *          first layer's part in `prepare`. A fold counts as the plain product [T * H][c] x [c][D]; done head by head it
 *          would be an eighth of that for 8 heads. Public decoders: 455e6, folds being 13e6 of it. The reference: 1400e6.
 * upscale  For a prompt that keeps a mask: both upscaling steps, and the hypernetworks and products of all multimask
 *          outputs. Public decoders: 409e6. */
#ifndef MASKMILL_WORK_H
#define MASKMILL_WORK_H

#include "maskmill/checkpoint.h"

typedef struct mm_work {
    double encode;  /* one image */
    double prepare; /* one image */
    double prompt;  /* one prompt */
    double upscale; /* one prompt that keeps a mask */
} mm_work;

mm_work mm_arch_work(const mm_arch *arch);

#endif
