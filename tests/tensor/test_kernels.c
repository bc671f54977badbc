#include "check_main.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "maskmill/tensor.h"
#include "tensor/memory.h"
#include "tensor/bf16.h"
#include "tensor/vector.h"

static float noise(uint32_t *seed)
{
    *seed = *seed * 1664525u + 1013904223u;
    return (float)(int32_t)*seed / 2147483648.0f;
}

static void fill(float *x, size_t n, float scale, uint32_t seed)
{
    for (size_t i = 0; i < n; i++)
        x[i] = scale * noise(&seed);
}

START_TEST(both_backends_pass_the_self_check)
{
    for (int backend = MM_BACKEND_DNNL; backend <= MM_BACKEND_BLAS; backend++)
        for (uint32_t threads = 1; threads <= 3; threads++) {
            mm_kernels kernels = {.backend = (mm_backend)backend, .threads = threads};
            mm_error err = {0};
            const mm_status status = mm_kernels_resolve(&kernels, &err);
            if (status == MM_ERR_UNSUPPORTED)
                continue;
            ck_assert_msg(status == MM_OK, "%s", err.text);
            ck_assert_msg(mm_kernels_check(&kernels, &err) == MM_OK, "%s", err.text);
        }
}
END_TEST

START_TEST(a_threaded_product_equals_a_single_one)
{
    enum { M = 257, N = 200, K = 300 };
    float *a = mm_floats(M * K), *b = mm_floats(N * K), *one = mm_floats(M * N), *two = mm_floats(M * N);
    ck_assert(a && b && one && two);
    fill(a, M * K, 1, 1);
    fill(b, N * K, 1, 2);
    mm_kernels kernels = {.threads = 1};
    ck_assert_int_eq(mm_kernels_resolve(&kernels, NULL), MM_OK);
    ck_assert_int_eq(mm_gemm(&kernels, false, true, M, N, K, 1, a, K, b, K, 0, one, N, NULL), MM_OK);
    kernels.threads = 2;
    ck_assert_int_eq(mm_gemm(&kernels, false, true, M, N, K, 1, a, K, b, K, 0, two, N, NULL), MM_OK);
    for (size_t i = 0; i < M * N; i++)
        ck_assert_float_eq_tol(one[i], two[i], 1e-4f);
    free(a);
    free(b);
    free(one);
    free(two);
}
END_TEST

START_TEST(a_peak_is_a_rate)
{
    mm_kernels kernels = {.threads = 1};
    double gflops = 0;
    ck_assert_int_eq(mm_kernels_resolve(&kernels, NULL), MM_OK);
    ck_assert_int_eq(mm_kernels_peak(&kernels, &gflops, NULL), MM_OK);
    ck_assert(isfinite(gflops) && gflops > 0);
}
END_TEST

START_TEST(what_is_not_there_is_refused)
{
    mm_error err = {0};
    /* bf16 goes with AVX512-BF16, and never with other instructions than AVX-512. */
    mm_kernels kernels = {.precision = MM_PRECISION_BF16, .isa = MM_ISA_PORTABLE};
    ck_assert_int_eq(mm_kernels_resolve(&kernels, &err), MM_ERR_UNSUPPORTED);
    kernels = (mm_kernels){.precision = MM_PRECISION_BF16};
    ck_assert_int_eq(mm_kernels_resolve(&kernels, &err), mm_bf16_get() ? MM_OK : MM_ERR_UNSUPPORTED);
    kernels = (mm_kernels){.isa = MM_ISA_PORTABLE};
    ck_assert_int_eq(mm_kernels_resolve(&kernels, &err), MM_OK);
    ck_assert_int_eq(kernels.precision, MM_PRECISION_F32);
    kernels = (mm_kernels){.threads = 5000};
    ck_assert_int_eq(mm_kernels_resolve(&kernels, &err), MM_ERR_USAGE);
    ck_assert(mm_floats(SIZE_MAX / 2) == NULL);
}
END_TEST

/* Each loop against the plainest code, in double, for every instruction set that this CPU has. */
static const mm_vector *ops;

static void use(mm_isa isa)
{
    const mm_kernels kernels = {.isa = isa};
    ops = mm_vector_get(&kernels);
}

static void check_gelu(void)
{
    enum { N = 20011 };
    float *x = mm_floats(N), *y = mm_floats(N), *bias = mm_floats(N);
    ck_assert(x && y && bias);
    for (size_t i = 0; i < N; i++) {
        x[i] = -10.0f + 20.0f * (float)i / N;
        bias[i] = 0.25f;
    }
    memcpy(y, x, N * sizeof *x);
    ops->bias_gelu(y, bias, 1, N);
    for (size_t i = 0; i < N; i++) {
        const double v = (double)x[i] + 0.25;
        ck_assert_double_eq_tol(y[i], 0.5 * v * (1 + erf(v / sqrt(2))), 2e-7 * (1 + fabs(v)));
    }
    memcpy(y, x, N * sizeof *x);
    ops->bias_gelu(y, NULL, N, 1);
    for (size_t i = 0; i < N; i++)
        ck_assert_double_eq_tol(y[i], 0.5 * (double)x[i] * (1 + erf((double)x[i] / sqrt(2))), 2e-6);
    free(x);
    free(y);
    free(bias);
}

static void check_softmax(size_t rows, size_t n)
{
    const size_t ld = n + 3;
    float *x = mm_floats(rows * ld), *y = mm_floats(rows * ld), *state = mm_floats(3 * rows);
    ck_assert(x && y && state);
    fill(x, rows * ld, 30, (uint32_t)n);
    memcpy(y, x, rows * ld * sizeof *x);
    ops->softmax(y, rows, n, ld);
    for (size_t r = 0; r < rows; r++) {
        double sum = 0, top = -1e30;
        for (size_t i = 0; i < n; i++)
            top = fmax(top, (double)x[r * ld + i]);
        for (size_t i = 0; i < n; i++)
            sum += exp((double)x[r * ld + i] - top);
        for (size_t i = 0; i < n; i++)
            ck_assert_double_eq_tol(y[r * ld + i], exp((double)x[r * ld + i] - top) / sum, 1e-6);
        for (size_t i = n; i < ld; i++)
            ck_assert_float_eq(y[r * ld + i], x[r * ld + i]);
    }
    /* In two pieces: after the second, what the first left must be scaled. */
    const size_t half = n / 2;
    if (half) {
        memcpy(y, x, rows * ld * sizeof *x);
        for (size_t r = 0; r < rows; r++) {
            state[r] = -3.402823466e38f;
            state[rows + r] = 0;
        }
        float *scale = state + 2 * rows;
        ops->softmax_step(y, rows, half, ld, state, state + rows, scale);
        ops->softmax_step(y + half, rows, n - half, ld, state, state + rows, scale);
        ops->scale_rows(y, scale, rows, half, ld);
        float *whole = mm_floats(rows * ld);
        ck_assert(whole);
        memcpy(whole, x, rows * ld * sizeof *x);
        ops->softmax(whole, rows, n, ld);
        for (size_t r = 0; r < rows; r++)
            for (size_t i = 0; i < n; i++)
                ck_assert_float_eq_tol(y[r * ld + i] / state[rows + r], whole[r * ld + i], 1e-6f);
        free(whole);
    }
    free(x);
    free(y);
    free(state);
}

static void check_tokens(size_t t, size_t h, size_t n, bool with_bias)
{
    float *x = mm_floats(t * h * n), *y = mm_floats(t * h * n), *bias = mm_floats(t * h);
    ck_assert(x && y && bias);
    fill(x, t * h * n, 5, 9);
    fill(bias, t * h, 3, 10);
    memcpy(y, x, t * h * n * sizeof *x);
    ops->softmax_tokens(y, with_bias ? bias : NULL, t, h, n);
    for (size_t c = 0; c < h; c++)
        for (size_t j = 0; j < n; j++) {
            double sum = 0;
            for (size_t i = 0; i < t; i++)
                sum += exp((double)x[(i * h + c) * n + j] + (with_bias ? (double)bias[i * h + c] : 0));
            for (size_t i = 0; i < t; i++) {
                const double v = (double)x[(i * h + c) * n + j] + (with_bias ? (double)bias[i * h + c] : 0);
                ck_assert_double_eq_tol(y[(i * h + c) * n + j], exp(v) / sum, 1e-6);
            }
        }
    free(x);
    free(y);
    free(bias);
}

static void check_layer_norm(size_t rows, size_t n)
{
    float *x = mm_floats(rows * n), *y = mm_floats(rows * n), *w = mm_floats(2 * n);
    ck_assert(x && y && w);
    fill(x, rows * n, 3, 4);
    fill(w, 2 * n, 1, 5);
    ops->layer_norm(x, w, w + n, 1e-6f, y, rows, n);
    /* The fused norm of y + residual + bias, with its second output over y: equal to the norm of the sum. */
    float *half = mm_floats(rows * n), *rest = mm_floats(rows * n), *keys = mm_floats(rows * n), *at = mm_floats(rows * n);
    ck_assert(half && rest && keys && at);
    fill(half, rows * n, 1, 6);
    fill(at, rows * n, 1, 7);
    for (size_t i = 0; i < rows * n; i++)
        rest[i] = x[i] - half[i] - w[i % n];
    ops->residual_norm(half, rest, w, w, w + n, 1e-6f, at, keys, half, rows, n);
    for (size_t i = 0; i < rows * n; i++) {
        ck_assert_float_eq_tol(keys[i], y[i], 1e-4f);
        ck_assert_float_eq(half[i], keys[i] + at[i]);
    }
    free(half);
    free(rest);
    free(keys);
    free(at);
    for (size_t r = 0; r < rows; r++) {
        double mean = 0, variance = 0;
        for (size_t i = 0; i < n; i++)
            mean += (double)x[r * n + i] / (double)n;
        for (size_t i = 0; i < n; i++)
            variance += ((double)x[r * n + i] - mean) * ((double)x[r * n + i] - mean) / (double)n;
        for (size_t i = 0; i < n; i++)
            ck_assert_double_eq_tol(y[r * n + i],
                                    ((double)x[r * n + i] - mean) / sqrt(variance + 1e-6) * (double)w[i] + (double)w[n + i],
                                    2e-5);
    }
    free(x);
    free(y);
    free(w);
}

static void check_depthwise(size_t h, size_t w, size_t c, size_t stride)
{
    const size_t oh = (h - 1) / stride + 1, ow = (w - 1) / stride + 1;
    float *in = mm_floats(h * w * c), *out = mm_floats(oh * ow * c), *weight = mm_floats(10 * c);
    ck_assert(in && out && weight);
    fill(in, h * w * c, 1, 6);
    fill(weight, 10 * c, 1, 7);
    for (size_t y = 0; y < oh; y++)
        ops->depthwise3x3(in, h, w, c, stride, y * stride, weight, weight + 9 * c, out + y * ow * c, ow);
    for (size_t y = 0; y < oh; y++)
        for (size_t x = 0; x < ow; x++)
            for (size_t i = 0; i < c; i++) {
                double total = (double)weight[9 * c + i];
                for (int dy = -1; dy <= 1; dy++)
                    for (int dx = -1; dx <= 1; dx++) {
                        const long sy = (long)(y * stride) + dy, sx = (long)(x * stride) + dx;
                        if (sy >= 0 && sx >= 0 && sy < (long)h && sx < (long)w)
                            total += (double)in[((size_t)sy * w + (size_t)sx) * c + i] *
                                     (double)weight[(size_t)((dy + 1) * 3 + dx + 1) * c + i];
                    }
                ck_assert_double_eq_tol(out[(y * ow + x) * c + i], total, 1e-5);
            }
    free(in);
    free(out);
    free(weight);
}

START_TEST(loops_equal_their_plain_twins)
{
    for (int isa = MM_ISA_PORTABLE; isa <= MM_ISA_AVX512; isa++) {
        if (!mm_vector_supports((mm_isa)isa))
            continue;
        use((mm_isa)isa);
        check_gelu();
        for (size_t n = 1; n < 40; n += 3)
            check_softmax(3, n);
        check_softmax(5, 196);
        check_tokens(7, 8, 256, true);
        check_tokens(7, 3, 37, true);
        check_tokens(9, 2, 5, false);
        check_layer_norm(3, 256);
        check_layer_norm(2, 37);
        check_depthwise(5, 7, 19, 1);
        check_depthwise(6, 9, 32, 2);
        check_depthwise(1, 1, 3, 2);
        float x[5] = {-1, 0, 1, 2, 3}, y[5] = {1, 1, -3, 0, 1};
        ops->bias_relu(x, y, 1, 5);
        ck_assert_float_eq(x[0], 0);
        ck_assert_float_eq(x[2], 0);
        ck_assert_float_eq(x[4], 4);
        ops->add_bias(x, y, 1, 5);
        ck_assert_float_eq(x[4], 5);
        float both[5];
        ops->sum(x, y, both, 5);
        ck_assert_float_eq(both[4], 6);
        float grid[6] = {0}, down[2] = {10, 20}, across[3] = {1, 2, 3};
        ops->add_outer(grid, down, across, 2, 3);
        ck_assert_float_eq(grid[0], 11);
        ck_assert_float_eq(grid[5], 23);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("tensor/kernels");
    TCase *tests = tcase_create("kernels");
    tcase_set_timeout(tests, 60);
    tcase_add_test(tests, a_peak_is_a_rate);
    tcase_add_test(tests, both_backends_pass_the_self_check);
    tcase_add_test(tests, a_threaded_product_equals_a_single_one);
    tcase_add_test(tests, what_is_not_there_is_refused);
    tcase_add_test(tests, loops_equal_their_plain_twins);
    suite_add_tcase(suite, tests);
    return mm_check_main(suite);
}
