/* Hints: against a choice made by hand from all masks, and what must hold where that is too much to do by hand. */
#include "check_main.h"

#include <math.h>

#include "fake_model.h"

static float iou_of(const mm_annotation *a, const mm_annotation *b)
{
    const float *p = a->bbox, *q = b->bbox;
    const float width = fminf(p[0] + p[2], q[0] + q[2]) - fmaxf(p[0], q[0]);
    const float height = fminf(p[1] + p[3], q[1] + q[3]) - fmaxf(p[1], q[1]);
    const float inter = fmaxf(width, 0) * fmaxf(height, 0);
    return inter / (p[2] * p[3] + q[2] * q[3] - inter);
}

static bool covered(const mm_annotation *a, const mm_annotations *by, size_t count, double threshold)
{
    for (size_t i = 0; i < count; i++)
        if ((double)iou_of(a, &by->items[i]) > threshold)
            return true;
    return false;
}

static mm_annotations run(uint32_t salt, const mm_amg_params *params, const mm_hint_params *hint_params,
                          mm_annotations *hints)
{
    fake_model model = {.salt = salt, .threads = 2};
    const mm_predictor predictor = {.user = &model, .mask_tokens = 4, .set_image = fake_set_image, .decode = fake_decode};
    mm_image image;
    mm_annotations found;
    ck_assert_int_eq(mm_image_new(230, 170, &image, NULL), MM_OK);
    memset(image.pixels, 0, (size_t)230 * 170 * 3);
    ck_assert_int_eq(mm_amg_run(&predictor, params, hint_params, mm_image_whole(&image), &found, hints, NULL), MM_OK);
    mm_image_free(&image);
    return found;
}

static bool same(const mm_annotation *a, const mm_annotation *b)
{
    return a->area == b->area && a->predicted_iou == b->predicted_iou && a->stability_score == b->stability_score &&
           memcmp(a->bbox, b->bbox, sizeof a->bbox) == 0 && a->rle.count == b->rle.count &&
           memcmp(a->rle.runs, b->rle.runs, a->rle.count * sizeof *a->rle.runs) == 0;
}

/* One window, no cleaning: all masks above the lowered thresholds, in falling order of predicted IoU (no NMS at 1); of
 * these take those below the thresholds proper, unless a kept mask or one taken before covers them. */
START_TEST(hints_are_those_that_fell_short)
{
    mm_amg_params p = mm_amg_defaults(), low;
    const mm_hint_params margins = {.iou_margin = 0.25f, .stability_margin = 0.375f, .max_per_image = 1000};
    size_t by_iou = 0, by_stability = 0, covered_ones = 0;
    p.points_per_side = 8;
    p.pred_iou_thresh = 0.75f;
    p.stability_score_thresh = 0.75f;
    p.box_nms_thresh = 0.5;
    for (uint32_t salt = 1; salt < 6; salt++) {
        mm_annotations hints, none, taken = {0};
        mm_annotations kept = run(salt, &p, &margins, &hints);
        low = p;
        low.pred_iou_thresh -= margins.iou_margin;
        low.stability_score_thresh -= margins.stability_margin;
        low.box_nms_thresh = 1;
        mm_annotations all = run(salt, &low, NULL, &none);
        taken.items = calloc(all.count + 1, sizeof *taken.items);
        for (size_t i = 0; i < all.count; i++) {
            const mm_annotation *a = &all.items[i];
            const bool iou_short = a->predicted_iou <= p.pred_iou_thresh;
            const bool stability_short = a->stability_score < p.stability_score_thresh;
            if ((!iou_short && !stability_short) || a->area == 0)
                continue;
            const bool hidden = covered(a, &kept, kept.count, p.box_nms_thresh) ||
                                covered(a, &taken, taken.count, p.box_nms_thresh);
            covered_ones += hidden;
            if (hidden)
                continue;
            by_iou += iou_short;
            by_stability += stability_short;
            taken.items[taken.count++] = *a;
        }
        ck_assert_uint_eq(hints.count, taken.count);
        for (size_t i = 0; i < hints.count; i++)
            ck_assert_msg(same(&hints.items[i], &taken.items[i]), "salt %u, hint %zu", salt, i);
        ck_assert(hints.width == 230 && hints.height == 170);
        free(taken.items);
        mm_annotations_free(&all);
        mm_annotations_free(&hints);
        mm_annotations_free(&kept);
    }
    ck_assert(by_iou > 0 && by_stability > 0 && covered_ones > 0);
}
END_TEST

START_TEST(hints_of_crops_are_cleaned_and_few)
{
    mm_amg_params p = mm_amg_defaults();
    mm_hint_params margins = {.iou_margin = 0.25f, .stability_margin = 0.5f, .max_per_image = 1000};
    p.points_per_side = 8;
    p.pred_iou_thresh = 0.75f;
    p.stability_score_thresh = 0.75f;
    p.crop_n_layers = 1;
    p.min_mask_region_area = 200;
    p.drop_small_masks = true;
    mm_annotations hints, few;
    mm_annotations kept = run(2, &p, &margins, &hints);
    ck_assert_uint_gt(hints.count, 5);
    bool of_crop = false;
    for (size_t i = 0; i < hints.count; i++) {
        const mm_annotation *a = &hints.items[i];
        uint32_t box[4];
        ck_assert(a->area == mm_rle_area(&a->rle) && a->area >= 200);
        ck_assert(a->rle.width == 230 && a->rle.height == 170);
        mm_rle_box(&a->rle, box);
        ck_assert(a->bbox[0] == (float)box[0] && a->bbox[1] == (float)box[1]);
        ck_assert(!covered(a, &kept, kept.count, p.box_nms_thresh));
        ck_assert(!covered(a, &hints, i, p.box_nms_thresh));
        ck_assert(i == 0 || a->predicted_iou <= hints.items[i - 1].predicted_iou);
        ck_assert(a->predicted_iou <= p.pred_iou_thresh || a->stability_score < p.stability_score_thresh);
        of_crop = of_crop || a->crop_box[2] < 230;
    }
    ck_assert(of_crop);
    mm_annotations_free(&kept);
    margins.max_per_image = 3;
    kept = run(2, &p, &margins, &few);
    ck_assert_uint_eq(few.count, 3);
    for (size_t i = 0; i < few.count; i++)
        ck_assert(same(&few.items[i], &hints.items[i]));
    mm_annotations_free(&kept);
    mm_annotations_free(&few);
    mm_annotations_free(&hints);
}
END_TEST

/* What no filter is for, nothing falls short of. */
START_TEST(filters_that_are_off_leave_no_hints)
{
    mm_amg_params p = mm_amg_defaults();
    const mm_hint_params margins = mm_hint_defaults();
    mm_annotations hints;
    p.points_per_side = 6;
    p.pred_iou_thresh = 0;
    p.stability_score_thresh = 0;
    mm_annotations kept = run(4, &p, &margins, &hints);
    ck_assert(kept.count > 0);
    ck_assert_uint_eq(hints.count, 0);
    mm_annotations_free(&kept);
    mm_annotations_free(&hints);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("amg/hints");
    TCase *tests = tcase_create("hints");
    tcase_set_timeout(tests, 120);
    tcase_add_test(tests, hints_are_those_that_fell_short);
    tcase_add_test(tests, hints_of_crops_are_cleaned_and_few);
    tcase_add_test(tests, filters_that_are_off_leave_no_hints);
    suite_add_tcase(suite, tests);
    return mm_check_main(suite);
}
