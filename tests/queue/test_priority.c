/* What is shown of an image, and how much there is to gain in it. */
#include "check_main.h"

#include "image_fixture.h"

static mm_queue_image weigh(const scene *s, mm_prefill_mode mode)
{
    mm_queue_image image;
    mm_error err = {0};
    mm_record record = record_of(s);
    ck_assert_msg(mm_queue_weigh(&record, mode, &image, &err) == MM_OK, "%s", err.text);
    mm_record_free(&record);
    return image;
}

START_TEST(an_empty_image_is_uncovered)
{
    const mm_queue_image image = weigh(&(scene){0}, MM_PREFILL_CONFIDENT);
    ck_assert_float_eq(image.uncovered, 1);
    ck_assert_float_eq(image.hint_gain, 0);
    ck_assert_float_eq(image.disagreement, 0);
    ck_assert_float_eq(image.priority, 0.5f);
    ck_assert(image.width == SIDE && image.height == SIDE && image.image_id == IMAGE);
}
END_TEST

START_TEST(the_numbers_of_the_formula)
{
    /* Confident masks: 400 and 400 pixels, 200 of them shared: 600 of 1600 covered. */
    const box confident[] = {{0, 0, 20, 20}, {10, 0, 30, 20}};
    /* One hint in the open, one half under a confident mask, one that is the open one again. */
    const box hints[] = {{0, 30, 10, 40}, {0, 15, 10, 25}, {0, 30, 10, 40}};
    /* The grid has the first confident mask, one in the open, and nothing like the second. */
    const box grid[] = {{0, 0, 20, 20}, {30, 30, 40, 40}};
    const scene s = {grid, confident, hints, 2, 2, 3, 0.8f};
    const mm_queue_image image = weigh(&s, MM_PREFILL_CONFIDENT);
    ck_assert_uint_eq(image.prefilled, 2);
    ck_assert_uint_eq(image.hints, 2);
    ck_assert_float_eq(image.uncovered, 1000.0f / 1600);
    const double sum = (double)0.8f * 1 + (double)0.8f * 0.5;
    ck_assert_float_eq(image.hint_gain, (float)(sum / (sum + 4)));
    ck_assert_float_eq(image.disagreement, 2.0f / 4);
    ck_assert_float_eq(image.priority, (float)(0.5 * (1 - 600.0 / 1600) + 0.3 * (sum / (sum + 4)) + 0.2 * 0.5));
    /* With the grid's masks filled in as well, they cover, and there is nothing to disagree about. */
    const mm_queue_image all = weigh(&s, MM_PREFILL_MASKS);
    ck_assert_uint_eq(all.prefilled, 3); /* the first confident mask is the grid's */
    ck_assert_float_eq(all.uncovered, 900.0f / 1600);
    ck_assert_float_eq(all.disagreement, 0);
}
END_TEST

START_TEST(more_to_gain_comes_first)
{
    const box confident[] = {{0, 0, 20, 20}, {20, 20, 40, 40}}, hints[] = {{25, 0, 35, 10}};
    const scene one = {NULL, confident, NULL, 0, 1, 0, 0}, two = {NULL, confident, NULL, 0, 2, 0, 0};
    const scene hinted = {NULL, confident, hints, 0, 2, 1, 0.9f}, doubtful = {NULL, confident, hints, 0, 2, 1, 0.3f};
    ck_assert_float_gt(weigh(&one, MM_PREFILL_CONFIDENT).priority, weigh(&two, MM_PREFILL_CONFIDENT).priority);
    ck_assert_float_gt(weigh(&hinted, MM_PREFILL_CONFIDENT).priority, weigh(&two, MM_PREFILL_CONFIDENT).priority);
    ck_assert_float_gt(weigh(&hinted, MM_PREFILL_CONFIDENT).priority, weigh(&doubtful, MM_PREFILL_CONFIDENT).priority);
    const scene nothing = {NULL, confident, hints, 0, 2, 1, (float)NAN};
    ck_assert_float_eq(weigh(&nothing, MM_PREFILL_CONFIDENT).priority, weigh(&two, MM_PREFILL_CONFIDENT).priority);
}
END_TEST

START_TEST(what_is_shown_has_no_doubles)
{
    const box grid[] = {{0, 0, 20, 20}, {30, 30, 40, 40}}, confident[] = {{0, 0, 20, 19}, {5, 25, 15, 35}},
              hints[] = {{5, 25, 15, 35}, {30, 30, 40, 40}, {0, 0, 3, 3}};
    const scene s = {grid, confident, hints, 2, 2, 3, 0.8f};
    mm_record record = record_of(&s);
    mm_shown shown;
    record.source[0] = 2; /* a person's, from an earlier round */
    ck_assert_int_eq(mm_shown_load(&record, MM_PREFILL_CONFIDENT, &shown, NULL), MM_OK);
    ck_assert_uint_eq(shown.prefilled, 2);
    ck_assert_uint_eq(shown.hints, 2);
    ck_assert_int_eq(shown.masks[0].name.kind, MM_SHOWN_MASK);
    ck_assert_uint_eq(shown.masks[0].name.index, 0);
    ck_assert_int_eq(shown.masks[1].name.kind, MM_SHOWN_CONFIDENT);
    ck_assert_uint_eq(shown.masks[1].name.index, 1);
    ck_assert_uint_eq(shown.masks[2].name.index, 1);
    ck_assert_uint_eq(shown.masks[3].name.index, 2);
    mm_shown_free(&shown);
    mm_record_free(&record);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("priority");
    TCase *tests = tcase_create("priority");
    tcase_add_test(tests, an_empty_image_is_uncovered);
    tcase_add_test(tests, the_numbers_of_the_formula);
    tcase_add_test(tests, more_to_gain_comes_first);
    tcase_add_test(tests, what_is_shown_has_no_doubles);
    suite_add_tcase(suite, tests);
    return mm_check_main(suite);
}
