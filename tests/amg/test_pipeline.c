/* The pipeline with a fake model against the reference's generator with the same fake (make_amg.py). */
#include "check_main.h"

#include <math.h>
#include <omp.h>

#include "amg/steps.h"
#include "fields.h"

typedef struct fake_model {
    uint32_t salt, crops;
    int threads;
    mm_image_view image; /* the last one encoded */
    mm_point first_point;
    size_t prompts;
    mm_status fail_at_take; /* what to answer instead of the first mask */
} fake_model;

static mm_status fake_set_image(void *user, mm_image_view image, mm_frame *frame, mm_error *err)
{
    fake_model *model = user;
    (void)err;
    const uint32_t longer = image.width > image.height ? image.width : image.height;
    const double scale = (double)FAKE_IMAGE_SIZE / longer;
    *frame = (mm_frame){image.width, image.height, (uint32_t)(image.width * scale + 0.5),
                        (uint32_t)(image.height * scale + 0.5), FAKE_IMAGE_SIZE, FAKE_LOW};
    model->image = image;
    model->crops++;
    return MM_OK;
}

static mm_status fake_decode(void *user, const mm_prompt *prompts, size_t count, const mm_mask_sink *sink,
                             mm_error *err)
{
    fake_model *model = user;
    model->first_point = prompts[0].points[0];
    model->prompts += count;
    mm_status result = MM_OK;
#pragma omp parallel for num_threads(model->threads) schedule(dynamic)
    for (size_t p = 0; p < count; p++) {
        fake_mask f = {model->salt, model->crops - 1, (uint32_t)p, 0};
        float iou[4], logits[FAKE_LOW * FAKE_LOW];
        for (f.mask = 0; f.mask < 4; f.mask++)
            iou[f.mask] = f.mask ? fake_iou(&f) : 1.0f; /* the single-mask output must not be used */
        const uint32_t wanted = sink->select(sink->user, p, iou);
        for (f.mask = 0; f.mask < 4; f.mask++) {
            if (!(wanted >> f.mask & 1))
                continue;
            fake_logits(&f, logits);
            mm_status status = sink->take(sink->user, p, f.mask, logits, err);
            if (model->fail_at_take)
                status = mm_fail(err, model->fail_at_take, "told to fail");
            if (status) {
#pragma omp atomic write
                result = status;
            }
        }
    }
    return result;
}

static mm_status run(fake_model *model, const mm_amg_params *params, uint32_t width, uint32_t height,
                     mm_annotations *annotations, mm_error *err)
{
    mm_image image;
    ck_assert_int_eq(mm_image_new(width, height, &image, NULL), MM_OK);
    memset(image.pixels, 0, (size_t)width * height * 3);
    const mm_predictor predictor = {.user = model, .mask_tokens = 4, .set_image = fake_set_image, .decode = fake_decode};
    const mm_status status = mm_amg_run(&predictor, params, mm_image_whole(&image), annotations, err);
    mm_image_free(&image);
    return status;
}

static void assert_funnel_narrows(const mm_funnel *f)
{
    ck_assert(f->candidates >= f->after_iou && f->after_iou >= f->after_stability);
    ck_assert(f->after_stability >= f->after_area && f->after_area >= f->after_edge);
    ck_assert(f->after_edge >= f->after_crop_nms && f->after_crop_nms >= f->after_image_nms);
    ck_assert(f->after_image_nms >= f->kept);
}

static void compare_with_reference(int threads)
{
    FILE *file = open_golden("amg/pipeline.txt");
    static char name[64], counts[MAX_COUNTS];
    uint32_t width, height;
    fake_model model = {.threads = threads};
    size_t expected;
    mm_amg_params p = {0};
    double iou_thresh, stability_thresh, offset;
    int cases = 0;
    for (; fscanf(file, "%63s %u %u %u %u %la %la %la %la %u %la %la %u %u %zu", name, &width, &height, &model.salt,
                  &p.points_per_side, &iou_thresh, &stability_thresh, &offset, &p.box_nms_thresh, &p.crop_n_layers,
                  &p.crop_nms_thresh, &p.crop_overlap_ratio, &p.crop_n_points_downscale_factor, &p.min_mask_region_area,
                  &expected) == 15; cases++) {
        p.pred_iou_thresh = (float)iou_thresh;
        p.stability_score_thresh = (float)stability_thresh;
        p.stability_score_offset = (float)offset;
        model.crops = 0;
        model.prompts = 0;
        mm_annotations found;
        ck_assert_int_eq(run(&model, &p, width, height, &found, NULL), MM_OK);
        ck_assert_msg(found.count == expected, "%s: %zu masks, not %zu", name, found.count, expected);
        ck_assert(found.width == width && found.height == height);
        ck_assert_uint_eq(found.funnel.candidates, 3 * model.prompts);
        ck_assert_uint_eq(found.funnel.kept, found.count);
        assert_funnel_narrows(&found.funnel);
        for (size_t i = 0; i < found.count; i++) {
            const mm_annotation *a = &found.items[i];
            uint32_t area;
            double iou, stability, point[2];
            float bbox[4], crop[4];
            ck_assert_int_eq(fscanf(file, "%u %f %f %f %f %la %la %la %la %f %f %f %f %65535s", &area, &bbox[0],
                                    &bbox[1], &bbox[2], &bbox[3], &iou, &stability, &point[0], &point[1], &crop[0],
                                    &crop[1], &crop[2], &crop[3], counts), 14);
            ck_assert_msg(a->area == area, "%s: mask %zu has %u pixels, not %u", name, i, a->area, area);
            ck_assert_mem_eq(a->bbox, bbox, sizeof bbox);
            ck_assert_mem_eq(a->crop_box, crop, sizeof crop);
            ck_assert(a->predicted_iou == (float)iou);
            ck_assert(a->stability_score == (float)stability || (isnan(a->stability_score) && isnan(stability)));
            ck_assert(a->point_coords[0] == (float)point[0] && a->point_coords[1] == (float)point[1]);
            ck_assert(a->rle.width == width && a->rle.height == height);
            assert_counts_are(&a->rle, counts);
        }
        mm_annotations_free(&found);
    }
    fclose(file);
    ck_assert_int_ge(cases, 9);
}

START_TEST(annotations_are_the_reference_s)
{
    compare_with_reference(1);
}
END_TEST

START_TEST(threads_change_nothing)
{
    compare_with_reference(3);
}
END_TEST

/* A frame smaller than the image: masks, points and crops are the frame's; smaller windows see original pixels. */
START_TEST(masks_are_stored_at_the_short_side)
{
    mm_amg_params p = mm_amg_defaults();
    p.points_per_side = 4;
    p.pred_iou_thresh = 0;
    p.stability_score_thresh = 0;
    p.short_side = 150;
    fake_model model = {.salt = 3, .threads = 1};
    mm_annotations small, whole;
    ck_assert_int_eq(run(&model, &p, 400, 300, &small, NULL), MM_OK);
    ck_assert(model.image.width == 200 && model.image.height == 150);
    ck_assert_double_eq(model.first_point.x, 25.0);
    /* One layer: nothing differs from an image that has the frame's size. */
    p.short_side = 0;
    model = (fake_model){.salt = 3, .threads = 1};
    ck_assert_int_eq(run(&model, &p, 200, 150, &whole, NULL), MM_OK);
    ck_assert(small.width == 200 && small.height == 150 && small.count == whole.count && whole.count > 10);
    for (size_t i = 0; i < small.count; i++) {
        ck_assert_mem_eq(small.items[i].bbox, whole.items[i].bbox, sizeof small.items[i].bbox);
        ck_assert_mem_eq(small.items[i].rle.runs, whole.items[i].rle.runs,
                         small.items[i].rle.count * sizeof *small.items[i].rle.runs);
    }
    mm_annotations_free(&small);
    mm_annotations_free(&whole);

    p.short_side = 150;
    p.crop_n_layers = 1;
    model = (fake_model){.salt = 3, .threads = 1};
    ck_assert_int_eq(run(&model, &p, 400, 300, &small, NULL), MM_OK);
    ck_assert_uint_eq(model.crops, 5);
    /* Overlap int(150 * 512/1500) = 51: windows of 126 x 101, the last at 75, 50: 125 x 100 in the frame. */
    ck_assert(model.image.width == 250 && model.image.height == 200);
    ck_assert_double_eq(model.first_point.x, 0.125 * 250);
    bool crop_seen = false;
    for (size_t i = 0; i < small.count; i++) {
        const mm_annotation *a = &small.items[i];
        ck_assert(a->rle.width == 200 && a->rle.height == 150);
        ck_assert(a->bbox[0] + a->bbox[2] < 200 && a->bbox[1] + a->bbox[3] < 150);
        if (a->crop_box[0] == 75 && a->crop_box[1] == 50) {
            crop_seen = true;
            ck_assert(a->crop_box[2] == 125 && a->crop_box[3] == 100);
            ck_assert(a->point_coords[0] > 75 && a->point_coords[0] < 200);
        }
    }
    ck_assert(crop_seen);
    mm_annotations_free(&small);
}
END_TEST

START_TEST(masks_of_nearly_the_whole_frame_are_dropped)
{
    mm_amg_params p = mm_amg_defaults();
    p.points_per_side = 6;
    p.pred_iou_thresh = 0;
    p.stability_score_thresh = 0.5f;
    p.box_nms_thresh = 1;
    fake_model model = {.salt = 5, .threads = 1};
    mm_annotations all, below;
    ck_assert_int_eq(run(&model, &p, 200, 150, &all, NULL), MM_OK);
    uint32_t largest = 0;
    for (size_t i = 0; i < all.count; i++)
        largest = all.items[i].area > largest ? all.items[i].area : largest;
    p.max_area_fraction = largest / (200.0 * 150.0);
    model.crops = 0;
    ck_assert_int_eq(run(&model, &p, 200, 150, &below, NULL), MM_OK);
    ck_assert_uint_lt(below.count, all.count);
    ck_assert_uint_lt(below.funnel.after_area, below.funnel.after_stability);
    for (size_t i = 0; i < below.count; i++)
        ck_assert_uint_lt(below.items[i].area, largest);
    mm_annotations_free(&all);
    mm_annotations_free(&below);
}
END_TEST

START_TEST(masks_of_small_pieces_only_are_dropped_when_asked)
{
    mm_amg_params p = mm_amg_defaults();
    p.points_per_side = 6;
    p.pred_iou_thresh = 0;
    p.stability_score_thresh = 0.5f;
    p.min_mask_region_area = 900;
    fake_model model = {.salt = 6, .threads = 1};
    mm_annotations all, large;
    ck_assert_int_eq(run(&model, &p, 200, 150, &all, NULL), MM_OK);
    p.drop_small_masks = true;
    model.crops = 0;
    ck_assert_int_eq(run(&model, &p, 200, 150, &large, NULL), MM_OK);
    bool small_seen = false;
    for (size_t i = 0; i < all.count; i++)
        small_seen = small_seen || all.items[i].area < 900;
    ck_assert(small_seen && large.count > 0 && large.count < all.count);
    for (size_t i = 0; i < large.count; i++)
        ck_assert_uint_ge(large.items[i].area, 900);
    mm_annotations_free(&all);
    mm_annotations_free(&large);
}
END_TEST

START_TEST(failures_are_handed_on_and_leave_nothing)
{
    mm_amg_params p = mm_amg_defaults();
    p.points_per_side = 4;
    p.pred_iou_thresh = 0;
    fake_model model = {.salt = 1, .threads = 1, .fail_at_take = MM_ERR_NOMEM};
    mm_annotations found;
    mm_error err = {0};
    ck_assert_int_eq(run(&model, &p, 100, 80, &found, &err), MM_ERR_NOMEM);
    ck_assert_str_eq(err.text, "told to fail");
    ck_assert_ptr_null(found.items);
    p.points_per_side = 0;
    ck_assert_int_eq(run(&model, &p, 100, 80, &found, &err), MM_ERR_USAGE);
    p = mm_amg_defaults();
    p.crop_n_layers = 99;
    ck_assert_int_eq(run(&model, &p, 100, 80, &found, &err), MM_ERR_USAGE);
    ck_assert_int_eq(run(&model, &p, 3000, 1, &found, &err), MM_ERR_USAGE);
    p.crop_n_layers = 0;
    ck_assert_int_eq(run(&model, &p, 3000, 1, &found, &err), MM_ERR_UNSUPPORTED);
}
END_TEST

/* The threshold for a share of the prompts, over all crops, keeps that share, but for scores that are equal there: the
 * fake's are whole 1024ths. */
START_TEST(a_share_of_the_prompts_keeps_a_mask)
{
    static const double shares[] = {0, 0.25, 0.4, 1};
    mm_amg_params p = mm_amg_defaults();
    p.points_per_side = 6;
    p.crop_n_layers = 1;
    mm_image image;
    ck_assert_int_eq(mm_image_new(160, 120, &image, NULL), MM_OK);
    memset(image.pixels, 0, 160 * 120 * 3);
    for (size_t i = 0; i < sizeof shares / sizeof shares[0]; i++) {
        fake_model model = {.salt = 9, .threads = 2};
        const mm_predictor predictor = {.user = &model, .mask_tokens = 4, .set_image = fake_set_image, .decode = fake_decode};
        float *best;
        size_t count;
        ck_assert_int_eq(mm_amg_listen(&predictor, &p, mm_image_whole(&image), &best, &count, NULL), MM_OK);
        ck_assert_uint_eq(count, 5 * 36);
        p.pred_iou_thresh = mm_amg_keep_threshold(best, count, shares[i]);
        size_t above = 0;
        for (size_t b = 0; b < count; b++)
            above += !(p.pred_iou_thresh > 0) || best[b] > p.pred_iou_thresh;
        free(best);
        const size_t wanted = (size_t)(shares[i] * (double)count + 0.5);
        ck_assert(above <= wanted && above + 3 >= wanted);
        model = (fake_model){.salt = 9, .threads = 2};
        mm_annotations found;
        ck_assert_int_eq(run(&model, &p, 160, 120, &found, NULL), MM_OK);
        ck_assert_uint_eq(found.crops, 5);
        ck_assert_uint_eq(found.prompts, count);
        ck_assert_uint_eq(found.prompts_kept, above);
        ck_assert(found.funnel.after_iou >= found.prompts_kept);
        mm_annotations_free(&found);
    }
    mm_image_free(&image);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("amg/pipeline");
    TCase *tests = tcase_create("pipeline");
    tcase_set_timeout(tests, 120);
    tcase_add_test(tests, annotations_are_the_reference_s);
    tcase_add_test(tests, threads_change_nothing);
    tcase_add_test(tests, masks_are_stored_at_the_short_side);
    tcase_add_test(tests, masks_of_nearly_the_whole_frame_are_dropped);
    tcase_add_test(tests, masks_of_small_pieces_only_are_dropped_when_asked);
    tcase_add_test(tests, failures_are_handed_on_and_leave_nothing);
    tcase_add_test(tests, a_share_of_the_prompts_keeps_a_mask);
    suite_add_tcase(suite, tests);
    return mm_check_main(suite);
}
