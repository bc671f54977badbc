/* f32 kernels of our own for CPUs with AVX-512: what an encoder spends its time on. The layers' weights are used as they
 * are stored and mapped, [out][in]; only as much of them is packed at a time as stays in the cache. */
#ifndef MM_TENSOR_F32_H
#define MM_TENSOR_F32_H

#include "maskmill/tensor.h"

/* out[rows][n] = a[rows][k] w[n][k]^T + bias, and what `end` says. */
typedef enum mm_f32_end {
    MM_F32_STORE,
    MM_F32_ADD,  /* add the residual */
    MM_F32_GELU, /* GELU by erf, as torch.nn.GELU() */
    MM_F32_ADD_GELU, /* that of the sum with the residual */
} mm_f32_end;

static inline bool mm_f32_adds(mm_f32_end end)
{
    return end == MM_F32_ADD || end == MM_F32_ADD_GELU;
}

static inline bool mm_f32_gelus(mm_f32_end end)
{
    return end == MM_F32_GELU || end == MM_F32_ADD_GELU;
}

typedef struct mm_f32_product {
    const float *a;
    size_t lda, rows;
    const float *w;
    size_t ldw, n, k;
    const float *bias; /* [n] or NULL */
    mm_f32_end end;
    const float *residual; /* rows ldout apart; NULL: what is in `out` */
    float *out; /* rows ldout apart */
    size_t ldout;
    float *scratch; /* MM_F32_PRODUCT_SCRATCH floats. The more rows, the less packing counts: some hundreds. */
} mm_f32_product;

enum { MM_F32_PRODUCT_SCRATCH = 64 * 768 };

/* As mm_bf16_attention, whose words hold here, but with f32 queries, keys and values. Packed matrices are panels of 64
 * columns, the last one a multiple of 16 wide, each [k][width]. */
typedef struct mm_f32_attention {
    const float *q;
    size_t q_row, queries, dim;
    const float *k, *v; /* tile i: at k + i * mm_f32_packed_count(tile, dim), v + i * mm_f32_packed_count(dim, tile) */
    size_t keys, tile;
    float scale;
    const float *rel_h, *rel_w;
    size_t rel_row, side, first_query;
    const float *pair;
    float *out;
    size_t out_row;
    float *scratch; /* mm_f32_attention_scratch floats */
} mm_f32_attention;

typedef struct mm_f32_ops {
    void (*product)(const mm_f32_product *product);
    void (*attention)(const mm_f32_attention *attention);
    /* Keys [keys][dim], rows `row` apart, as B = k^T; values likewise as B = v. */
    void (*pack_keys)(const float *k, size_t row, size_t keys, size_t dim, float *out);
    void (*pack_values)(const float *v, size_t row, size_t keys, size_t dim, float *out);
} mm_f32_ops;

size_t mm_f32_packed_count(size_t n, size_t k); /* floats that a [k][n] matrix takes */
size_t mm_f32_attention_scratch(size_t queries, size_t dim, size_t tile);

/* Those of a resolved kernel set; NULL where it has no AVX-512, or asks for the products of BLAS. */
const mm_f32_ops *mm_f32_get(const mm_kernels *kernels);

#endif
