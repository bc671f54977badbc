/* What goes out: PNG files, read back with libpng's own reader, and masks over a photograph. */
#include "image_testing.h"

#include <math.h>
#include <png.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

START_TEST(png_holds_the_pixels_of_the_view)
{
    char path[] = "/tmp/maskmill_test_XXXXXX";
    const int descriptor = mkstemp(path);
    ck_assert_int_ge(descriptor, 0);
    ck_assert_int_eq(close(descriptor), 0);
    mm_image image = noise_image(61, 43);
    const mm_image_view view = mm_image_crop(mm_image_whole(&image), 5, 7, 58, 40);
    mm_error err = {0};
    ck_assert_msg(mm_image_write_png(path, view, &err) == MM_OK, "%s", err.text);
    png_image png = {.version = PNG_IMAGE_VERSION};
    ck_assert_int_ne(png_image_begin_read_from_file(&png, path), 0);
    ck_assert_uint_eq(png.width, 53);
    ck_assert_uint_eq(png.height, 33);
    ck_assert_uint_eq(png.format, PNG_FORMAT_RGB);
    uint8_t pixels[33][53 * 3];
    ck_assert_int_ne(png_image_finish_read(&png, NULL, pixels, 53 * 3, NULL), 0);
    for (uint32_t y = 0; y < 33; y++)
        ck_assert_mem_eq(pixels[y], view.pixels + y * view.stride, 53 * 3);
    ck_assert_int_eq(unlink(path), 0);
    mm_image_free(&image);
}
END_TEST

START_TEST(png_that_cannot_be_written_is_an_error_and_leaves_nothing)
{
    mm_image image = noise_image(100, 100);
    const mm_image_view view = mm_image_whole(&image);
    mm_error err = {0};
    ck_assert_int_eq(mm_image_write_png("/nonexistent/a.png", view, &err), MM_ERR_IO);
    ck_assert_str_eq(err.text, "cannot write /nonexistent/a.png: No such file or directory");
    ck_assert_int_eq(mm_image_write_png("/", view, &err), MM_ERR_IO);
    struct stat status;
    if (stat("/dev/full", &status) == 0) {
        ck_assert_int_eq(mm_image_write_png("/dev/full", view, &err), MM_ERR_IO);
        ck_assert_str_eq(err.text, "cannot write /dev/full: No space left on device");
        ck_assert_int_eq(stat("/dev/full", &status), 0);
    }
    ck_assert_int_eq(mm_image_write_png("/tmp/x.png", mm_image_crop(view, 3, 3, 3, 9), &err), MM_ERR_USAGE);
    mm_image_free(&image);
}
END_TEST

START_TEST(half_a_png_is_removed)
{
    char folder[] = "/tmp/maskmill_test_XXXXXX", path[64];
    ck_assert_ptr_nonnull(mkdtemp(folder));
    (void)snprintf(path, sizeof path, "%s/a.png", folder); /* always fits */
    mm_image image = noise_image(300, 300);
    mm_error err = {0};
    struct rlimit before;
    ck_assert_int_eq(getrlimit(RLIMIT_FSIZE, &before), 0);
    const struct rlimit four_kilobytes = {.rlim_cur = 4096, .rlim_max = before.rlim_max};
    ck_assert(signal(SIGXFSZ, SIG_IGN) != SIG_ERR);
    ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &four_kilobytes), 0);
    const mm_status status = mm_image_write_png(path, mm_image_whole(&image), &err);
    ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &before), 0);
    const int exists = access(path, F_OK) == 0;
    (void)unlink(path); /* there only if the test fails */
    ck_assert_int_eq(rmdir(folder), 0);
    ck_assert_int_eq(status, MM_ERR_IO);
    ck_assert_ptr_nonnull(strstr(err.text, "File too large"));
    ck_assert_int_eq(exists, 0);
    mm_image_free(&image);
}
END_TEST

static bool inside(const uint8_t *bits, int width, int height, int x, int y)
{
    return x >= 0 && y >= 0 && x < width && y < height && bits[y * width + x];
}

static void check_blend(float alpha, float weight, bool outline)
{
    enum { WIDTH = 23, HEIGHT = 17 };
    static const uint8_t colour[3] = {255, 0, 90};
    static const int neighbours[4][2] = {{-1, 0}, {1, 0}, {0, -1}, {0, 1}};
    mm_image image = noise_image(WIDTH, HEIGHT);
    const mm_image before = noise_image(WIDTH, HEIGHT);
    uint8_t bits[WIDTH * HEIGHT];
    for (int y = 0; y < HEIGHT; y++)
        for (int x = 0; x < WIDTH; x++)
            bits[y * WIDTH + x] = (x - 16) * (x - 16) + (y - 5) * (y - 5) < 60 || (x == 1 && y == 14) ? 255 : 0;
    mm_image_blend_mask(&image, bits, colour, alpha, outline);
    for (int y = 0; y < HEIGHT; y++) {
        for (int x = 0; x < WIDTH; x++) {
            bool border = false;
            for (int n = 0; n < 4; n++)
                border |= !inside(bits, WIDTH, HEIGHT, x + neighbours[n][0], y + neighbours[n][1]);
            for (int c = 0; c < 3; c++) {
                const int at = 3 * (y * WIDTH + x) + c;
                const double old = before.pixels[at];
                const double expected = !bits[y * WIDTH + x] ? old
                                        : outline && border  ? colour[c]
                                                             : old + weight * (colour[c] - old);
                ck_assert_double_le(fabs(image.pixels[at] - expected), bits[y * WIDTH + x] ? 0.501 : 0);
            }
        }
    }
    mm_image_free(&image);
    mm_image last = before;
    mm_image_free(&last);
}

START_TEST(jpeg_in_memory_is_what_went_in_up_to_its_losses)
{
    mm_image image, back;
    mm_error err = {0};
    ck_assert_int_eq(mm_image_new(120, 80, &image, &err), MM_OK);
    for (uint32_t y = 0; y < 80; y++)
        for (uint32_t x = 0; x < 120; x++) {
            const uint8_t rgb[3] = {(uint8_t)(2 * x), (uint8_t)(3 * y), (uint8_t)(255 - x - y)};
            memcpy(image.pixels + 3 * (y * 120 + x), rgb, 3);
        }
    const mm_image_view view = mm_image_crop(mm_image_whole(&image), 5, 7, 118, 80);
    uint8_t *bytes = NULL, *again = NULL;
    size_t size = 0, size_again = 0;
    ck_assert_msg(mm_image_encode_jpeg(view, 95, &bytes, &size, &err) == MM_OK, "%s", err.text);
    ck_assert_int_eq(mm_image_encode_jpeg(view, 95, &again, &size_again, &err), MM_OK);
    ck_assert_uint_eq(size, size_again);
    ck_assert_mem_eq(bytes, again, size);
    ck_assert_uint_lt(size, 113 * 73 * 3 / 4);
    ck_assert_msg(mm_image_decode_jpeg(bytes, size, NULL, &back, &err) == MM_OK, "%s", err.text);
    ck_assert(back.width == 113 && back.height == 73);
    for (uint32_t y = 0; y < 73; y++)
        for (uint32_t i = 0; i < 113 * 3; i++)
            ck_assert_int_le(abs(back.pixels[y * 113 * 3 + i] - view.pixels[y * view.stride + i]), 10);
    const mm_image_view empty = {view.pixels, 0, 3, 9}, tall = {view.pixels, 1, 70000, 3};
    ck_assert_int_eq(mm_image_encode_jpeg(empty, 95, &bytes, &size, &err), MM_ERR_USAGE);
    ck_assert_int_eq(mm_image_encode_jpeg(tall, 95, &bytes, &size, &err), MM_ERR_USAGE);
    free(bytes);
    free(again);
    mm_image_free(&back);
    mm_image_free(&image);
}
END_TEST

START_TEST(masks_are_laid_over_the_image)
{
    check_blend(0.4f, 0.4f, true);
    check_blend(0.4f, 0.4f, false);
    check_blend(0, 0, true);
    check_blend(1, 1, false);
    check_blend(7, 1, false);
    check_blend(-1, 0, false);
    check_blend(NAN, 0, false);
}
END_TEST

START_TEST(crops_of_crops_are_views)
{
    mm_image image = noise_image(20, 10);
    const mm_image_view crop = mm_image_crop(mm_image_crop(mm_image_whole(&image), 3, 2, 18, 9), 4, 1, 6, 5);
    ck_assert_ptr_eq(crop.pixels, image.pixels + 3 * (20 * 3 + 7));
    ck_assert_uint_eq(crop.width, 2);
    ck_assert_uint_eq(crop.height, 4);
    ck_assert_uint_eq(crop.stride, 60);
    mm_image_free(&image);
    ck_assert_ptr_null(image.pixels);
    ck_assert_int_eq(mm_image_new(0, 3, &image, NULL), MM_ERR_USAGE);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("image/output");
    TCase *tests = tcase_create("output");
    tcase_add_test(tests, png_holds_the_pixels_of_the_view);
    tcase_add_test(tests, png_that_cannot_be_written_is_an_error_and_leaves_nothing);
    tcase_add_test(tests, half_a_png_is_removed);
    tcase_add_test(tests, jpeg_in_memory_is_what_went_in_up_to_its_losses);
    tcase_add_test(tests, masks_are_laid_over_the_image);
    tcase_add_test(tests, crops_of_crops_are_views);
    suite_add_tcase(suite, tests);
    return mm_check_main(suite);
}
