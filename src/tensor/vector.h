/* Element-wise and row-wise loops: one source (vector_body.h), compiled for three instruction sets.
 *
 * Matrices are row-major f32 without padding between rows unless a stride is named. Everything is sequential: callers
 * that have several threads split the rows. */
#ifndef MM_TENSOR_VECTOR_H
#define MM_TENSOR_VECTOR_H

#include <stddef.h>

#include "maskmill/tensor.h"

typedef struct mm_vector {
    /* x[rows][n] += bias[n] */
    void (*add_bias)(float *x, const float *bias, size_t rows, size_t n);
    /* x[rows][n] = gelu(x + bias); bias may be NULL. GELU by erf, as torch.nn.GELU() */
    void (*bias_gelu)(float *x, const float *bias, size_t rows, size_t n);
    void (*bias_relu)(float *x, const float *bias, size_t rows, size_t n);
    /* x[n] += y[n] */
    void (*add)(float *x, const float *y, size_t n);
    /* out[n] = x + y */
    void (*sum)(const float *x, const float *y, float *out, size_t n);
    /* x[rows][columns] += row_term[rows] + column_term[columns] */
    void (*add_outer)(float *x, const float *row_term, const float *column_term, size_t rows, size_t columns);
    /* out[rows][n] = (x - mean) / sqrt(variance + eps) * weight + bias over each row; in place allowed */
    void (*layer_norm)(const float *x, const float *weight, const float *bias, float eps, float *out, size_t rows,
                       size_t n);
    /* keys[rows][n] = norm of (y + residual + bias), as above; sum = keys + positions. sum may be y, keys residual. */
    void (*residual_norm)(const float *y, const float *residual, const float *bias, const float *norm_weight,
                          const float *norm_bias, float eps, const float *positions, float *keys, float *sum,
                          size_t rows, size_t n);
    /* softmax over each row of x[rows][n], rows ld apart */
    void (*softmax)(float *x, size_t rows, size_t n, size_t ld);
    /* One step of softmax over a row that comes in pieces: x becomes exp(x - new maximum); maximum[rows] and sum[rows]
     * go on from piece to piece (start: -FLT_MAX and 0); scale[rows] is what earlier results must be multiplied by. */
    void (*softmax_step)(float *x, size_t rows, size_t n, size_t ld, float *maximum, float *sum, float *scale);
    /* x[t][h][n] += bias[t][h] (NULL: nothing), then softmax over t for each h and n on its own */
    void (*softmax_tokens)(float *x, const float *bias, size_t t, size_t h, size_t n);
    /* x[rows][n] (rows ld apart) *= scale[rows] */
    void (*scale_rows)(float *x, const float *scale, size_t rows, size_t n, size_t ld);
    /* One output row of a depthwise 3x3 convolution, zero padding 1, channels last: out[ow][channels] from rows
     * centre - 1 .. centre + 1 of in[ih][iw][channels] (those outside count as zeros), every stride-th column;
     * weight[9][channels], bias[channels]. */
    void (*depthwise3x3)(const float *in, size_t ih, size_t iw, size_t channels, size_t stride, size_t centre,
                         const float *weight, const float *bias, float *out, size_t ow);
} mm_vector;

/* The loops of a resolved kernel set. */
const mm_vector *mm_vector_get(const mm_kernels *kernels);
/* The best instruction set this CPU has. */
mm_isa mm_vector_best(void);
/* Whether this CPU and build can run `isa`. */
bool mm_vector_supports(mm_isa isa);

extern const mm_vector mm_vector_portable;
#ifdef __x86_64__
extern const mm_vector mm_vector_avx2;
extern const mm_vector mm_vector_avx512;
#endif

#endif
