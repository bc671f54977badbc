#include "check_main.h"

#include <math.h>

#include "amg/taps.h"
#include "fields.h"

START_TEST(masks_counts_and_boxes_are_torch_s)
{
    FILE *file = open_golden("amg/upsampling.txt");
    static char counts[MAX_COUNTS];
    mm_frame frame;
    uint32_t cells, seed;
    double amplitude, bias, offset;
    mm_mask_scan expected;
    int cases = 0;
    for (; fscanf(file, "%u %u %u %u %u %u %u %u %lf %lf %lf %lu %lu %lu %u %u %u %u %65535s", &frame.width,
                  &frame.height, &frame.input_width, &frame.input_height, &frame.image_size, &frame.low_res, &cells,
                  &seed, &amplitude, &bias, &offset, &expected.above_low, &expected.above_high, &expected.area,
                  &expected.box[0], &expected.box[1], &expected.box[2], &expected.box[3], counts) == 19; cases++) {
        float *logits = malloc((size_t)frame.low_res * frame.low_res * sizeof *logits);
        fill_field(logits, frame.low_res, cells, seed, amplitude, bias);
        mm_upsampler *upsampler;
        ck_assert_int_eq(mm_upsampler_new(&frame, &upsampler, NULL), MM_OK);
        void *scratch = malloc(mm_upsampler_scratch(upsampler));
        mm_mask_scan scan, counted;
        mm_rle rle;
        ck_assert_int_eq(mm_upsampler_scan(upsampler, logits, (float)offset, scratch, &scan, &rle, NULL), MM_OK);
        ck_assert_uint_eq(scan.above_low, expected.above_low);
        ck_assert_uint_eq(scan.above_high, expected.above_high);
        ck_assert_uint_eq(scan.area, expected.area);
        ck_assert_mem_eq(scan.box, expected.box, sizeof scan.box);
        assert_counts_are(&rle, counts);
        ck_assert_int_eq(mm_upsampler_scan(upsampler, logits, (float)offset, scratch, &counted, NULL, NULL), MM_OK);
        ck_assert_mem_eq(&counted, &scan, sizeof scan);
        mm_rle_free(&rle);
        free(scratch);
        mm_upsampler_free(upsampler);
        free(logits);
    }
    fclose(file);
    ck_assert_int_ge(cases, 15);
}
END_TEST

/* The two steps pixel by pixel in double, from the same taps. */
static double plain_value(const mm_taps *row, const mm_taps *column, const float *logits, uint32_t low)
{
    double sum = 0;
    for (uint32_t j = 0; j < row->count; j++)
        for (uint32_t k = 0; k < column->count; k++)
            sum += (double)row->weight[j] * (double)column->weight[k] *
                   (double)logits[row->index[j] * low + column->index[k]];
    return sum;
}

/* Noise has edges in every column, and patches of it exercise what is skipped. Pixels that rounding may decide are
 * left out of the comparison. */
START_TEST(noise_and_lonely_spots_match_a_plain_loop)
{
    static const mm_frame frames[] = {{97, 131, 190, 256, 256, 64},
                                      {64, 128, 32, 64, 64, 16},
                                      {200, 63, 80, 25, 80, 20},
                                      {70, 65, 64, 60, 64, 3},
                                      {129, 1, 64, 1, 64, 16}};
    uint32_t state = 7;
    for (size_t f = 0; f < sizeof frames / sizeof frames[0]; f++) {
        const mm_frame *frame = &frames[f];
        const uint32_t low = frame->low_res, pixels = frame->width * frame->height;
        mm_taps *rows, *columns;
        mm_upsampler *upsampler;
        ck_assert(!mm_taps_compose(low, frame->image_size, frame->input_height, frame->height, &rows, NULL));
        ck_assert(!mm_taps_compose(low, frame->image_size, frame->input_width, frame->width, &columns, NULL));
        ck_assert_int_eq(mm_upsampler_new(frame, &upsampler, NULL), MM_OK);
        float *logits = malloc((size_t)low * low * sizeof *logits);
        uint8_t *bits = malloc(pixels);
        void *scratch = malloc(mm_upsampler_scratch(upsampler));
        for (int round = 0; round < 6; round++) {
            const int spread = 1 << round; /* the higher, the fewer low-res cells are above the threshold */
            for (uint32_t i = 0; i < low * low; i++) {
                state = state * 1664525u + 1013904223u;
                logits[i] = (float)((int)(state >> 16) % 4001 - 2000 * spread) / 100.0f;
            }
            mm_mask_scan scan;
            mm_rle rle;
            ck_assert_int_eq(mm_upsampler_scan(upsampler, logits, 1.0f, scratch, &scan, &rle, NULL), MM_OK);
            mm_rle_to_bits(&rle, bits);
            uint64_t unsure = 0, above_low = 0, above_high = 0;
            for (uint32_t i = 0; i < pixels; i++) {
                const double v = plain_value(&rows[i / frame->width], &columns[i % frame->width], logits, low);
                const double nearest = fmin(fabs(v), fmin(fabs(v - 1), fabs(v + 1)));
                unsure += nearest < 1e-3;
                above_low += v > -1;
                above_high += v > 1;
                ck_assert_msg(bits[i] == (v > 0) || nearest < 1e-3, "pixel %u: %g", i, v);
            }
            ck_assert(llabs((long long)(scan.above_low - above_low)) <= (long long)unsure);
            ck_assert(llabs((long long)(scan.above_high - above_high)) <= (long long)unsure);
            ck_assert_uint_eq(scan.area, mm_rle_area(&rle));
            uint32_t box[4];
            mm_rle_box(&rle, box);
            ck_assert_mem_eq(scan.box, box, sizeof box);
            mm_rle_free(&rle);
        }
        free(scratch);
        free(bits);
        free(logits);
        free(rows);
        free(columns);
        mm_upsampler_free(upsampler);
    }
}
END_TEST

START_TEST(weights_are_shares_of_at_most_four_neighbours)
{
    static const uint32_t cases[][4] = {{256, 1024, 683, 1200}, {256, 1024, 1024, 40}, {256, 64, 50, 70},
                                        {5, 80, 7, 300}, {64, 64, 64, 64}, {1, 16, 16, 9}, {256, 1024, 1, 3}};
    for (size_t c = 0; c < sizeof cases / sizeof cases[0]; c++) {
        mm_taps *taps;
        ck_assert_int_eq(mm_taps_compose(cases[c][0], cases[c][1], cases[c][2], cases[c][3], &taps, NULL), MM_OK);
        for (uint32_t i = 0; i < cases[c][3]; i++) {
            double sum = 0;
            ck_assert(taps[i].count >= 1 && taps[i].count <= MM_MAX_TAPS);
            for (uint32_t k = 0; k < MM_MAX_TAPS; k++) {
                ck_assert_uint_lt(taps[i].index[k], cases[c][0]);
                ck_assert(k == 0 || k >= taps[i].count || taps[i].index[k] > taps[i].index[k - 1]);
                ck_assert(k < taps[i].count ? taps[i].weight[k] > 0 : taps[i].weight[k] == 0);
                sum += (double)taps[i].weight[k];
            }
            ck_assert_double_eq_tol(sum, 1, 3e-7);
        }
        free(taps);
    }
}
END_TEST

START_TEST(positions_are_torch_s_to_the_last_bit)
{
    FILE *file = open_golden("amg/positions.txt");
    uint32_t before, after, i;
    size_t count, cases = 0;
    for (; fscanf(file, "%u %u %zu", &before, &after, &count) == 3; cases++) {
        mm_taps *taps;
        ck_assert_int_eq(mm_taps_compose(before, before, before, after, &taps, NULL), MM_OK);
        for (; count > 0; count--) {
            double expected, share = 0;
            ck_assert_int_eq(fscanf(file, "%u %la", &i, &expected), 2);
            for (uint32_t k = 0; k < taps[i].count; k++)
                if (taps[i].index[k] % 2)
                    share += (double)taps[i].weight[k];
            ck_assert_msg(share == expected, "%u to %u at %u: %a, not %a", before, after, i, share, expected);
        }
        free(taps);
    }
    fclose(file);
    ck_assert_uint_eq(cases, 5);
}
END_TEST

START_TEST(nan_logits_are_above_nothing)
{
    const mm_frame frame = {30, 20, 64, 43, 64, 16};
    float logits[256];
    for (int i = 0; i < 256; i++)
        logits[i] = NAN;
    mm_upsampler *upsampler;
    ck_assert_int_eq(mm_upsampler_new(&frame, &upsampler, NULL), MM_OK);
    void *scratch = malloc(mm_upsampler_scratch(upsampler));
    for (int broken = 0; broken < 2; broken++) {
        mm_mask_scan scan;
        mm_rle rle;
        ck_assert_int_eq(mm_upsampler_scan(upsampler, logits, 1.0f, scratch, &scan, &rle, NULL), MM_OK);
        ck_assert(scan.above_low == 0 && scan.above_high == 0 && scan.area == 0 && scan.box[2] == 0);
        ck_assert(rle.count == 1 && rle.runs[0] == 600);
        mm_rle_free(&rle);
        for (int i = 0; i < 256; i++)
            logits[i] = -INFINITY;
    }
    free(scratch);
    mm_upsampler_free(upsampler);
}
END_TEST

START_TEST(impossible_frames_are_refused)
{
    static const struct {
        mm_frame frame;
        mm_status status;
    } cases[] = {
        {{65536, 65536, 1024, 1024, 1024, 256}, MM_ERR_LIMIT},
        {{3000, 1, 1024, 0, 1024, 256}, MM_ERR_UNSUPPORTED},
        {{0, 10, 0, 1024, 1024, 256}, MM_ERR_UNSUPPORTED},
        {{10, 10, 1025, 1024, 1024, 256}, MM_ERR_INTERNAL},
        {{10, 10, 1024, 1024, 1024, 0}, MM_ERR_INTERNAL},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        mm_upsampler *upsampler;
        mm_error err = {0};
        ck_assert_int_eq(mm_upsampler_new(&cases[i].frame, &upsampler, &err), cases[i].status);
        ck_assert_ptr_null(upsampler);
        ck_assert_uint_gt(strlen(err.text), 0);
    }
    mm_upsampler_free(NULL);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("amg/upsample");
    TCase *tests = tcase_create("upsample");
    tcase_set_timeout(tests, 60);
    tcase_add_test(tests, masks_counts_and_boxes_are_torch_s);
    tcase_add_test(tests, noise_and_lonely_spots_match_a_plain_loop);
    tcase_add_test(tests, weights_are_shares_of_at_most_four_neighbours);
    tcase_add_test(tests, positions_are_torch_s_to_the_last_bit);
    tcase_add_test(tests, nan_logits_are_above_nothing);
    tcase_add_test(tests, impossible_frames_are_refused);
    suite_add_tcase(suite, tests);
    return mm_check_main(suite);
}
