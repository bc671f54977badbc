/* The steps after the decoder at the edges of their conditions. */
#include "check_main.h"

#include <math.h>
#include <string.h>

#include "amg/steps.h"

START_TEST(thresholds_are_compared_in_float)
{
    mm_amg_params p = mm_amg_defaults();
    mm_mask_scan scan = {.above_high = 19, .above_low = 20};
    ck_assert(mm_amg_keeps_stability(&p, mm_amg_stability(&scan))); /* in double, 19/20 as a float is below 0.95 */
    scan.above_high = 18;
    ck_assert(!mm_amg_keeps_stability(&p, mm_amg_stability(&scan)));
    ck_assert(!mm_amg_keeps_iou(&p, 0.88f));
    ck_assert(mm_amg_keeps_iou(&p, nextafterf(0.88f, 1)));
    ck_assert(!mm_amg_keeps_iou(&p, NAN));
}
END_TEST

START_TEST(filters_at_zero_do_not_run)
{
    mm_amg_params p = mm_amg_defaults();
    const mm_mask_scan empty = {0};
    const float stability = mm_amg_stability(&empty);
    ck_assert(isnan(stability));
    ck_assert(!mm_amg_keeps_stability(&p, stability));
    p.stability_score_thresh = p.pred_iou_thresh = 0;
    ck_assert(mm_amg_keeps_stability(&p, stability));
    ck_assert(mm_amg_keeps_iou(&p, -0.5f));
    ck_assert(mm_amg_keeps_iou(&p, NAN));
}
END_TEST

/* One candidate with this box in a crop of a 1000 x 800 frame: does the edge filter keep it? */
static bool clear_of_edges(const uint32_t crop[4], const uint32_t box[4])
{
    mm_candidates list = {0};
    ck_assert_int_eq(mm_candidates_reserve(&list, 1, NULL), MM_OK);
    list.items[list.count++] = (mm_candidate){.box = {box[0], box[1], box[2], box[3]},
                                              .crop = {crop[0], crop[1], crop[2], crop[3]}};
    mm_amg_filter_edge(&list, 1000, 800);
    const bool kept = list.count == 1;
    mm_candidates_free(&list);
    return kept;
}

START_TEST(masks_within_20_pixels_of_an_inner_edge_are_dropped)
{
    static const struct {
        uint32_t crop[4], box[4];
        bool kept;
    } cases[] = {
        {{0, 0, 1000, 800}, {0, 0, 999, 799}, true},        /* the image's own edges do not count */
        {{100, 100, 600, 500}, {21, 21, 479, 379}, true},   /* 21 from each side of a 500 x 400 crop */
        {{100, 100, 600, 500}, {20, 21, 479, 379}, false},
        {{100, 100, 600, 500}, {21, 20, 479, 379}, false},
        {{100, 100, 600, 500}, {21, 21, 480, 379}, false},
        {{100, 100, 600, 500}, {21, 21, 479, 380}, false},
        {{0, 0, 600, 500}, {0, 0, 100, 100}, true},         /* the crop's left and top are the image's */
        {{400, 300, 1000, 800}, {30, 30, 599, 499}, true},
        {{10, 0, 600, 800}, {10, 30, 100, 100}, true},      /* 10 from the crop's left, 20 from the image's */
        {{11, 0, 600, 800}, {10, 30, 100, 100}, false},     /* 21 from the image's */
        {{200, 0, 600, 800}, {390, 30, 391, 100}, false},   /* right against right */
        {{200, 0, 600, 800}, {390, 30, 379, 100}, true},    /* left is not compared with the right edge */
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        ck_assert_msg(clear_of_edges(cases[i].crop, cases[i].box) == cases[i].kept, "case %zu", i);
}
END_TEST

START_TEST(a_mask_of_just_the_share_is_dropped)
{
    mm_candidates list = {0};
    ck_assert_int_eq(mm_candidates_reserve(&list, 3, NULL), MM_OK);
    for (uint32_t area = 949; area <= 951; area++)
        list.items[list.count++] = (mm_candidate){.area = area};
    mm_amg_filter_area(&list, 0, 40, 25);
    ck_assert_uint_eq(list.count, 3);
    mm_amg_filter_area(&list, 0.95, 40, 25);
    ck_assert_uint_eq(list.count, 1);
    ck_assert_uint_eq(list.items[0].area, 949);
    mm_candidates_free(&list);
}
END_TEST

/* A 10 x 10 frame with squares of this side at (x, y). */
static mm_candidate square(uint32_t x, uint32_t y, uint32_t side)
{
    uint8_t bits[100] = {0};
    for (uint32_t j = 0; j < side; j++)
        memset(bits + (y + j) * 10 + x, 1, side);
    mm_candidate c = {.box = {x, y, x + side - 1, y + side - 1}, .area = side * side};
    ck_assert_int_eq(mm_rle_from_bits(bits, 10, 10, &c.rle, NULL), MM_OK);
    return c;
}

START_TEST(the_largest_piece_decides_whether_a_mask_is_dropped)
{
    mm_amg_params p = mm_amg_defaults();
    p.min_mask_region_area = 9;
    p.drop_small_masks = true;
    mm_candidates list = {0};
    ck_assert_int_eq(mm_candidates_reserve(&list, 3, NULL), MM_OK);
    list.items[list.count++] = square(0, 0, 2);
    list.items[list.count++] = square(2, 2, 3); /* exactly the limit */
    list.items[list.count++] = square(5, 5, 5);
    ck_assert_int_eq(mm_amg_clean(&list, &p, NULL), MM_OK);
    ck_assert_uint_eq(list.count, 2);
    ck_assert(list.items[0].area == 9 && list.items[1].area == 25);
    mm_candidates_free(&list);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("amg/steps");
    TCase *tests = tcase_create("steps");
    tcase_add_test(tests, thresholds_are_compared_in_float);
    tcase_add_test(tests, filters_at_zero_do_not_run);
    tcase_add_test(tests, masks_within_20_pixels_of_an_inner_edge_are_dropped);
    tcase_add_test(tests, a_mask_of_just_the_share_is_dropped);
    tcase_add_test(tests, the_largest_piece_decides_whether_a_mask_is_dropped);
    suite_add_tcase(suite, tests);
    return mm_check_main(suite);
}
