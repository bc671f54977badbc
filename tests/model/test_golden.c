/* Embeddings, low-res logits and predicted IoU against the reference's, for small checkpoints of both families with
 * every tensor random and for the default model; every kind of prompt. tests/data/golden/make_golden.py made the
 * numbers from the reference's code. */
#include <math.h>

#include "check_main.h"
#include "tools/golden_case.h"

static const char *const cases[] = {"vit.prompts.json", "tiny.prompts.json", "default.prompts.json"};

enum { CASES = sizeof cases / sizeof cases[0] };

/* `values` against every stride-th value in the file that `entry` describes; the bar is relative to the scale. */
static void assert_close(const json_t *entry, const float *values, size_t count, const char *what)
{
    mm_error err = {0};
    size_t stored = 0;
    const char *name = json_string_value(json_object_get(entry, "file"));
    ck_assert_ptr_nonnull(name);
    float *expected = read_floats(GOLDEN_FOLDER, name, &stored, &err);
    ck_assert_msg(expected != NULL, "%s", err.text);
    const size_t stride = (size_t)json_integer_value(json_object_get(entry, "stride"));
    const double scale = json_number_value(json_object_get(entry, "scale"));
    ck_assert_uint_eq((size_t)json_integer_value(json_object_get(entry, "count")), count);
    ck_assert_uint_ge(stored * stride, count);
    ck_assert_double_gt(scale, 0.1);
    double worst = 0.0;
    for (size_t i = 0; i < stored; i++) {
        const double error = fabs((double)values[i * stride] - (double)expected[i]);
        ck_assert_msg(!isnan(error), "%s: value %zu is no number", what, i * stride);
        worst = fmax(worst, error);
    }
    ck_assert_msg(worst <= 1e-4 * scale, "%s: error %g at a scale of %g", what, worst, scale);
    free(expected);
}

static void assert_scores(const json_t *expected, const decoded *all)
{
    for (size_t p = 0; p < json_array_size(expected); p++) {
        for (uint32_t k = 0; k < all->masks; k++) {
            const double score = json_number_value(json_array_get(json_array_get(expected, p), k));
            ck_assert_double_eq_tol((double)all->predicted_iou[p * all->masks + k], score, 1e-4);
        }
    }
}

/* _i counts cases, and kernel sets within a case. */
START_TEST(reference_numbers)
{
    golden_case golden;
    mm_error err = {0};
    if (!golden_open(cases[_i / GOLDEN_KERNEL_SETS], &golden_kernels[_i % GOLDEN_KERNEL_SETS], &golden))
        return;
    const mm_arch *arch = mm_model_arch(golden.model);
    const size_t cells = (size_t)arch->prompt_embed_dim * arch->embedding_side * arch->embedding_side;
    prompt_list list;
    decoded all;
    float *embedding = calloc(cells, sizeof *embedding);
    ck_assert_ptr_nonnull(embedding);
    ck_assert_msg(prompt_list_read(json_object_get(golden.json, "prompts"), GOLDEN_FOLDER, 4 * arch->embedding_side, &list,
                                   &err) == MM_OK, "%s", err.text);
    ck_assert_uint_ge(list.count, 8);
    ck_assert_msg(mm_model_encode(golden.model, mm_image_whole(&golden.image), golden.embedding, &err) == MM_OK, "%s",
                  err.text);
    mm_embedding_copy(golden.embedding, embedding);
    assert_close(json_object_get(golden.json, "embedding"), embedding, cells, "embedding");

    ck_assert_msg(decode_all(golden.model, golden.embedding, &list, &all, &err) == MM_OK, "%s", err.text);
    assert_close(json_object_get(golden.json, "logits"), all.logits, list.count * all.masks * all.plane, "logits");
    ck_assert_uint_eq(json_array_size(json_object_get(golden.json, "predicted_iou")), list.count);
    assert_scores(json_object_get(golden.json, "predicted_iou"), &all);

    free(all.logits);
    free(all.predicted_iou);
    free(embedding);
    prompt_list_free(&list);
    golden_close(&golden);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("model against the reference");
    TCase *numbers = tcase_create("numbers");
    tcase_set_timeout(numbers, 120);
    tcase_add_loop_test(numbers, reference_numbers, 0, CASES * GOLDEN_KERNEL_SETS);
    suite_add_tcase(suite, numbers);
    return mm_check_main(suite);
}
