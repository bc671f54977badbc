/* Dense kernels: which library multiplies, in what precision, on how many threads; and the self-check that keeps a
 * broken BLAS from making a dataset.
 *
 * Matrices are row-major f32. A kernel set is a value: pass it along, keep no state. */
#ifndef MASKMILL_TENSOR_H
#define MASKMILL_TENSOR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "maskmill/status.h"

typedef enum mm_backend {
    MM_BACKEND_AUTO = 0, /* oneDNN where it was built in, else BLAS */
    MM_BACKEND_DNNL,
    MM_BACKEND_BLAS
} mm_backend;

typedef enum mm_precision { MM_PRECISION_AUTO = 0, MM_PRECISION_F32, MM_PRECISION_BF16 } mm_precision;

/* What they are called in options, configurations and files. */
enum { MM_BACKENDS = MM_BACKEND_BLAS + 1, MM_PRECISIONS = MM_PRECISION_BF16 + 1 };
extern const char *const mm_backend_names[MM_BACKENDS], *const mm_precision_names[MM_PRECISIONS];

/* The instructions of our own element-wise loops. Results differ between them in the last bits (fused multiply-adds),
 * so the ranks of a run agree on one. */
typedef enum mm_isa { MM_ISA_AUTO = 0, MM_ISA_PORTABLE, MM_ISA_AVX2, MM_ISA_AVX512 } mm_isa;

typedef struct mm_kernels {
    mm_backend backend;
    mm_precision precision; /* of the large products; norms, softmax and small heads are always f32 */
    mm_isa isa;
    uint32_t threads;       /* of this rank; 0 counts as 1 */
    /* In bf16, image encoders under 8 GMAC are computed in f32 all the same (src/model/model.c says why), unless: */
    bool bf16_small_encoders;
} mm_kernels;

/* Replace AUTO by what this machine and build have; MM_ERR_UNSUPPORTED if what was asked for is not there. */
MM_RESULT_USED mm_status mm_kernels_resolve(mm_kernels *kernels, mm_error *err);
/* "oneDNN 2.6.0, f32, AVX-512, 1 thread": for run.json, bench and `model info`. */
void mm_kernels_describe(const mm_kernels *kernels, char *text, size_t size);
/* Small products of every layout in use against a plain loop; MM_ERR_INTERNAL names the kernel that is wrong. */
MM_RESULT_USED mm_status mm_kernels_check(const mm_kernels *kernels, mm_error *err);
/* GFLOP/s of a resolved set in the product of 4096 x 1280 by 1280 x 5120, in its precision and on its threads: the best
 * of a few repetitions, a second or two in all. Takes 132 MB meanwhile. */
MM_RESULT_USED mm_status mm_kernels_peak(const mm_kernels *kernels, double *gflops, mm_error *err);

/* C[m,n] (leading dimension ldc) = alpha * op(A)[m,k] * op(B)[k,n] + beta * C. op transposes when the flag is set.
 * Rows of C are shared among the threads. */
MM_RESULT_USED mm_status mm_gemm(const mm_kernels *kernels, bool transpose_a, bool transpose_b, size_t m, size_t n,
                                 size_t k, float alpha, const float *a, size_t lda, const float *b, size_t ldb,
                                 float beta, float *c, size_t ldc, mm_error *err);

#endif
