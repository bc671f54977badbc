/* What answers mean, and what becomes of an image's masks. */
#include "check_main.h"

#include "image_fixture.h"

static const box grid[] = {{0, 0, 10, 10}, {0, 30, 8, 38}};
static const box confident[] = {{0, 0, 10, 10}, {15, 0, 25, 10}, {28, 0, 38, 10}};
static const box hints[] = {{0, 15, 10, 25}, {15, 15, 25, 25}};
static const scene a_scene = {grid, confident, hints, 2, 3, 2, 0.8f};

/* One mask of an answer. */
typedef struct drawn {
    box b;
    const char *name; /* NULL: none */
    bool exact, hint, broken;
} drawn;

typedef struct outcome {
    mm_record record, made;
    mm_shown shown;
    mm_answer answer;
    mm_verdict verdict;
} outcome;

static void give(outcome *o, const drawn *list, size_t count, bool keep)
{
    static const uint16_t numbers[] = {5};
    mm_error err = {0};
    memset(o, 0, sizeof *o);
    o->record = record_of(&a_scene);
    o->answer = (mm_answer){.seconds = 30, .annotator = 1};
    for (size_t i = 0; i < count; i++) {
        mm_answer_mask mask = {.is_hint = list[i].hint, .exact = list[i].exact, .annotator = 1, .clicks = (uint16_t)i};
        mm_rle rle = box_mask(list[i].b);
        mask.named = list[i].name && mm_shown_from_text(list[i].name, &mask.name);
        ck_assert_int_eq(mm_answer_add(&o->answer, &mask, list[i].broken ? NULL : &rle, &err), MM_OK);
        mm_rle_free(&rle);
    }
    ck_assert_msg(mm_shown_load(&o->record, MM_PREFILL_CONFIDENT, &o->shown, &err) == MM_OK, "%s", err.text);
    ck_assert_msg(mm_verdict_of(&o->shown, &o->answer, &o->verdict, &err) == MM_OK, "%s", err.text);
    ck_assert_msg(mm_verdict_apply(&o->record, &o->shown, &o->answer, &o->verdict, numbers, keep, &o->made, &err) ==
                      MM_OK,
                  "%s", err.text);
}

static void forget(outcome *o)
{
    for (size_t i = 0; i < o->answer.count; i++)
        free(o->answer.masks[i].counts);
    free(o->answer.masks);
    mm_verdict_free(&o->verdict);
    mm_shown_free(&o->shown);
    mm_record_free(&o->made);
    mm_record_free(&o->record);
}

static void expect_counts(const outcome *o, uint64_t kept, uint64_t corrected, uint64_t deleted, uint64_t added,
                          uint64_t accepted)
{
    const mm_answer_counts *c = &o->verdict.counts;
    ck_assert_uint_eq(c->kept, kept);
    ck_assert_uint_eq(c->corrected, corrected);
    ck_assert_uint_eq(c->deleted, deleted);
    ck_assert_uint_eq(c->added, added);
    ck_assert_uint_eq(c->accepted, accepted);
    ck_assert_uint_eq(c->images, 1);
}

static void expect_mask(const outcome *o, uint64_t i, box b, uint8_t source)
{
    mm_rle is, should = box_mask(b);
    ck_assert_uint_lt(i, o->made.mask_count);
    ck_assert_int_eq(mm_record_rle(&o->made, i, &is, NULL), MM_OK);
    ck_assert_msg(mm_rle_equal(&is, &should), "mask %u", (unsigned)i);
    ck_assert_uint_eq(o->made.source[i], source);
    ck_assert_uint_eq(o->made.area[i], mm_rle_area(&should));
    ck_assert_uint_eq(o->made.annotator[i], source == 2 ? 5 : 0);
    mm_rle_free(&is);
    mm_rle_free(&should);
}

START_TEST(nothing_left_is_all_deleted)
{
    outcome o;
    give(&o, NULL, 0, false);
    expect_counts(&o, 0, 0, 3, 0, 0);
    ck_assert_uint_eq(o.made.mask_count, 0);
    ck_assert_uint_eq(o.made.confident->mask_count, 0);
    ck_assert_uint_eq(o.made.hints->mask_count, 0);
    ck_assert(mm_verdict_changes(&o.verdict));
    forget(&o);
}
END_TEST

START_TEST(ids_say_which_mask_it_was)
{
    const drawn list[] = {
        {{0, 0, 10, 10}, "mm-17-c0", true, false, false},
        {{15, 0, 25, 5}, "mm-17-c1", true, false, false},  /* half of it: still the same object */
        {{28, 0, 38, 10}, NULL, true, true, false},        /* named a hint by the person: not an object */
        {{0, 15, 10, 25}, "mm-17-h0", true, false, false}, /* accepted */
        {{15, 15, 25, 25}, "mm-17-h1", true, true, false}, /* left alone */
        {{30, 30, 35, 35}, NULL, false, false, false},
    };
    outcome o;
    give(&o, list, 6, false);
    expect_counts(&o, 1, 1, 1, 2, 1);
    ck_assert_uint_eq(o.made.mask_count, 4);
    expect_mask(&o, 0, list[0].b, 1);
    expect_mask(&o, 1, list[1].b, 2);
    expect_mask(&o, 2, list[3].b, 2);
    expect_mask(&o, 3, list[5].b, 2);
    ck_assert_float_eq(o.made.predicted_iou[0], 0.95f);
    ck_assert(isnan(o.made.predicted_iou[1]));
    ck_assert_float_eq(o.made.predicted_iou[2], 0.8f); /* the hint as it was */
    ck_assert_float_eq(o.made.seconds[0], 0);
    ck_assert_float_eq(o.made.seconds[1], 10); /* 30 seconds for three masks by hand */
    ck_assert_uint_eq(o.made.clicks[3], 5);
    ck_assert_float_eq(o.made.bbox[1][2], 9);
    ck_assert_float_eq(o.made.crop_box[3][2], SIDE);
    forget(&o);
}
END_TEST

START_TEST(a_small_change_by_hand_counts_and_one_by_polygon_does_not)
{
    const drawn by_brush[] = {{{0, 0, 10, 10}, "mm-17-c0", true, false, false},
                              {{15, 0, 25, 10}, "mm-17-c1", true, false, false},
                              {{28, 0, 38, 10}, "mm-17-c2", true, false, false}};
    drawn changed[3];
    outcome o;
    give(&o, by_brush, 3, false);
    expect_counts(&o, 3, 0, 0, 0, 0);
    ck_assert(!mm_verdict_changes(&o.verdict));
    forget(&o);
    memcpy(changed, by_brush, sizeof changed);
    changed[1].b.x1 = 26; /* IoU 10/11 */
    give(&o, changed, 3, false);
    expect_counts(&o, 2, 1, 0, 0, 0);
    expect_mask(&o, 1, changed[1].b, 2);
    forget(&o);
    changed[1].exact = false;
    give(&o, changed, 3, false);
    expect_counts(&o, 3, 0, 0, 0, 0);
    expect_mask(&o, 1, by_brush[1].b, 1);
    forget(&o);
}
END_TEST

START_TEST(without_ids_pixels_decide)
{
    const drawn list[] = {
        {{0, 0, 10, 11}, NULL, true, false, false},  /* IoU 10/11: the same */
        {{15, 0, 25, 14}, NULL, true, false, false}, /* 10/14: corrected */
        {{28, 0, 32, 10}, NULL, true, false, false}, /* 4/10: another one */
        {{0, 15, 10, 25}, NULL, true, false, false}, /* a hint as it was */
        {{15, 15, 25, 20}, NULL, true, false, false} /* half of a hint: drawn anew */
    };
    outcome o;
    give(&o, list, 5, false);
    expect_counts(&o, 1, 1, 1, 3, 1);
    expect_mask(&o, 0, confident[0], 1);
    expect_mask(&o, 1, list[1].b, 2);
    expect_mask(&o, 2, list[2].b, 2);
    expect_mask(&o, 3, list[3].b, 2);
    expect_mask(&o, 4, list[4].b, 2);
    forget(&o);
}
END_TEST

START_TEST(ids_that_cannot_be_right_are_not_believed)
{
    const drawn list[] = {
        {{30, 30, 35, 35}, "mm-17-c0", true, false, false}, /* touches it nowhere */
        {{15, 0, 25, 10}, "mm-16-c0", true, false, false},  /* another image's */
        {{28, 0, 38, 10}, "mm-17-c77", true, false, false}, /* there is none */
    };
    outcome o;
    give(&o, list, 3, false);
    expect_counts(&o, 2, 0, 1, 1, 0);
    forget(&o);
}
END_TEST

START_TEST(a_refused_mask_stays_as_it_was)
{
    const drawn list[] = {{{0, 0, 1, 1}, "mm-17-c0", true, false, true}, {{0, 0, 1, 1}, "mm-17-h0", true, false, true},
                          {{15, 0, 25, 10}, NULL, true, false, false}};
    outcome o;
    give(&o, list, 3, false);
    expect_counts(&o, 2, 0, 1, 0, 0);
    expect_mask(&o, 0, confident[0], 1);
    expect_mask(&o, 1, confident[1], 1);
    forget(&o);
}
END_TEST

START_TEST(grid_masks_stay_if_asked_and_no_double)
{
    const drawn list[] = {{{0, 0, 10, 10}, "mm-17-c0", true, false, false}};
    outcome o;
    give(&o, list, 1, true);
    expect_counts(&o, 1, 0, 2, 0, 0);
    ck_assert_uint_eq(o.made.mask_count, 2);
    expect_mask(&o, 0, confident[0], 1);
    expect_mask(&o, 1, grid[1], 0); /* the first is the confident mask */
    forget(&o);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("verdict");
    TCase *tests = tcase_create("verdict");
    tcase_add_test(tests, nothing_left_is_all_deleted);
    tcase_add_test(tests, ids_say_which_mask_it_was);
    tcase_add_test(tests, a_small_change_by_hand_counts_and_one_by_polygon_does_not);
    tcase_add_test(tests, without_ids_pixels_decide);
    tcase_add_test(tests, ids_that_cannot_be_right_are_not_believed);
    tcase_add_test(tests, a_refused_mask_stays_as_it_was);
    tcase_add_test(tests, grid_masks_stay_if_asked_and_no_double);
    suite_add_tcase(suite, tests);
    return mm_check_main(suite);
}
