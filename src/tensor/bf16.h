/* bfloat16: f32's first 16 bits. Products of bf16 operands with f32 sums, on CPUs with AVX512-BF16.
 *
 * Activations are row-major; the right-hand side of a product is packed once (weights at load, keys and values once a
 * head): in panels of 64 columns, and in a panel two rows of k side by side, as the instruction takes them. */
#ifndef MM_TENSOR_BF16_H
#define MM_TENSOR_BF16_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "maskmill/status.h"

typedef uint16_t mm_bf16;

/* Round to nearest, ties to even; NaN stays NaN. */
mm_bf16 mm_bf16_from(float x);
float mm_bf16_to_float(mm_bf16 x);

enum { MM_PANEL = 64, MM_PANEL_STEP = 16 };

/* B of a product: [k][n]. Panel p holds columns 64 p ..; it is w = min(64, n - 64 p, rounded up to 16) wide and lies at
 * values + 64 p * k2, as [k2 / 2][w][2]; k2 is k rounded up to even. What pads n and k is zero. */
typedef struct mm_packed {
    size_t n, k;
    const mm_bf16 *values;
} mm_packed;

size_t mm_packed_count(size_t n, size_t k); /* bf16 values that a [k][n] matrix takes */
/* Pack w[n][k], rows ldw apart, as a torch.nn.Linear's weight is stored: B = w^T. */
void mm_pack_weight(const float *w, size_t ldw, size_t n, size_t k, mm_bf16 *out);

/* What becomes of a sum: rows of bf16 or f32. */
typedef enum mm_epilogue {
    MM_TO_F32,       /* out = sum + bias */
    MM_ADD_TO_F32,   /* out += sum + bias */
    MM_TO_BF16,      /* out = bf16(sum + bias) */
    MM_GELU_TO_BF16, /* out = bf16(gelu(sum + bias)) */
    MM_ADD_GELU_TO_BF16, /* out = bf16(gelu(sum + bias + residual)) */
} mm_epilogue;

/* One product and its end. Rows of `a` are lda apart and hold k rounded up to even finite values; bias[n] may be NULL. */
typedef struct mm_bf16_product {
    const mm_bf16 *a;
    size_t lda, rows;
    mm_packed b;
    const float *bias;
    mm_epilogue epilogue;
    const mm_bf16 *residual; /* [rows][n], rows ldout apart, where the epilogue adds one */
    void *out;               /* [rows][n], rows ldout values apart */
    size_t ldout;
} mm_bf16_product;

/* A 3x3 convolution of a channels-last image whose margin stands around it in memory: `in` points to the pixel above and
 * to the left of the first. B's k counts [3][3][channels]; channels is even. */
typedef struct mm_bf16_convolution {
    const mm_bf16 *in; /* [(rows - 1) * stride + 3][(columns - 1) * stride + 3][channels], image rows in_row apart */
    size_t in_row, channels, stride;
    size_t rows, columns; /* of the result */
    mm_packed b;
    const float *bias; /* or NULL */
    mm_epilogue epilogue; /* none that adds a residual */
    void *out; /* [rows][columns][n], image rows out_row values apart */
    size_t out_row;
} mm_bf16_convolution;

/* One row of a depthwise 3x3 convolution: out[columns][channels] = bf16(gelu(sum + bias)). */
typedef struct mm_bf16_depthwise {
    const mm_bf16 *rows[3]; /* each [(columns - 1) * stride + 3][channels], the margin's columns included */
    const float *packed;    /* see mm_pack_depthwise */
    size_t channels, stride, columns;
    mm_bf16 *out;
} mm_bf16_depthwise;

/* A depthwise convolution's weight[9][channels] and bias[channels] by 32 channels: the nine taps and the bias, of each
 * the sixteen even channels and then the sixteen odd ones, zeros behind the last channel. */
enum { MM_DEPTHWISE_STEP = 32 };
size_t mm_packed_depthwise_count(size_t channels);
void mm_pack_depthwise(const float *weight, const float *bias, size_t channels, float *out);

/* Some queries of one head: out = softmax(scale * q k^T + bias) v over keys that come in tiles, with a running softmax. */
typedef struct mm_bf16_attention {
    const mm_bf16 *q; /* [queries][dim], rows q_row apart */
    size_t q_row, queries, dim;
    /* Packed tiles of `tile` keys (the last one may have fewer): tile i as B = k^T, [dim][keys], at k + i *
     * mm_packed_count(tile, dim), and as B = v, [keys][dim], at v + i * mm_packed_count(dim, tile). */
    const mm_bf16 *k, *v;
    size_t keys, tile;
    float scale;
    /* Biases of the logits, already times log2(e), or NULL. Either decomposed: the tables hold for each query and relative
     * position a term, rows rel_row apart; keys and queries form grids `side` wide, `tile` is a multiple of `side`, and
     * for query q (counted from first_query) the terms of key rows 0, 1, ... begin at side - 1 - q / side, those of key
     * columns at side - 1 - q % side. */
    const float *rel_h, *rel_w;
    size_t rel_row, side, first_query;
    /* Or for each pair, pair[queries][keys], of a single tile. */
    const float *pair;
    mm_bf16 *out; /* [queries][dim], rows out_row apart */
    size_t out_row;
    float *scratch; /* mm_bf16_attention_scratch floats */
} mm_bf16_attention;

size_t mm_bf16_attention_scratch(size_t queries, size_t dim, size_t tile);

typedef struct mm_bf16_ops {
    void (*product)(const mm_bf16_product *product);
    void (*convolution)(const mm_bf16_convolution *convolution);
    void (*depthwise)(const mm_bf16_depthwise *depthwise); /* stride 1 or 2 */
    void (*attention)(const mm_bf16_attention *attention);
    /* out[n] = bf16(x[n]) */
    void (*convert)(const float *x, mm_bf16 *out, size_t n);
    /* out[rows][n] = bf16 of the norm of each row, as mm_vector.layer_norm */
    void (*norm)(const float *x, const float *weight, const float *bias, float eps, mm_bf16 *out, size_t rows, size_t n);
    /* Keys [keys][dim], rows `row` apart, as B = k^T; values likewise as B = v. */
    void (*pack_keys)(const mm_bf16 *k, size_t row, size_t keys, size_t dim, mm_bf16 *out);
    void (*pack_values)(const mm_bf16 *v, size_t row, size_t keys, size_t dim, mm_bf16 *out);
} mm_bf16_ops;

/* NULL where this build or CPU has no bf16 instructions. */
const mm_bf16_ops *mm_bf16_get(void);

#endif
