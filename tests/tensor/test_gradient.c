/* The loops of training against their definitions in double, on every instruction set and for rows that no vector
 * fits. */
#include <math.h>

#include "check_main.h"
#include "tensor/gradient.h"
#include "tensor/vector.h"

enum { ROWS = 12, MOST = 40 };

static const mm_isa isas[] = {MM_ISA_PORTABLE, MM_ISA_AVX2, MM_ISA_AVX512};
static const size_t widths[] = {4, 5, 16, 20, 32, 40};
enum { ISAS = sizeof isas / sizeof isas[0], WIDTHS = sizeof widths / sizeof widths[0] };

static uint32_t seed = 3;

static void fill(float *x, size_t n, float scale)
{
    for (size_t i = 0; i < n; i++) {
        seed = seed * 1664525u + 1013904223u;
        x[i] = scale * (float)(int32_t)seed / 2147483648.0f;
    }
}

/* The loops for test number i; NULL if this machine has not the instructions. */
static const mm_gradient_ops *ops_of(int i)
{
    const mm_isa isa = isas[i / WIDTHS];
    return mm_vector_supports(isa) ? mm_gradient_get(&(mm_kernels){.isa = isa}) : NULL;
}

static double normal_below(double x)
{
    return 0.5 * erfc(-x * M_SQRT1_2);
}

START_TEST(test_gelu)
{
    const mm_gradient_ops *ops = ops_of(_i);
    const size_t n = widths[_i % WIDTHS];
    float x[ROWS * MOST], bias[MOST], y[ROWS * MOST], slope[ROWS * MOST];
    if (!ops)
        return;
    fill(x, ROWS * n, 7);
    fill(bias, n, 1);
    x[0] = 50;
    x[1] = -50;
    x[2] = -bias[2];
    for (int with = 0; with < 2; with++) {
        ops->gelu(x, with ? bias : NULL, y, slope, ROWS, n);
        for (size_t i = 0; i < ROWS * n; i++) {
            const double v = (double)x[i] + (with ? bias[i % n] : 0);
            const double density = exp(-0.5 * v * v) / sqrt(2 * M_PI);
            ck_assert_double_eq_tol(y[i], v * normal_below(v), 1e-6 * fmax(1, fabs(v)));
            ck_assert_double_eq_tol(slope[i], normal_below(v) + v * density, 2e-6);
        }
    }
}
END_TEST

/* loss = sum of opinion * norm(x + residual + shift). */
static double norm_loss(const double *x, const float *weight, const float *bias, const float *opinion, size_t n)
{
    double loss = 0, mean = 0, square = 0;
    for (size_t i = 0; i < n; i++)
        mean += x[i] / (double)n;
    for (size_t i = 0; i < n; i++)
        square += (x[i] - mean) * (x[i] - mean) / (double)n;
    for (size_t i = 0; i < n; i++)
        loss += opinion[i] * ((x[i] - mean) / sqrt(square + 1e-5) * weight[i] + bias[i]);
    return loss;
}

START_TEST(test_norm)
{
    const mm_gradient_ops *ops = ops_of(_i);
    const size_t n = widths[_i % WIDTHS];
    float x[ROWS * MOST], residual[ROWS * MOST], shift[MOST], weight[MOST], bias[MOST], normal[ROWS * MOST],
        inverse[ROWS], y[ROWS * MOST], opinion[ROWS * MOST], dx[ROWS * MOST], dweight[MOST] = {0}, dbias[MOST] = {0};
    if (!ops)
        return;
    fill(x, ROWS * n, 2);
    fill(residual, ROWS * n, 1);
    fill(shift, n, 1);
    fill(weight, n, 2);
    fill(bias, n, 1);
    fill(opinion, ROWS * n, 1);
    for (int with = 0; with < 2; with++) {
        ops->norm(x, with ? residual : NULL, with ? shift : NULL, weight, bias, 1e-5f, normal, inverse, y, ROWS, n);
        memset(dweight, 0, sizeof dweight);
        memset(dbias, 0, sizeof dbias);
        ops->norm_back(opinion, normal, inverse, weight, dx, dweight, dbias, ROWS, n);
        double by_weight[MOST] = {0}, by_bias[MOST] = {0};
        for (size_t r = 0; r < ROWS; r++) {
            double wide[MOST], got = 0;
            for (size_t i = 0; i < n; i++) {
                wide[i] = (double)x[r * n + i] + (with ? (double)residual[r * n + i] + shift[i] : 0);
                got += (double)opinion[r * n + i] * y[r * n + i];
                by_weight[i] += (double)opinion[r * n + i] * normal[r * n + i];
                by_bias[i] += opinion[r * n + i];
            }
            ck_assert_double_eq_tol(got, norm_loss(wide, weight, bias, opinion + r * n, n), 2e-5);
            for (size_t i = 0; i < n; i++) {
                const double at = wide[i], step = 1e-6;
                wide[i] = at + step;
                double slope = norm_loss(wide, weight, bias, opinion + r * n, n);
                wide[i] = at - step;
                slope = (slope - norm_loss(wide, weight, bias, opinion + r * n, n)) / (2 * step);
                wide[i] = at;
                ck_assert_double_eq_tol(dx[r * n + i], slope, 1e-4 * fmax(1, fabs(slope)));
            }
        }
        for (size_t i = 0; i < n; i++) {
            ck_assert_double_eq_tol(dweight[i], by_weight[i], 1e-4);
            ck_assert_double_eq_tol(dbias[i], by_bias[i], 1e-5);
        }
    }
}
END_TEST

START_TEST(test_softmax_back)
{
    const mm_gradient_ops *ops = ops_of(_i);
    const size_t n = widths[_i % WIDTHS], ld = n + 3, t = 4, h = ROWS / 4;
    float a[ROWS * (MOST + 3)], da[ROWS * (MOST + 3)], given[ROWS * (MOST + 3)];
    if (!ops)
        return;
    fill(a, ROWS * ld, 1);
    fill(given, ROWS * ld, 1);
    memcpy(da, given, sizeof da);
    ops->softmax_back(a, da, ROWS, n, ld);
    for (size_t r = 0; r < ROWS; r++) {
        double mean = 0;
        for (size_t i = 0; i < n; i++)
            mean += (double)a[r * ld + i] * given[r * ld + i];
        for (size_t i = 0; i < ld; i++)
            ck_assert_double_eq_tol(da[r * ld + i], i < n ? a[r * ld + i] * (given[r * ld + i] - mean)
                                    : given[r * ld + i], 1e-5);
    }
    memcpy(da, given, sizeof da);
    ops->softmax_tokens_back(a, da, t, h, n);
    for (size_t k = 0; k < h * n; k++) {
        double mean = 0;
        for (size_t i = 0; i < t; i++)
            mean += (double)a[i * h * n + k] * given[i * h * n + k];
        for (size_t i = 0; i < t; i++)
            ck_assert_double_eq_tol(da[i * h * n + k], a[i * h * n + k] * (given[i * h * n + k] - mean), 1e-5);
    }
}
END_TEST

START_TEST(test_sums_and_products)
{
    const mm_gradient_ops *ops = ops_of(_i);
    const size_t n = widths[_i % WIDTHS];
    float x[ROWS * MOST], y[ROWS * MOST], z[ROWS * MOST], columns[MOST], rows[ROWS], before[MOST], slope[ROWS * MOST],
        dlogits[2 * ROWS], weights[2 * MOST];
    if (!ops)
        return;
    fill(x, ROWS * n, 1);
    fill(y, ROWS * n, 1);
    fill(before, n, 1);
    fill(slope, ROWS * n, 1);
    fill(dlogits, 2 * ROWS, 1);
    fill(weights, 2 * n, 1);
    memcpy(columns, before, sizeof columns);
    ops->add_columns(x, columns, ROWS, n);
    ops->row_sums(x, rows, ROWS, n);
    for (size_t i = 0; i < n; i++) {
        double sum = before[i];
        for (size_t r = 0; r < ROWS; r++)
            sum += x[r * n + i];
        ck_assert_double_eq_tol(columns[i], sum, 1e-5);
    }
    for (size_t r = 0; r < ROWS; r++) {
        double sum = 0;
        for (size_t i = 0; i < n; i++)
            sum += x[r * n + i];
        ck_assert_double_eq_tol(rows[r], sum, 1e-5);
    }
    memcpy(z, x, sizeof z);
    ops->multiply(z, y, ROWS * n);
    for (size_t i = 0; i < ROWS * n; i++)
        ck_assert_double_eq_tol(z[i], (double)x[i] * y[i], 1e-6);
    ops->spread(dlogits, weights, 2, slope, slope, ROWS, n); /* in place, as it is used */
    ops->spread(dlogits, weights, 2, x, z, ROWS, n);
    for (size_t i = 0; i < ROWS * n; i++) {
        const double sum = (double)dlogits[i / n] * weights[i % n] + (double)dlogits[ROWS + i / n] * weights[n + i % n];
        ck_assert_double_eq_tol(z[i], sum * x[i], 1e-6);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("tensor/gradient");
    TCase *tcase = tcase_create("gradient");
    tcase_add_loop_test(tcase, test_gelu, 0, ISAS * WIDTHS);
    tcase_add_loop_test(tcase, test_norm, 0, ISAS * WIDTHS);
    tcase_add_loop_test(tcase, test_softmax_back, 0, ISAS * WIDTHS);
    tcase_add_loop_test(tcase, test_sums_and_products, 0, ISAS * WIDTHS);
    suite_add_tcase(suite, tcase);
    return mm_check_main(suite);
}
