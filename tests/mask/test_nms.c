#include "check_main.h"

#include <math.h>

#include "maskmill/mask.h"

static size_t run_nms(const float (*boxes)[4], const float *scores, size_t count, double threshold, size_t *keep)
{
    size_t kept = 99;
    ck_assert_int_eq(mm_mask_nms(boxes, scores, count, threshold, keep, &kept, NULL), MM_OK);
    return kept;
}

static bool suppresses(const float first[4], const float second[4], double threshold)
{
    float boxes[2][4];
    memcpy(boxes[0], first, sizeof boxes[0]);
    memcpy(boxes[1], second, sizeof boxes[1]);
    size_t keep[2];
    return run_nms((const float(*)[4])boxes, (float[]){2, 1}, 2, threshold, keep) == 1;
}

START_TEST(ties_keep_their_order_and_nan_scores_come_first)
{
    const float boxes[5][4] = {{0, 0, 9, 9}, {20, 0, 29, 9}, {40, 0, 49, 9}, {60, 0, 69, 9}, {80, 0, 89, 9}};
    const float scores[5] = {0.5f, 0.9f, 0.5f, NAN, 0.9f};
    size_t keep[5];
    ck_assert_uint_eq(run_nms(boxes, scores, 5, 0.7, keep), 5);
    const size_t expected[5] = {3, 1, 4, 0, 2};
    ck_assert_mem_eq(keep, expected, sizeof keep);
    ck_assert_uint_eq(run_nms(boxes, scores, 0, 0.7, keep), 0);
}
END_TEST

/* IoU 7/10, 4/5 and 9/10 against those very thresholds. 0.7f and 0.9f lie below the decimal number, 0.8f above. */
START_TEST(the_float_iou_is_compared_with_a_double)
{
    const float whole[4] = {0, 0, 10, 10};
    ck_assert(!suppresses(whole, (float[]){0, 0, 10, 7}, 0.7));
    ck_assert(suppresses(whole, (float[]){0, 0, 10, 8}, 0.8));
    ck_assert(!suppresses(whole, (float[]){0, 0, 10, 8}, 0.8f));
    ck_assert(!suppresses(whole, (float[]){0, 0, 10, 9}, 0.9));
    ck_assert(!suppresses(whole, (float[]){10, 0, 20, 10}, 0));
    ck_assert(suppresses(whole, whole, 0.999));
    ck_assert(!suppresses(whole, whole, 1));
}
END_TEST

START_TEST(boxes_without_area_have_nan_iou_and_stay)
{
    const float point[4] = {3, 3, 3, 3};
    ck_assert(!suppresses(point, point, 0));
    ck_assert(!suppresses(point, (float[]){0, 0, 9, 9}, 0));
}
END_TEST

/* The kernel as torchvision has it: every box that is still there suppresses those behind it. */
static size_t plain_nms(const float (*boxes)[4], const float *scores, size_t count, double threshold, size_t *keep)
{
    size_t order[256], kept = 0;
    bool gone[256] = {false};
    for (size_t i = 0; i < count; i++) { /* insertion keeps ties in order */
        size_t at = i;
        for (; at > 0 && scores[order[at - 1]] < scores[i]; at--)
            order[at] = order[at - 1];
        order[at] = i;
    }
    for (size_t i = 0; i < count; i++) {
        if (gone[i])
            continue;
        const float *a = boxes[order[i]];
        keep[kept++] = order[i];
        for (size_t j = i + 1; j < count; j++) {
            const float *b = boxes[order[j]];
            const float w = (a[2] < b[2] ? a[2] : b[2]) - (a[0] > b[0] ? a[0] : b[0]);
            const float h = (a[3] < b[3] ? a[3] : b[3]) - (a[1] > b[1] ? a[1] : b[1]);
            const float inter = w > 0 && h > 0 ? w * h : 0;
            const float area_a = (a[2] - a[0]) * (a[3] - a[1]), area_b = (b[2] - b[0]) * (b[3] - b[1]);
            const float iou = inter / (area_a + area_b - inter);
            if (iou > threshold)
                gone[j] = true;
        }
    }
    return kept;
}

START_TEST(random_boxes_match_a_plain_loop)
{
    uint32_t state = 1;
    for (int round = 0; round < 200; round++) {
        float boxes[200][4], scores[200];
        for (size_t i = 0; i < 200; i++) {
            unsigned r[5];
            for (size_t k = 0; k < 5; k++)
                r[k] = (state = state * 1664525u + 1013904223u) >> 16;
            boxes[i][0] = (float)(r[0] % 24);
            boxes[i][1] = (float)(r[1] % 24);
            boxes[i][2] = boxes[i][0] + (float)(r[2] % 20);
            boxes[i][3] = boxes[i][1] + (float)(r[3] % 20);
            scores[i] = (float)(r[4] % 16) / 16;
        }
        size_t keep[200], expected[200];
        const double threshold = (double)(round % 10) / 10;
        const size_t kept = run_nms((const float(*)[4])boxes, scores, 200, threshold, keep);
        ck_assert_uint_eq(kept, plain_nms((const float(*)[4])boxes, scores, 200, threshold, expected));
        ck_assert_mem_eq(keep, expected, kept * sizeof *keep);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("mask/nms");
    TCase *tests = tcase_create("nms");
    tcase_add_test(tests, ties_keep_their_order_and_nan_scores_come_first);
    tcase_add_test(tests, the_float_iou_is_compared_with_a_double);
    tcase_add_test(tests, boxes_without_area_have_nan_iou_and_stay);
    tcase_add_test(tests, random_boxes_match_a_plain_loop);
    suite_add_tcase(suite, tests);
    return mm_check_main(suite);
}
