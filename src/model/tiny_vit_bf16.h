/* mm_tiny_vit_encode in bf16: activations of the stem and of stage 0 are bf16 in memory, the residual stream of the
 * transformer stages is f32. */
#ifndef MM_MODEL_TINY_VIT_BF16_H
#define MM_MODEL_TINY_VIT_BF16_H

#include "model/tiny_vit.h"

/* `x` and `y` each take the activations between any two layers. */
MM_RESULT_USED mm_status mm_tiny_vit_encode_bf16(const mm_tiny_vit *tiny, const mm_context *context,
                                                 mm_image_view image, float *x, float *y, float *out, mm_error *err);

/* Normalisation and both convolutions: out[side][side][embed_dims[0]], the grid of stage 0. */
void mm_tiny_stem_run(const mm_tiny_vit *tiny, const mm_context *context, mm_image_view image, mm_bf16 *out);

/* Scratch floats a thread: of the stem, and of a block whose attention has this shape. */
size_t mm_tiny_stem_scratch(const mm_arch *arch);
size_t mm_tiny_block_scratch_bf16(const mm_attention *shape, size_t mlp_hidden);

#endif
