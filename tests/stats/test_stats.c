#include "check_main.h"

#include <jansson.h>
#include <math.h>
#include <string.h>

#include "maskmill/stats.h"

static mm_error err;
static mm_stats stats, other;

static void setup(void)
{
    mm_stats_clear(&stats);
    mm_stats_clear(&other);
}

/* A record of `count` copies of one mask. */
static mm_record make_record(const uint8_t *bits, uint32_t width, uint32_t height, size_t count, float iou,
                             float stability)
{
    mm_annotation *items = calloc(count + 1, sizeof *items);
    for (size_t i = 0; i < count; i++) {
        ck_assert_int_eq(mm_rle_from_bits(bits, height, width, &items[i].rle, &err), MM_OK);
        items[i].area = (uint32_t)mm_rle_area(&items[i].rle);
        items[i].predicted_iou = iou;
        items[i].stability_score = stability;
    }
    const mm_annotations annotations = {
        .width = width, .height = height, .items = items, .count = count, .funnel = {10, 9, 8, 7, 6, 5, 4, count}};
    mm_record record;
    ck_assert_int_eq(mm_record_from_annotations(0, &annotations, &record, &err), MM_OK);
    for (size_t i = 0; i < count; i++)
        mm_rle_free(&items[i].rle);
    free(items);
    return record;
}

START_TEST(edges_rise_and_follow_the_powers)
{
    for (uint32_t i = 0; i < MM_STATS_MASK_BINS; i++) {
        ck_assert_uint_lt(mm_stats_mask_edge(i), mm_stats_mask_edge(i + 1));
        ck_assert_uint_eq(mm_stats_mask_edge(i), i <= 16 ? i : (uint32_t)floor(pow(2, i / 4.0) + 1e-9));
    }
    ck_assert_uint_eq(mm_stats_mask_edge(MM_STATS_MASK_BINS), UINT32_MAX);
}
END_TEST

/* 10 x 10 frame; an L of 7 pixels whose hull, as a polygon around unit squares, has area 4*4 - 3*3/2 = 11.5. */
START_TEST(one_mask_lands_in_the_right_bins)
{
    uint8_t bits[100] = {0};
    for (int i = 0; i < 4; i++)
        bits[(2 + i) * 10 + 5] = bits[5 * 10 + 5 + i] = 1;
    mm_record record = make_record(bits, 10, 10, 1, 0.95f, 1.0f);
    ck_assert_msg(mm_stats_add(&stats, &record, &err) == MM_OK, "%s", err.text);
    ck_assert_uint_eq(stats.images_done, 1);
    ck_assert_uint_eq(stats.masks, 1);
    ck_assert_uint_eq(stats.pixels_masked, 7);
    ck_assert_uint_eq(stats.rle_bytes, record.rle_offset[1]);
    ck_assert_uint_eq(stats.masks_per_image[1], 1);
    ck_assert_uint_eq(stats.relative_size[26], 1); /* sqrt(0.07) = 0.2646 */
    ck_assert_uint_eq(stats.concavity[39], 1);     /* 1 - 7 / 11.5 = 0.3913 */
    ck_assert_uint_eq(stats.predicted_iou[95], 1); /* 0.95f is less than 0.95, but it is what 0.95 is */
    ck_assert_uint_eq(stats.stability_score[99], 1);
    /* centre: x = (4 * 5.5 + 6.5 + 7.5 + 8.5) / 7 = 6.357, y = (2.5 + 3.5 + 4.5 + 4 * 5.5) / 7 = 4.643 */
    ck_assert_uint_eq(stats.centres[29 * MM_STATS_CENTRE_SIDE + 40], 1);
    ck_assert_uint_eq(stats.image_long_side[0], 1);
    ck_assert_uint_eq(stats.funnel[0], 10);
    ck_assert_uint_eq(stats.funnel[7], 1);
    mm_record_free(&record);
}
END_TEST

START_TEST(the_ends_of_the_scales_are_counted)
{
    uint8_t *bits = malloc(9000 * 2);
    memset(bits, 1, 9000 * 2);
    mm_record record = make_record(bits, 9000, 2, 19, 1.25f, NAN);
    ck_assert_int_eq(mm_stats_add(&stats, &record, &err), MM_OK);
    ck_assert_uint_eq(stats.relative_size[99], 19);
    ck_assert_uint_eq(stats.concavity[0], 19);
    ck_assert_uint_eq(stats.predicted_iou[99], 19); /* the IoU head is not bounded by 1 */
    uint64_t stable = 0;
    for (int i = 0; i < MM_STATS_UNIT_BINS; i++)
        stable += stats.stability_score[i];
    ck_assert_uint_eq(stable, 0); /* NaN */
    ck_assert_uint_eq(stats.masks_per_image[17], 1);
    ck_assert_uint_eq(stats.image_long_side[63], 1);
    ck_assert_uint_eq(stats.centres[32 * MM_STATS_CENTRE_SIDE + 32], 19);
    mm_record_free(&record);
    free(bits);
}
END_TEST

START_TEST(order_does_not_matter)
{
    uint8_t bits[64] = {1, 1, 0, 0, 1};
    mm_record records[3] = {make_record(bits, 8, 8, 3, 0.9f, 0.96f), make_record(bits, 16, 4, 0, 0, 0),
                            make_record(bits, 4, 16, 40, 0.88f, 0.99f)};
    mm_record aside;
    ck_assert_int_eq(mm_record_set_aside(7, 0, 0, "no JPEG", &aside, &err), MM_OK);
    mm_stats parts[2];
    mm_stats_clear(&parts[0]);
    mm_stats_clear(&parts[1]);
    ck_assert_int_eq(mm_stats_add(&stats, &aside, &err), MM_OK);
    ck_assert_int_eq(mm_stats_add(&parts[1], &aside, &err), MM_OK);
    for (int i = 0; i < 3; i++) {
        ck_assert_int_eq(mm_stats_add(&stats, &records[i], &err), MM_OK);
        ck_assert_int_eq(mm_stats_add(&parts[i % 2], &records[2 - i], &err), MM_OK);
    }
    mm_stats_merge(&other, &parts[1]);
    mm_stats_merge(&other, &parts[0]);
    ck_assert_mem_eq(&stats, &other, sizeof stats);
    ck_assert_uint_eq(stats.images_done, 3);
    ck_assert_uint_eq(stats.images_set_aside, 1);
    ck_assert_uint_eq(stats.masks_per_image[0], 1);
    ck_assert_uint_eq(stats.masks_per_image[21], 1); /* 38 <= 40 < 45 */
    for (int i = 0; i < 3; i++)
        mm_record_free(&records[i]);
    mm_record_free(&aside);
}
END_TEST

START_TEST(a_bad_mask_changes_nothing)
{
    uint8_t bits[64] = {1};
    mm_record record = make_record(bits, 8, 8, 2, 0.9f, 0.96f);
    record.rle[record.rle_offset[1]] ^= 2;
    ck_assert_int_eq(mm_stats_add(&stats, &record, &err), MM_ERR_FORMAT);
    ck_assert_mem_eq(&stats, &other, sizeof stats);
    mm_record_free(&record);
}
END_TEST

static char *print(mm_status (*form)(const mm_stats *, FILE *, mm_error *))
{
    char *text = NULL;
    size_t size;
    FILE *out = open_memstream(&text, &size);
    ck_assert_int_eq(form(&stats, out, &err), MM_OK);
    fclose(out);
    return text;
}

START_TEST(the_page_shows_counts_and_quantiles)
{
    free(print(mm_stats_print_text)); /* of nothing: no division by zero */
    uint8_t bits[64] = {1};
    for (size_t i = 0; i < 10; i++) {
        mm_record record = make_record(bits, 8, 8, i, 0.9f, 0.96f);
        ck_assert_int_eq(mm_stats_add(&stats, &record, &err), MM_OK);
        mm_record_free(&record);
    }
    char *text = print(mm_stats_print_text);
    ck_assert_ptr_nonnull(strstr(text, "images  10 done, 0 set aside"));
    ck_assert_ptr_nonnull(strstr(text, "masks   45, 4.5 an image, 1 pixels"));
    ck_assert_ptr_nonnull(strstr(text, "  masks per image               0        2        4        7        9\n"));
    ck_assert_ptr_nonnull(strstr(text, "  predicted IoU              0.90     0.90     0.90     0.90     0.90\n"));
    ck_assert_ptr_nonnull(strstr(text, "  kept                               45    45.00 %\n"));
    free(text);
}
END_TEST

START_TEST(the_object_holds_every_number)
{
    uint8_t bits[64] = {1};
    mm_record record = make_record(bits, 8, 8, 3, 0.9f, 0.96f);
    ck_assert_int_eq(mm_stats_add(&stats, &record, &err), MM_OK);
    mm_record_free(&record);
    char *text = print(mm_stats_print_json);
    json_error_t where;
    json_t *root = json_loads(text, 0, &where);
    ck_assert_msg(root != NULL, "%s", where.text);
    ck_assert_int_eq(json_integer_value(json_object_get(root, "masks")), 3);
    ck_assert_int_eq(json_integer_value(json_object_get(json_object_get(root, "funnel"), "after_area")), 7);
    ck_assert_uint_eq(json_array_size(json_object_get(root, "masks_per_image_edges")), MM_STATS_MASK_BINS);
    ck_assert_int_eq(json_integer_value(json_array_get(json_object_get(root, "masks_per_image"), 3)), 1);
    ck_assert_int_eq(json_integer_value(json_array_get(json_object_get(root, "predicted_iou"), 90)), 3);
    ck_assert_uint_eq(json_array_size(json_object_get(root, "centres")), MM_STATS_CENTRE_SIDE);
    json_t *row = json_array_get(json_object_get(root, "centres"), 4);
    ck_assert_int_eq(json_integer_value(json_array_get(row, 4)), 3);
    json_decref(root);
    free(text);
}
END_TEST

START_TEST(a_full_disk_is_told)
{
    FILE *full = fopen("/dev/full", "w");
    if (!full)
        return; /* not every system has it */
    ck_assert_int_eq(mm_stats_print_json(&stats, full, &err), MM_ERR_IO);
    fclose(full);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("stats/stats");
    TCase *tests = tcase_create("stats");
    tcase_add_checked_fixture(tests, setup, NULL);
    tcase_add_test(tests, edges_rise_and_follow_the_powers);
    tcase_add_test(tests, one_mask_lands_in_the_right_bins);
    tcase_add_test(tests, the_ends_of_the_scales_are_counted);
    tcase_add_test(tests, order_does_not_matter);
    tcase_add_test(tests, a_bad_mask_changes_nothing);
    tcase_add_test(tests, the_page_shows_counts_and_quantiles);
    tcase_add_test(tests, the_object_holds_every_number);
    tcase_add_test(tests, a_full_disk_is_told);
    suite_add_tcase(suite, tests);
    return mm_check_main(suite);
}
