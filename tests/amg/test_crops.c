#include "check_main.h"

#include "amg/steps.h"
#include "fields.h"

START_TEST(windows_are_the_reference_s)
{
    FILE *file = open_golden("amg/crops.txt");
    uint32_t width, height, layers;
    size_t expected, count, cases = 0;
    double ratio;
    for (; fscanf(file, "%u %u %u %la %zu", &width, &height, &layers, &ratio, &expected) == 5; cases++) {
        mm_crop *crops;
        ck_assert_int_eq(mm_amg_crops(width, height, layers, ratio, &crops, &count, NULL), MM_OK);
        ck_assert_msg(count == expected, "%u x %u, %u layers, ratio %g: %zu windows, not %zu", width, height, layers,
                      ratio, count, expected);
        for (size_t i = 0; i < count; i++) {
            uint32_t v[5];
            ck_assert_int_eq(fscanf(file, "%u %u %u %u %u", &v[0], &v[1], &v[2], &v[3], &v[4]), 5);
            ck_assert_mem_eq(crops[i].box, v, sizeof crops[i].box);
            ck_assert_uint_eq(crops[i].layer, v[4]);
        }
        free(crops);
    }
    fclose(file);
    ck_assert_uint_ge(cases, 150);
}
END_TEST

START_TEST(grid_coordinates_are_numpy_s)
{
    FILE *file = open_golden("amg/grids.txt");
    uint32_t n, cases = 0;
    for (; fscanf(file, "%u", &n) == 1; cases++) {
        for (uint32_t i = 0; i < n; i++) {
            double x;
            ck_assert_int_eq(fscanf(file, "%la", &x), 1);
            ck_assert_msg(mm_amg_grid_coordinate(n, i) == x, "%u of %u: %a", i, n, x);
        }
    }
    fclose(file);
    ck_assert_uint_ge(cases, 10);
}
END_TEST

START_TEST(grids_shrink_with_the_layers)
{
    mm_amg_params params = mm_amg_defaults();
    params.crop_n_points_downscale_factor = 2;
    uint32_t side;
    ck_assert_int_eq(mm_amg_grid_side(&params, 0, &side, NULL), MM_OK);
    ck_assert_uint_eq(side, 32);
    ck_assert_int_eq(mm_amg_grid_side(&params, 2, &side, NULL), MM_OK);
    ck_assert_uint_eq(side, 8);
    params.points_per_side = 7;
    ck_assert_int_eq(mm_amg_grid_side(&params, 1, &side, NULL), MM_OK);
    ck_assert_uint_eq(side, 3);
    mm_error err = {0};
    ck_assert_int_eq(mm_amg_grid_side(&params, 3, &side, &err), MM_ERR_USAGE);
    ck_assert_ptr_nonnull(strstr(err.text, "points_per_side"));
    params.crop_n_points_downscale_factor = 0;
    ck_assert_int_eq(mm_amg_grid_side(&params, 0, &side, NULL), MM_ERR_USAGE);
}
END_TEST

START_TEST(impossible_crops_are_refused)
{
    mm_crop *crops;
    size_t count;
    ck_assert_int_eq(mm_amg_crops(10, 10, 11, 0.3, &crops, &count, NULL), MM_ERR_USAGE);
    ck_assert_int_eq(mm_amg_crops(10, 10, 1, -0.1, &crops, &count, NULL), MM_ERR_USAGE);
    ck_assert_int_eq(mm_amg_crops(10, 10, 1, 1.1, &crops, &count, NULL), MM_ERR_USAGE);
    ck_assert_int_eq(mm_amg_crops(10, 10, 1, 0.0 / 0.0, &crops, &count, NULL), MM_ERR_USAGE);
    ck_assert_ptr_null(crops);
}
END_TEST

START_TEST(frames_have_the_short_side_asked_for_and_are_never_enlarged)
{
    static const uint32_t cases[][5] = {
        /* width, height, short side, frame */
        {6000, 4000, 1500, 2250, 1500}, {4000, 6000, 1500, 1500, 2250}, {4032, 3024, 1500, 2000, 1500},
        {1500, 1500, 1500, 1500, 1500}, {1800, 1200, 1500, 1800, 1200}, {1800, 1200, 0, 1800, 1200},
        {1801, 1601, 1500, 1687, 1500}, {65500, 2, 1, 32750, 1},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        uint32_t width, height;
        mm_amg_frame_size(cases[i][0], cases[i][1], cases[i][2], &width, &height);
        ck_assert_uint_eq(width, cases[i][3]);
        ck_assert_uint_eq(height, cases[i][4]);
    }
}
END_TEST

START_TEST(source_windows_cover_the_frame_s)
{
    uint32_t source[4];
    const uint32_t window[4] = {101, 7, 1201, 807};
    mm_amg_source_window(window, 1500, 1000, 1500, 1000, source); /* no scaling: the window itself */
    ck_assert_mem_eq(source, window, sizeof source);
    mm_amg_source_window(window, 1500, 1000, 4000, 2667, source);
    /* 269.3, 18.67, 3202.67, 2152.3 */
    ck_assert(source[0] == 269 && source[1] == 18 && source[2] == 3203 && source[3] == 2153);
    mm_amg_source_window((uint32_t[]){0, 0, 1500, 1000}, 1500, 1000, 4000, 2667, source);
    ck_assert(source[0] == 0 && source[1] == 0 && source[2] == 4000 && source[3] == 2667);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("amg/crops");
    TCase *tests = tcase_create("crops");
    tcase_add_test(tests, windows_are_the_reference_s);
    tcase_add_test(tests, grid_coordinates_are_numpy_s);
    tcase_add_test(tests, grids_shrink_with_the_layers);
    tcase_add_test(tests, impossible_crops_are_refused);
    tcase_add_test(tests, frames_have_the_short_side_asked_for_and_are_never_enlarged);
    tcase_add_test(tests, source_windows_cover_the_frame_s);
    suite_add_tcase(suite, tests);
    return mm_check_main(suite);
}
