/* Polygons, unions and IoUs against pycocotools (tests/data/mask/make_polygon.py). */
#include "check_main.h"

#include <math.h>

#include "golden.h"

START_TEST(polygons_fill_as_pycocotools_fills_them)
{
    FILE *file = open_golden("mask/polygon.txt");
    uint32_t height, width;
    size_t count;
    int cases = 0;
    for (; fscanf(file, "%u %u %zu", &height, &width, &count) == 3; cases++) {
        double (*points)[2] = malloc(count * sizeof *points);
        static char counts[MAX_COUNTS];
        mm_rle rle;
        mm_error err = {0};
        for (size_t i = 0; i < count; i++)
            ck_assert_int_eq(fscanf(file, "%la %la", &points[i][0], &points[i][1]), 2);
        ck_assert_int_eq(fscanf(file, "%65535s", counts), 1);
        ck_assert_msg(mm_rle_from_polygon(points, count, height, width, &rle, &err) == MM_OK, "case %d: %s", cases,
                      err.text);
        const mm_rle expected = rle_of_text(counts, height, width);
        ck_assert_msg(mm_rle_equal(&rle, &expected), "case %d differs: %llu pixels, not %llu", cases,
                      (unsigned long long)mm_rle_area(&rle), (unsigned long long)mm_rle_area(&expected));
        assert_counts_are(&rle, counts);
        mm_rle_free(&rle);
        free(expected.runs);
        free(points);
    }
    fclose(file);
    ck_assert_int_ge(cases, 90);
}
END_TEST

START_TEST(hostile_polygons_are_refused)
{
    const double far[3][2] = {{0, 0}, {5, 5}, {1e300, 2}}, nan[3][2] = {{0, 0}, {5, (double)NAN}, {3, 2}};
    const double below[3][2] = {{0, 0}, {5, 5}, {3, -11}}, good[3][2] = {{0, 0}, {20, 20}, {-10, 3}};
    mm_rle rle;
    mm_error err = {0};
    ck_assert_int_eq(mm_rle_from_polygon(far, 3, 10, 10, &rle, &err), MM_ERR_FORMAT);
    ck_assert_ptr_nonnull(strstr(err.text, "point 2"));
    ck_assert_int_eq(mm_rle_from_polygon(nan, 3, 10, 10, &rle, &err), MM_ERR_FORMAT);
    ck_assert_int_eq(mm_rle_from_polygon(below, 3, 10, 10, &rle, &err), MM_ERR_FORMAT);
    ck_assert_int_eq(mm_rle_from_polygon(good, 3, UINT32_MAX, 2, &rle, &err), MM_ERR_LIMIT);
    ck_assert_int_eq(mm_rle_from_polygon(good, 3, 10, 10, &rle, &err), MM_OK);
    mm_rle_free(&rle);
    /* A zigzag over a wide image, over and over. */
    const size_t count = 4000;
    double (*zigzag)[2] = malloc(count * sizeof *zigzag);
    for (size_t i = 0; i < count; i++) {
        zigzag[i][0] = i & 1 ? 60000 : 0;
        zigzag[i][1] = 0;
    }
    ck_assert_int_eq(mm_rle_from_polygon((const double (*)[2])zigzag, count, 100, 60000, &rle, &err), MM_ERR_LIMIT);
    free(zigzag);
    /* No point, one point: nothing. */
    ck_assert_int_eq(mm_rle_from_polygon(NULL, 0, 10, 10, &rle, &err), MM_OK);
    ck_assert_uint_eq(mm_rle_area(&rle), 0);
    mm_rle_free(&rle);
    ck_assert_int_eq(mm_rle_from_polygon(good, 1, 10, 10, &rle, &err), MM_OK);
    ck_assert_uint_eq(mm_rle_area(&rle), 0);
    mm_rle_free(&rle);
}
END_TEST

START_TEST(unions_and_ious_are_those_of_pycocotools)
{
    enum { MOST = 12 };
    FILE *file = open_golden("mask/combine.txt");
    uint32_t height, width;
    size_t count;
    int cases = 0;
    for (; fscanf(file, "%u %u %zu", &height, &width, &count) == 3; cases++) {
        static char text[MAX_COUNTS];
        mm_rle masks[MOST], all;
        double iou;
        unsigned long long shared;
        for (size_t i = 0; i < count; i++) {
            ck_assert_int_eq(fscanf(file, "%65535s", text), 1);
            masks[i] = rle_of_text(text, height, width);
        }
        ck_assert_int_eq(fscanf(file, "%65535s %la %llu", text, &iou, &shared), 3);
        ck_assert_int_eq(mm_rle_union(masks, count, height, width, &all, NULL), MM_OK);
        assert_counts_are(&all, text);
        ck_assert_double_eq(mm_rle_iou(&masks[0], &masks[1]), iou);
        ck_assert_double_eq(mm_rle_iou(&masks[1], &masks[0]), iou);
        ck_assert_uint_eq(mm_rle_shared(&masks[0], &masks[1]), shared);
        mm_rle_free(&all);
        for (size_t i = 0; i < count; i++)
            mm_rle_free(&masks[i]);
    }
    fclose(file);
    ck_assert_int_eq(cases, 40);
}
END_TEST

START_TEST(nothing_and_unequal_sizes)
{
    mm_rle all, other = rle_of_text("9", 3, 3), one;
    mm_error err = {0};
    ck_assert_int_eq(mm_rle_union(NULL, 0, 4, 5, &all, NULL), MM_OK);
    ck_assert_uint_eq(mm_rle_area(&all), 0);
    ck_assert_double_eq(mm_rle_iou(&all, &all), 0);
    ck_assert_uint_eq(mm_rle_shared(&all, &other), 0);
    ck_assert(!mm_rle_equal(&all, &other));
    ck_assert_int_eq(mm_rle_union(&other, 1, 4, 5, &one, &err), MM_ERR_INTERNAL);
    mm_rle_free(&all);
    mm_rle_free(&other);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("polygon");
    TCase *tests = tcase_create("polygon");
    tcase_add_test(tests, polygons_fill_as_pycocotools_fills_them);
    tcase_add_test(tests, hostile_polygons_are_refused);
    tcase_add_test(tests, unions_and_ious_are_those_of_pycocotools);
    tcase_add_test(tests, nothing_and_unequal_sizes);
    suite_add_tcase(suite, tests);
    return mm_check_main(suite);
}
