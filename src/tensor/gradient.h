/* The loops of training: element-wise and row-wise steps with what their backward passes need. One source
 * (gradient_body.h), compiled for the three instruction sets of vector.h.
 *
 * Matrices are row-major f32 without padding between rows unless a stride is named. d means "gradient of the loss by".
 * Everything is sequential. */
#ifndef MM_TENSOR_GRADIENT_H
#define MM_TENSOR_GRADIENT_H

#include <stddef.h>

#include "maskmill/tensor.h"

/* Sums of a mask's losses over cells with a target t in 0 .. 1 (the share that is covered); p is the sigmoid of the
 * logit. */
typedef struct mm_mask_sums {
    double focal;          /* t (1 - p)^2 (-log p) + (1 - t) p^2 (-log(1 - p)) */
    double p, target, both; /* p, t and p t */
    double hard, hard_target, hard_both; /* the same of logit > 0 and t > 1/2 */
} mm_mask_sums;

typedef struct mm_gradient_ops {
    /* y[rows][n] = gelu(x + bias), by erf; slope: its derivative. bias may be NULL, y may be x. */
    void (*gelu)(const float *x, const float *bias, float *y, float *slope, size_t rows, size_t n);
    /* x[n] *= y[n] */
    void (*multiply)(float *x, const float *y, size_t n);
    /* sums[n] += the columns of x[rows][n] */
    void (*add_columns)(const float *x, float *sums, size_t rows, size_t n);
    /* sums[rows] = the rows of x[rows][n] */
    void (*row_sums)(const float *x, float *sums, size_t rows, size_t n);
    /* Layer norm of x + residual + shift (each of the two may be NULL): normal = (x - mean) / sqrt(variance + eps),
     * inverse[rows] = 1 / sqrt(...), y = normal * weight + bias. normal may be x. */
    void (*norm)(const float *x, const float *residual, const float *shift, const float *weight, const float *bias,
                 float eps, float *normal, float *inverse, float *y, size_t rows, size_t n);
    /* Its way back: dx of x + residual + shift; dweight and dbias are added to. dx may be dy. */
    void (*norm_back)(const float *dy, const float *normal, const float *inverse, const float *weight, float *dx,
                      float *dweight, float *dbias, size_t rows, size_t n);
    /* dx = a (da - sum over the row of a da), a a softmax over each row; rows ld apart. In place: da becomes dx. */
    void (*softmax_back)(const float *a, float *da, size_t rows, size_t n, size_t ld);
    /* The same for a softmax over t of a[t][h][n]. */
    void (*softmax_tokens_back)(const float *a, float *da, size_t t, size_t h, size_t n);
    /* A logit's gradient is a row's: dz[i][c] = slope[i][c] * sum over m of dlogits[m][i] * weights[m][c]. */
    void (*spread)(const float *dlogits, const float *weights, size_t masks, const float *slope, float *dz, size_t rows,
                   size_t n);
    /* Adds to *sums; a target below 0 is a cell that does not count. */
    void (*mask_sums)(const float *logits, const float *targets, size_t n, mm_mask_sums *sums);
    /* d[n] = focal * d focal + (p_share + both_share * t) p (1 - p): the gradient of focal * sums.focal and of a
     * function of sums.p and sums.both, given by its two derivatives. */
    void (*mask_sums_back)(const float *logits, const float *targets, size_t n, float focal, float p_share,
                           float both_share, float *d);
} mm_gradient_ops;

/* Those of a resolved kernel set. */
const mm_gradient_ops *mm_gradient_get(const mm_kernels *kernels);

extern const mm_gradient_ops mm_gradient_portable;
#ifdef __x86_64__
extern const mm_gradient_ops mm_gradient_avx2;
extern const mm_gradient_ops mm_gradient_avx512;
#endif

#endif
