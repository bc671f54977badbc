/* Models in bf16 against the same in f32: every kind of prompt, on small checkpoints with random tensors, whose decoders are too
 * narrow to be fused and stay f32 behind a bf16 encoder, and on the default model. And what must not matter does not: threads, the
 * order of prompts, which of them come together, and whether logits of the padding are asked for. */
#include <math.h>

#include "check_main.h"
#include "tools/golden_case.h"

static const char *const cases[] = {"vit.prompts.json", "tiny.prompts.json", "default.prompts.json"};
/* Of a prompt's logits, in L2: of the worst prompt and of the median one; and of a predicted IoU. Over 400 points on pictures of
 * which a few pixels changed, 0.003 was the median, 0.019 the 99th percentile and 0.042 the worst, with 0.016 of a predicted IoU:
 * where a token's last look at the image weighs two or three cells against each other, bf16 shifts the balance by a percent. */
static const double most_of_logits = 0.06, median_of_logits = 0.006, most_of_iou = 0.03;

enum { CASES = sizeof cases / sizeof cases[0], DEFAULT = 2, MOST_PROMPTS = 20, MANY_POINTS = 30 };

/* A model, its picture encoded, and prompts: those of the golden file and more. */
typedef struct setting {
    golden_case golden;
    prompt_list read, list; /* `list` owns nothing */
    mm_point points[MANY_POINTS];
} setting;

/* Prompts of all kinds in turn, so that few that are alike stand side by side: those of the file, one of so many points that it
 * is not fused, and single points again, which can be decoded together. */
static void make_prompts(setting *s)
{
    const mm_image *image = &s->golden.image;
    for (size_t i = 0; i < MANY_POINTS; i++)
        s->points[i] = (mm_point){(double)(i * 37 % image->width), (double)(i * 53 % image->height), i % 3 != 0};
    s->list.prompts = calloc(MOST_PROMPTS, sizeof *s->list.prompts);
    ck_assert_ptr_nonnull(s->list.prompts);
    for (size_t i = 0; i < s->read.count && i < 9; i++)
        s->list.prompts[i] = s->read.prompts[i];
    s->list.prompts[9] = (mm_prompt){.points = s->points, .point_count = MANY_POINTS};
    s->list.prompts[10] = (mm_prompt){0};
    for (size_t i = 11; i < MOST_PROMPTS; i++)
        s->list.prompts[i] = (mm_prompt){.points = s->points + i, .point_count = i == 14 ? 2 : 1};
    s->list.count = MOST_PROMPTS;
}

/* False if this machine has not what is asked for. */
static bool setting_open(const char *name, mm_precision precision, uint32_t threads, setting *s)
{
    mm_error err = {0};
    *s = (setting){0};
    if (!golden_open(name, &(mm_kernels){.precision = precision, .threads = threads}, &s->golden))
        return false;
    const mm_arch *arch = mm_model_arch(s->golden.model);
    ck_assert_msg(prompt_list_read(json_object_get(s->golden.json, "prompts"), GOLDEN_FOLDER, 4 * arch->embedding_side, &s->read,
                                   &err) == MM_OK, "%s", err.text);
    ck_assert_msg(mm_model_encode(s->golden.model, mm_image_whole(&s->golden.image), s->golden.embedding, &err) == MM_OK, "%s",
                  err.text);
    make_prompts(s);
    return true;
}

static void setting_close(setting *s)
{
    free(s->list.prompts);
    prompt_list_free(&s->read);
    golden_close(&s->golden);
}

static decoded decode(setting *s, const prompt_list *list)
{
    decoded all;
    mm_error err = {0};
    ck_assert_msg(decode_all(s->golden.model, s->golden.embedding, list, &all, &err) == MM_OK, "%s", err.text);
    return all;
}

static void decoded_free(decoded *all)
{
    free(all->logits);
    free(all->predicted_iou);
}

static double relative_error(const float *got, const float *expected, size_t n)
{
    double difference = 0, square = 0;
    for (size_t i = 0; i < n; i++) {
        const double d = (double)got[i] - (double)expected[i];
        difference += d * d;
        square += (double)expected[i] * (double)expected[i];
    }
    return sqrt(difference / square);
}

static int by_size(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

START_TEST(bf16_is_close_to_f32)
{
    setting exact, s;
    double errors[MOST_PROMPTS];
    if (!setting_open(cases[_i], MM_PRECISION_BF16, 2, &s))
        return;
    ck_assert(setting_open(cases[_i], MM_PRECISION_F32, 2, &exact));
    decoded expected = decode(&exact, &exact.list), got = decode(&s, &s.list);
    const size_t masks = got.masks, logits = masks * got.plane;
    for (size_t p = 0; p < MOST_PROMPTS; p++) {
        errors[p] = relative_error(got.logits + p * logits, expected.logits + p * logits, logits);
        ck_assert_double_le(errors[p], most_of_logits);
        for (size_t i = p * masks; i < (p + 1) * masks; i++)
            ck_assert_double_eq_tol((double)got.predicted_iou[i], (double)expected.predicted_iou[i], most_of_iou);
    }
    qsort(errors, MOST_PROMPTS, sizeof errors[0], by_size);
    ck_assert_double_le(errors[MOST_PROMPTS / 2], median_of_logits);
    decoded_free(&expected);
    decoded_free(&got);
    setting_close(&exact);
    setting_close(&s);
}
END_TEST

/* Result i of `got` is result k of `expected`: logits bit for bit; predicted IoU is a product of the f32 library, whose order of
 * sums depends on how many prompts are decoded together. */
static void assert_same(const decoded *got, size_t i, const decoded *expected, size_t k)
{
    ck_assert_mem_eq(got->logits + i * got->masks * got->plane, expected->logits + k * got->masks * got->plane,
                     got->masks * got->plane * sizeof(float));
    for (uint32_t m = 0; m < got->masks; m++)
        ck_assert_double_eq_tol((double)got->predicted_iou[i * got->masks + m], (double)expected->predicted_iou[k * got->masks + m],
                                2e-6);
}

START_TEST(threads_do_not_matter)
{
    setting one, two;
    if (!setting_open(cases[_i], MM_PRECISION_BF16, 1, &one))
        return;
    ck_assert(setting_open(cases[_i], MM_PRECISION_BF16, 2, &two));
    decoded expected = decode(&one, &one.list), got = decode(&two, &two.list);
    ck_assert_mem_eq(got.logits, expected.logits, MOST_PROMPTS * got.masks * got.plane * sizeof(float));
    ck_assert_mem_eq(got.predicted_iou, expected.predicted_iou, MOST_PROMPTS * got.masks * sizeof(float));
    decoded_free(&expected);
    decoded_free(&got);
    setting_close(&one);
    setting_close(&two);
}
END_TEST

/* The first 1, 2, ... prompts, and all from the last to the first, are what they are one by one. */
START_TEST(company_and_order_do_not_matter)
{
    setting s;
    decoded alone[MOST_PROMPTS];
    if (!setting_open(cases[DEFAULT], MM_PRECISION_BF16, 2, &s))
        return;
    for (size_t p = 0; p < MOST_PROMPTS; p++)
        alone[p] = decode(&s, &(prompt_list){.prompts = s.list.prompts + p, .count = 1});
    for (size_t count = 1; count <= MOST_PROMPTS; count++) {
        decoded together = decode(&s, &(prompt_list){.prompts = s.list.prompts, .count = count});
        for (size_t p = 0; p < count; p++)
            assert_same(&together, p, &alone[p], 0);
        decoded_free(&together);
    }
    mm_prompt turned[MOST_PROMPTS];
    for (size_t p = 0; p < MOST_PROMPTS; p++)
        turned[p] = s.list.prompts[MOST_PROMPTS - 1 - p];
    decoded backwards = decode(&s, &(prompt_list){.prompts = turned, .count = MOST_PROMPTS});
    for (size_t p = 0; p < MOST_PROMPTS; p++) {
        assert_same(&backwards, MOST_PROMPTS - 1 - p, &alone[p], 0);
        decoded_free(&alone[p]);
    }
    decoded_free(&backwards);
    setting_close(&s);
}
END_TEST

START_TEST(padding_is_left_out_and_nothing_else)
{
    setting s;
    mm_error err = {0};
    if (!setting_open(cases[_i], MM_PRECISION_BF16, 2, &s))
        return;
    decoded all = decode(&s, &s.list), rest = all;
    const mm_frame frame = mm_embedding_frame(s.golden.embedding);
    rest.logits = calloc(MOST_PROMPTS * all.masks * all.plane, sizeof(float));
    rest.predicted_iou = calloc(MOST_PROMPTS * all.masks, sizeof(float));
    ck_assert(rest.logits && rest.predicted_iou);
    const mm_mask_sink sink = {.user = &rest, .select = decoded_select, .take = decoded_take, .padding = false};
    ck_assert_msg(mm_model_decode(s.golden.model, s.golden.embedding, s.list.prompts, MOST_PROMPTS, &sink, &err) == MM_OK, "%s",
                  err.text);
    /* The rows that the picture lies in, and as many more as a cell has. */
    const size_t needed = ((size_t)frame.input_height * frame.low_res + frame.image_size - 1) / frame.image_size;
    const size_t most = needed + 4 < frame.low_res ? needed + 4 : frame.low_res;
    size_t wrong = 0;
    for (size_t i = 0; i < MOST_PROMPTS * all.masks * all.plane; i++) {
        const size_t row = i % all.plane / frame.low_res;
        if (row < needed || rest.logits[i] != -INFINITY)
            wrong += rest.logits[i] != all.logits[i] || row >= most;
    }
    ck_assert_uint_eq(wrong, 0);
    ck_assert_mem_eq(rest.predicted_iou, all.predicted_iou, MOST_PROMPTS * all.masks * sizeof(float));
    decoded_free(&all);
    decoded_free(&rest);
    setting_close(&s);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("model/bf16");
    TCase *tests = tcase_create("bf16");
    tcase_set_timeout(tests, 120);
    tcase_add_loop_test(tests, bf16_is_close_to_f32, 0, CASES);
    tcase_add_loop_test(tests, threads_do_not_matter, 0, CASES);
    tcase_add_test(tests, company_and_order_do_not_matter);
    tcase_add_loop_test(tests, padding_is_left_out_and_nothing_else, 0, CASES);
    suite_add_tcase(suite, tests);
    return mm_check_main(suite);
}
