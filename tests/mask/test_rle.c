#include "check_main.h"

#include "golden.h"

typedef struct golden {
    uint32_t height, width;
    uint32_t *runs;
    size_t count;
    char counts[MAX_COUNTS];
    unsigned long long area;
    uint32_t box[4];
    double x, y, hull;
} golden;

static bool read_golden(FILE *file, golden *g)
{
    if (fscanf(file, "%u %u %zu", &g->height, &g->width, &g->count) != 3)
        return false;
    g->runs = malloc(g->count * sizeof *g->runs);
    for (size_t i = 0; i < g->count; i++)
        ck_assert_int_eq(fscanf(file, "%u", &g->runs[i]), 1);
    ck_assert_int_eq(fscanf(file, "%65535s %llu %u %u %u %u %la %la %la", g->counts, &g->area, &g->box[0], &g->box[1],
                            &g->box[2], &g->box[3], &g->x, &g->y, &g->hull), 9);
    return true;
}

/* The mask as a bitmap, set pixel by pixel. */
static uint8_t *bits_of(const golden *g)
{
    uint8_t *bits = calloc(g->height, g->width);
    size_t position = 0;
    for (size_t run = 0; run < g->count; run++)
        for (uint32_t i = 0; i < g->runs[run]; i++, position++)
            bits[position % g->height * g->width + position / g->height] = run & 1;
    ck_assert_uint_eq(position, (size_t)g->height * g->width);
    return bits;
}

START_TEST(encoding_decoding_and_measures_match_pycocotools_and_opencv)
{
    FILE *file = open_golden("mask/rle.txt");
    static golden g;
    int cases = 0;
    for (; read_golden(file, &g); cases++) {
        uint8_t *bits = bits_of(&g), *back = malloc((size_t)g.height * g.width);
        mm_rle rle, read;
        ck_assert_int_eq(mm_rle_from_bits(bits, g.height, g.width, &rle, NULL), MM_OK);
        ck_assert_uint_eq(rle.count, g.count);
        ck_assert_mem_eq(rle.runs, g.runs, g.count * sizeof *g.runs);
        mm_rle_to_bits(&rle, back);
        ck_assert_mem_eq(back, bits, (size_t)g.height * g.width);
        assert_counts_are(&rle, g.counts);
        read = rle_of_text(g.counts, g.height, g.width);
        ck_assert_uint_eq(read.count, g.count);
        ck_assert_mem_eq(read.runs, g.runs, g.count * sizeof *g.runs);

        uint32_t box[4];
        double x, y;
        mm_rle_box(&rle, box);
        mm_rle_centre(&rle, &x, &y);
        ck_assert_uint_eq(mm_rle_area(&rle), g.area);
        ck_assert_mem_eq(box, g.box, sizeof box);
        ck_assert_double_eq_tol(x, g.x, 1e-9);
        ck_assert_double_eq_tol(y, g.y, 1e-9);
        ck_assert_double_eq(mm_rle_hull_area(&rle), g.hull);
        mm_rle_free(&read);
        mm_rle_free(&rle);
        free(back);
        free(bits);
        free(g.runs);
    }
    fclose(file);
    ck_assert_int_ge(cases, 20);
}
END_TEST

START_TEST(placing_equals_copying_pixels)
{
    FILE *file = open_golden("mask/rle.txt");
    static golden g;
    while (read_golden(file, &g)) {
        const uint32_t margins[][4] = {{0, 0, 0, 0}, {3, 0, 5, 0}, {0, 4, 0, 0}, {0, 0, 0, 6}, {2, 1, 0, 3}};
        const mm_rle rle = {g.height, g.width, g.count, g.runs};
        uint8_t *bits = bits_of(&g);
        for (size_t m = 0; m < sizeof margins / sizeof margins[0]; m++) {
            const uint32_t x0 = margins[m][0], y0 = margins[m][1];
            const uint32_t width = x0 + g.width + margins[m][2], height = y0 + g.height + margins[m][3];
            uint8_t *larger = calloc(height, width);
            for (uint32_t y = 0; y < g.height; y++)
                memcpy(larger + (size_t)(y0 + y) * width + x0, bits + (size_t)y * g.width, g.width);
            mm_rle placed, expected;
            ck_assert_int_eq(mm_rle_place(&rle, x0, y0, height, width, &placed, NULL), MM_OK);
            ck_assert_int_eq(mm_rle_from_bits(larger, height, width, &expected, NULL), MM_OK);
            ck_assert_uint_eq(placed.height, height);
            ck_assert_uint_eq(placed.width, width);
            ck_assert_uint_eq(placed.count, expected.count);
            ck_assert_mem_eq(placed.runs, expected.runs, placed.count * sizeof *placed.runs);
            mm_rle_free(&placed);
            mm_rle_free(&expected);
            free(larger);
        }
        free(bits);
        free(g.runs);
    }
    fclose(file);
}
END_TEST

START_TEST(mirrored_as_bits_are)
{
    FILE *file = open_golden("mask/rle.txt");
    static golden g;
    while (read_golden(file, &g)) {
        const mm_rle rle = {g.height, g.width, g.count, g.runs};
        uint8_t *bits = bits_of(&g), *other = calloc(g.height, g.width);
        for (uint32_t y = 0; y < g.height; y++)
            for (uint32_t x = 0; x < g.width; x++)
                other[(size_t)y * g.width + x] = bits[(size_t)y * g.width + g.width - 1 - x];
        mm_rle mirrored, expected, back;
        ck_assert_int_eq(mm_rle_mirror(&rle, &mirrored, NULL), MM_OK);
        ck_assert_int_eq(mm_rle_from_bits(other, g.height, g.width, &expected, NULL), MM_OK);
        ck_assert(mm_rle_equal(&mirrored, &expected));
        ck_assert_int_eq(mm_rle_mirror(&mirrored, &back, NULL), MM_OK);
        ck_assert(mm_rle_equal(&back, &rle));
        mm_rle_free(&mirrored);
        mm_rle_free(&expected);
        mm_rle_free(&back);
        free(bits);
        free(other);
        free(g.runs);
    }
    fclose(file);
}
END_TEST

START_TEST(what_does_not_fit_is_refused)
{
    uint32_t runs[] = {2, 4};
    const mm_rle rle = {2, 3, 2, runs};
    mm_rle out;
    ck_assert_int_eq(mm_rle_place(&rle, 1, 0, 2, 3, &out, NULL), MM_ERR_USAGE);
    ck_assert_int_eq(mm_rle_place(&rle, 0, 1, 2, 3, &out, NULL), MM_ERR_USAGE);
    ck_assert_int_eq(mm_rle_place(&rle, UINT32_MAX, UINT32_MAX, 2, 3, &out, NULL), MM_ERR_USAGE);
    ck_assert_int_eq(mm_rle_place(&rle, 0, 0, 65536, 65536, &out, NULL), MM_ERR_LIMIT);
    ck_assert_int_eq(mm_rle_from_bits(NULL, 65536, 65536, &out, NULL), MM_ERR_LIMIT);
}
END_TEST

/* Frames beyond the golden files, where products of sides need 64 bits. */
START_TEST(a_frame_of_nearly_four_billion_pixels)
{
    const uint32_t side = 65535;
    uint32_t runs[] = {0, side * side};
    const mm_rle full = {side, side, 2, runs};
    uint32_t box[4];
    double x, y;
    mm_rle_box(&full, box);
    mm_rle_centre(&full, &x, &y);
    ck_assert_uint_eq(mm_rle_area(&full), (uint64_t)side * side);
    ck_assert(box[0] == 0 && box[1] == 0 && box[2] == side - 1 && box[3] == side - 1);
    ck_assert_double_eq(x, side / 2.0);
    ck_assert_double_eq(y, side / 2.0);
    ck_assert_double_eq(mm_rle_hull_area(&full), (double)side * side);
    assert_counts_are(&full, "0QPPloo3");

    uint32_t corners[] = {0, 1, side * side - 2, 1};
    const mm_rle diagonal = {side, side, 4, corners};
    ck_assert_double_eq(mm_rle_hull_area(&diagonal), 2.0 * side - 1); /* a band along the diagonal */
    const mm_rle row = {1, UINT32_MAX, 2, (uint32_t[]){0, UINT32_MAX}};
    ck_assert_double_eq(mm_rle_hull_area(&row), UINT32_MAX);
    mm_rle_centre(&row, &x, &y);
    ck_assert_double_eq(x, UINT32_MAX / 2.0);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("mask/rle");
    TCase *tests = tcase_create("rle");
    tcase_add_test(tests, encoding_decoding_and_measures_match_pycocotools_and_opencv);
    tcase_add_test(tests, placing_equals_copying_pixels);
    tcase_add_test(tests, mirrored_as_bits_are);
    tcase_add_test(tests, what_does_not_fit_is_refused);
    tcase_add_test(tests, a_frame_of_nearly_four_billion_pixels);
    suite_add_tcase(suite, tests);
    return mm_check_main(suite);
}
