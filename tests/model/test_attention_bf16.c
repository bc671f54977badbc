/* Attention in bf16 against attention in f32 over the same numbers: whatever the inputs are, they are bf16 values for both,
 * so that only what the bf16 kernels round on the way is between them. */
#include <math.h>
#include <string.h>

#include "model/attention_bf16.h"
#include "model/setting.h"

static const float log2_e = 1.44269504f;

static float *random_rounded(size_t n, float scale, uint32_t seed)
{
    float *x = random_floats(n, scale, seed);
    for (size_t i = 0; i < n; i++)
        x[i] = mm_bf16_to_float(mm_bf16_from(x[i]));
    return x;
}

/* A table that is bf16 once it is multiplied by log2(e), as the bf16 side does when it packs it. */
static float *random_relative(size_t n, uint32_t seed)
{
    float *x = random_rounded(n, 0.5f, seed);
    for (size_t i = 0; i < n; i++)
        x[i] /= log2_e;
    return x;
}

static void run_f32(const mm_attention *shape, const float *qkv, float *out)
{
    setting *s = setting_new(MM_BACKEND_AUTO, 1, mm_attention_scratch(shape));
    mm_error err = {0};
    ck_assert_msg(mm_attention_run(&s->context, shape, qkv, out, &err) == MM_OK, "%s", err.text);
    setting_free(s);
}

static void run_bf16(const mm_attention *shape, const mm_bf16 *qkv, uint32_t threads, mm_bf16 *out)
{
    mm_error err = {0};
    mm_arena arena = {0};
    mm_weights weights = {.arena = &arena, .err = &err, .bf16 = true};
    const mm_attention_bf16 attention = mm_attention_bf16_load(&weights, shape);
    ck_assert_msg(weights.status == MM_OK, "%s", err.text);
    setting *s = setting_new(MM_BACKEND_AUTO, threads, mm_attention_bf16_scratch(shape));
    s->context.bf16 = mm_bf16_get();
    mm_attention_bf16_run(&s->context, &attention, qkv, out);
    setting_free(s);
    mm_arena_free(&arena);
}

static void check(const mm_attention *shape)
{
    const size_t cells = shape->side * shape->side, width = shape->heads * shape->dim;
    float *qkv = random_rounded(cells * shape->row, 2, 11), *expected = random_floats(cells * width, 1, 12);
    mm_bf16 *rounded = malloc(cells * shape->row * sizeof *rounded);
    mm_bf16 *one = calloc(cells * width + 1, sizeof *one), *two = calloc(cells * width + 1, sizeof *two);
    ck_assert(rounded && one && two);
    for (size_t i = 0; i < cells * shape->row; i++)
        rounded[i] = mm_bf16_from(qkv[i]);
    run_f32(shape, qkv, expected);
    run_bf16(shape, rounded, 1, one);
    run_bf16(shape, rounded, 2, two);
    /* Weights are rounded to bf16 (2^-8) and their exponential is good to 8e-5; values reach 2. The end is rounded too. */
    for (size_t i = 0; i < cells * width; i++)
        ck_assert_double_eq_tol((double)mm_bf16_to_float(one[i]), (double)expected[i],
                                2 * (1.0 / 256 + 2e-4) + fabs((double)expected[i]) / 256);
    ck_assert_mem_eq(one, two, (cells * width + 1) * sizeof *one);
    ck_assert_uint_eq(one[cells * width], 0);
    free(qkv);
    free(expected);
    free(rounded);
    free(one);
    free(two);
}

/* ViT's layout: all queries, all keys, all values. */
static mm_attention vit_attention(size_t side, size_t window, size_t heads, size_t dim)
{
    return (mm_attention){.side = side, .window = window, .heads = heads, .dim = dim, .row = 3 * heads * dim,
                          .head_step = dim, .key = heads * dim, .value = 2 * heads * dim, .scale = 0.2f};
}

/* With relative positions and without, tokens outside the grid being zeros or given. */
static void check_vit(mm_attention shape)
{
    const size_t rows = 2 * shape.window - 1;
    float *rel_h = random_relative(rows * shape.dim, 1), *rel_w = random_relative(rows * shape.dim, 2);
    float *outside = random_rounded(shape.row, 1, 3);
    check(&shape);
    shape.rel_h = rel_h;
    shape.rel_w = rel_w;
    check(&shape);
    shape.outside = outside;
    check(&shape);
    free(rel_h);
    free(rel_w);
    free(outside);
}

START_TEST(whole_grids_equal_f32)
{
    if (!mm_bf16_get())
        return;
    check_vit(vit_attention(5, 5, 2, 16));
    check_vit(vit_attention(16, 16, 3, 64)); /* one tile of keys, just full */
    check_vit(vit_attention(20, 20, 1, 80)); /* two */
    check_vit(vit_attention(64, 64, 1, 64));
}
END_TEST

START_TEST(windows_equal_f32)
{
    if (!mm_bf16_get())
        return;
    check_vit(vit_attention(16, 7, 3, 16)); /* the last windows reach over the edge */
    check_vit(vit_attention(14, 7, 2, 32));
    check_vit(vit_attention(17, 14, 2, 64));
    check_vit(vit_attention(3, 2, 1, 16));
    check_vit(vit_attention(5, 7, 2, 16)); /* larger than the grid */
}
END_TEST

START_TEST(biases_of_pairs_equal_f32)
{
    if (!mm_bf16_get())
        return;
    float *bias = random_floats(2 * 49 * 49, 1, 4), *outside = random_rounded(192, 1, 5);
    /* TinyViT's layout; one window, windows over the edge, and a window larger than the grid. */
    for (size_t side = 5; side <= 16; side++) {
        mm_attention shape = {.side = side, .window = 7, .heads = 2, .dim = 32, .row = 192, .head_step = 96, .key = 32,
                              .value = 64, .scale = 0.18f, .bias = bias};
        check(&shape);
        shape.outside = outside;
        check(&shape);
    }
    free(bias);
    free(outside);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("model/attention_bf16");
    TCase *tests = tcase_create("attention");
    tcase_set_timeout(tests, 120);
    tcase_add_test(tests, whole_grids_equal_f32);
    tcase_add_test(tests, windows_equal_f32);
    tcase_add_test(tests, biases_of_pairs_equal_f32);
    suite_add_tcase(suite, tests);
    return mm_check_main(suite);
}
