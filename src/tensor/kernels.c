#include "maskmill/tensor.h"

#include <cblas.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "tensor/bf16.h"
#include "tensor/f32.h"
#include "tensor/gemm.h"
#include "tensor/memory.h"
#include "tensor/vector.h"

const char *const mm_backend_names[MM_BACKENDS] = {"auto", "dnnl", "blas"};
const char *const mm_precision_names[MM_PRECISIONS] = {"auto", "f32", "bf16"};

static bool have_dnnl(void)
{
#ifdef MM_HAVE_DNNL
    return true;
#else
    return false;
#endif
}

mm_status mm_kernels_resolve(mm_kernels *kernels, mm_error *err)
{
    if (kernels->backend == MM_BACKEND_AUTO)
        kernels->backend = have_dnnl() ? MM_BACKEND_DNNL : MM_BACKEND_BLAS;
    if (kernels->backend == MM_BACKEND_DNNL && !have_dnnl())
        return mm_fail(err, MM_ERR_UNSUPPORTED, "backend dnnl is not in this build; use --backend blas");
    /* bf16 goes with AVX-512: a set that asks for other instructions is f32. */
    const bool bf16 = mm_bf16_get() && (kernels->isa == MM_ISA_AUTO || kernels->isa == MM_ISA_AVX512);
    if (kernels->precision == MM_PRECISION_AUTO)
        kernels->precision = bf16 ? MM_PRECISION_BF16 : MM_PRECISION_F32;
    if (kernels->precision == MM_PRECISION_BF16 && !bf16)
        return mm_fail(err, MM_ERR_UNSUPPORTED,
                       "this CPU has no bf16 instructions (AVX512-BF16); use --precision f32 or auto");
    if (kernels->isa == MM_ISA_AUTO)
        kernels->isa = mm_vector_best();
    if (!mm_vector_supports(kernels->isa))
        return mm_fail(err, MM_ERR_UNSUPPORTED, "this CPU lacks the instructions that were asked for");
    if (!kernels->threads)
        kernels->threads = 1;
    if (kernels->threads > 1024)
        return mm_fail(err, MM_ERR_USAGE, "--threads %u is out of range; 1 to 1024 are possible", kernels->threads);
    /* OpenBLAS has threads of its own, which would fight with the ranks on the other cores. */
    openblas_set_num_threads(1);
    return MM_OK;
}

void mm_kernels_describe(const mm_kernels *kernels, char *text, size_t size)
{
    static const char *const isa[] = {"?", "portable C", "AVX2", "AVX-512"};
    char library[64];
#ifdef MM_HAVE_DNNL
    if (kernels->backend == MM_BACKEND_DNNL)
        mm_dnnl_name(library, sizeof library);
    else
#endif
        mm_blas_name(library, sizeof library);
    (void)snprintf(text, size, "%s, %s, %s, %u thread%s", library,
                   kernels->precision == MM_PRECISION_BF16 ? "bf16" : "f32", isa[kernels->isa], kernels->threads,
                   kernels->threads == 1 ? "" : "s");
}

/* A fixed sequence in [-1, 1): the check must be the same on every rank. */
static void fill(float *x, size_t n, uint32_t seed)
{
    for (size_t i = 0; i < n; i++) {
        seed = seed * 1664525u + 1013904223u;
        x[i] = (float)(int32_t)seed / 2147483648.0f;
    }
}

typedef struct check_shape {
    size_t m, n, k;
    bool transpose_a, transpose_b;
    float beta;
} check_shape;

static mm_status wrong(const mm_kernels *kernels, const check_shape *shape, size_t i, size_t j, double computed,
                       double expected, const char *instead, mm_error *err)
{
    char name[96];
    mm_kernels_describe(kernels, name, sizeof name);
    return mm_fail(err, MM_ERR_INTERNAL, "%s computes wrong products (%zux%zux%zu, element %zu,%zu: %g instead of %g); use %s",
                   name, shape->m, shape->n, shape->k, i, j, computed, expected, instead);
}

static mm_status check_gemm(const mm_kernels *kernels, const check_shape *shape, float *buffer, mm_error *err)
{
    const size_t m = shape->m, n = shape->n, k = shape->k;
    /* Leading dimensions longer than the rows, as strided heads have them. */
    const size_t lda = (shape->transpose_a ? m : k) + 3, ldb = (shape->transpose_b ? k : n) + 5, ldc = n + 2;
    float *a = buffer, *b = a + (shape->transpose_a ? k : m) * lda, *c = b + (shape->transpose_b ? n : k) * ldb;
    float *before = c + m * ldc;
    fill(a, (size_t)(b - a), 1);
    fill(b, (size_t)(c - b), 2);
    fill(c, m * ldc, 3);
    for (size_t i = 0; i < m * ldc; i++)
        before[i] = c[i];
    const mm_status status = mm_gemm(kernels, shape->transpose_a, shape->transpose_b, m, n, k, 0.5f, a, lda, b, ldb,
                                     shape->beta, c, ldc, err);
    if (status != MM_OK)
        return status;
    for (size_t i = 0; i < m; i++)
        for (size_t j = 0; j < ldc; j++) {
            double expected = before[i * ldc + j], scale = 0;
            if (j < n) {
                double total = 0;
                for (size_t l = 0; l < k; l++) {
                    const double product = (double)(shape->transpose_a ? a[l * lda + i] : a[i * lda + l]) *
                                           (double)(shape->transpose_b ? b[j * ldb + l] : b[l * ldb + j]);
                    total += product;
                    scale += fabs(product);
                }
                expected = 0.5 * total + (double)shape->beta * expected;
            }
            const double error = fabs((double)c[i * ldc + j] - expected);
            if (!(error <= 1e-5 * (1.0 + scale)))
                return wrong(kernels, shape, i, j, (double)c[i * ldc + j], expected, "another --backend", err);
        }
    return MM_OK;
}

/* The encoders' own products, in bf16 (of bf16 values, so that only the sums are rounded) or f32: c = a b^T + bias, added to
 * what is there where beta is 1. */
static mm_status check_own(const mm_kernels *kernels, const check_shape *shape, float *buffer, mm_error *err)
{
    const size_t m = shape->m, n = shape->n, k = shape->k, lda = (k + 1) / 2 * 2, ldc = n + 2;
    const bool bf16 = kernels->precision == MM_PRECISION_BF16;
    float *a = buffer, *b = a + m * lda, *bias = b + n * k, *c = bias + n, *before = c + m * ldc, *more = before + m * ldc;
    fill(a, (size_t)(c - a), 1);
    fill(c, m * ldc, 3);
    for (size_t i = 0; i < m * ldc; i++)
        before[i] = c[i];
    if (bf16) {
        mm_bf16 *rounded = (mm_bf16 *)more, *packed = rounded + m * lda;
        for (float *x = a; x < bias; x++)
            *x = mm_bf16_to_float(mm_bf16_from(*x));
        for (size_t i = 0; i < m * lda; i++)
            rounded[i] = mm_bf16_from(a[i]);
        mm_pack_weight(b, k, n, k, packed);
        const mm_bf16_product product = {.a = rounded, .lda = lda, .rows = m, .b = {n, k, packed}, .bias = bias,
                                         .epilogue = shape->beta != 0 ? MM_ADD_TO_F32 : MM_TO_F32, .out = c, .ldout = ldc};
        mm_bf16_get()->product(&product);
    } else {
        const mm_f32_product product = {.a = a, .lda = lda, .rows = m, .w = b, .ldw = k, .n = n, .k = k, .bias = bias,
                                        .end = shape->beta != 0 ? MM_F32_ADD : MM_F32_STORE, .out = c, .ldout = ldc,
                                        .scratch = more};
        mm_f32_get(kernels)->product(&product);
    }
    for (size_t i = 0; i < m; i++)
        for (size_t j = 0; j < ldc; j++) {
            double expected = before[i * ldc + j], scale = 0;
            if (j < n)
                expected = (double)bias[j] + (double)shape->beta * expected;
            for (size_t l = 0; j < n && l < k; l++) {
                const double term = (double)a[i * lda + l] * (double)b[j * k + l];
                expected += term;
                scale += fabs(term);
            }
            const double error = fabs((double)c[i * ldc + j] - expected);
            if (!(error <= 1e-5 * (1.0 + scale)))
                return wrong(kernels, shape, i, j, (double)c[i * ldc + j], expected,
                             bf16 ? "--precision f32" : "--backend blas", err);
        }
    return MM_OK;
}

mm_status mm_kernels_check(const mm_kernels *kernels, mm_error *err)
{
    /* Each layout, sizes about the register and cache blocks of the usual libraries, and the slim ones of a decoder. */
    static const check_shape shapes[] = {
        {1, 1, 1, false, false, 0},      {7, 33, 16, false, true, 0},    {64, 48, 64, false, true, 1},
        {97, 53, 129, false, false, 0},  {56, 128, 200, true, false, 1}, {200, 56, 128, false, true, 0},
        {31, 65, 17, true, true, 0},     {3, 300, 32, false, true, 0},   {130, 200, 300, false, true, 0},
    };
    float *buffer = mm_floats(400 * 1024);
    if (!buffer)
        return mm_fail_memory(err, "checking the kernels");
    mm_status status = MM_OK;
    for (size_t i = 0; i < sizeof shapes / sizeof shapes[0] && status == MM_OK; i++)
        status = check_gemm(kernels, &shapes[i], buffer, err);
    const bool own = kernels->precision == MM_PRECISION_BF16 || mm_f32_get(kernels);
    for (size_t i = 0; i < sizeof shapes / sizeof shapes[0] && status == MM_OK && own; i++)
        status = check_own(kernels, &shapes[i], buffer, err);
    free(buffer);
    return status;
}
