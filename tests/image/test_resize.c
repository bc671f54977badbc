/* Resampling against Pillow: checksums of whole results, and a plain second way for the small ones. */
#include "image_testing.h"

#include <math.h>

START_TEST(windows_of_noise_equal_pillow)
{
    const test_bytes list = read_test_data("resize", ".txt");
    list.data[list.size] = '\0';
    int cases = 0;
    for (char *line = strtok((char *)list.data, "\n"); line; line = strtok(NULL, "\n"), cases++) {
        unsigned in_w, in_h, x0, y0, x1, y1, out_w, out_h, crc;
        ck_assert_int_eq(sscanf(line, "%u %u %u %u %u %u %u %u %x", &in_w, &in_h, &x0, &y0, &x1, &y1, &out_w, &out_h,
                                &crc), 9);
        mm_image image = noise_image(in_w, in_h), resized;
        const mm_image_view window = mm_image_crop(mm_image_whole(&image), x0, y0, x1, y1);
        ck_assert_int_eq(mm_image_resize_bilinear(window, out_w, out_h, &resized, NULL), MM_OK);
        ck_assert_uint_eq(resized.width, out_w);
        ck_assert_uint_eq(resized.height, out_h);
        ck_assert_msg(crc32_of_image(&resized) == crc, "differs from Pillow's: %s", line);
        mm_image_free(&resized);
        mm_image_free(&image);
    }
    ck_assert_int_eq(cases, 53);
    free(list.data);
}
END_TEST

/* One axis in double, rounded to 8 bits: the same filter without its fixed point, so one grey level may differ. */
static double plain_sample(const uint8_t *line, size_t step, uint32_t length, uint32_t out_length, uint32_t out)
{
    const double scale = (double)length / out_length, reach = fmax(scale, 1.0), centre = (out + 0.5) * scale;
    double sum = 0, weights = 0;
    for (uint32_t i = 0; i < length; i++) {
        const double weight = fmax(0.0, 1.0 - fabs((i + 0.5 - centre) / reach));
        sum += weight * line[i * step];
        weights += weight;
    }
    return sum / weights;
}

START_TEST(one_axis_agrees_with_the_plain_filter)
{
    enum { WIDE = 101 };
    mm_image row = noise_image(WIDE, 1), column = noise_image(1, WIDE);
    for (uint32_t length = 1; length <= 240; length++) {
        mm_image across, down;
        ck_assert_int_eq(mm_image_resize_bilinear(mm_image_whole(&row), length, 1, &across, NULL), MM_OK);
        ck_assert_int_eq(mm_image_resize_bilinear(mm_image_whole(&column), 1, length, &down, NULL), MM_OK);
        for (uint32_t i = 0; i < length; i++) {
            for (uint32_t c = 0; c < 3; c++) {
                const double expected = plain_sample(row.pixels + c, 3, WIDE, length, i);
                ck_assert_double_le(fabs(across.pixels[3 * i + c] - expected), 0.5001);
                ck_assert_double_le(fabs(down.pixels[3 * i + c] - expected), 0.5001);
            }
        }
        mm_image_free(&across);
        mm_image_free(&down);
    }
    mm_image_free(&row);
    mm_image_free(&column);
}
END_TEST

START_TEST(flat_images_stay_flat)
{
    mm_image image, resized;
    ck_assert_int_eq(mm_image_new(70, 50, &image, NULL), MM_OK);
    for (int value = 0; value <= 255; value += 51) {
        memset(image.pixels, value, 70 * 50 * 3);
        for (uint32_t side = 1; side < 200; side += 33) {
            ck_assert_int_eq(mm_image_resize_bilinear(mm_image_whole(&image), side, 200 - side, &resized, NULL), MM_OK);
            for (size_t i = 0; i < (size_t)side * (200 - side) * 3; i++)
                ck_assert_uint_eq(resized.pixels[i], (unsigned)value);
            mm_image_free(&resized);
        }
    }
    mm_image_free(&image);
}
END_TEST

START_TEST(senseless_sizes_are_refused)
{
    mm_image image = noise_image(4, 4), resized;
    mm_error err = {0};
    const mm_image_view whole = mm_image_whole(&image), empty = mm_image_crop(whole, 2, 2, 2, 4);
    ck_assert_int_eq(mm_image_resize_bilinear(whole, 0, 5, &resized, &err), MM_ERR_USAGE);
    ck_assert_int_eq(mm_image_resize_bilinear(empty, 5, 5, &resized, &err), MM_ERR_USAGE);
    ck_assert_int_eq(mm_image_resize_bilinear(whole, UINT32_MAX, 5, &resized, &err), MM_ERR_LIMIT);
    ck_assert_ptr_null(resized.pixels);
    ck_assert_int_eq(mm_image_new(UINT32_MAX, UINT32_MAX, &resized, &err), MM_ERR_LIMIT);
    mm_image_free(&image);
    mm_image_free(&resized);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("image/resize");
    TCase *tests = tcase_create("bilinear");
    tcase_set_timeout(tests, 120);
    tcase_add_test(tests, windows_of_noise_equal_pillow);
    tcase_add_test(tests, one_axis_agrees_with_the_plain_filter);
    tcase_add_test(tests, flat_images_stay_flat);
    tcase_add_test(tests, senseless_sizes_are_refused);
    suite_add_tcase(suite, tests);
    return mm_check_main(suite);
}
