/* Without its padding a prompt's logits end at mm_decoder_grid_rows; nothing that is interpolated from them may lie beyond, or
 * masks would be made of -infinity. */
#include "check_main.h"

#include "amg/taps.h"
#include "model/decoder_steps.h"

/* Pixels of a cell's side, as in public models (14, 16) and beyond; 12 and 20 put centres exactly on logits. */
static const uint32_t patches[] = {4, 8, 12, 14, 16, 20, 28, 32, 64};
static const uint32_t sides[] = {1, 8, 16, 37, 64, 128};

enum { PATCHES = sizeof patches / sizeof patches[0], SIDES = sizeof sides / sizeof sides[0] };

/* Pictures of any height become this much of the square; `height` pixels are made of `input_height` rows. */
static void check_height(uint32_t side, uint32_t image_size, uint32_t input_height, uint32_t height)
{
    const mm_frame frame = {.width = height, .height = height, .input_width = image_size, .input_height = input_height,
                            .image_size = image_size, .low_res = 4 * side};
    const size_t rows = 4 * mm_decoder_grid_rows(&frame, false);
    mm_taps *taps;
    mm_error err = {0};
    ck_assert_msg(mm_taps_compose(frame.low_res, image_size, input_height, height, &taps, &err) == MM_OK, "%s", err.text);
    uint32_t last = 0;
    for (uint32_t i = 0; i < height; i++)
        for (uint32_t k = 0; k < MM_MAX_TAPS; k++)
            last = taps[i].index[k] > last ? taps[i].index[k] : last;
    free(taps);
    if (last >= rows || rows > frame.low_res)
        ck_abort_msg("%u of %u rows, %u pixels, side %u: row %u is read of %zu", input_height, image_size, height, side, last,
                     rows);
    /* And not much is computed in vain: the cell that is read last, and at most one more. */
    if (rows > last + 8)
        ck_abort_msg("%u of %u rows, side %u: %zu rows, but %u is the last that is read", input_height, image_size, side, rows,
                     last);
}

START_TEST(masks_are_made_of_rows_that_exist)
{
    for (size_t s = 0; s < SIDES; s++) {
        const uint32_t image_size = patches[_i] * sides[s], step = image_size / 300 + 1;
        /* All input heights, or every few of them and the last ones; enlarged, as they are, and reduced. */
        for (uint32_t input = 1; input <= image_size; input += input + 20 < image_size ? step : 1) {
            check_height(sides[s], image_size, input, input);
            check_height(sides[s], image_size, input, 2 * input + 1);
            check_height(sides[s], image_size, input, input / 3 + 1);
        }
    }
}
END_TEST

START_TEST(with_padding_all_rows_are_there)
{
    const mm_frame frame = {.input_height = 1, .image_size = 1024, .low_res = 256};
    ck_assert_uint_eq(mm_decoder_grid_rows(&frame, true), 64);
    ck_assert_uint_eq(mm_decoder_grid_rows(&frame, false), 1);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("amg/rows of logits that masks are made of");
    TCase *tests = tcase_create("rows");
    tcase_set_timeout(tests, 120);
    tcase_add_loop_test(tests, masks_are_made_of_rows_that_exist, 0, PATCHES);
    tcase_add_test(tests, with_padding_all_rows_are_there);
    suite_add_tcase(suite, tests);
    return mm_check_main(suite);
}
