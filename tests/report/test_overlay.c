#include "check_main.h"

#include <string.h>

#include "report/overlay.h"

/* A mask of the left half, and in it a smaller one. */
static void make_masks(uint32_t width, uint32_t height, mm_rle masks[2])
{
    uint8_t *bits = calloc((size_t)width * height, 1);
    mm_error err;
    for (int m = 0; m < 2; m++) {
        for (uint32_t y = 0; y < height; y++)
            for (uint32_t x = 0; x < width; x++)
                bits[y * width + x] = m == 1 ? x < width / 2 : x < width / 4 && y < height / 2;
        ck_assert_int_eq(mm_rle_from_bits(bits, height, width, &masks[m], &err), MM_OK);
    }
    free(bits);
}

static mm_image black(uint32_t width, uint32_t height)
{
    mm_image image;
    mm_error err;
    ck_assert_int_eq(mm_image_new(width, height, &image, &err), MM_OK);
    memset(image.pixels, 0, (size_t)width * height * 3);
    return image;
}

static mm_image drawn(uint32_t width, uint32_t height, const mm_rle masks[2])
{
    mm_image image = black(width, height);
    mm_error err = {0};
    ck_assert_msg(mm_overlay_draw(&image, masks, 2, &err) == MM_OK, "%s", err.text);
    return image;
}

START_TEST(a_smaller_picture_shows_the_same_masks)
{
    mm_rle large[2], small[2];
    make_masks(80, 40, large);
    make_masks(16, 8, small);
    mm_image of_large = drawn(16, 8, large), of_small = drawn(16, 8, small), enlarged = drawn(80, 40, small),
             full = drawn(80, 40, large);
    ck_assert_mem_eq(of_large.pixels, of_small.pixels, 16 * 8 * 3);
    ck_assert_mem_eq(enlarged.pixels, full.pixels, 80 * 40 * 3);
    const uint8_t nothing[3] = {0};
    ck_assert_mem_eq(of_large.pixels + 3 * 15, nothing, 3);                /* the right half is as it was */
    ck_assert_mem_ne(of_large.pixels + 3 * (6 * 16 + 6), nothing, 3);      /* the left is not */
    ck_assert_mem_ne(of_large.pixels + 3 * (1 * 16 + 1), of_large.pixels + 3 * (6 * 16 + 6), 3); /* two colours */
    mm_image_free(&of_large);
    mm_image_free(&of_small);
    mm_image_free(&enlarged);
    mm_image_free(&full);
    for (int m = 0; m < 2; m++) {
        mm_rle_free(&large[m]);
        mm_rle_free(&small[m]);
    }
}
END_TEST

START_TEST(no_masks_change_nothing)
{
    mm_image image = black(7, 5);
    mm_error err = {0};
    ck_assert_int_eq(mm_overlay_draw(&image, NULL, 0, &err), MM_OK);
    for (int i = 0; i < 7 * 5 * 3; i++)
        ck_assert_uint_eq(image.pixels[i], 0);
    mm_image_free(&image);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("report/overlay");
    TCase *tests = tcase_create("overlay");
    tcase_add_test(tests, a_smaller_picture_shows_the_same_masks);
    tcase_add_test(tests, no_masks_change_nothing);
    suite_add_tcase(suite, tests);
    return mm_check_main(suite);
}
