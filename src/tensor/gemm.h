/* What a backend gives: one sequential-or-threaded sgemm, row-major, and its name. gemm.c picks; dnnl.c and blas.c
 * are the only files that know their library. */
#ifndef MM_TENSOR_GEMM_H
#define MM_TENSOR_GEMM_H

#include "maskmill/tensor.h"

typedef struct mm_gemm_call {
    bool transpose_a, transpose_b;
    size_t m, n, k;
    float alpha, beta;
    const float *a, *b;
    float *c;
    size_t lda, ldb, ldc;
} mm_gemm_call;

/* Both run on the calling thread alone. 0 on success. */
int mm_blas_gemm(const mm_gemm_call *call);
void mm_blas_name(char *text, size_t size);
#ifdef MM_HAVE_DNNL
int mm_dnnl_gemm(const mm_gemm_call *call);
void mm_dnnl_name(char *text, size_t size);
#endif

#endif
