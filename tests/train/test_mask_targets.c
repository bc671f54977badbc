/* Shares of low-res pixels against counting pixels of a picture, padding, and points on masks. */
#include <math.h>

#include "check_main.h"
#include "train/mask_targets.h"
#include "train/upscaling.h"

enum { SIDE = 4, LOW = 4 * SIDE, FINE = 48 };

/* A ring, in a picture of any size. */
static mm_rle ring(uint32_t width, uint32_t height)
{
    uint8_t *bits = calloc((size_t)width * height, 1);
    ck_assert_ptr_nonnull(bits);
    for (uint32_t y = 0; y < height; y++)
        for (uint32_t x = 0; x < width; x++) {
            const double far = hypot((x + 0.5) / width - 0.4, (y + 0.5) / height - 0.6);
            bits[(size_t)y * width + x] = far < 0.35 && far > 0.15;
        }
    mm_rle rle;
    ck_assert_int_eq(mm_rle_from_bits(bits, height, width, &rle, NULL), MM_OK);
    free(bits);
    return rle;
}

/* The share of low-res pixel (x, y) by sampling FINE x FINE points of it; -1 where its centre is in the padding. */
static double sampled(const uint8_t *bits, uint32_t width, uint32_t height, const mm_frame *frame, size_t x, size_t y)
{
    const double wide = (double)frame->input_width * LOW / frame->image_size;
    const double high = (double)frame->input_height * LOW / frame->image_size;
    size_t inside = 0;
    if ((double)x + 0.5 > wide || (double)y + 0.5 > high)
        return -1;
    for (size_t i = 0; i < FINE * FINE; i++) {
        const double u = ((double)x + ((double)(i % FINE) + 0.5) / FINE) / wide * width;
        const double v = ((double)y + ((double)(i / FINE) + 0.5) / FINE) / high * height;
        inside += u < width && v < height && bits[(size_t)v * width + (size_t)u];
    }
    return (double)inside / (FINE * FINE);
}

static void check(uint32_t width, uint32_t height, uint32_t input_width, uint32_t input_height)
{
    const mm_frame frame = {width, height, input_width, input_height, 64, LOW};
    const mm_rle rle = ring(width, height);
    uint8_t *bits = malloc((size_t)width * height);
    ck_assert_ptr_nonnull(bits);
    mm_rle_to_bits(&rle, bits);
    float target[LOW * LOW], scratch[LOW * LOW], grid[LOW * LOW];
    ck_assert_int_eq(mm_mask_target(&rle, &frame, SIDE, target, scratch, NULL), MM_OK);
    mm_cells_to_grid(target, SIDE, grid);
    double most = 0;
    for (size_t i = 0; i < LOW * LOW; i++)
        most = fmax(most, fabs(grid[i] - sampled(bits, width, height, &frame, i % LOW, i / LOW)));
    ck_assert_msg(most < 0.05, "%ux%u: a share is off by %g", width, height, most);
    free(bits);
    mm_rle own = rle;
    mm_rle_free(&own);
}

START_TEST(test_shares)
{
    check(64, 64, 64, 64);
    check(150, 150, 64, 64);
    check(200, 100, 64, 32);
    check(90, 200, 29, 64);
    check(7, 5, 64, 46); /* pixels larger than those of the grid */
}
END_TEST

START_TEST(test_pixels)
{
    const mm_rle rle = ring(30, 20);
    uint8_t bits[600];
    mm_rle_to_bits(&rle, bits);
    const uint64_t area = mm_rle_area(&rle);
    size_t found = 0;
    uint32_t before_x = 0, before_y = 0;
    for (uint64_t i = 0; i < area; i++) {
        uint32_t x, y;
        mm_mask_pixel(&rle, i, &x, &y);
        ck_assert(bits[y * 30 + x]);
        ck_assert(!i || x > before_x || (x == before_x && y > before_y));
        before_x = x;
        before_y = y;
        found++;
    }
    ck_assert_uint_eq(found, area);
    for (uint32_t i = 0; i < 600; i++)
        ck_assert_int_eq(mm_mask_has(&rle, i % 30, i / 30), bits[i] != 0);
    ck_assert(!mm_mask_has(&rle, 30, 0)); /* behind the last pixel */
    mm_rle own = rle;
    mm_rle_free(&own);
}
END_TEST

START_TEST(test_no_pixels)
{
    const mm_rle none = {0};
    const mm_frame frame = {64, 64, 64, 64, 64, LOW};
    float target[LOW * LOW], scratch[LOW * LOW];
    ck_assert_int_eq(mm_mask_target(&none, &frame, SIDE, target, scratch, NULL), MM_ERR_FORMAT);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("train/mask_targets");
    TCase *tcase = tcase_create("mask_targets");
    tcase_add_test(tcase, test_shares);
    tcase_add_test(tcase, test_pixels);
    tcase_add_test(tcase, test_no_pixels);
    suite_add_tcase(suite, tcase);
    return mm_check_main(suite);
}
