/* The product in bf16 against a plain loop over operands rounded to bf16: all layouts, sides that fill no vector, sums that go
 * on in C, and what lies beside C. */
#include "check_main.h"

#include <math.h>
#include <string.h>

#include "tensor/bf16.h"
#include "tensor/bf16_gemm.h"

enum { MOST = 300 * 600, GUARD = 7 };

static float a[MOST], b[MOST], c[MOST], before[MOST];

static void fill(float *x, uint32_t seed)
{
    for (size_t i = 0; i < MOST; i++) {
        seed = seed * 1664525u + 1013904223u;
        x[i] = (float)(int32_t)seed / 2147483648.0f;
    }
}

static float rounded(float x)
{
    return mm_bf16_to_float(mm_bf16_from(x));
}

static void compare(const mm_gemm_call *call)
{
    for (size_t i = 0; i < call->m; i++)
        for (size_t j = 0; j < call->ldc; j++) {
            const size_t at = i * call->ldc + j;
            double sum = 0, size = 0;
            for (size_t k = 0; k < call->k && j < call->n; k++) {
                const float x = rounded(call->transpose_a ? a[k * call->lda + i] : a[i * call->lda + k]);
                const float y = rounded(call->transpose_b ? b[j * call->ldb + k] : b[k * call->ldb + j]);
                sum += (double)x * y;
                size += fabs((double)x * y);
            }
            if (j >= call->n)
                ck_assert_msg(c[at] == before[at], "something was written beside C");
            else
                ck_assert_double_eq_tol(c[at], call->alpha * sum + (double)call->beta * before[at], 1e-5 * (size + 1));
        }
}

START_TEST(all_layouts_and_sides)
{
    static const size_t sides[][3] = {{1, 1, 1}, {6, 64, 2}, {7, 65, 33}, {13, 16, 257}, {128, 32, 64}, {131, 100, 31},
                                      {24, 128, 512}, {33, 47, 300}};
    const mm_kernels kernels = {.precision = MM_PRECISION_BF16};
    mm_bf16_gemm *product = mm_bf16_gemm_get(&kernels);
    if (!product)
        return; /* no such instructions here */
    fill(a, 1);
    fill(b, 2);
    fill(before, 3);
    for (size_t s = 0; s < sizeof sides / sizeof sides[0]; s++)
        for (int layout = 0; layout < 12; layout++) {
            const size_t m = sides[s][0], n = sides[s][1], k = sides[s][2];
            const bool ta = layout & 1, tb = layout & 2;
            const float beta = layout / 4 == 0 ? 0 : layout / 4 == 1 ? 1 : 0.5f;
            const mm_gemm_call call = {.transpose_a = ta, .transpose_b = tb, .m = m, .n = n, .k = k, .alpha = 0.75f,
                                       .beta = beta, .a = a, .b = b, .c = c, .lda = (ta ? m : k) + 3,
                                       .ldb = (tb ? k : n) + 1, .ldc = n + GUARD};
            memcpy(c, before, sizeof c);
            for (size_t i = 0; beta == 0 && i < m; i++) /* what was there does not count */
                for (size_t j = 0; j < n; j++)
                    c[i * call.ldc + j] = NAN;
            product(&call);
            compare(&call);
        }
}
END_TEST

START_TEST(only_where_it_is_asked_for)
{
    const mm_kernels kernels = {.precision = MM_PRECISION_F32};
    ck_assert(mm_bf16_gemm_get(&kernels) == NULL);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("tensor/bf16_gemm");
    TCase *tests = tcase_create("bf16_gemm");
    tcase_add_test(tests, all_layouts_and_sides);
    tcase_add_test(tests, only_where_it_is_asked_for);
    suite_add_tcase(suite, tests);
    return mm_check_main(suite);
}
