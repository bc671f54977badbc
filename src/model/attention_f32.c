/* attention_body.h for f32. */
#include "model/attention_f32.h"

#include <omp.h>
#include <string.h>

typedef float value;
typedef mm_attention_f32 prepared;
typedef mm_f32_attention head_call;

#define packed_count mm_f32_packed_count
#define kernel_scratch mm_f32_attention_scratch

static const mm_f32_ops *kernels(const mm_context *context)
{
    return context->f32;
}

static void relative_terms(const mm_context *context, const prepared *attention, const float *q, size_t row,
                           size_t queries, float *rel_h, float *rel_w, size_t rel_row)
{
    const mm_attention *shape = &attention->shape;
    mm_f32_product product = {.a = q, .lda = row, .rows = queries, .w = attention->rel_h, .ldw = shape->dim,
                              .n = 2 * shape->window - 1, .k = shape->dim, .out = rel_h, .ldout = rel_row,
                              .scratch = context->panels[omp_get_thread_num()]};
    context->f32->product(&product);
    product.w = attention->rel_w;
    product.out = rel_w;
    context->f32->product(&product);
}

#include "model/attention_body.h"

/* table[count] times log2(e), as the kernel takes logits; or NULL. */
static const float *scaled(mm_weights *weights, const float *table, size_t count)
{
    float *copy = table ? mm_weights_new(weights, count) : NULL;
    for (size_t i = 0; copy && i < count; i++)
        copy[i] = 1.44269504f * table[i];
    return copy;
}

mm_attention_f32 mm_attention_f32_load(mm_weights *weights, const mm_attention *shape)
{
    const size_t rows = 2 * shape->window - 1, tokens = shape->window * shape->window;
    return (mm_attention_f32){.shape = *shape,
                              .rel_h = scaled(weights, shape->rel_h, rows * shape->dim),
                              .rel_w = scaled(weights, shape->rel_w, rows * shape->dim),
                              .bias = scaled(weights, shape->bias, shape->heads * tokens * tokens),
                              .outside = shape->outside};
}

size_t mm_attention_f32_scratch(const mm_attention *shape)
{
    return lay_out(shape).total;
}

void mm_attention_f32_run(const mm_context *context, const mm_attention_f32 *attention, const float *qkv, float *out)
{
    run(context, attention, qkv, out);
}
