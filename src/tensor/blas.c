#include "tensor/gemm.h"

#include <cblas.h>
#include <limits.h>
#include <stdio.h>

int mm_blas_gemm(const mm_gemm_call *call)
{
    const size_t sizes[] = {call->m, call->n, call->k, call->lda, call->ldb, call->ldc};
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++)
        if (sizes[i] > INT_MAX)
            return 1;
    cblas_sgemm(CblasRowMajor, call->transpose_a ? CblasTrans : CblasNoTrans,
                call->transpose_b ? CblasTrans : CblasNoTrans, (int)call->m, (int)call->n, (int)call->k, call->alpha,
                call->a, (int)call->lda, call->b, (int)call->ldb, call->beta, call->c, (int)call->ldc);
    return 0;
}

void mm_blas_name(char *text, size_t size)
{
    (void)snprintf(text, size, "OpenBLAS (%s)", openblas_get_corename());
}
