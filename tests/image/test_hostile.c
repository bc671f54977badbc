/* Files that are cut, damaged, lying or of another kind: always a status and one line, never a crash, never a wrong image. */
#include "image_testing.h"

#include <sys/resource.h>

#include "image/jpeg_frame.h"

#if defined(__SANITIZE_ADDRESS__)
#define MM_TEST_ADDRESS_SANITIZER 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define MM_TEST_ADDRESS_SANITIZER 1
#endif
#endif

/* Decode a copy that ends where its memory ends, so that the sanitizers see a read behind it. */
static mm_status decode(const uint8_t *data, size_t size, uint64_t max_pixels, mm_image *image, mm_error *err)
{
    uint8_t *exact = malloc(size ? size : 1);
    if (size)
        memcpy(exact, data, size);
    const mm_jpeg_options options = {.max_pixels = max_pixels};
    *err = (mm_error){0};
    const mm_status status = mm_image_decode_jpeg(exact, size, &options, image, err);
    if (status != MM_OK) {
        ck_assert_ptr_null(image->pixels);
        ck_assert_int_eq(err->status, status);
        ck_assert_uint_gt(strlen(err->text), 10);
    }
    free(exact);
    return status;
}

static void expect(const uint8_t *data, size_t size, uint64_t max_pixels, mm_status status, const char *part)
{
    mm_error err;
    mm_image image;
    const mm_status got = decode(data, size, max_pixels, &image, &err);
    ck_assert_msg(got == status, "%s instead of %s: %s", mm_status_name(got), mm_status_name(status), err.text);
    ck_assert_msg(strstr(err.text, part) != NULL, "\"%s\" is not in: %s", part, err.text);
}

/* Where the segment with this marker begins; the samples hold each marker that is asked for. */
static size_t find_marker(test_bytes file, uint8_t marker)
{
    for (size_t at = 2; at + 4 < file.size; at += 2 + (size_t)(file.data[at + 2] << 8 | file.data[at + 3]))
        if (file.data[at + 1] == marker)
            return at;
    ck_abort_msg("no marker 0x%02x", marker);
}

START_TEST(cut_files_are_refused_at_every_length)
{
    static const char *const names[] = {"one_pixel", "grey",  "ycc420",  "ycc420_progressive",
                                        "cmyk",      "scans", "restarts", "turned6"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        const test_bytes file = read_test_data(names[i], ".jpg");
        for (size_t size = 0; size < file.size; size++) {
            mm_error err;
            mm_image image;
            const mm_status status = decode(file.data, size, 0, &image, &err);
            ck_assert_msg(status == MM_ERR_FORMAT, "%s cut to %zu of %zu bytes: %s (%s)", names[i], size, file.size,
                          mm_status_name(status), err.text);
        }
        free(file.data);
    }
}
END_TEST

START_TEST(flipped_bytes_never_break_the_decoder)
{
    static const char *const names[] = {"ycc420", "ycc422_progressive", "ycck", "scans", "restarts", "turned5"};
    static const uint8_t flips[] = {0x01, 0x80, 0xFF};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        const test_bytes file = read_test_data(names[i], ".jpg");
        for (size_t at = 0; at < file.size; at++) {
            for (size_t f = 0; f < sizeof flips; f++) {
                file.data[at] ^= flips[f];
                mm_error err;
                mm_image image;
                mm_jpeg_info info;
                const mm_status status = decode(file.data, file.size, 0, &image, &err);
                const mm_status probed = mm_image_probe_jpeg(file.data, file.size, NULL, &info, NULL);
                if (status == MM_OK) {
                    ck_assert_int_eq(probed, MM_OK);
                    ck_assert_uint_eq(image.width, info.width);
                    ck_assert_uint_eq(image.height, info.height);
                    mm_image_free(&image);
                } else {
                    ck_assert_msg(status == MM_ERR_FORMAT || status == MM_ERR_UNSUPPORTED || status == MM_ERR_LIMIT,
                                  "%s: byte %zu: %s", names[i], at, err.text);
                }
                file.data[at] ^= flips[f];
            }
        }
        free(file.data);
    }
}
END_TEST

START_TEST(other_files_are_no_jpegs)
{
    static const uint8_t png[] = "\x89PNG\r\n\x1a\n\0\0\0\rIHDR", text[] = "#!/bin/sh\n", start[] = "\xFF\xD8";
    static const uint8_t start_end[] = "\xFF\xD8\xFF\xD9", short_length[] = "\xFF\xD8\xFF\xE1\0\1\0\0";
    static const uint8_t scan_first[] = "\xFF\xD8\xFF\xDA\0\2", long_length[] = "\xFF\xD8\xFF\xE1\xFF\xFF" "Exif\0";
    expect(png, 0, 0, MM_ERR_FORMAT, "empty");
    expect(png, sizeof png, 0, MM_ERR_FORMAT, "not a JPEG: it begins with 0x89 0x50");
    expect(text, sizeof text, 0, MM_ERR_FORMAT, "not a JPEG");
    expect(start, 1, 0, MM_ERR_FORMAT, "not a JPEG");
    expect(start, 2, 0, MM_ERR_FORMAT, "without a frame header");
    expect(start_end, 4, 0, MM_ERR_FORMAT, "no frame header before marker 0xd9");
    expect(scan_first, 6, 0, MM_ERR_FORMAT, "no frame header before marker 0xda");
    expect(short_length, 8, 0, MM_ERR_FORMAT, "marker 0xe1 at byte 2 has the wrong length");
    expect(long_length, sizeof long_length, 0, MM_ERR_FORMAT, "before its frame header");
}
END_TEST

static void set_size(test_bytes file, uint8_t frame_marker, unsigned width, unsigned height)
{
    uint8_t *sides = file.data + find_marker(file, frame_marker) + 5;
    sides[0] = (uint8_t)(height >> 8);
    sides[1] = (uint8_t)height;
    sides[2] = (uint8_t)(width >> 8);
    sides[3] = (uint8_t)width;
}

START_TEST(false_sizes_get_no_memory)
{
#ifndef MM_TEST_ADDRESS_SANITIZER
    /* An attempt at the gigabytes that these headers ask for is then MM_ERR_NOMEM, which is not expected. */
    struct rlimit before;
    ck_assert_int_eq(getrlimit(RLIMIT_AS, &before), 0);
    const struct rlimit half_a_gigabyte = {.rlim_cur = 512u << 20, .rlim_max = before.rlim_max};
    ck_assert_int_eq(setrlimit(RLIMIT_AS, &half_a_gigabyte), 0);
#endif
    static const struct {
        const char *name;
        uint8_t marker;
    } samples[] = {{"grey", 0xC0}, {"ycc420", 0xC0}, {"scans", 0xC0}, {"grey_progressive", 0xC2}, {"cmyk_progressive", 0xC2}};
    for (size_t i = 0; i < sizeof samples / sizeof samples[0]; i++) {
        const test_bytes file = read_test_data(samples[i].name, ".jpg");
        set_size(file, samples[i].marker, 65500, 65500);
        expect(file.data, file.size, 0, MM_ERR_FORMAT, "65500 x 65500 pixels need at least");
        expect(file.data, file.size, 100000000, MM_ERR_LIMIT, "65500 x 65500 pixels are more than the limit of 100000000");
        set_size(file, samples[i].marker, 65535, 20);
        expect(file.data, file.size, 0, MM_ERR_LIMIT, "Maximum supported image dimension");
        set_size(file, samples[i].marker, 0, 20);
        expect(file.data, file.size, 0, MM_ERR_FORMAT, "0 pixels wide");
        set_size(file, samples[i].marker, 20, 0);
        expect(file.data, file.size, 0, MM_ERR_UNSUPPORTED, "DNL");
        free(file.data);
    }
#ifndef MM_TEST_ADDRESS_SANITIZER
    ck_assert_int_eq(setrlimit(RLIMIT_AS, &before), 0);
#endif
}
END_TEST

START_TEST(kinds_that_are_not_decoded_are_named)
{
    static const struct {
        uint8_t marker;
        const char *part;
    } kinds[] = {{0xC3, "lossless"},         {0xC5, "hierarchical"},           {0xC9, "arithmetic-coded"},
                 {0xCA, "arithmetic-coded"}, {0xCF, "hierarchical lossless"}};
    const test_bytes file = read_test_data("ycc420", ".jpg");
    const size_t frame = find_marker(file, 0xC0);
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
        file.data[frame + 1] = kinds[i].marker;
        expect(file.data, file.size, 0, MM_ERR_UNSUPPORTED, kinds[i].part);
    }
    file.data[frame + 1] = 0xC1;
    file.data[frame + 4] = 12;
    expect(file.data, file.size, 0, MM_ERR_UNSUPPORTED, "12 bits a sample");
    file.data[frame + 4] = 8;
    file.data[frame + 9] = 2;
    expect(file.data, file.size, 0, MM_ERR_FORMAT, "wrong length");
    file.data[frame + 3] = 8 + 2 * 3;
    expect(file.data, file.size, 0, MM_ERR_UNSUPPORTED, "2 components");
    free(file.data);
}
END_TEST

static void append(test_bytes *file, const void *data, size_t size)
{
    memcpy(file->data + file->size, data, size);
    file->size += size;
}

#define APPEND(file, literal) append(file, literal, sizeof literal - 1)

/* An 8 x 8 grey progressive JPEG, all 128, that takes `scans` scans to say so: DC, then one coefficient after the
 * other from bit 13 down to bit 0. Each Huffman table holds one symbol (0: no difference, or end of block), the code
 * of which is a single 0 bit. The caller frees. */
static test_bytes many_scans(int scans)
{
    test_bytes file = {.data = malloc(1024 + 16 * (size_t)scans)};
    APPEND(&file, "\xFF\xD8\xFF\xDB\0\x43\0");
    for (int i = 0; i < 64; i++)
        APPEND(&file, "\1");
    APPEND(&file, "\xFF\xC2\0\x0B\x08\0\x08\0\x08\1\1\x11\0");
    APPEND(&file, "\xFF\xC4\0\x14\0\1\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0");
    APPEND(&file, "\xFF\xC4\0\x14\x10\1\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0");
    APPEND(&file, "\xFF\xDA\0\x08\1\1\0\0\0\0\x7F");
    for (int scan = 1; scan < scans; scan++) {
        const int coefficient = 1 + (scan - 1) / 14, low = 13 - (scan - 1) % 14, high = low == 13 ? 0 : low + 1;
        const uint8_t bytes[] = {0xFF, 0xDA, 0, 8, 1, 1, 0, (uint8_t)coefficient, (uint8_t)coefficient,
                                 (uint8_t)(high << 4 | low), 0x7F};
        append(&file, bytes, sizeof bytes);
    }
    APPEND(&file, "\xFF\xD9");
    return file;
}

START_TEST(scans_are_limited)
{
    test_bytes file = many_scans(200);
    mm_error err;
    mm_image image;
    ck_assert_msg(decode(file.data, file.size, 0, &image, &err) == MM_OK, "%s", err.text);
    ck_assert_uint_eq(image.width, 8);
    for (int i = 0; i < 8 * 8 * 3; i++)
        ck_assert_uint_eq(image.pixels[i], 128);
    mm_image_free(&image);
    free(file.data);
    file = many_scans(201);
    expect(file.data, file.size, 0, MM_ERR_LIMIT, "more than 200 scans");
    free(file.data);
    file = many_scans(1 + 63 * 14);
    expect(file.data, file.size, 0, MM_ERR_LIMIT, "more than 200 scans");
    free(file.data);
}
END_TEST

/* A file whose last scan is left out, but which has its end marker. */
START_TEST(missing_colour_is_damage)
{
    const test_bytes file = read_test_data("scans", ".jpg");
    size_t last = file.size - 2;
    while (file.data[last] != 0xFF || file.data[last + 1] != 0xDA)
        last--;
    memcpy(file.data + last, "\xFF\xD9", 2);
    expect(file.data, last + 2, 0, MM_ERR_FORMAT, "scans of some colour components are missing");
    free(file.data);
}
END_TEST

START_TEST(left_over_data_behind_a_scan_is_damage)
{
    const test_bytes file = read_test_data("ycc444", ".jpg");
    test_bytes longer = {.data = malloc(file.size + 64)};
    append(&longer, file.data, file.size - 2);
    for (int i = 0; i < 40; i++)
        APPEND(&longer, "\x5A");
    APPEND(&longer, "\xFF\xD9");
    expect(longer.data, longer.size, 0, MM_ERR_FORMAT, "extraneous bytes before marker 0xd9");
    free(longer.data);
    free(file.data);
}
END_TEST

static const uint8_t little[] = "Exif\0\0II\x2A\0\x08\0\0\0\1\0\x12\1\3\0\1\0\0\0\6\0\0\0\0\0\0";
static const uint8_t big[] = "Exif\0\0MM\0\x2A\0\0\0\x08\0\1\1\x12\0\3\0\0\0\1\0\x08\0\0\0\0\0\0";
enum { EXIF_BYTES = 28, EXIF_NEEDED = 6 + 8 + 2 + 12 };

START_TEST(exif_is_read_within_its_bounds)
{
    ck_assert_uint_eq(mm_exif_orientation(little, sizeof little - 1), 6);
    ck_assert_uint_eq(mm_exif_orientation(big, sizeof big - 1), 8);
    const uint8_t *const both[] = {little, big};
    for (int order = 0; order < 2; order++) {
        for (size_t size = 0; size <= EXIF_BYTES; size++) {
            uint8_t *exact = malloc(size ? size : 1);
            memcpy(exact, both[order], size);
            ck_assert_uint_eq(mm_exif_orientation(exact, size), size < EXIF_NEEDED ? 0 : order == 0 ? 6 : 8);
            free(exact);
        }
        for (size_t at = 0; at < EXIF_BYTES; at++) {
            for (unsigned value = 0; value < 256; value++) {
                uint8_t *changed = malloc(EXIF_BYTES);
                memcpy(changed, both[order], EXIF_BYTES);
                changed[at] = (uint8_t)value;
                ck_assert_uint_le(mm_exif_orientation(changed, EXIF_BYTES), 8);
                free(changed);
            }
        }
    }
}
END_TEST

START_TEST(senseless_exif_leaves_the_image_upright)
{
    static const struct {
        size_t at;
        uint8_t value;
    } changes[] = {{24, 0}, {24, 9}, {25, 1} /* 262 */, {20, 2} /* two values */, {18, 2} /* text */,
                   {10, 0xFF} /* directory elsewhere */, {6, 'X'}, {8, 43}, {0, 'e'}};
    const test_bytes file = read_test_data("turned1", ".jpg");
    for (size_t i = 0; i < sizeof changes / sizeof changes[0]; i++) {
        test_bytes changed = {.data = malloc(file.size + 64)};
        APPEND(&changed, "\xFF\xD8\xFF\xE1\0\x1E");
        append(&changed, little, EXIF_BYTES);
        changed.data[6 + changes[i].at] = changes[i].value;
        const size_t tables = find_marker(file, 0xDB);
        append(&changed, file.data + tables, file.size - tables);
        mm_jpeg_info info;
        ck_assert_int_eq(mm_image_probe_jpeg(changed.data, changed.size, NULL, &info, NULL), MM_OK);
        ck_assert_msg(info.orientation == 1, "change %zu gives orientation %u", i, info.orientation);
        changed.data[6 + changes[i].at] = little[changes[i].at];
        ck_assert_int_eq(mm_image_probe_jpeg(changed.data, changed.size, NULL, &info, NULL), MM_OK);
        ck_assert_uint_eq(info.orientation, 6);
        free(changed.data);
    }
    free(file.data);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("image/hostile");
    TCase *tests = tcase_create("files");
    tcase_set_timeout(tests, 120);
    tcase_add_test(tests, cut_files_are_refused_at_every_length);
    tcase_add_test(tests, flipped_bytes_never_break_the_decoder);
    tcase_add_test(tests, other_files_are_no_jpegs);
    tcase_add_test(tests, false_sizes_get_no_memory);
    tcase_add_test(tests, kinds_that_are_not_decoded_are_named);
    tcase_add_test(tests, scans_are_limited);
    tcase_add_test(tests, missing_colour_is_damage);
    tcase_add_test(tests, left_over_data_behind_a_scan_is_damage);
    tcase_add_test(tests, exif_is_read_within_its_bounds);
    tcase_add_test(tests, senseless_exif_leaves_the_image_upright);
    suite_add_tcase(suite, tests);
    return mm_check_main(suite);
}
