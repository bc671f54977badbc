/* Outputs to boxes, and how much masks overlap. */
#include <math.h>
#include <string.h>

#include "check_main.h"
#include "detect/boxes.h"
#include "detect/head_file.h"
#include "tensor/memory.h"

static mm_error err;
static mm_head head;
static float *parameters, *outputs;
static mm_detect_params params;
/* 200 x 100 pixels in a model of 128: strides 8, 16, 32, 64; the input is 128 x 64. */
static const mm_frame frame = {200, 100, 128, 64, 128, 32};

static void setup(void)
{
    ck_assert_int_eq(mm_head_plan(&(mm_detector_shape){8, 8, 8, 1}, &head, &err), MM_OK);
    parameters = mm_floats(head.parameters);
    outputs = mm_floats(head.cells * MM_HEAD_OUTPUTS);
    for (size_t i = 0; i < head.parameters; i++)
        parameters[i] = 1;
    for (size_t i = 0; i < head.cells * MM_HEAD_OUTPUTS; i++)
        outputs[i] = -20;
    params = mm_detect_general_defaults();
}

static void teardown(void)
{
    free(parameters);
    free(outputs);
}

/* Object and quality of one logit, distances in strides. */
static void put_cell(size_t level, size_t y, size_t x, float logit, float left, float top, float right, float bottom)
{
    const float row[] = {logit, logit, logf(left), logf(top), logf(right), logf(bottom)};
    memcpy(outputs + (head.first[level] + y * head.side[level] + x) * MM_HEAD_OUTPUTS, row, sizeof row);
}

static mm_detections find(void)
{
    mm_detections found;
    ck_assert_int_eq(mm_head_boxes(&head, parameters, outputs, &frame, &params, &found, &err), MM_OK);
    return found;
}

static void expect_box(const float box[4], double x0, double y0, double x1, double y1)
{
    ck_assert_double_eq_tol((double)box[0], x0, 1e-3);
    ck_assert_double_eq_tol((double)box[1], y0, 1e-3);
    ck_assert_double_eq_tol((double)box[2], x1, 1e-3);
    ck_assert_double_eq_tol((double)box[3], y1, 1e-3);
}

START_TEST(a_cell_is_a_box_in_the_images_pixels)
{
    put_cell(1, 1, 2, 0, 1, 0.5f, 2, 1); /* centre 40, 24; stride 16 */
    mm_detections found = find();
    ck_assert_uint_eq(found.count, 1);
    const double r = 200.0 / 128, ry = 100.0 / 64;
    expect_box(found.items[0].box, 24 * r, 16 * ry, 72 * r, 40 * ry);
    ck_assert_double_eq_tol((double)found.items[0].score, 0.5, 1e-6);
    mm_detections_free(&found);
    parameters[head.scale + 1] = 2; /* squares the distances */
    found = find();
    expect_box(found.items[0].box, 24 * r, 20 * ry, 100 * r * 1.04, 40 * ry);
    mm_detections_free(&found);
}
END_TEST

START_TEST(boxes_end_at_the_image_and_padding_has_none)
{
    put_cell(3, 0, 0, 3, 300, 300, 300, 300); /* capped, clipped: the whole image */
    put_cell(0, 8, 3, 3, 1, 1, 1, 1);         /* centre at y 68: below the input */
    put_cell(0, 7, 3, -1, 1, 1, 1, 1);        /* the last row inside */
    mm_detections found = find();
    ck_assert_uint_eq(found.count, 2);
    expect_box(found.items[0].box, 0, 0, 200, 100);
    ck_assert_float_gt(found.items[0].score, found.items[1].score);
    ck_assert_double_eq_tol((double)found.items[1].box[3], 100, 1e-3); /* 68 of 64 */
    mm_detections_free(&found);
}
END_TEST

START_TEST(duplicates_go_and_the_best_come_first)
{
    for (size_t i = 0; i < 12; i++)
        put_cell(0, 2, i, (float)i / 4 - 2, 1.5f, 1.5f, 1.5f, 1.5f); /* neighbours overlap by half: IoU 0.5 */
    params.nms_thresh = 0.7;
    params.nms_sigma = 0;
    put_cell(1, 1, 1, 4, 0.75f, 0.75f, 0.75f, 0.75f);
    put_cell(1, 0, 1, 3.5f, 0.75f, 0.0001f, 0.75f, 1.75f); /* the same box from the cell above, nearly */
    mm_detections found = find();
    ck_assert_uint_eq(found.count, 13);
    for (size_t i = 1; i < found.count; i++)
        ck_assert_float_ge(found.items[i - 1].score, found.items[i].score);
    mm_detections_free(&found);
    params.nms_thresh = 0.3;
    found = find();
    ck_assert_uint_lt(found.count, 9);
    mm_detections_free(&found);
    params.max_boxes = 3;
    found = find();
    ck_assert_uint_eq(found.count, 3);
    mm_detections_free(&found);
    params.score_thresh = 0.99f;
    found = find();
    ck_assert_uint_eq(found.count, 0);
    ck_assert_ptr_null(found.items);
    mm_detections_free(&found);
}
END_TEST

START_TEST(what_overlaps_a_better_box_is_believed_less)
{
    put_cell(0, 2, 2, 2, 2, 2, 2, 2);
    put_cell(0, 2, 3, 1, 2, 2, 2, 2); /* moved by a quarter: IoU 3 / 5 */
    params.nms_thresh = 0.4;
    params.nms_sigma = 0.2;
    mm_detections found = find();
    ck_assert_uint_eq(found.count, 2);
    const double alone = 1 / (1 + exp(-1));
    ck_assert_double_eq_tol((double)found.items[1].score, alone * exp(-0.2), 1e-5);
    mm_detections_free(&found);
    params.score_thresh = 0.6f; /* the second is above it alone, but not beside the first */
    found = find();
    ck_assert_uint_eq(found.count, 1);
    mm_detections_free(&found);
}
END_TEST

START_TEST(outputs_that_are_no_numbers_are_no_boxes)
{
    for (size_t i = 0; i < head.cells * MM_HEAD_OUTPUTS; i++)
        outputs[i] = NAN;
    put_cell(0, 0, 0, 5, 1, 1, NAN, 1);
    mm_detections found = find();
    for (size_t i = 0; i < found.count; i++)
        for (int k = 0; k < 4; k++)
            ck_assert(isfinite(found.items[i].box[k]));
    ck_assert_uint_le(found.count, 1);
    mm_detections_free(&found);
}
END_TEST

START_TEST(parameters_out_of_range_are_named)
{
    const struct {
        float score, offset;
        double nms;
        uint32_t boxes;
        const char *named;
    } wrong[] = {{1.5f, 1, 0.7, 100, "score threshold"}, {NAN, 1, 0.7, 100, "score threshold"},
                 {0.5f, 1, -0.1, 100, "NMS threshold"},  {0.5f, 1, 0.7, 0, "number of boxes"},
                 {0.5f, 1, 0.7, 1001, "number of boxes"}, {0.5f, -1, 0.7, 100, "stability offset"}};
    ck_assert_int_eq(mm_detect_check(&params, &err), MM_OK);
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        mm_detect_params bad = params;
        bad.score_thresh = wrong[i].score;
        bad.stability_score_offset = wrong[i].offset;
        bad.nms_thresh = wrong[i].nms;
        bad.max_boxes = wrong[i].boxes;
        ck_assert_int_eq(mm_detect_check(&bad, &err), MM_ERR_USAGE);
        ck_assert_ptr_nonnull(strstr(err.text, wrong[i].named));
    }
}
END_TEST

START_TEST(impossible_shapes_are_refused)
{
    static const mm_detector_shape shapes[] = {{8, 6, 8, 1},  {8, 0, 8, 1},  {8, 260, 8, 1}, {4, 8, 8, 1},
                                               {8, 8, 4, 1},  {8, 8, 4096, 1}, {8, 8, 8, 0},  {8, 8, 8, 9}};
    for (size_t i = 0; i < sizeof shapes / sizeof shapes[0]; i++)
        ck_assert_int_eq(mm_head_plan(&shapes[i], &head, &err), MM_ERR_UNSUPPORTED);
}
END_TEST

START_TEST(the_work_is_what_the_products_have)
{
    const mm_detector_shape shape = {128, 32, 64, 2};
    const double cells = 1024, all = 64 * 64 + 1024 + 256 + 64;
    const double expected = cells * 128 * 256 + cells * 128 * 64 + cells / 4 * 512 * 64 + cells / 16 * 256 * 64 +
                            2 * all * 576 * 64 + all * 576 * 6;
    ck_assert_double_eq_tol(mm_detector_work(&shape), expected, 1);
}
END_TEST

START_TEST(overlaps_are_those_of_the_pixels)
{
    enum { W = 13, H = 7 };
    uint8_t a[W * H], b[W * H];
    uint32_t seed = 1;
    for (int round = 0; round < 200; round++) {
        uint64_t common = 0, any = 0;
        for (int i = 0; i < W * H; i++) {
            seed = seed * 1664525u + 1013904223u;
            a[i] = round % 10 == 0 ? 0 : (seed >> 28) > (uint32_t)(round % 16);
            b[i] = round % 15 == 0 ? 0 : (seed >> 20 & 15) > (uint32_t)(round * 7 % 16);
            common += a[i] && b[i];
            any += a[i] || b[i];
        }
        mm_rle x, y;
        ck_assert_int_eq(mm_rle_from_bits(a, H, W, &x, &err), MM_OK);
        ck_assert_int_eq(mm_rle_from_bits(b, H, W, &y, &err), MM_OK);
        ck_assert_uint_eq(mm_rle_shared(&x, &y), common);
        ck_assert_double_eq(mm_rle_iou(&x, &y), any ? (double)common / (double)any : 0);
        mm_rle_free(&x);
        mm_rle_free(&y);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("detect/boxes");
    TCase *tc = tcase_create("boxes");
    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_test(tc, a_cell_is_a_box_in_the_images_pixels);
    tcase_add_test(tc, boxes_end_at_the_image_and_padding_has_none);
    tcase_add_test(tc, duplicates_go_and_the_best_come_first);
    tcase_add_test(tc, what_overlaps_a_better_box_is_believed_less);
    tcase_add_test(tc, outputs_that_are_no_numbers_are_no_boxes);
    tcase_add_test(tc, parameters_out_of_range_are_named);
    tcase_add_test(tc, impossible_shapes_are_refused);
    tcase_add_test(tc, the_work_is_what_the_products_have);
    tcase_add_test(tc, overlaps_are_those_of_the_pixels);
    suite_add_tcase(suite, tc);
    return mm_check_main(suite);
}
