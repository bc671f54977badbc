/* All of oneDNN that maskmill uses, so that a move from 2.x to 3.x touches this file only. */
#ifdef MM_HAVE_DNNL

#include "tensor/gemm.h"

#include <dnnl.h>
#include <stdio.h>

int mm_dnnl_gemm(const mm_gemm_call *call)
{
    const dnnl_status_t status =
        dnnl_sgemm(call->transpose_a ? 'T' : 'N', call->transpose_b ? 'T' : 'N', (dnnl_dim_t)call->m,
                   (dnnl_dim_t)call->n, (dnnl_dim_t)call->k, call->alpha, call->a, (dnnl_dim_t)call->lda, call->b,
                   (dnnl_dim_t)call->ldb, call->beta, call->c, (dnnl_dim_t)call->ldc);
    return status == dnnl_success ? 0 : (int)status;
}

void mm_dnnl_name(char *text, size_t size)
{
    const dnnl_version_t *version = dnnl_version();
    (void)snprintf(text, size, "oneDNN %d.%d.%d", version->major, version->minor, version->patch);
}

#endif
