/* mm_attention_run by the f32 kernels of this program (tensor/f32.h): the same attention, faster. */
#ifndef MM_MODEL_ATTENTION_F32_H
#define MM_MODEL_ATTENTION_F32_H

#include "model/attention.h"

/* What a layer's attention has besides its sizes, made at load. */
typedef struct mm_attention_f32 {
    mm_attention shape;
    const float *rel_h, *rel_w, *bias; /* of the shape, times log2(e); or NULL */
    const float *outside;              /* of the shape */
} mm_attention_f32;

/* Failures stick in `weights`. */
mm_attention_f32 mm_attention_f32_load(mm_weights *weights, const mm_attention *shape);

/* out[S * S][heads * dim] from qkv. */
void mm_attention_f32_run(const mm_context *context, const mm_attention_f32 *attention, const float *qkv, float *out);
/* Scratch floats a thread. */
size_t mm_attention_f32_scratch(const mm_attention *shape);

#endif
