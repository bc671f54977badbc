/* The fused decoder's passes over an image against plain loops in double, which follow the formulas of decoder_fused.h cell
 * by cell. What goes in are numbers that bf16 holds exactly, and each step is compared on what the kernel itself made of the
 * step before it: so the bars are those of one rounding to bf16, 2^-8 of each term, and of an exp2 to 8e-5. */
#include "fused_support.h"

#ifdef __x86_64__

/* Of one weight: its rounding, and exp2's error in it and in what it is divided by. */
static const double bf16_error = 1.0 / 256, exp2_error = 3e-4;

/* The arrays of mm_fused_image, _weights and _prompt by the same names, before packing. */
typedef struct plain {
    float *key1, *query1_image, *norm1, *key2, *query2_image, *norm11, *norm12, *key3; /* [N][c] */
    float *value1_image, *value2_image, *value3;                                       /* [N][c] */
    float *key2_pe, *query2_pe, *key3_pe;                                              /* [N][c] */
    float *query1, *key1_token, *query2, *key2_token, *query3;                         /* [J][d] */
    float *value1, *value2;                                                            /* [F][d] */
    float *last1, *last2;                                                              /* [c] */
    float *key2_1, *query2_1, *key3_1, *key3_2;                                        /* [J][F] */
    float *norm_11, *norm1_11, *norm1_12, *norm_22;                                    /* [F][F] */
} plain;

typedef struct pass_case {
    pool pool;
    mm_fused_sizes sizes;
    plain x;
    mm_fused_image image;
    mm_fused_weights weights;
    mm_fused_prompt prompt;
    float *work;
    mm_pair *low2; /* what every step left in prompt.low2, as weights2 has it */
} pass_case;

/* T, outputs, H, d, D, N: odd and even F = H (T - 1), cells that do not fill a step, fewer than a step. */
static const size_t shapes[][6] = {
    {6, 3, 3, 16, 64, 64},   {7, 5, 8, 16, 256, 256}, {8, 5, 3, 32, 64, 100},  {11, 9, 4, 32, 256, 100}, {16, 5, 8, 16, 64, 256},
    {16, 9, 3, 32, 256, 36}, {6, 4, 8, 16, 64, 16},   {5, 5, 4, 16, 256, 144}, {3, 3, 1, 16, 64, 64},    {13, 4, 3, 16, 128, 196},
};

enum { SHAPES = sizeof shapes / sizeof shapes[0] };

/* Logits that rise from cell to cell, by more than a running softmax lets pass without a new maximum. */
static void make_steep(const mm_fused_sizes *sizes, float *plane)
{
    for (size_t n = 0; n < sizes->cells; n++)
        for (size_t c = 0; c < sizes->inner; c++) {
            float *x = &plane[n * sizes->inner + c];
            *x = mm_bf16_to_float(mm_bf16_from(24 * *x * (float)(n + 1) / (float)sizes->cells));
        }
}

static void make_image(pass_case *t, bool steep)
{
    const mm_fused_sizes *sizes = &t->sizes;
    plain *x = &t->x;
    const struct {
        float **plain;
        mm_pair **packed;
        bool values, logits;
    } arrays[] = {{&x->key1, &t->image.key1, false, true},
                  {&x->query1_image, &t->image.query1, false, true},
                  {&x->norm1, &t->image.norm1, false, false},
                  {&x->key2, &t->image.key2, false, true},
                  {&x->query2_image, &t->image.query2, false, true},
                  {&x->norm11, &t->image.norm11, false, false},
                  {&x->norm12, &t->image.norm12, false, false},
                  {&x->key3, &t->image.key3, false, true},
                  {&x->value1_image, &t->image.value1, true, false},
                  {&x->value2_image, &t->image.value2, true, false},
                  {&x->value3, &t->image.value3, true, false},
                  {&x->key2_pe, &t->weights.key2_pe, false, false},
                  {&x->query2_pe, &t->weights.query2_pe, false, false},
                  {&x->key3_pe, &t->weights.key3_pe, false, false}};
    for (size_t i = 0; i < sizeof arrays / sizeof arrays[0]; i++) {
        *arrays[i].plain = random_exact(&t->pool, sizes->cells * sizes->inner, 1);
        if (steep && arrays[i].logits)
            make_steep(sizes, *arrays[i].plain);
        *arrays[i].packed = arrays[i].values ? pack_values(&t->pool, sizes, *arrays[i].plain)
                                             : pack_plane(&t->pool, sizes, *arrays[i].plain);
    }
    float **const norms[] = {&t->image.u_norm, &t->image.u1_norm, &t->image.u1_c};
    for (size_t i = 0; i < 3; i++) {
        *norms[i] = random_floats(&t->pool, sizes->padded, i < 2 ? 4 * (float)sizes->channels : 0, (float)sizes->channels / 2);
        for (size_t n = sizes->cells; n < sizes->padded; n++)
            (*norms[i])[n] = 0;
    }
}

/* A quadratic form's triangle has nothing before the columns of its row's own head. */
static void clear_before_head(const mm_fused_sizes *sizes, float *matrix)
{
    const size_t others = sizes->tokens - 1;
    for (size_t f = 0; f < sizes->coordinates; f++)
        for (size_t g = 0; g < f / others * others; g++)
            matrix[f * sizes->coordinates + g] = 0;
}

static void make_prompt(pass_case *t)
{
    const mm_fused_sizes *sizes = &t->sizes;
    const size_t rows = sizes->vectors, coordinates = sizes->coordinates, dim = sizes->dim;
    plain *x = &t->x;
    mm_fused_prompt *p = &t->prompt;
    const struct {
        float **plain;
        mm_pair **packed;
        size_t rows, columns;
        bool triangle;
    } arrays[] = {{&x->query1, &p->query1, rows, dim, false},
                  {&x->key1_token, &p->key1, rows, dim, false},
                  {&x->query2, &p->query2, rows, dim, false},
                  {&x->key2_token, &p->key2, rows, dim, false},
                  {&x->query3, &p->query3, rows, dim, false},
                  {&x->value1, &p->value1, coordinates, dim, false},
                  {&x->value2, &p->value2, coordinates, dim, false},
                  {&x->last1, &p->last1, 1, sizes->inner, false},
                  {&x->last2, &p->last2, 1, sizes->inner, false},
                  {&x->key2_1, &p->key2_1, rows, coordinates, false},
                  {&x->query2_1, &p->query2_1, rows, coordinates, false},
                  {&x->key3_1, &p->key3_1, rows, coordinates, false},
                  {&x->key3_2, &p->key3_2, rows, coordinates, false},
                  {&x->norm_11, &p->norm_11, coordinates, coordinates, true},
                  {&x->norm1_11, &p->norm1_11, coordinates, coordinates, true},
                  {&x->norm1_12, &p->norm1_12, coordinates, coordinates, false},
                  {&x->norm_22, &p->norm_22, coordinates, coordinates, true}};
    for (size_t i = 0; i < sizeof arrays / sizeof arrays[0]; i++) {
        *arrays[i].plain = random_exact(&t->pool, arrays[i].rows * arrays[i].columns, 1);
        if (arrays[i].triangle)
            clear_before_head(sizes, *arrays[i].plain);
        *arrays[i].packed = pack_rows(&t->pool, *arrays[i].plain, arrays[i].rows, arrays[i].columns);
    }
    float **const by_row[] = {&p->query1_l, &p->key2_l, &p->query2_l, &p->key3_l, &p->key3_c};
    for (size_t i = 0; i < 5; i++)
        *by_row[i] = random_floats(&t->pool, rows, 0, 1);
    float **const by_coordinate[] = {&p->norm_l, &p->norm1_l, &p->norm1_c, &p->norm2_l, &p->norm2_c};
    for (size_t i = 0; i < 5; i++)
        *by_coordinate[i] = random_floats(&t->pool, coordinates, 0, 1);
    float *const numbers[] = {&p->square1, &p->square11, &p->along, &p->square2};
    for (size_t i = 0; i < 4; i++)
        *numbers[i] = (float)sizes->channels / 4 * noise(&t->pool);
}

static void make_buffers(pass_case *t)
{
    const mm_fused_sizes *sizes = &t->sizes;
    mm_fused_prompt *p = &t->prompt;
    mm_fused_gathering *g = &p->gathering;
    p->weights1 = pool_pairs(&t->pool, sizes->padded * sizes->pairs);
    p->weights2 = pool_pairs(&t->pool, sizes->padded * sizes->pairs);
    p->low2 = pool_pairs(&t->pool, MM_FUSED_CELLS * sizes->pairs);
    t->low2 = pool_pairs(&t->pool, sizes->padded * sizes->pairs);
    const struct {
        float **floats;
        size_t count;
    } others[] = {{&p->inverse1, sizes->padded},
                  {&p->inverse2, sizes->padded},
                  {&g->maximum, sizes->vectors},
                  {&g->sum, 16 * sizes->vectors},
                  {&g->share1, 16 * sizes->vectors},
                  {&g->share2, 16 * sizes->vectors},
                  {&g->values, sizes->vectors * sizes->dim},
                  {&g->outer1, sizes->vectors * sizes->wide},
                  {&g->outer2, sizes->vectors * sizes->wide},
                  {&t->work, mm_fused_pass_work(sizes)}};
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++)
        *others[i].floats = pool_floats(&t->pool, others[i].count);
}

static void pass_case_make(pass_case *t, const size_t shape[6], bool steep)
{
    *t = (pass_case){.pool.seed = 5, .sizes = fused_sizes(shape[0], shape[1], shape[2], shape[3], shape[4], shape[5])};
    make_image(t, steep);
    make_prompt(t);
    make_buffers(t);
}

/* x_row . plane[n] in the channels of the row's head; x[rows][d] has `tokens` rows a head */
static double meet(const mm_fused_sizes *sizes, const float *x, size_t row, size_t tokens, const float *plane, size_t n)
{
    double total = 0;
    for (size_t i = 0; i < sizes->dim; i++)
        total += (double)x[row * sizes->dim + i] * (double)plane[n * sizes->inner + row / tokens * sizes->dim + i];
    return total;
}

static double meet_last(const mm_fused_sizes *sizes, const float *last, const float *plane, size_t n)
{
    double total = 0;
    for (size_t c = 0; c < sizes->inner; c++)
        total += (double)last[c] * (double)plane[n * sizes->inner + c];
    return total;
}

/* row of a matrix[rows][F] . a of cell n */
static double meet_weights(const mm_fused_sizes *sizes, const float *matrix, size_t row, const mm_pair *a, size_t n)
{
    double total = 0;
    for (size_t f = 0; f < sizes->coordinates; f++)
        total += (double)matrix[row * sizes->coordinates + f] * (double)weight_at(sizes, a, n, f);
    return total;
}

/* The weights of cell n are the softmax over the tokens of each head of logits[J], but for the last token's. */
static void check_weights(const mm_fused_sizes *sizes, const mm_pair *a, size_t n, const double *logits)
{
    const size_t tokens = sizes->tokens;
    for (size_t head = 0; head < sizes->heads; head++) {
        double top = -INFINITY, sum = 0;
        for (size_t t = 0; t < tokens; t++)
            top = fmax(top, logits[head * tokens + t]);
        for (size_t t = 0; t < tokens; t++)
            sum += exp2(logits[head * tokens + t] - top);
        for (size_t t = 0; t + 1 < tokens; t++) {
            const double expected = exp2(logits[head * tokens + t] - top) / sum;
            assert_near((double)weight_at(sizes, a, n, head * (tokens - 1) + t), expected,
                        (bf16_error + exp2_error) * expected + 1e-30, "a weight of a token");
        }
    }
    if (sizes->coordinates % 2)
        ck_assert_uint_eq(a[(n / 32 * sizes->pairs + sizes->pairs - 1) * 32 + n % 32] >> 16, 0);
}

static void check_inverse(const mm_fused_sizes *sizes, double norm, float eps, float inverse)
{
    ck_assert_double_gt(norm, 0.25 * (double)sizes->channels); /* else the case is ill-conditioned */
    const double expected = 1 / sqrt(norm / (double)sizes->channels + (double)eps);
    assert_near((double)inverse, expected, 2e-5 * expected, "1 / sqrt of a variance");
}

static double sum_parts(const float *parts)
{
    double total = 0;
    for (size_t i = 0; i < 16; i++)
        total += (double)parts[i];
    return total;
}

/* What is expected of a pass's gathering: logits[J][N]; what weights are multiplied with, [N] or NULL for 1, on the way to
 * values[N][c] and outer1, and to outer2; the layers' weights, or NULL where a pass has no such sum. */
typedef struct gathered {
    const double *logits;
    size_t tokens; /* of each head, that look */
    const float *values;
    const double *scale1, *scale2;
    const mm_pair *a1, *a2;
} gathered;

/* One sum over the cells, sum_n w_n scale_n x_n, against what was gathered: off by no more than the rounding of weights. */
static void check_sum(const mm_fused_sizes *sizes, const double *w, const double *scale, const double *x, double got,
                      const char *what)
{
    double total = 0, size = 0;
    for (size_t n = 0; n < sizes->cells; n++) {
        const double term = w[n] * (scale ? scale[n] : 1) * x[n];
        total += term;
        size += fabs(term);
    }
    assert_near(got, total, (bf16_error + exp2_error) * size, what);
}

static void check_vector(pass_case *t, const gathered *e, size_t j)
{
    const mm_fused_sizes *sizes = &t->sizes;
    const mm_fused_gathering *g = &t->prompt.gathering;
    const size_t cells = sizes->cells, dim = sizes->dim, wide = sizes->wide;
    const double *logits = e->logits + j * cells;
    double w[256], x[256], sum = 0, share1 = 0, share2 = 0, top = -INFINITY;
    ck_assert_uint_le(cells, 256);
    for (size_t n = 0; n < cells; n++) {
        top = fmax(top, logits[n]);
        sum += w[n] = exp2(logits[n] - (double)g->maximum[j]);
        share1 += w[n] * (e->scale1 ? e->scale1[n] : 0);
        share2 += w[n] * (e->scale2 ? e->scale2[n] : 0);
    }
    /* Sums count from a logit that was there, and never far below the highest one. */
    ck_assert_double_le((double)g->maximum[j], top + 1e-3);
    ck_assert_double_ge((double)g->maximum[j], top - 16 - 1e-3);
    assert_near(sum_parts(g->sum + 16 * j), sum, exp2_error * sum, "sum");
    assert_near(sum_parts(g->share1 + 16 * j), share1, exp2_error * share1, "share1");
    assert_near(sum_parts(g->share2 + 16 * j), share2, exp2_error * share2, "share2");
    for (size_t i = 0; i < dim; i++) {
        for (size_t n = 0; n < cells; n++)
            x[n] = (double)e->values[n * sizes->inner + j / sizes->tokens * dim + i];
        check_sum(sizes, w, e->scale1, x, (double)g->values[j * dim + i], "a sum of values");
    }
    for (size_t f = 0; f < wide; f++) {
        for (size_t n = 0; n < cells; n++)
            x[n] = e->a1 && f < sizes->coordinates ? (double)weight_at(sizes, e->a1, n, f) : 0;
        check_sum(sizes, w, e->scale1, x, (double)g->outer1[j * wide + f], "a sum of weights of layer 1");
        for (size_t n = 0; n < cells; n++)
            x[n] = e->a2 && f < sizes->coordinates ? (double)weight_at(sizes, e->a2, n, f) : 0;
        check_sum(sizes, w, e->scale2, x, (double)g->outer2[j * wide + f], "a sum of weights of layer 2");
    }
}

static void check_gathering(pass_case *t, const gathered *e)
{
    const mm_fused_sizes *sizes = &t->sizes;
    const mm_fused_gathering *g = &t->prompt.gathering;
    for (size_t j = 0; j < sizes->vectors; j++) {
        if (j % sizes->tokens < e->tokens) {
            check_vector(t, e, j);
            continue;
        }
        ck_assert(sum_parts(g->sum + 16 * j) == 0 && sum_parts(g->share1 + 16 * j) == 0);
        for (size_t i = 0; i < sizes->dim; i++)
            ck_assert(g->values[j * sizes->dim + i] == 0);
    }
}

static void check_pass1(pass_case *t)
{
    const mm_fused_sizes *sizes = &t->sizes;
    mm_fused_begin_gathering(sizes, &t->prompt.gathering);
    for (size_t first = 0; first < sizes->padded; first += MM_FUSED_CELLS)
        mm_fused_pass1(sizes, &t->image, &t->prompt, first, t->work);
    double *logits = pool_doubles(&t->pool, sizes->vectors * sizes->cells);
    for (size_t j = 0; j < sizes->vectors; j++)
        for (size_t n = 0; n < sizes->cells; n++)
            logits[j * sizes->cells + n] = meet(sizes, t->x.query1, j, sizes->tokens, t->x.key1, n);
    check_gathering(t, &(gathered){.logits = logits, .tokens = sizes->tokens, .values = t->x.value1_image});
}

/* |x_1|^2 */
static double norm_of_first(const pass_case *t, size_t n)
{
    const mm_fused_sizes *sizes = &t->sizes;
    const mm_fused_prompt *p = &t->prompt;
    double norm = (double)t->image.u_norm[n] + meet_last(sizes, t->x.last1, t->x.norm1, n) + (double)p->square1;
    for (size_t f = 0; f < sizes->coordinates; f++)
        norm += (double)weight_at(sizes, p->weights1, n, f) *
                (meet(sizes, t->x.value1, f, sizes->tokens - 1, t->x.norm1, n) + (double)p->norm_l[f] +
                 meet_weights(sizes, t->x.norm_11, f, p->weights1, n));
    return norm;
}

static void check_pass2(pass_case *t)
{
    const mm_fused_sizes *sizes = &t->sizes;
    const mm_fused_prompt *p = &t->prompt;
    const plain *x = &t->x;
    const size_t tokens = sizes->tokens, cells = sizes->cells;
    mm_fused_begin_gathering(sizes, &t->prompt.gathering);
    for (size_t first = 0; first < sizes->padded; first += MM_FUSED_CELLS)
        mm_fused_pass2(sizes, &t->weights, &t->image, &t->prompt, first, t->work);
    double *logits = pool_doubles(&t->pool, sizes->vectors * cells), *inverse = pool_doubles(&t->pool, cells);
    double of_cell[128];
    for (size_t n = 0; n < cells; n++) {
        for (size_t j = 0; j < sizes->vectors; j++)
            of_cell[j] = (double)p->query1_l[j] + meet(sizes, x->key1_token, j, tokens, x->query1_image, n);
        check_weights(sizes, p->weights1, n, of_cell);
        check_inverse(sizes, norm_of_first(t, n), sizes->eps1, p->inverse1[n]);
        inverse[n] = (double)p->inverse1[n];
        for (size_t j = 0; j < sizes->vectors; j++)
            logits[j * cells + n] = inverse[n] * (meet(sizes, x->query2, j, tokens, x->key2, n) + (double)p->key2_l[j] +
                                                  meet_weights(sizes, x->key2_1, j, p->weights1, n)) +
                                    meet(sizes, x->query2, j, tokens, x->key2_pe, n);
    }
    check_gathering(t, &(gathered){.logits = logits, .tokens = tokens, .values = x->value2_image, .scale1 = inverse,
                                   .a1 = p->weights1});
}

/* row of a matrix . a_2, both of its parts */
static double meet_second_weights(const pass_case *t, const float *matrix, size_t row, size_t n)
{
    return meet_weights(&t->sizes, matrix, row, t->prompt.weights2, n) + meet_weights(&t->sizes, matrix, row, t->low2, n);
}

/* |x_2|^2 */
static double norm_of_second(const pass_case *t, size_t n)
{
    const mm_fused_sizes *sizes = &t->sizes;
    const mm_fused_prompt *p = &t->prompt;
    const plain *x = &t->x;
    const size_t others = sizes->tokens - 1;
    double squared = (double)t->image.u1_norm[n] + meet_last(sizes, x->last1, x->norm11, n) + (double)p->square11;
    double once = (double)t->image.u1_c[n] + meet_last(sizes, x->last2, x->norm12, n) + (double)p->along;
    double rest = (double)p->square2;
    for (size_t f = 0; f < sizes->coordinates; f++) {
        const double a1 = (double)weight_at(sizes, p->weights1, n, f);
        const double a2 = (double)weight_at(sizes, p->weights2, n, f) + (double)weight_at(sizes, t->low2, n, f);
        squared += a1 * (meet(sizes, x->value1, f, others, x->norm11, n) + (double)p->norm1_l[f] +
                         meet_weights(sizes, x->norm1_11, f, p->weights1, n));
        once += a1 * (double)p->norm1_c[f] +
                a2 * (meet(sizes, x->value2, f, others, x->norm12, n) + (double)p->norm2_l[f] +
                      meet_weights(sizes, x->norm1_12, f, p->weights1, n));
        rest += a2 * ((double)p->norm2_c[f] + meet_second_weights(t, x->norm_22, f, n));
    }
    const double r = (double)p->inverse1[n];
    return r * r * squared + r * once + rest;
}

static void check_pass3(pass_case *t)
{
    const mm_fused_sizes *sizes = &t->sizes;
    const mm_fused_prompt *p = &t->prompt;
    const plain *x = &t->x;
    const size_t tokens = sizes->tokens, cells = sizes->cells;
    mm_fused_begin_gathering(sizes, &t->prompt.gathering);
    for (size_t first = 0; first < sizes->padded; first += MM_FUSED_CELLS) {
        mm_fused_pass3(sizes, &t->weights, &t->image, &t->prompt, first, t->work);
        memcpy(t->low2 + first * sizes->pairs, p->low2, MM_FUSED_CELLS * sizes->pairs * sizeof *p->low2);
    }
    double *logits = pool_doubles(&t->pool, sizes->vectors * cells), *both = pool_doubles(&t->pool, cells);
    double *second = pool_doubles(&t->pool, cells), of_cell[128];
    for (size_t n = 0; n < cells; n++) {
        const double r1 = (double)p->inverse1[n], r2 = (double)p->inverse2[n];
        for (size_t j = 0; j < sizes->vectors; j++)
            of_cell[j] = r1 * (meet(sizes, x->key2_token, j, tokens, x->query2_image, n) + (double)p->query2_l[j] +
                               meet_weights(sizes, x->query2_1, j, p->weights1, n)) +
                         meet(sizes, x->key2_token, j, tokens, x->query2_pe, n);
        check_weights(sizes, p->weights2, n, of_cell);
        check_inverse(sizes, norm_of_second(t, n), sizes->eps2, p->inverse2[n]);
        both[n] = r1 * r2;
        second[n] = r2;
        for (size_t j = 0; j < sizes->vectors; j++)
            logits[j * cells + n] = r2 * (r1 * (meet(sizes, x->query3, j, tokens, x->key3, n) + (double)p->key3_l[j] +
                                                meet_weights(sizes, x->key3_1, j, p->weights1, n)) +
                                          (double)p->key3_c[j] + meet_second_weights(t, x->key3_2, j, n)) +
                                    meet(sizes, x->query3, j, tokens, x->key3_pe, n);
    }
    check_gathering(t, &(gathered){.logits = logits, .tokens = sizes->outputs, .values = x->value3, .scale1 = both,
                                   .scale2 = second, .a1 = p->weights1, .a2 = p->weights2});
}

/* _i: shapes, and then the same with steep logits. */
START_TEST(passes_equal_plain_loops)
{
    if (!mm_bf16_get())
        return;
    pass_case t;
    pass_case_make(&t, shapes[_i % SHAPES], _i >= SHAPES);
    check_pass1(&t);
    check_pass2(&t);
    check_pass3(&t);
    pool_free(&t.pool);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("model/fused decoder's passes");
    TCase *tests = tcase_create("passes");
    tcase_set_timeout(tests, 120);
    tcase_add_loop_test(tests, passes_equal_plain_loops, 0, 2 * SHAPES);
    suite_add_tcase(suite, tests);
    return mm_check_main(suite);
}

#else

int main(void)
{
    return 0; /* these kernels are there on x86-64 alone */
}

#endif
