/* Decoding against Pillow's pixels: every kind of JPEG, every orientation, and real photographs where they are installed. */
#include "image_testing.h"

static void assert_equals_golden(const char *name, uint32_t width, uint32_t height, const mm_image *image)
{
    ck_assert_msg(image->width == width && image->height == height, "%s: %u x %u, not %u x %u", name, image->width,
                  image->height, width, height);
    const test_bytes golden = read_test_data(name, ".rgb");
    ck_assert_uint_eq(golden.size, (size_t)width * height * 3);
    for (size_t i = 0; i < golden.size; i++)
        ck_assert_msg(image->pixels[i] == golden.data[i], "%s: pixel (%zu, %zu) channel %zu is %u, Pillow's is %u", name,
                      i / 3 % width, i / 3 / width, i % 3, image->pixels[i], golden.data[i]);
    free(golden.data);
}

START_TEST(every_kind_equals_pillow)
{
    const test_bytes list = read_test_data("decode", ".txt");
    list.data[list.size] = '\0';
    int cases = 0;
    for (char *line = strtok((char *)list.data, "\n"); line; line = strtok(NULL, "\n"), cases++) {
        char name[64];
        unsigned width, height;
        ck_assert_int_eq(sscanf(line, "%63s %u %u", name, &width, &height), 3);
        const test_bytes file = read_test_data(name, ".jpg");
        mm_error err = {0};
        mm_image image;
        ck_assert_msg(mm_image_decode_jpeg(file.data, file.size, NULL, &image, &err) == MM_OK, "%s: %s", name, err.text);
        assert_equals_golden(name, width, height, &image);
        mm_jpeg_info info;
        ck_assert_int_eq(mm_image_probe_jpeg(file.data, file.size, NULL, &info, &err), MM_OK);
        ck_assert_uint_eq(info.width, width);
        ck_assert_uint_eq(info.height, height);
        mm_image_free(&image);
        free(file.data);
    }
    ck_assert_int_eq(cases, 26);
    free(list.data);
}
END_TEST

START_TEST(ignored_orientation_leaves_the_image_as_stored)
{
    const mm_jpeg_options ignore = {.ignore_orientation = true};
    for (unsigned turn = 1; turn <= 8; turn++) {
        char name[16];
        (void)snprintf(name, sizeof name, "turned%u", turn); /* always fits */
        const test_bytes file = read_test_data(name, ".jpg");
        mm_image image;
        mm_jpeg_info info;
        ck_assert_int_eq(mm_image_decode_jpeg(file.data, file.size, &ignore, &image, NULL), MM_OK);
        assert_equals_golden("turned1", 21, 13, &image); /* the eight files hold the same stored pixels */
        ck_assert_int_eq(mm_image_probe_jpeg(file.data, file.size, &ignore, &info, NULL), MM_OK);
        ck_assert_uint_eq(info.width, 21);
        ck_assert_uint_eq(info.height, 13);
        ck_assert_uint_eq(info.orientation, turn);
        mm_image_free(&image);
        free(file.data);
    }
}
END_TEST

START_TEST(size_limit_is_on_pixels_and_inclusive)
{
    const test_bytes file = read_test_data("ycc420", ".jpg");
    mm_error err = {0};
    mm_image image;
    const mm_jpeg_options exact = {.max_pixels = 37 * 29}, less = {.max_pixels = 37 * 29 - 1};
    ck_assert_int_eq(mm_image_decode_jpeg(file.data, file.size, &exact, &image, &err), MM_OK);
    mm_image_free(&image);
    ck_assert_int_eq(mm_image_decode_jpeg(file.data, file.size, &less, &image, &err), MM_ERR_LIMIT);
    ck_assert_str_eq(err.text, "37 x 29 pixels are more than the limit of 1072; raise the limit to use it");
    ck_assert_ptr_null(image.pixels);
    mm_jpeg_info info;
    ck_assert_int_eq(mm_image_probe_jpeg(file.data, file.size, &less, &info, &err), MM_OK);
    free(file.data);
}
END_TEST

/* The first part of a file suffices for the probe, from the end of the frame header on and not before. */
START_TEST(probe_needs_the_header_only)
{
    const test_bytes file = read_test_data("turned6", ".jpg");
    bool seen = false;
    for (size_t size = 0; size <= file.size; size++) {
        mm_jpeg_info info = {0};
        const mm_status status = mm_image_probe_jpeg(file.data, size, NULL, &info, NULL);
        ck_assert_int_eq(status, seen || status == MM_OK ? MM_OK : MM_ERR_FORMAT);
        if (status == MM_OK) {
            ck_assert_uint_eq(info.width, 13);
            ck_assert_uint_eq(info.height, 21);
            ck_assert_uint_eq(info.orientation, 6);
            if (!seen) {
                ck_assert_uint_lt(size, file.size / 2);
                ck_assert_uint_eq(file.data[size - 19], 0xFF);
                ck_assert_uint_eq(file.data[size - 18], 0xC0);
            }
            seen = true;
        }
    }
    ck_assert(seen);
    free(file.data);
}
END_TEST

/* Stray bytes in front of a header segment and behind the end marker are common in the wild and hurt nothing. */
START_TEST(stray_bytes_outside_the_pixels_are_stepped_over)
{
    const test_bytes file = read_test_data("ycc420", ".jpg");
    uint8_t *longer = malloc(file.size + 40);
    memcpy(longer, file.data, 2);
    memcpy(longer + 2, "\0\0stray", 7);
    memcpy(longer + 9, file.data + 2, file.size - 2);
    memset(longer + 7 + file.size, 0x55, 33);
    mm_error err = {0};
    mm_image image;
    ck_assert_msg(mm_image_decode_jpeg(longer, file.size + 40, NULL, &image, &err) == MM_OK, "%s", err.text);
    assert_equals_golden("ycc420", 37, 29, &image);
    mm_image_free(&image);
    free(longer);
    free(file.data);
}
END_TEST

START_TEST(photographs_equal_pillow)
{
    const test_bytes list = read_test_data("photographs", ".txt");
    list.data[list.size] = '\0';
    int compared = 0;
    for (char *line = strtok((char *)list.data, "\n"); line; line = strtok(NULL, "\n")) {
        char path[256];
        size_t bytes;
        unsigned file_crc, width, height, crc, resized_width, resized_height, resized_crc;
        ck_assert_int_eq(sscanf(line, "%255s %zu %x %u %u %x %u %u %x", path, &bytes, &file_crc, &width, &height, &crc,
                                &resized_width, &resized_height, &resized_crc), 9);
        const test_bytes file = read_whole_file(path);
        /* Other releases of the package may hold other pictures. */
        if (!file.data || file.size != bytes || crc32_of(file.data, file.size) != file_crc) {
            free(file.data);
            continue;
        }
        mm_error err = {0};
        mm_image image, resized;
        ck_assert_msg(mm_image_decode_jpeg(file.data, file.size, NULL, &image, &err) == MM_OK, "%s: %s", path, err.text);
        ck_assert_uint_eq(image.width, width);
        ck_assert_uint_eq(image.height, height);
        ck_assert_msg(crc32_of_image(&image) == crc, "%s: the pixels differ from Pillow's", path);
        ck_assert_int_eq(mm_image_resize_bilinear(mm_image_whole(&image), resized_width, resized_height, &resized, &err),
                         MM_OK);
        ck_assert_msg(crc32_of_image(&resized) == resized_crc, "%s: the resized pixels differ from Pillow's", path);
        mm_image_free(&resized);
        mm_image_free(&image);
        free(file.data);
        compared++;
    }
    printf("photographs of mate-backgrounds compared: %d\n", compared);
    free(list.data);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("image/jpeg");
    TCase *tests = tcase_create("decode");
    tcase_set_timeout(tests, 120);
    tcase_add_test(tests, every_kind_equals_pillow);
    tcase_add_test(tests, ignored_orientation_leaves_the_image_as_stored);
    tcase_add_test(tests, size_limit_is_on_pixels_and_inclusive);
    tcase_add_test(tests, probe_needs_the_header_only);
    tcase_add_test(tests, stray_bytes_outside_the_pixels_are_stepped_over);
    tcase_add_test(tests, photographs_equal_pillow);
    suite_add_tcase(suite, tests);
    return mm_check_main(suite);
}
