/* The bf16 attention of one head against softmax by definition, in double, over the same bf16 queries, keys and values. */
#include "tensor/bf16_testing.h"

typedef struct setup {
    size_t queries, dim, keys, tile;
    float scale, reach;  /* reach: of the queries, so that logits can be made large */
    size_t side, first;  /* side: of the grid, for relative positions; 0 for none */
    bool pair;
} setup;

typedef struct tables {
    float *rel_h, *rel_w, *pair;
    size_t rel_row;
} tables;

static tables make_tables(const setup *s)
{
    tables t = {0};
    if (s->side) {
        t.rel_row = 2 * s->side - 1;
        t.rel_h = random_floats(s->queries * t.rel_row, 2, 4);
        t.rel_w = random_floats(s->queries * t.rel_row, 2, 5);
    }
    if (s->pair)
        t.pair = random_floats(s->queries * s->keys, 3, 6);
    return t;
}

/* A logit in powers of two, as the biases are; `size` is what its terms add up to without their signs. */
static double logit(const setup *s, const tables *t, const mm_bf16 *q, const mm_bf16 *k, size_t query, size_t key,
                    double *size)
{
    const double scale = (double)s->scale / log(2);
    double total = 0;
    for (size_t i = 0; i < s->dim; i++) {
        total += scale * value(q[i]) * value(k[i]);
        *size += fabs(scale * value(q[i]) * value(k[i]));
    }
    if (t->rel_h) {
        const size_t at = s->first + query, y = at / s->side, x = at % s->side;
        total += (double)t->rel_h[query * t->rel_row + s->side - 1 - y + key / s->side];
        total += (double)t->rel_w[query * t->rel_row + s->side - 1 - x + key % s->side];
    }
    return t->pair ? total + (double)t->pair[query * s->keys + key] : total;
}

/* One query by definition: expected[dim]. Returns the bound of a kernel's relative error in a weight. */
static double plain_query(const setup *s, const tables *t, const mm_bf16 *q, const mm_bf16 *k, const mm_bf16 *v,
                          size_t row, size_t query, double *expected)
{
    double *weight = calloc(s->keys, sizeof *weight), top = -INFINITY, sum = 0, largest = 0;
    ck_assert_ptr_nonnull(weight);
    for (size_t key = 0; key < s->keys; key++) {
        double size = 10;
        weight[key] = logit(s, t, q, k + key * row, query, key, &size);
        top = fmax(top, weight[key]);
        largest = fmax(largest, size);
    }
    for (size_t key = 0; key < s->keys; key++)
        sum += weight[key] = exp2(weight[key] - top);
    for (size_t i = 0; i < s->dim; i++) {
        expected[i] = 0;
        for (size_t key = 0; key < s->keys; key++)
            expected[i] += weight[key] / sum * value(v[key * row + i]);
    }
    free(weight);
    /* Values are at most 1. The exponential is good to 8e-5, in the weight and in the sum; the weight is rounded to bf16; and
     * the logit in f32: each of the dim additions may cost half a unit, though such errors never all add up. */
    return half_ulp + 2e-4 + 8 * half_ulp_f32 * largest;
}

static void check(const setup *s)
{
    const size_t row = s->dim + 6, out_row = s->dim + 3, tiles = (s->keys + s->tile - 1) / s->tile;
    const size_t k_step = mm_packed_count(s->tile, s->dim), v_step = mm_packed_count(s->dim, s->tile);
    const size_t scratch = mm_bf16_attention_scratch(s->queries, s->dim, s->tile);
    const mm_bf16_ops *ops = mm_bf16_get();
    mm_bf16 *q = random_bf16(s->queries * row, s->reach, 1), *k = random_bf16(s->keys * row, 1, 2);
    mm_bf16 *v = random_bf16(s->keys * row, 1, 3), *out = new_bf16((s->queries + 1) * out_row);
    mm_bf16 *packed_k = new_bf16(tiles * k_step), *packed_v = new_bf16(tiles * v_step);
    tables t = make_tables(s);
    /* NaN would show if scratch were read before it is written. */
    float *memory = mm_floats(scratch + 64);
    double *expected = calloc(s->dim, sizeof *expected);
    ck_assert(memory && expected);
    for (size_t i = 0; i < scratch; i++)
        memory[i] = NAN;
    memset(memory + scratch, CANARY, 64 * sizeof *memory);
    memset(out, CANARY, (s->queries + 1) * out_row * sizeof *out);
    for (size_t i = 0; i < tiles; i++) {
        const size_t first = i * s->tile, count = s->keys - first < s->tile ? s->keys - first : s->tile;
        ops->pack_keys(k + first * row, row, count, s->dim, packed_k + i * k_step);
        ops->pack_values(v + first * row, row, count, s->dim, packed_v + i * v_step);
    }
    const mm_bf16_attention attention = {
        .q = q, .q_row = row, .queries = s->queries, .dim = s->dim, .k = packed_k, .v = packed_v, .keys = s->keys,
        .tile = s->tile, .scale = s->scale, .rel_h = t.rel_h, .rel_w = t.rel_w, .rel_row = t.rel_row, .side = s->side,
        .first_query = s->first, .pair = t.pair, .out = out, .out_row = out_row, .scratch = memory};
    ops->attention(&attention);
    for (size_t query = 0; query < s->queries; query++) {
        const double error = plain_query(s, &t, q + query * row, k, v, row, query, expected);
        for (size_t i = 0; i < s->dim; i++)
            ck_assert_double_eq_tol(value(out[query * out_row + i]), expected[i], error + half_ulp * fabs(expected[i]));
        ck_assert(untouched(out + query * out_row + s->dim, (out_row - s->dim) * sizeof *out));
    }
    ck_assert(untouched(out + s->queries * out_row, out_row * sizeof *out));
    ck_assert(untouched(memory + scratch, 64 * sizeof *memory));
    free(q);
    free(k);
    free(v);
    free(out);
    free(packed_k);
    free(packed_v);
    free(t.rel_h);
    free(t.rel_w);
    free(t.pair);
    free(memory);
    free(expected);
}

START_TEST(heads_of_every_width)
{
    if (!mm_bf16_get())
        return;
    static const size_t dims[] = {16, 32, 64, 80, 48, 96, 8, 20};
    for (size_t d = 0; d < sizeof dims / sizeof dims[0]; d++)
        for (size_t queries = 1; queries <= 20; queries++) {
            const setup s = {.queries = queries, .dim = dims[d], .keys = 37, .tile = 37, .scale = 0.3f, .reach = 2};
            check(&s);
        }
}
END_TEST

START_TEST(keys_in_one_tile_and_in_several)
{
    if (!mm_bf16_get())
        return;
    for (size_t keys = 1; keys <= 200; keys += keys < 70 ? 1 : 13) {
        setup s = {.queries = 7, .dim = 32, .keys = keys, .tile = keys, .scale = 0.25f, .reach = 2};
        check(&s);
        s.pair = true;
        check(&s);
        s.pair = false;
        /* The last tile may hold a single key. */
        for (s.tile = 16; s.tile < keys; s.tile += 33)
            check(&s);
    }
    /* A row of another tile must not be taken for the maximum of this one: most weight at the end, or at the start. */
    const setup large = {.queries = 9, .dim = 64, .keys = 1000, .tile = 256, .scale = 8, .reach = 20};
    check(&large);
}
END_TEST

START_TEST(relative_positions_of_grids)
{
    if (!mm_bf16_get())
        return;
    static const size_t sides[] = {1, 2, 5, 7, 14, 16, 17, 31, 64};
    for (size_t i = 0; i < sizeof sides / sizeof sides[0]; i++) {
        const size_t side = sides[i], cells = side * side;
        setup s = {.queries = cells < 13 ? cells : 13, .dim = 64, .keys = cells, .tile = cells, .scale = 0.125f,
                   .reach = 4, .side = side};
        for (s.first = 0; s.first + s.queries <= cells; s.first += 1 + cells / 3) {
            s.tile = cells;
            check(&s);
            s.tile = (side + 2) / 3 * side; /* three tiles, the last one shorter for most sides */
            check(&s);
            s.tile = side;
            check(&s);
        }
    }
    const setup whole = {.queries = 20, .dim = 80, .keys = 4096, .tile = 256, .scale = 0.112f, .reach = 3, .side = 64,
                         .first = 4076};
    check(&whole);
}
END_TEST

START_TEST(large_logits_leave_one_key)
{
    if (!mm_bf16_get())
        return;
    /* Logits of some thousands: all weight on one key, no overflow, whichever tile it is in. */
    for (size_t tile = 32; tile <= 160; tile += 64) {
        setup s = {.queries = 5, .dim = 16, .keys = 150, .tile = tile, .scale = 100, .reach = 30};
        check(&s);
        s.scale = -100;
        check(&s);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("tensor/bf16_attention");
    TCase *tests = tcase_create("attention");
    tcase_set_timeout(tests, 120);
    tcase_add_test(tests, heads_of_every_width);
    tcase_add_test(tests, keys_in_one_tile_and_in_several);
    tcase_add_test(tests, relative_positions_of_grids);
    tcase_add_test(tests, large_logits_leave_one_key);
    suite_add_tcase(suite, tests);
    return mm_check_main(suite);
}
