/* SAM's prompt encoder [SAM appendix A]: points, boxes and mask inputs become tokens and a dense embedding. */
#ifndef MM_MODEL_PROMPT_ENCODER_H
#define MM_MODEL_PROMPT_ENCODER_H

#include "maskmill/model.h"
#include "model/weights.h"
#include "tensor/vector.h"

typedef struct mm_prompt_encoder {
    const mm_arch *arch;
    const float *gaussian;            /* [2][D / 2] */
    const float *point_embeddings[4]; /* background, foreground, box corner 1, box corner 2 */
    const float *not_a_point, *no_mask;
    const float *dense_pe; /* [S * S][D], the positional encoding of the cells */
    struct {
        const float *conv1, *bias1, *conv2, *bias2, *conv3, *bias3;
        mm_norm norm1, norm2;
    } mask;
} mm_prompt_encoder;

/* Failures stick in `weights`. `arch` must outlive the encoder. */
void mm_prompt_encoder_load(mm_prompt_encoder *encoder, const mm_arch *arch, mm_weights *weights);

/* Sparse tokens of a prompt: its points, then one "not a point" if there are points and no box, then two corners. */
size_t mm_prompt_tokens(const mm_prompt *prompt);

/* tokens[mm_prompt_tokens][D]; coordinates are brought from the image to the padded square by `frame`. */
void mm_prompt_encode(const mm_prompt_encoder *encoder, const mm_frame *frame, const mm_prompt *prompt, float *tokens);

/* The dense embedding [S * S][D] of low-res logits [4 S][4 S]. Scratch: mm_prompt_mask_scratch floats. */
void mm_prompt_encode_mask(const mm_prompt_encoder *encoder, const mm_vector *ops, const float *logits, float *scratch,
                           float *dense);
size_t mm_prompt_mask_scratch(const mm_arch *arch);

#endif
