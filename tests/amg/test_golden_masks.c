/* Whole pictures against the reference's annotations: the same masks in the same order, equal boxes and points. The
 * cases are firm (tests/data/golden/make_golden.py): no decision in them is near enough to its threshold for rounding to
 * turn it. And in bf16, most of the reference's masks. */
#include <math.h>

#include "check_main.h"
#include "maskmill/amg.h"
#include "tools/golden_case.h"

static const char *const cases[] = {"vit_whole",     "vit_crops",     "tiny_whole",   "tiny_crops",
                                    "default_whole", "default_crops", "default_thumb"};

enum { CASES = sizeof cases / sizeof cases[0], SETS = 2 }; /* of the kernel sets, the first two */

static double number(const json_t *object, const char *key)
{
    const json_t *value = json_object_get(object, key);
    ck_assert_msg(json_is_number(value), "%s is missing", key);
    return json_number_value(value);
}

static mm_amg_params params_of(const json_t *json)
{
    mm_amg_params params = mm_amg_defaults();
    params.points_per_side = (uint32_t)number(json, "points_per_side");
    params.pred_iou_thresh = (float)number(json, "pred_iou_thresh");
    params.stability_score_thresh = (float)number(json, "stability_score_thresh");
    params.stability_score_offset = (float)number(json, "stability_score_offset");
    params.box_nms_thresh = number(json, "box_nms_thresh");
    params.crop_n_layers = (uint32_t)number(json, "crop_n_layers");
    params.crop_nms_thresh = number(json, "crop_nms_thresh");
    params.crop_overlap_ratio = number(json, "crop_overlap_ratio");
    params.crop_n_points_downscale_factor = (uint32_t)number(json, "crop_n_points_downscale_factor");
    params.min_mask_region_area = (uint32_t)number(json, "min_mask_region_area");
    return params;
}

static double mask_iou(const mm_rle *a, const mm_rle *b)
{
    ck_assert_uint_eq(a->height, b->height);
    ck_assert_uint_eq(a->width, b->width);
    const size_t pixels = (size_t)a->height * a->width;
    uint8_t *bits_a = malloc(pixels), *bits_b = malloc(pixels);
    ck_assert(bits_a && bits_b);
    mm_rle_to_bits(a, bits_a);
    mm_rle_to_bits(b, bits_b);
    size_t both = 0, either = 0;
    for (size_t i = 0; i < pixels; i++) {
        both += bits_a[i] && bits_b[i];
        either += bits_a[i] || bits_b[i];
    }
    free(bits_a);
    free(bits_b);
    return either ? (double)both / (double)either : 1.0;
}

static void assert_floats(const json_t *array, const float *values, size_t count, const char *what, size_t mask)
{
    ck_assert_uint_eq(json_array_size(array), count);
    for (size_t i = 0; i < count; i++) {
        const float expected = (float)json_number_value(json_array_get(array, i));
        ck_assert_msg(values[i] == expected, "mask %zu: %s[%zu] is %.9g, the reference's %.9g", mask, what, i,
                      (double)values[i], (double)expected);
    }
}

/* The mask of one of the reference's annotations; the caller frees it. */
static mm_rle expected_mask(const json_t *expected)
{
    mm_error err = {0};
    mm_rle rle;
    const json_t *segmentation = json_object_get(expected, "segmentation");
    const json_t *size = json_object_get(segmentation, "size"), *counts = json_object_get(segmentation, "counts");
    ck_assert_msg(mm_rle_from_counts((const uint8_t *)json_string_value(counts), json_string_length(counts),
                                     (uint32_t)json_integer_value(json_array_get(size, 0)),
                                     (uint32_t)json_integer_value(json_array_get(size, 1)), &rle, &err) == MM_OK, "%s",
                  err.text);
    return rle;
}

/* Equal but for single pixels whose logits are zero up to rounding. Returns the masks' IoU. */
static double assert_annotation(const json_t *expected, const mm_annotation *found, size_t mask)
{
    assert_floats(json_array_get(json_object_get(expected, "point_coords"), 0), found->point_coords, 2, "point", mask);
    assert_floats(json_object_get(expected, "crop_box"), found->crop_box, 4, "crop_box", mask);
    assert_floats(json_object_get(expected, "bbox"), found->bbox, 4, "bbox", mask);
    ck_assert_double_eq_tol((double)found->predicted_iou, number(expected, "predicted_iou"), 1e-4);
    /* The score is a ratio of pixel counts: in a mask of 450 pixels one of them, its logit at the offset up to rounding,
     * is worth more than 1e-3. */
    ck_assert_double_eq_tol((double)found->stability_score, number(expected, "stability_score"),
                            fmax(1e-3, 1.5 / number(expected, "area")));
    mm_rle rle = expected_mask(expected);
    const double iou = mask_iou(&rle, &found->rle);
    ck_assert_uint_eq(mm_rle_area(&found->rle), found->area);
    ck_assert_msg(iou >= 0.99, "mask %zu: IoU with the reference's %g", mask, iou);
    mm_rle_free(&rle);
    return iou;
}

/* _i counts cases, and kernel sets within a case. */
START_TEST(reference_masks)
{
    char file[256];
    golden_case golden;
    mm_annotations annotations;
    mm_error err = {0};
    const char *name = cases[_i / SETS];
    (void)snprintf(file, sizeof file, "%s.masks.json", name);
    if (!golden_open(file, &golden_kernels[_i % SETS], &golden))
        return;
    const mm_amg_params params = params_of(json_object_get(golden.json, "params"));
    ck_assert_msg(mm_amg_generate(golden.model, golden.embedding, &params, mm_image_whole(&golden.image), &annotations,
                                  &err) == MM_OK, "%s", err.text);
    const json_t *masks = json_object_get(golden.json, "masks");
    ck_assert_uint_ge(json_array_size(masks), 10);
    ck_assert_msg(annotations.count == json_array_size(masks), "%s: %zu masks, the reference has %zu", name,
                  annotations.count, json_array_size(masks));
    double sum = 0.0;
    for (size_t i = 0; i < annotations.count; i++)
        sum += assert_annotation(json_array_get(masks, i), &annotations.items[i], i);
    ck_assert_double_ge(sum / (double)annotations.count, 0.999);
    mm_annotations_free(&annotations);
    golden_close(&golden);
}
END_TEST

/* The highest IoU of one of the reference's masks with ours; 0 if there are none. */
static double best_overlap(const json_t *expected, const mm_annotations *annotations)
{
    mm_rle rle = expected_mask(expected);
    double best = 0.0;
    for (size_t i = 0; i < annotations->count; i++)
        best = fmax(best, mask_iou(&rle, &annotations->items[i].rle));
    mm_rle_free(&rle);
    return best;
}

/* In bf16 no decision is firm: masks are compared by their overlap with the best of ours. Measured: at most two masks of
 * a case without a partner, and mean IoU from 0.976 (tiny_crops) to 0.997; the rest is for the rounding of other CPUs. _i
 * counts cases, and encoders this small in f32 (as they are) and in bf16 within a case. */
static const double bf16_mean_iou[] = {0.96, 0.96, 0.96, 0.96, 0.985, 0.985, 0.985};

START_TEST(bf16_masks)
{
    char file[256];
    golden_case golden;
    mm_annotations annotations;
    mm_error err = {0};
    const char *name = cases[_i / 2];
    const mm_kernels kernels = {.precision = MM_PRECISION_BF16, .threads = 1, .bf16_small_encoders = _i % 2 != 0};
    (void)snprintf(file, sizeof file, "%s.masks.json", name);
    if (!golden_open(file, &kernels, &golden))
        return;
    const mm_amg_params params = params_of(json_object_get(golden.json, "params"));
    ck_assert_msg(mm_amg_generate(golden.model, golden.embedding, &params, mm_image_whole(&golden.image), &annotations,
                                  &err) == MM_OK, "%s", err.text);
    const json_t *masks = json_object_get(golden.json, "masks");
    const size_t count = json_array_size(masks);
    size_t matched = 0;
    double sum = 0.0;
    for (size_t i = 0; i < count; i++) {
        const double best = best_overlap(json_array_get(masks, i), &annotations);
        matched += best >= 0.9;
        sum += best >= 0.9 ? best : 0.0;
    }
    ck_assert_msg(4 * matched >= 3 * count, "%s: %zu of %zu masks are found again", name, matched, count);
    ck_assert_msg(sum >= bf16_mean_iou[_i / 2] * (double)matched, "%s: mean IoU %g", name, sum / (double)matched);
    mm_annotations_free(&annotations);
    golden_close(&golden);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("masks against the reference");
    TCase *masks = tcase_create("masks");
    tcase_set_timeout(masks, 120);
    tcase_add_loop_test(masks, reference_masks, 0, CASES * SETS);
    tcase_add_loop_test(masks, bf16_masks, 0, CASES * 2);
    suite_add_tcase(suite, masks);
    return mm_check_main(suite);
}
