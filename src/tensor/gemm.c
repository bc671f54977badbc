/* tensor: memory, dense products and element-wise loops. This file is the one door to the products: it picks the
 * library and shares rows among threads, so that both backends behave alike. */
#include "tensor/gemm.h"

#include <omp.h>

/* Under this many multiply-adds a thread costs more than it brings. */
static const double worth_a_thread = 4e6;

static int run(mm_backend backend, const mm_gemm_call *call)
{
#ifdef MM_HAVE_DNNL
    if (backend == MM_BACKEND_DNNL)
        return mm_dnnl_gemm(call);
#else
    (void)backend;
#endif
    return mm_blas_gemm(call);
}

/* The libraries would use every core: inside a parallel region of one they stay on the calling thread only if the
 * number of threads says so, and that number is restored for whoever else uses OpenMP in this process. */
static int run_alone(mm_backend backend, const mm_gemm_call *call)
{
    const int before = omp_get_max_threads();
    if (before == 1)
        return run(backend, call);
    omp_set_num_threads(1);
    const int failed = run(backend, call);
    omp_set_num_threads(before);
    return failed;
}

mm_status mm_gemm(const mm_kernels *kernels, bool transpose_a, bool transpose_b, size_t m, size_t n, size_t k,
                  float alpha, const float *a, size_t lda, const float *b, size_t ldb, float beta, float *c, size_t ldc,
                  mm_error *err)
{
    if (!m || !n)
        return MM_OK;
    const mm_gemm_call whole = {transpose_a, transpose_b, m, n, k, alpha, beta, a, b, c, lda, ldb, ldc};
    size_t parts = kernels->threads > 1 && !omp_in_parallel() ? kernels->threads : 1;
    const double work = (double)m * (double)n * (double)k;
    while (parts > 1 && (work / (double)parts < worth_a_thread || m < 8 * parts))
        parts--;
    int failed = 0;
    if (parts == 1) {
        failed = run_alone(kernels->backend, &whole);
    } else {
#pragma omp parallel for num_threads((int)parts) reduction(| : failed)
        for (size_t part = 0; part < parts; part++) {
            const size_t first = m * part / parts;
            mm_gemm_call call = whole;
            call.m = m * (part + 1) / parts - first;
            call.a = a + (transpose_a ? first : first * lda);
            call.c = c + first * ldc;
            failed |= run_alone(kernels->backend, &call);
        }
    }
    return failed ? mm_fail(err, MM_ERR_INTERNAL, "matrix product %zux%zux%zu failed in the %s library; try --backend %s",
                            m, n, k, kernels->backend == MM_BACKEND_DNNL ? "oneDNN" : "BLAS",
                            kernels->backend == MM_BACKEND_DNNL ? "blas" : "dnnl")
                  : MM_OK;
}
