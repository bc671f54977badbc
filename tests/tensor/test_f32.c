/* The f32 kernels of AVX-512 against the plainest code that does the same, in double. */
#include <math.h>
#include <string.h>

#include "check_main.h"
#include "tensor/f32.h"
#include "tensor/memory.h"
#include "tensor/vector.h"

static const mm_f32_ops *ops; /* of this CPU; tests return at once where there are none */

/* What one rounding costs, of a value's size. */
static const double half_ulp = 1.0 / (1 << 24);

static float *random_floats(size_t n, float scale, uint32_t seed)
{
    float *x = mm_floats(n);
    ck_assert_ptr_nonnull(x);
    for (size_t i = 0; i < n; i++) {
        seed = seed * 1664525u + 1013904223u;
        x[i] = scale * (float)(int32_t)seed / 2147483648.0f;
    }
    return x;
}

/* `n` NaNs: they spread to whatever is made of them, and writing elsewhere shows. */
static float *blank_floats(size_t n)
{
    float *x = mm_floats(n);
    ck_assert_ptr_nonnull(x);
    for (size_t i = 0; i < n; i++)
        x[i] = NAN;
    return x;
}

static void assert_blank(const float *x, size_t n)
{
    for (size_t i = 0; i < n; i++)
        ck_assert(isnan(x[i]));
}

static double gelu(double x)
{
    return 0.5 * x * (1 + erf(x / sqrt(2)));
}

typedef struct shape {
    size_t rows, n, k, more; /* more: what rows of every matrix are longer than they need be */
} shape;

/* apart: what is added lies elsewhere, and `out` is blank before. */
static void check_product(const shape *s, mm_f32_end end, bool with_bias, bool apart)
{
    const bool adds = end == MM_F32_ADD || end == MM_F32_ADD_GELU, gelus = end == MM_F32_GELU || end == MM_F32_ADD_GELU;
    const size_t lda = s->k + s->more, ldout = s->n + s->more;
    float *a = random_floats(s->rows * lda, 1, 1), *w = random_floats(s->n * lda, 1, 2), *bias = random_floats(s->n, 2, 3);
    float *before = random_floats(s->rows * s->n, 4, 4), *out = blank_floats((s->rows + 1) * ldout);
    float *residual = blank_floats((s->rows + 1) * ldout);
    float *scratch = blank_floats(MM_F32_PRODUCT_SCRATCH + 16);
    for (size_t r = 0; r < s->rows && adds; r++)
        memcpy((apart ? residual : out) + r * ldout, before + r * s->n, s->n * sizeof *out);
    const mm_f32_product product = {.a = a, .lda = lda, .rows = s->rows, .w = w, .ldw = lda, .n = s->n, .k = s->k,
                                    .bias = with_bias ? bias : NULL, .end = end,
                                    .residual = apart ? residual : NULL, .out = out, .ldout = ldout,
                                    .scratch = scratch};
    ops->product(&product);
    for (size_t r = 0; r < s->rows; r++) {
        for (size_t j = 0; j < s->n; j++) {
            double sum = with_bias ? (double)bias[j] : 0, scale = fabs(sum);
            if (adds)
                sum += (double)before[r * s->n + j];
            for (size_t i = 0; i < s->k; i++) {
                const double term = (double)a[r * lda + i] * (double)w[j * lda + i];
                sum += term;
                scale += fabs(term);
            }
            /* Each of the k + 2 sums is rounded; GELU's slope stays below 1.13, its erf is good to 1.4e-7. */
            double error = (double)(s->k + 2) * half_ulp * (scale + 4);
            if (gelus)
                error = 1.13 * error + 2e-7 * (1 + fabs(sum));
            ck_assert_double_eq_tol(out[r * ldout + j], gelus ? gelu(sum) : sum, error);
        }
        assert_blank(out + r * ldout + s->n, s->more);
    }
    assert_blank(out + s->rows * ldout, ldout);
    assert_blank(scratch + MM_F32_PRODUCT_SCRATCH, 16);
    free(a);
    free(w);
    free(bias);
    free(before);
    free(residual);
    free(out);
    free(scratch);
}

START_TEST(products_equal_plain_loops)
{
    if (!ops)
        return;
    for (mm_f32_end end = MM_F32_STORE; end <= MM_F32_ADD_GELU; end++)
        for (int kind = 0; kind < 4; kind++) {
            const bool with_bias = kind % 2, apart = kind / 2;
            for (size_t rows = 1; rows <= 13; rows++) {
                const shape s = {rows, 64 + 5 * rows, 2 * rows + 1, rows - 1};
                check_product(&s, end, with_bias, apart);
            }
            for (size_t n = 1; n <= 66; n += n % 16 == 15 || n % 16 == 0 ? 1 : 7) {
                const shape s = {7, n, 16 + n / 4, 1};
                check_product(&s, end, with_bias, apart);
            }
            /* k in one step, in two, the second of one row, and in three. */
            static const shape longer[] = {{3, 100, 768, 3}, {8, 130, 769, 0}, {7, 17, 1537, 4}, {96, 128, 1536, 0}};
            for (size_t i = 0; i < sizeof longer / sizeof longer[0]; i++)
                check_product(&longer[i], end, with_bias, apart);
        }
}
END_TEST

typedef struct setup {
    size_t queries, dim, keys, tile;
    float scale, reach; /* reach: of the queries, so that logits can be made large */
    size_t side, first; /* side: of the grid, for relative positions; 0 for none */
    bool pair;
} setup;

typedef struct tables {
    float *rel_h, *rel_w, *pair;
    size_t rel_row;
} tables;

/* One query by definition. Returns the bound of a kernel's relative error in a weight: the exponential to 2.1e-7, the running
 * sum and the logits in f32, each of whose dim additions may cost half a unit, though such errors never all add up. */
static double plain_query(const setup *s, const tables *t, const float *q, const float *k, const float *v, size_t row,
                          size_t query, double *expected)
{
    double *weight = calloc(s->keys, sizeof *weight), top = -INFINITY, sum = 0, largest = 0;
    ck_assert_ptr_nonnull(weight);
    for (size_t key = 0; key < s->keys; key++) {
        double size = 10;
        for (size_t i = 0; i < s->dim; i++) {
            const double term = (double)s->scale / log(2) * (double)q[i] * (double)k[key * row + i];
            weight[key] += term;
            size += fabs(term);
        }
        if (t->rel_h) {
            const size_t at = s->first + query, y = at / s->side, x = at % s->side;
            weight[key] += (double)t->rel_h[query * t->rel_row + s->side - 1 - y + key / s->side] +
                           (double)t->rel_w[query * t->rel_row + s->side - 1 - x + key % s->side];
        }
        if (t->pair)
            weight[key] += (double)t->pair[query * s->keys + key];
        top = fmax(top, weight[key]);
        largest = fmax(largest, size);
    }
    for (size_t key = 0; key < s->keys; key++)
        sum += weight[key] = exp2(weight[key] - top);
    for (size_t i = 0; i < s->dim; i++) {
        expected[i] = 0;
        for (size_t key = 0; key < s->keys; key++)
            expected[i] += weight[key] / sum * (double)v[key * row + i];
    }
    free(weight);
    return 1e-6 + 8 * half_ulp * largest;
}

static void check_attention(const setup *s)
{
    const size_t row = s->dim + 6, out_row = s->dim + 3, tiles = (s->keys + s->tile - 1) / s->tile;
    const size_t k_step = mm_f32_packed_count(s->tile, s->dim), v_step = mm_f32_packed_count(s->dim, s->tile);
    const size_t scratch = mm_f32_attention_scratch(s->queries, s->dim, s->tile);
    float *q = random_floats(s->queries * row, s->reach, 1), *k = random_floats(s->keys * row, 1, 2);
    float *v = random_floats(s->keys * row, 1, 3), *out = blank_floats((s->queries + 1) * out_row);
    float *packed_k = blank_floats(tiles * k_step + 16), *packed_v = blank_floats(tiles * v_step + 16);
    float *memory = blank_floats(scratch + 64);
    double *expected = calloc(s->dim, sizeof *expected);
    ck_assert_ptr_nonnull(expected);
    tables t = {0};
    if (s->side) {
        t.rel_row = 2 * s->side - 1;
        t.rel_h = random_floats(s->queries * t.rel_row, 2, 4);
        t.rel_w = random_floats(s->queries * t.rel_row, 2, 5);
    }
    if (s->pair)
        t.pair = random_floats(s->queries * s->keys, 3, 6);
    for (size_t i = 0; i < tiles; i++) {
        const size_t first = i * s->tile, count = s->keys - first < s->tile ? s->keys - first : s->tile;
        ops->pack_keys(k + first * row, row, count, s->dim, packed_k + i * k_step);
        ops->pack_values(v + first * row, row, count, s->dim, packed_v + i * v_step);
    }
    assert_blank(packed_k + tiles * k_step, 16);
    assert_blank(packed_v + tiles * v_step, 16);
    const mm_f32_attention attention = {
        .q = q, .q_row = row, .queries = s->queries, .dim = s->dim, .k = packed_k, .v = packed_v, .keys = s->keys,
        .tile = s->tile, .scale = s->scale, .rel_h = t.rel_h, .rel_w = t.rel_w, .rel_row = t.rel_row, .side = s->side,
        .first_query = s->first, .pair = t.pair, .out = out, .out_row = out_row, .scratch = memory};
    ops->attention(&attention);
    for (size_t query = 0; query < s->queries; query++) {
        const double error = plain_query(s, &t, q + query * row, k, v, row, query, expected);
        for (size_t i = 0; i < s->dim; i++)
            ck_assert_double_eq_tol(out[query * out_row + i], expected[i], error);
        assert_blank(out + query * out_row + s->dim, out_row - s->dim);
    }
    assert_blank(out + s->queries * out_row, out_row);
    assert_blank(memory + scratch, 64);
    free(q);
    free(k);
    free(v);
    free(out);
    free(packed_k);
    free(packed_v);
    free(memory);
    free(expected);
    free(t.rel_h);
    free(t.rel_w);
    free(t.pair);
}

START_TEST(heads_and_keys_of_every_width)
{
    if (!ops)
        return;
    static const size_t dims[] = {16, 32, 64, 80, 96, 8, 21};
    for (size_t d = 0; d < sizeof dims / sizeof dims[0]; d++)
        for (size_t queries = 1; queries <= 20; queries++) {
            const setup s = {.queries = queries, .dim = dims[d], .keys = 37, .tile = 37, .scale = 0.3f, .reach = 2};
            check_attention(&s);
        }
    for (size_t keys = 1; keys <= 200; keys += keys < 70 ? 1 : 13) {
        setup s = {.queries = 7, .dim = 32, .keys = keys, .tile = keys, .scale = 0.25f, .reach = 2};
        check_attention(&s);
        s.pair = true;
        check_attention(&s);
        s.pair = false;
        for (s.tile = 16; s.tile < keys; s.tile += 33)
            check_attention(&s);
    }
    /* Logits of some thousands: all weight on one key, no overflow, whichever tile it is in. */
    setup large = {.queries = 9, .dim = 64, .keys = 1000, .tile = 256, .scale = 100, .reach = 20};
    check_attention(&large);
    large.scale = -100;
    check_attention(&large);
}
END_TEST

START_TEST(relative_positions_of_grids)
{
    if (!ops)
        return;
    static const size_t sides[] = {1, 2, 5, 7, 14, 16, 17, 31, 64};
    for (size_t i = 0; i < sizeof sides / sizeof sides[0]; i++) {
        const size_t side = sides[i], cells = side * side;
        setup s = {.queries = cells < 13 ? cells : 13, .dim = 64, .keys = cells, .scale = 0.125f, .reach = 4, .side = side};
        for (s.first = 0; s.first + s.queries <= cells; s.first += 1 + cells / 3) {
            s.tile = cells;
            check_attention(&s);
            s.tile = (side + 2) / 3 * side; /* three tiles, the last one shorter for most sides */
            check_attention(&s);
            s.tile = side;
            check_attention(&s);
        }
    }
}
END_TEST

START_TEST(other_kernel_sets_have_none)
{
    for (int isa = MM_ISA_PORTABLE; isa <= MM_ISA_AVX512; isa++)
        for (int backend = MM_BACKEND_DNNL; backend <= MM_BACKEND_BLAS; backend++) {
            const mm_kernels kernels = {.backend = (mm_backend)backend, .isa = (mm_isa)isa};
            if (isa != MM_ISA_AVX512 || backend == MM_BACKEND_BLAS)
                ck_assert_ptr_null(mm_f32_get(&kernels));
        }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("tensor/f32");
    TCase *tests = tcase_create("f32");
    const mm_kernels kernels = {.backend = MM_BACKEND_DNNL, .isa = mm_vector_best()};
    ops = mm_f32_get(&kernels);
    tcase_set_timeout(tests, 120);
    tcase_add_test(tests, products_equal_plain_loops);
    tcase_add_test(tests, heads_and_keys_of_every_width);
    tcase_add_test(tests, relative_positions_of_grids);
    tcase_add_test(tests, other_kernel_sets_have_none);
    suite_add_tcase(suite, tests);
    return mm_check_main(suite);
}
