/* What this machine reaches in a large product: the measure for what a model reaches. */
#include <omp.h>
#include <stdlib.h>

#include "maskmill/tensor.h"
#include "tensor/memory.h"

enum { M = 4096, N = 5120, K = 1280 }; /* ViT-H's first MLP layer */
enum { LEAST_REPETITIONS = 3, MOST_REPETITIONS = 8 };
static const double enough_seconds = 2;

/* c[M][N] = a[M][K] b[N][K]^T by the function, and in the precision, that models use for their large products. A kernel
 * set of another precision has its product here. */
static mm_status multiply(const mm_kernels *kernels, const float *a, const float *b, float *c, mm_error *err)
{
    return mm_gemm(kernels, false, true, M, N, K, 1, a, K, b, K, 0, c, N, err);
}

mm_status mm_kernels_peak(const mm_kernels *kernels, double *gflops, mm_error *err)
{
    float *a = mm_floats((size_t)M * K), *b = mm_floats((size_t)N * K), *c = mm_floats((size_t)M * N);
    mm_status status = a && b && c ? MM_OK : mm_fail_memory(err, "measuring the kernels");
    for (size_t i = 0; status == MM_OK && i < (size_t)M * K; i++)
        a[i] = (float)(i % 7) - 3;
    for (size_t i = 0; status == MM_OK && i < (size_t)N * K; i++)
        b[i] = (float)(i % 5) - 2;
    double best = 0, spent = 0;
    /* The first repetition also pays for the pages of c; being the slowest, it does not count. */
    for (int i = 0; status == MM_OK && i < MOST_REPETITIONS && (i < LEAST_REPETITIONS || spent < enough_seconds); i++) {
        const double start = omp_get_wtime();
        status = multiply(kernels, a, b, c, err);
        const double seconds = omp_get_wtime() - start;
        spent += seconds;
        if (i == 0 || seconds < best)
            best = seconds;
    }
    if (status == MM_OK)
        *gflops = best > 0 ? 2e-9 * M * N * K / best : 0;
    free(a);
    free(b);
    free(c);
    return status;
}
