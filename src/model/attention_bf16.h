/* mm_attention_run in bf16: the same attention, from and to bf16 rows. */
#ifndef MM_MODEL_ATTENTION_BF16_H
#define MM_MODEL_ATTENTION_BF16_H

#include "model/attention.h"

/* What a layer's attention has besides its sizes, made at load. */
typedef struct mm_attention_bf16 {
    mm_attention shape;
    mm_packed rel_h, rel_w; /* rel_h and rel_w of the shape, times log2(e), as weights [2 * window - 1][dim]; or empty */
    const float *bias;      /* of the shape, times log2(e); or NULL */
    const mm_bf16 *outside; /* of the shape; or NULL */
} mm_attention_bf16;

/* Failures stick in `weights`. */
mm_attention_bf16 mm_attention_bf16_load(mm_weights *weights, const mm_attention *shape);

/* out[S * S][heads * dim] from qkv. */
void mm_attention_bf16_run(const mm_context *context, const mm_attention_bf16 *attention, const mm_bf16 *qkv,
                           mm_bf16 *out);
/* All heads of one window by the calling thread: qkv holds its tokens' rows one after the other, `out` takes those of the
 * first `queries` of them, [queries][heads * dim]. */
void mm_attention_bf16_window(const mm_context *context, const mm_attention_bf16 *attention, const mm_bf16 *qkv,
                              size_t queries, float *scratch, mm_bf16 *out);
/* Scratch floats a thread. */
size_t mm_attention_bf16_scratch(const mm_attention *shape);

#endif
