/* Image encoders in bf16 against the reference's f32 embeddings, and their layers against the f32 ones. */
#include <math.h>

#include "check_main.h"
#include "model/mbconv.h"
#include "model/setting.h"
#include "tools/golden_case.h"

static bool in_bf16(void)
{
    return mm_bf16_get() != NULL;
}

static float *embed(const char *file, uint32_t threads, size_t *count, json_t **entry)
{
    const mm_kernels kernels = {.precision = MM_PRECISION_BF16, .threads = threads, .bf16_small_encoders = true};
    golden_case golden;
    mm_error err = {0};
    ck_assert(golden_open(file, &kernels, &golden));
    const mm_arch *arch = mm_model_arch(golden.model);
    *count = (size_t)arch->prompt_embed_dim * arch->embedding_side * arch->embedding_side;
    float *embedding = calloc(*count, sizeof *embedding);
    ck_assert_ptr_nonnull(embedding);
    ck_assert_msg(mm_model_encode(golden.model, mm_image_whole(&golden.image), golden.embedding, &err) == MM_OK, "%s",
                  err.text);
    mm_embedding_copy(golden.embedding, embedding);
    if (entry)
        *entry = json_deep_copy(json_object_get(golden.json, "embedding"));
    golden_close(&golden);
    return embedding;
}

/* Measured: relative errors of 1.1 % for the random TinyViT, 0.4 % for the default model, 0.5 % for the random ViT. */
static const char *const cases[] = {"tiny.prompts.json", "default.prompts.json", "vit.prompts.json"};

START_TEST(embeddings_are_near_the_reference)
{
    if (!in_bf16())
        return;
    mm_error err = {0};
    json_t *entry;
    size_t count, stored = 0;
    float *embedding = embed(cases[_i], 1, &count, &entry);
    float *expected = read_floats(GOLDEN_FOLDER, json_string_value(json_object_get(entry, "file")), &stored, &err);
    ck_assert_msg(expected != NULL, "%s", err.text);
    const size_t stride = (size_t)json_integer_value(json_object_get(entry, "stride"));
    ck_assert_uint_ge(stored * stride, count);
    double apart = 0, all = 0;
    for (size_t i = 0; i < stored; i++) {
        const double d = (double)embedding[i * stride] - (double)expected[i];
        apart += d * d;
        all += (double)expected[i] * (double)expected[i];
    }
    const double relative = sqrt(apart / all);
    ck_assert_msg(relative < 0.02, "%s: relative error %g", cases[_i], relative);
    /* Were it much smaller, bf16 would not be what was measured. */
    ck_assert_msg(relative > 1e-4, "%s: relative error %g", cases[_i], relative);
    json_decref(entry);
    free(expected);
    free(embedding);
}
END_TEST

START_TEST(threads_do_not_change_a_bit)
{
    if (!in_bf16())
        return;
    size_t count;
    float *one = embed(cases[_i], 1, &count, NULL), *two = embed(cases[_i], 2, &count, NULL);
    ck_assert_mem_eq(one, two, count * sizeof *one);
    free(one);
    free(two);
}
END_TEST

static mm_linear layer(mm_weights *weights, size_t in, size_t out, const float *values)
{
    mm_linear linear = {.weight = values, .bias = values + in * out, .in = in, .out = out};
    mm_weights_pack(weights, &linear);
    ck_assert_int_eq(weights->status, MM_OK);
    return linear;
}

/* A block or merge in both precisions from the same bf16 image. */
static void check_mbconv(size_t side, size_t in, size_t hidden, size_t out, size_t stride, bool residual)
{
    mm_arena arena = {0};
    mm_error err = {0};
    mm_weights weights = {.arena = &arena, .err = &err, .bf16 = true};
    const size_t out_side = (side - 1) / stride + 1, count = out_side * out_side * out;
    float *w1 = random_floats(hidden * (in + 1), 0.5f, 21), *w2 = random_floats(10 * hidden, 0.5f, 22);
    float *w3 = random_floats(out * (hidden + 1), 0.3f, 23), *x = random_floats(side * side * in, 1, 24);
    float *expected = random_floats(count, 1, 25), *y = random_floats(count, 1, 26);
    float *taps = mm_arena_floats(&arena, mm_packed_depthwise_count(hidden));
    mm_bf16 *rounded = (mm_bf16 *)random_floats(side * side * in, 1, 27);
    ck_assert_ptr_nonnull(taps);
    mm_pack_depthwise(w2, w2 + 9 * hidden, hidden, taps);
    for (size_t i = 0; i < side * side * in; i++) {
        rounded[i] = mm_bf16_from(x[i]);
        x[i] = mm_bf16_to_float(rounded[i]);
    }
    mm_mbconv block = {.depthwise = w2, .depthwise_bias = w2 + 9 * hidden, .depthwise_packed = taps, .stride = stride,
                       .residual = residual};
    block.expand = layer(&weights, in, hidden, w1);
    block.project = layer(&weights, hidden, out, w3);
    setting *s = setting_new(MM_BACKEND_AUTO, 2, mm_mbconv_scratch(side, hidden, stride));
    s->context.bf16 = mm_bf16_get();
    mm_mbconv_run_bf16(&s->context, &block, rounded, side, y);
    block.expand.packed.values = block.project.packed.values = NULL;
    ck_assert_msg(mm_mbconv_run(&s->context, &block, x, side, expected, &err) == MM_OK, "%s", err.text);
    for (size_t i = 0; i < count; i++) {
        const float got = residual ? mm_bf16_to_float(((mm_bf16 *)y)[i]) : y[i];
        ck_assert_float_eq_tol(got, expected[i], 0.01f);
    }
    setting_free(s);
    mm_arena_free(&arena);
    free(w1);
    free(w2);
    free(w3);
    free(x);
    free(expected);
    free(y);
    free(rounded);
}

START_TEST(rolling_rows_equal_f32_strips)
{
    if (!in_bf16())
        return;
    check_mbconv(37, 8, 20, 8, 1, true); /* three jobs, the last one short */
    check_mbconv(35, 6, 34, 10, 2, false);
    check_mbconv(36, 6, 34, 10, 2, false);
    check_mbconv(17, 10, 10, 6, 1, false);
    check_mbconv(1, 4, 6, 4, 1, true);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("model/bf16");
    TCase *tests = tcase_create("bf16");
    tcase_set_timeout(tests, 120);
    tcase_add_loop_test(tests, embeddings_are_near_the_reference, 0, sizeof cases / sizeof cases[0]);
    tcase_add_loop_test(tests, threads_do_not_change_a_bit, 0, sizeof cases / sizeof cases[0]);
    tcase_add_test(tests, rolling_rows_equal_f32_strips);
    suite_add_tcase(suite, tests);
    return mm_check_main(suite);
}
