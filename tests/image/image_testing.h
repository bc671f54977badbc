/* What the image tests share: whole files, CRC-32 as zlib.crc32 counts it, and the noise that make_image_data.py makes too. */
#ifndef MM_TESTS_IMAGE_TESTING_H
#define MM_TESTS_IMAGE_TESTING_H

#include "check_main.h"

#include <stdio.h>
#include <string.h>

#include "maskmill/image.h"

typedef struct test_bytes {
    uint8_t *data;
    size_t size;
} test_bytes;

/* data is NULL when the file is not there. The caller frees data. */
static inline test_bytes read_whole_file(const char *path)
{
    test_bytes bytes = {0};
    FILE *file = fopen(path, "rb");
    if (!file)
        return bytes;
    ck_assert_int_eq(fseek(file, 0, SEEK_END), 0);
    const long size = ftell(file);
    ck_assert_int_ge(size, 0);
    rewind(file);
    bytes = (test_bytes){.data = malloc((size_t)size + 1), .size = (size_t)size};
    ck_assert_ptr_nonnull(bytes.data);
    ck_assert_uint_eq(fread(bytes.data, 1, bytes.size, file), bytes.size);
    ck_assert_int_eq(fclose(file), 0);
    return bytes;
}

static inline test_bytes read_test_data(const char *name, const char *ending)
{
    char path[512];
    ck_assert_int_lt(snprintf(path, sizeof path, "%s/image/%s%s", MM_TEST_DATA, name, ending), (int)sizeof path);
    const test_bytes bytes = read_whole_file(path);
    ck_assert_msg(bytes.data != NULL, "%s is missing", path);
    return bytes;
}

static inline uint32_t crc32_of(const uint8_t *data, size_t size)
{
    uint32_t table[256];
    for (uint32_t i = 0; i < 256; i++) {
        table[i] = i;
        for (int bit = 0; bit < 8; bit++)
            table[i] = table[i] & 1 ? table[i] >> 1 ^ 0xEDB88320u : table[i] >> 1;
    }
    uint32_t crc = 0xFFFFFFFFu;
    for (size_t i = 0; i < size; i++)
        crc = table[(crc ^ data[i]) & 0xFF] ^ crc >> 8;
    return ~crc;
}

static inline uint32_t crc32_of_image(const mm_image *image)
{
    return crc32_of(image->pixels, (size_t)image->width * image->height * 3);
}

static inline mm_image noise_image(uint32_t width, uint32_t height)
{
    mm_image image;
    ck_assert_int_eq(mm_image_new(width, height, &image, NULL), MM_OK);
    for (size_t i = 0; i < (size_t)width * height * 3; i++) {
        uint32_t h = (uint32_t)i * 2654435761u;
        h ^= h >> 15;
        h *= 2246822519u;
        h ^= h >> 13;
        image.pixels[i] = (uint8_t)(h >> 16);
    }
    return image;
}

#endif
