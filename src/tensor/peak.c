/* What this machine reaches in a large product: the measure for what a model reaches. */
#include <omp.h>
#include <stdlib.h>

#include "maskmill/tensor.h"
#include "tensor/bf16.h"
#include "tensor/memory.h"

enum { M = 4096, N = 5120, K = 1280 }; /* ViT-H's first MLP layer */
enum { LEAST_REPETITIONS = 3, MOST_REPETITIONS = 8, PIECE = 256 };
static const double enough_seconds = 2;

/* c[M][N] = a[M][K] b[N][K]^T, in f32, or in bf16 with b packed and c rounded, as encoders have it. */
typedef struct operands {
    float *a, *b, *c;
    mm_bf16 *half_a, *packed_b; /* NULL: f32 */
} operands;

static bool allocate(const mm_kernels *kernels, operands *o)
{
    o->a = mm_floats((size_t)M * K);
    o->b = mm_floats((size_t)N * K);
    o->c = mm_floats((size_t)M * N);
    if (kernels->precision != MM_PRECISION_BF16)
        return o->a && o->b && o->c;
    o->half_a = (mm_bf16 *)mm_floats((size_t)M * K / 2);
    o->packed_b = (mm_bf16 *)mm_floats(mm_packed_count(N, K) / 2);
    return o->a && o->b && o->c && o->half_a && o->packed_b;
}

static void fill(const operands *o)
{
    for (size_t i = 0; i < (size_t)M * K; i++)
        o->a[i] = (float)(i % 7) - 3;
    for (size_t i = 0; i < (size_t)N * K; i++)
        o->b[i] = (float)(i % 5) - 2;
    if (o->half_a) {
        mm_bf16_get()->convert(o->a, o->half_a, (size_t)M * K);
        mm_pack_weight(o->b, K, N, K, o->packed_b);
    }
}

/* By the function that models use for their large products. */
static mm_status multiply(const mm_kernels *kernels, const operands *o, mm_error *err)
{
    if (!o->half_a)
        return mm_gemm(kernels, false, true, M, N, K, 1, o->a, K, o->b, K, 0, o->c, N, err);
#pragma omp parallel for num_threads((int)kernels->threads)
    for (size_t row = 0; row < M; row += PIECE) {
        const mm_bf16_product product = {.a = o->half_a + row * K, .lda = K, .rows = PIECE,
                                         .b = {.n = N, .k = K, .values = o->packed_b}, .epilogue = MM_TO_BF16,
                                         .out = (mm_bf16 *)o->c + row * N, .ldout = N};
        mm_bf16_get()->product(&product);
    }
    return MM_OK;
}

mm_status mm_kernels_peak(const mm_kernels *kernels, double *gflops, mm_error *err)
{
    operands o = {0};
    mm_status status = allocate(kernels, &o) ? MM_OK : mm_fail_memory(err, "measuring the kernels");
    if (status == MM_OK)
        fill(&o);
    double best = 0, spent = 0;
    /* The first repetition also pays for the pages of c; being the slowest, it does not count. */
    for (int i = 0; status == MM_OK && i < MOST_REPETITIONS && (i < LEAST_REPETITIONS || spent < enough_seconds); i++) {
        const double start = omp_get_wtime();
        status = multiply(kernels, &o, err);
        const double seconds = omp_get_wtime() - start;
        spent += seconds;
        if (i == 0 || seconds < best)
            best = seconds;
    }
    if (status == MM_OK)
        *gflops = best > 0 ? 2e-9 * M * N * K / best : 0;
    free(o.a);
    free(o.b);
    free(o.c);
    free(o.half_a);
    free(o.packed_b);
    return status;
}
