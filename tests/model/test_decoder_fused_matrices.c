/* What the fused decoder makes of a prompt's values and a checkpoint's constants, against plain loops in double. */
#include "fused_support.h"

#ifdef __x86_64__

static const double f32_error = 2e-6, bf16_error = 1.0 / 256;

/* T, H, d, D: odd F = H (T - 1), widths that are and are not whole registers of 8, and of 1. */
static const size_t shapes[][4] = {{6, 3, 16, 64}, {7, 8, 16, 256}, {8, 3, 32, 128}, {16, 8, 32, 512}, {11, 4, 16, 192}, {3, 1, 16, 64}};

enum { SHAPES = sizeof shapes / sizeof shapes[0] };

typedef struct matrix_case {
    pool pool;
    mm_fused_sizes sizes;
    float *y, *last;               /* [F][d], [c] */
    float *constant, *up_constant; /* [c][c], symmetric; [c][D] */
    float *expanded, *up_expanded; /* [F][c], [F][D] */
} matrix_case;

static void matrix_case_make(matrix_case *t, const size_t shape[4])
{
    *t = (matrix_case){.pool.seed = 6, .sizes = fused_sizes(shape[0], 3, shape[1], shape[2], shape[3], 64)};
    const mm_fused_sizes *sizes = &t->sizes;
    const size_t inner = sizes->inner;
    t->y = random_floats(&t->pool, sizes->coordinates * sizes->dim, 0, 1);
    t->last = random_floats(&t->pool, inner, 0, 1);
    t->constant = random_floats(&t->pool, inner * inner, 0, 1);
    for (size_t i = 0; i < inner; i++)
        for (size_t k = 0; k < i; k++)
            t->constant[i * inner + k] = t->constant[k * inner + i];
    t->up_constant = random_floats(&t->pool, inner * sizes->channels, 0, 1);
    t->expanded = pool_floats(&t->pool, sizes->coordinates * inner);
    t->up_expanded = pool_floats(&t->pool, sizes->coordinates * sizes->channels);
    mm_fused_expand(sizes, t->y, t->constant, inner, t->expanded);
    mm_fused_expand(sizes, t->y, t->up_constant, sizes->channels, t->up_expanded);
}

static void check_expanded(const matrix_case *t, const float *constant, size_t n, const float *expanded)
{
    const mm_fused_sizes *sizes = &t->sizes;
    for (size_t f = 0; f < sizes->coordinates; f++)
        for (size_t o = 0; o < n; o++) {
            double total = 0, size = 0;
            for (size_t i = 0; i < sizes->dim; i++) {
                const double term = (double)t->y[f * sizes->dim + i] *
                                    (double)constant[(f / (sizes->tokens - 1) * sizes->dim + i) * n + o];
                total += term;
                size += fabs(term);
            }
            assert_near((double)expanded[f * n + o], total, f32_error * size, "an expanded value");
        }
}

static void check_expanded_last(matrix_case *t, const float *constant, size_t n)
{
    float *out = pool_floats(&t->pool, n);
    mm_fused_expand_last(&t->sizes, t->last, constant, n, out);
    for (size_t o = 0; o < n; o++) {
        double total = 0, size = 0;
        for (size_t i = 0; i < t->sizes.inner; i++) {
            const double term = (double)t->last[i] * (double)constant[i * n + o];
            total += term;
            size += fabs(term);
        }
        assert_near((double)out[o], total, f32_error * size, "the last value's expansion");
    }
}

/* x_j . expanded_f in the channels of head j / tokens */
static double entry(const matrix_case *t, const float *x, size_t tokens, size_t j, size_t f)
{
    const mm_fused_sizes *sizes = &t->sizes;
    double total = 0;
    for (size_t i = 0; i < sizes->dim; i++)
        total += (double)x[j * sizes->dim + i] * (double)t->expanded[f * sizes->inner + j / tokens * sizes->dim + i];
    return total;
}

static mm_pair *make_matrix(matrix_case *t, const float *x, size_t tokens, bool triangle)
{
    const mm_fused_sizes *sizes = &t->sizes;
    mm_pair *matrix = pool_pairs(&t->pool, sizes->heads * tokens * sizes->pairs);
    float *work = pool_floats(&t->pool, 2 * sizes->pairs * (sizes->inner + 1));
    mm_fused_matrix(sizes, x, tokens, t->expanded, triangle, work, matrix);
    return matrix;
}

static double at(const mm_fused_sizes *sizes, const mm_pair *matrix, size_t row, size_t f)
{
    return (double)half_of(matrix[row * sizes->pairs + f / 2], f % 2);
}

static void check_matrix(matrix_case *t)
{
    const mm_fused_sizes *sizes = &t->sizes;
    const float *x = random_floats(&t->pool, sizes->vectors * sizes->dim, 0, 1);
    const mm_pair *matrix = make_matrix(t, x, sizes->tokens, false);
    for (size_t j = 0; j < sizes->vectors; j++)
        for (size_t f = 0; f < 2 * sizes->pairs; f++) {
            const double expected = f < sizes->coordinates ? entry(t, x, sizes->tokens, j, f) : 0;
            assert_near(at(sizes, matrix, j, f), expected, bf16_error * fabs(expected) + 1e-5, "an entry of a matrix");
        }
}

/* The triangle of a symmetric matrix: a' triangle a = a' matrix a. */
static void check_triangle(matrix_case *t)
{
    const mm_fused_sizes *sizes = &t->sizes;
    const size_t others = sizes->tokens - 1;
    const mm_pair *triangle = make_matrix(t, t->y, others, true);
    for (size_t f = 0; f < sizes->coordinates; f++)
        for (size_t g = 0; g < 2 * sizes->pairs; g++) {
            const bool exists = g < sizes->coordinates && g / others >= f / others;
            const double expected = exists ? entry(t, t->y, others, f, g) * (g / others > f / others ? 2 : 1) : 0;
            assert_near(at(sizes, triangle, f, g), expected, bf16_error * fabs(expected) + 1e-5, "an entry of a triangle");
        }
    const float *a = random_floats(&t->pool, sizes->coordinates, 0, 1);
    double got = 0, expected = 0, size = 0;
    for (size_t f = 0; f < sizes->coordinates; f++)
        for (size_t g = 0; g < sizes->coordinates; g++) {
            const double full = (double)a[f] * entry(t, t->y, others, f, g) * (double)a[g];
            got += (double)a[f] * at(sizes, triangle, f, g) * (double)a[g];
            expected += full;
            size += fabs(full);
        }
    assert_near(got, expected, bf16_error * size, "a quadratic form");
}

static void check_columns(matrix_case *t)
{
    const mm_fused_sizes *sizes = &t->sizes;
    const size_t channels = sizes->channels;
    mm_pair *matrix = pool_pairs(&t->pool, channels * sizes->pairs);
    mm_fused_columns(sizes, t->up_expanded, channels, matrix);
    for (size_t o = 0; o < channels; o++)
        for (size_t f = 0; f < 2 * sizes->pairs; f++) {
            const float expected = f < sizes->coordinates ? t->up_expanded[f * channels + o] : 0;
            assert_near(at(sizes, matrix, o, f), (double)mm_bf16_to_float(mm_bf16_from(expected)), 0, "an entry of columns");
        }
}

static void check_pack(matrix_case *t)
{
    const size_t counts[] = {t->sizes.inner, 2, 18, t->sizes.coordinates * t->sizes.dim};
    for (size_t k = 0; k < sizeof counts / sizeof counts[0]; k++) {
        const float *x = random_floats(&t->pool, counts[k], 0, 1);
        mm_pair *pairs = pool_pairs(&t->pool, counts[k] / 2);
        mm_fused_pack(x, counts[k], pairs);
        for (size_t i = 0; i < counts[k] / 2; i++)
            ck_assert_uint_eq(pairs[i], pair_of(x[2 * i], x[2 * i + 1]));
    }
}

static void check_add_outer(matrix_case *t)
{
    const mm_fused_sizes *sizes = &t->sizes;
    const size_t dim = sizes->dim;
    const float *outer = random_floats(&t->pool, sizes->vectors * sizes->wide, 0, 1);
    const float *before = random_floats(&t->pool, sizes->vectors * dim, 0, 10);
    float *out = pool_floats(&t->pool, sizes->vectors * dim);
    memcpy(out, before, sizes->vectors * dim * sizeof *out);
    mm_fused_add_outer(sizes, outer, t->expanded, out);
    for (size_t j = 0; j < sizes->vectors; j++)
        for (size_t i = 0; i < dim; i++) {
            double total = (double)before[j * dim + i], size = fabs(total);
            for (size_t f = 0; f < sizes->coordinates; f++) {
                const double term = (double)outer[j * sizes->wide + f] *
                                    (double)t->expanded[f * sizes->inner + j / sizes->tokens * dim + i];
                total += term;
                size += fabs(term);
            }
            assert_near((double)out[j * dim + i], total, f32_error * size, "a gathered value");
        }
}

START_TEST(matrices_equal_plain_loops)
{
    if (!mm_bf16_get())
        return;
    matrix_case t;
    matrix_case_make(&t, shapes[_i]);
    check_expanded(&t, t.constant, t.sizes.inner, t.expanded);
    check_expanded(&t, t.up_constant, t.sizes.channels, t.up_expanded);
    check_expanded_last(&t, t.constant, t.sizes.inner);
    check_expanded_last(&t, t.up_constant, t.sizes.channels);
    check_matrix(&t);
    check_triangle(&t);
    check_columns(&t);
    check_pack(&t);
    check_add_outer(&t);
    pool_free(&t.pool);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("model/fused decoder's matrices");
    TCase *tests = tcase_create("matrices");
    tcase_set_timeout(tests, 120);
    tcase_add_loop_test(tests, matrices_equal_plain_loops, 0, SHAPES);
    suite_add_tcase(suite, tests);
    return mm_check_main(suite);
}

#else

int main(void)
{
    return 0; /* these kernels are there on x86-64 alone */
}

#endif
