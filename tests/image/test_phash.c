/* The perceptual hash: against its definition in floating point, and how near it stays to itself. */
#include "check_main.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include <jpeglib.h>

#include "maskmill/image.h"

static mm_error err;

typedef struct file_bytes {
    uint8_t *bytes;
    size_t size;
} file_bytes;

static file_bytes read_file(const char *path)
{
    file_bytes file = {0};
    FILE *in = fopen(path, "rb");
    ck_assert_msg(in != NULL, "%s is not there", path);
    ck_assert_int_eq(fseek(in, 0, SEEK_END), 0);
    file.size = (size_t)ftell(in);
    rewind(in);
    file.bytes = malloc(file.size);
    ck_assert_uint_eq(fread(file.bytes, 1, file.size, in), file.size);
    ck_assert_int_eq(fclose(in), 0);
    return file;
}

static file_bytes encode(const mm_image *image, int quality, bool progressive, bool grey)
{
    file_bytes file = {0};
    unsigned long length = 0;
    struct jpeg_error_mgr errors;
    struct jpeg_compress_struct encoder = {.err = jpeg_std_error(&errors)}; /* ends the process if it fails */
    jpeg_create_compress(&encoder);
    jpeg_mem_dest(&encoder, &file.bytes, &length);
    encoder.image_width = image->width;
    encoder.image_height = image->height;
    encoder.input_components = 3;
    encoder.in_color_space = JCS_RGB;
    jpeg_set_defaults(&encoder);
    if (grey)
        jpeg_set_colorspace(&encoder, JCS_GRAYSCALE);
    jpeg_set_quality(&encoder, quality, TRUE);
    if (progressive)
        jpeg_simple_progression(&encoder);
    jpeg_start_compress(&encoder, TRUE);
    while (encoder.next_scanline < encoder.image_height) {
        JSAMPROW row = image->pixels + (size_t)encoder.next_scanline * image->width * 3;
        (void)jpeg_write_scanlines(&encoder, &row, 1); /* to memory: always the one row */
    }
    jpeg_finish_compress(&encoder);
    jpeg_destroy_compress(&encoder);
    file.size = length;
    return file;
}

static uint64_t hash_of(file_bytes file)
{
    uint64_t hash = 1;
    ck_assert_msg(mm_image_phash(file.bytes, file.size, NULL, &hash, &err) == MM_OK, "%s", err.text);
    return hash;
}

static int distance(uint64_t a, uint64_t b)
{
    return __builtin_popcountll(a ^ b);
}

static const char *const photographs[] = {"golden/landscape.jpg", "golden/portrait.jpg", "golden/thumb.jpg"};

static mm_image decode(const char *name, file_bytes *file)
{
    char path[512];
    mm_image image;
    (void)snprintf(path, sizeof path, "%s/%s", MM_TEST_DATA, name);
    *file = read_file(path);
    ck_assert_msg(mm_image_decode_jpeg(file->bytes, file->size, NULL, &image, &err) == MM_OK, "%s", err.text);
    return image;
}

/* docs/formats.md in doubles: grey values, 32 x 32 means, DCT-II, signs. Coefficients near zero may fall either way. */
static uint64_t by_definition(const mm_image *image, uint64_t *unsure)
{
    static double cells[32][32], weights[32][32];
    memset(cells, 0, sizeof cells);
    memset(weights, 0, sizeof weights);
    enum { FINE = 8 }; /* each pixel in FINE x FINE parts, so that cells may cut through it */
    for (uint32_t y = 0; y < image->height * FINE; y++)
        for (uint32_t x = 0; x < image->width * FINE; x++) {
            const uint8_t *rgb = image->pixels + 3 * ((size_t)(y / FINE) * image->width + x / FINE);
            const uint32_t cx = (uint32_t)((x + 0.5) * 32 / (image->width * FINE));
            const uint32_t cy = (uint32_t)((y + 0.5) * 32 / (image->height * FINE));
            cells[cy][cx] += 0.299 * rgb[0] + 0.587 * rgb[1] + 0.114 * rgb[2];
            weights[cy][cx] += 1;
        }
    uint64_t hash = 0;
    int bit = 0;
    *unsure = 0;
    for (int sum = 1; bit < 64; sum++)
        for (int v = 0; v <= sum && bit < 64; v++, bit++) {
            double coefficient = 0;
            for (int y = 0; y < 32; y++)
                for (int x = 0; x < 32; x++)
                    coefficient += cells[y][x] / weights[y][x] * cos((2 * x + 1) * (sum - v) * M_PI / 64) *
                                   cos((2 * y + 1) * v * M_PI / 64);
            hash |= (uint64_t)(coefficient > 0) << bit;
            *unsure |= (uint64_t)(fabs(coefficient) < 60) << bit; /* a quarter of a grey level in a wave */
        }
    return hash;
}

START_TEST(the_hash_is_what_the_definition_says)
{
    file_bytes file;
    uint64_t unsure;
    mm_image image = decode(photographs[_i], &file);
    const uint64_t expected = by_definition(&image, &unsure), hash = hash_of(file);
    ck_assert_int_lt(__builtin_popcountll(unsure), 16);
    ck_assert_msg(((hash ^ expected) & ~unsure) == 0, "%016llx, not %016llx (unsure %016llx)",
                  (unsigned long long)hash, (unsigned long long)expected, (unsigned long long)unsure);
    mm_image_free(&image);
    free(file.bytes);
}
END_TEST

/* Numbers that any machine, any compiler and any SIMD code of libjpeg must give. */
START_TEST(the_hash_is_the_same_everywhere)
{
    static const uint64_t golden[] = {0x557f17c8a90cf220, 0xf70d40c02024295c, 0x8e02c2f2383020cc};
    char path[512];
    (void)snprintf(path, sizeof path, "%s/%s", MM_TEST_DATA, photographs[_i]);
    file_bytes file = read_file(path);
    ck_assert_msg(hash_of(file) == golden[_i], "%s: %#llx", photographs[_i], (unsigned long long)hash_of(file));
    free(file.bytes);
}
END_TEST

/* Larger than 512 pixels a side, read at an eighth of their size; resized, compressed, without colour. */
START_TEST(copies_stay_near)
{
    static const struct {
        uint32_t width, height;
        int quality;
        bool progressive, grey;
    } copies[] = {{1500, 1125, 90, false, false}, {1037, 777, 30, false, false}, {1024, 768, 75, true, false},
                  {512, 384, 75, false, true},    {333, 250, 60, false, false}};
    file_bytes file;
    mm_image image = decode("golden/landscape.jpg", &file);
    const uint64_t original = hash_of(file);
    for (size_t i = 0; i < sizeof copies / sizeof copies[0]; i++) {
        mm_image resized;
        ck_assert_int_eq(mm_image_resize_bilinear(mm_image_whole(&image), copies[i].width, copies[i].height, &resized,
                                                  &err), MM_OK);
        file_bytes copy = encode(&resized, copies[i].quality, copies[i].progressive, copies[i].grey);
        ck_assert_int_le(distance(original, hash_of(copy)), 3);
        free(copy.bytes);
        mm_image_free(&resized);
    }
    mm_image_free(&image);
    free(file.bytes);
}
END_TEST

START_TEST(other_pictures_are_far)
{
    file_bytes one, two;
    mm_image a = decode("golden/landscape.jpg", &one), b = decode("golden/portrait.jpg", &two);
    ck_assert_int_gt(distance(hash_of(one), hash_of(two)), 15);
    mm_image_free(&a);
    mm_image_free(&b);
    free(one.bytes);
    free(two.bytes);
}
END_TEST

/* A file that is to be turned has the hash of the turned picture, unless it is not to be turned. */
START_TEST(orientation_counts)
{
    char name[32];
    file_bytes file;
    (void)snprintf(name, sizeof name, "image/turned%d.jpg", _i);
    mm_image image = decode(name, &file);
    file_bytes upright = encode(&image, 95, false, false);
    ck_assert_int_le(distance(hash_of(file), hash_of(upright)), 3);
    const mm_jpeg_options ignore = {.ignore_orientation = true};
    uint64_t stored = 0;
    ck_assert_int_eq(mm_image_phash(file.bytes, file.size, &ignore, &stored, &err), MM_OK);
    if (_i == 1)
        ck_assert_uint_eq(stored, hash_of(file));
    else
        ck_assert_int_gt(distance(stored, hash_of(file)), 5);
    mm_image_free(&image);
    free(upright.bytes);
    free(file.bytes);
}
END_TEST

START_TEST(cmyk_is_read)
{
    file_bytes file;
    mm_image image = decode("image/cmyk.jpg", &file);
    file_bytes copy = encode(&image, 95, false, false);
    ck_assert_int_le(distance(hash_of(file), hash_of(copy)), 3);
    mm_image_free(&image);
    free(copy.bytes);
    free(file.bytes);
}
END_TEST

/* Sides from 1 pixel on, at the limit of reduced reading, and not divisible by anything. */
START_TEST(any_size_is_hashed)
{
    static const uint32_t sides[][2] = {{1, 1}, {1, 700}, {700, 1}, {31, 33}, {511, 511}, {512, 512}, {513, 1021}};
    file_bytes file;
    mm_image image = decode("golden/landscape.jpg", &file);
    const uint64_t original = hash_of(file);
    for (size_t i = 0; i < sizeof sides / sizeof sides[0]; i++) {
        mm_image resized;
        ck_assert_int_eq(mm_image_resize_bilinear(mm_image_whole(&image), sides[i][0], sides[i][1], &resized, &err),
                         MM_OK);
        file_bytes copy = encode(&resized, 90, false, false);
        const uint64_t hash = hash_of(copy);
        if (sides[i][0] > 500 && sides[i][1] > 500) /* the hash knows no aspect ratio */
            ck_assert_int_le(distance(original, hash), 3);
        if (sides[i][0] == 1 && sides[i][1] == 1)
            ck_assert_uint_eq(hash, 0);
        free(copy.bytes);
        mm_image_free(&resized);
    }
    mm_image_free(&image);
    free(file.bytes);
}
END_TEST

START_TEST(one_shade_has_no_hash)
{
    mm_image image;
    ck_assert_int_eq(mm_image_new(640, 600, &image, &err), MM_OK);
    for (size_t i = 0; i < (size_t)640 * 600 * 3; i++)
        image.pixels[i] = (uint8_t)(200 + (i * 7919 >> 4) % 3); /* noise of two levels */
    file_bytes file = encode(&image, 85, false, false);
    ck_assert_uint_eq(hash_of(file), 0);
    free(file.bytes);
    mm_image_free(&image);
}
END_TEST

START_TEST(damage_is_an_error_and_no_hash)
{
    file_bytes file;
    mm_image image = decode("golden/landscape.jpg", &file);
    const mm_jpeg_options small = {.max_pixels = 100};
    uint64_t hash = 1;
    ck_assert_int_eq(mm_image_phash(file.bytes, file.size / 2, NULL, &hash, &err), MM_ERR_FORMAT);
    ck_assert_uint_eq(hash, 0);
    ck_assert_int_eq(mm_image_phash("text", 4, NULL, &hash, &err), MM_ERR_FORMAT);
    ck_assert_int_eq(mm_image_phash(NULL, 0, NULL, &hash, &err), MM_ERR_FORMAT);
    ck_assert_int_eq(mm_image_phash(file.bytes, file.size, &small, &hash, &err), MM_ERR_LIMIT);
    mm_image_free(&image);
    free(file.bytes);
}
END_TEST

/* Whatever stands in the file: an answer, and nothing read or written out of bounds (the sanitizers watch). */
START_TEST(hostile_bytes_do_no_harm)
{
    char path[512];
    (void)snprintf(path, sizeof path, "%s/%s", MM_TEST_DATA, photographs[_i]);
    file_bytes file = read_file(path);
    uint64_t hash, chance = 1, refused = 0;
    for (size_t cut = 0; cut < file.size; cut += 97)
        refused += mm_image_phash(file.bytes, cut, NULL, &hash, &err) != MM_OK;
    for (int i = 0; i < 400; i++) {
        chance = chance * 6364136223846793005u + 1442695040888963407u;
        const size_t at = (size_t)(chance >> 33) % file.size;
        const uint8_t kept = file.bytes[at];
        file.bytes[at] = (uint8_t)(chance >> 20);
        refused += mm_image_phash(file.bytes, file.size, NULL, &hash, &err) != MM_OK;
        file.bytes[at] = kept;
    }
    ck_assert_uint_ge(refused, (file.size + 96) / 97);
    free(file.bytes);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("image/phash");
    TCase *cases = tcase_create("all");
    tcase_set_timeout(cases, 60);
    tcase_add_loop_test(cases, the_hash_is_what_the_definition_says, 0, 3);
    tcase_add_loop_test(cases, the_hash_is_the_same_everywhere, 0, 3);
    tcase_add_test(cases, copies_stay_near);
    tcase_add_test(cases, other_pictures_are_far);
    tcase_add_loop_test(cases, orientation_counts, 1, 9);
    tcase_add_test(cases, cmyk_is_read);
    tcase_add_test(cases, any_size_is_hashed);
    tcase_add_test(cases, one_shade_has_no_hash);
    tcase_add_test(cases, damage_is_an_error_and_no_hash);
    tcase_add_loop_test(cases, hostile_bytes_do_no_harm, 0, 3);
    suite_add_tcase(suite, cases);
    return mm_check_main(suite);
}
