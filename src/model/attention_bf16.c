/* attention_body.h for bf16. */
#include "model/attention_bf16.h"

#include <omp.h>
#include <string.h>

typedef mm_bf16 value;
typedef mm_attention_bf16 prepared;
typedef mm_bf16_attention head_call;

#define packed_count mm_packed_count
#define kernel_scratch mm_bf16_attention_scratch

static const mm_bf16_ops *kernels(const mm_context *context)
{
    return context->bf16;
}

static void relative_terms(const mm_context *context, const prepared *attention, const mm_bf16 *q, size_t row,
                           size_t queries, float *rel_h, float *rel_w, size_t rel_row)
{
    mm_bf16_product product = {.a = q, .lda = row, .rows = queries, .b = attention->rel_h, .epilogue = MM_TO_F32,
                               .out = rel_h, .ldout = rel_row};
    context->bf16->product(&product);
    product.b = attention->rel_w;
    product.out = rel_w;
    context->bf16->product(&product);
}

#include "model/attention_body.h"

static const float log2_e = 1.44269504f;

static mm_packed pack_relative(mm_weights *weights, const float *table, size_t rows, size_t dim)
{
    const size_t count = mm_packed_count(rows, dim);
    mm_bf16 *values = mm_weights_new_bf16(weights, count);
    float *scaled = mm_weights_new(weights, rows * dim);
    if (!values || !scaled || !table)
        return (mm_packed){0};
    for (size_t i = 0; i < rows * dim; i++)
        scaled[i] = log2_e * table[i];
    mm_pack_weight(scaled, dim, rows, dim, values);
    return (mm_packed){.n = rows, .k = dim, .values = values};
}

mm_attention_bf16 mm_attention_bf16_load(mm_weights *weights, const mm_attention *shape)
{
    mm_attention_bf16 made = {.shape = *shape};
    const size_t tokens = shape->window * shape->window;
    if (shape->rel_h) {
        made.rel_h = pack_relative(weights, shape->rel_h, 2 * shape->window - 1, shape->dim);
        made.rel_w = pack_relative(weights, shape->rel_w, 2 * shape->window - 1, shape->dim);
    }
    if (shape->bias) {
        float *bias = mm_weights_new(weights, shape->heads * tokens * tokens);
        for (size_t i = 0; bias && i < shape->heads * tokens * tokens; i++)
            bias[i] = log2_e * shape->bias[i];
        made.bias = bias;
    }
    if (shape->outside) {
        mm_bf16 *outside = mm_weights_new_bf16(weights, shape->row);
        for (size_t i = 0; outside && i < shape->row; i++)
            outside[i] = mm_bf16_from(shape->outside[i]);
        made.outside = outside;
    }
    return made;
}

size_t mm_attention_bf16_scratch(const mm_attention *shape)
{
    return lay_out(shape).total;
}

void mm_attention_bf16_window(const mm_context *context, const mm_attention_bf16 *attention, const mm_bf16 *qkv,
                              size_t queries, float *scratch, mm_bf16 *out)
{
    const mm_attention *shape = &attention->shape;
    for (size_t head = 0; head < shape->heads; head++) {
        const mm_bf16 *q = qkv + head * shape->head_step;
        attend(context, attention, q, q + shape->key, q + shape->value, shape->row, head, shape->window * shape->window,
               queries, scratch, out + head * shape->dim, shape->heads * shape->dim);
    }
}

void mm_attention_bf16_run(const mm_context *context, const mm_attention_bf16 *attention, const mm_bf16 *qkv,
                           mm_bf16 *out)
{
    run(context, attention, qkv, out);
}
