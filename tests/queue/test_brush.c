/* Label Studio's run lengths against its own converter (tests/data/queue/make_brush.py). */
#include "check_main.h"

#include <stdint.h>

#include "mask/golden.h"
#include "queue/brush.h"

START_TEST(masks_go_there_and_back)
{
    FILE *file = open_golden("queue/brush.txt");
    static char counts[MAX_COUNTS];
    uint32_t height, width;
    size_t size;
    int cases = 0;
    for (; fscanf(file, "%u %u %65535s %zu", &height, &width, counts, &size) == 4; cases++) {
        uint8_t *theirs = malloc(size), *ours;
        size_t our_size;
        mm_rle mask = rle_of_text(counts, height, width), back;
        mm_error err = {0};
        for (size_t i = 0; i < size; i++)
            ck_assert_int_eq(fscanf(file, "%hhu", &theirs[i]), 1);
        /* What the tool wrote is read. */
        ck_assert_msg(mm_brush_decode(theirs, size, height, width, &back, &err) == MM_OK, "case %d: %s", cases,
                      err.text);
        ck_assert_msg(mm_rle_equal(&mask, &back), "case %d is read as another mask", cases);
        mm_rle_free(&back);
        /* What we write says the same; the tool may choose other lengths. */
        ck_assert_int_eq(mm_brush_encode(&mask, &ours, &our_size, &err), MM_OK);
        ck_assert_mem_eq(ours, theirs, 7); /* number of values, bits of a value, the four lengths */
        ck_assert_uint_le(our_size, size + 8);
        ck_assert_int_eq(mm_brush_decode(ours, our_size, height, width, &back, &err), MM_OK);
        ck_assert(mm_rle_equal(&mask, &back));
        mm_rle_free(&back);
        /* Cut anywhere, it is refused. */
        for (size_t cut = 0; cut + 1 < our_size && cut < 200; cut++)
            ck_assert_int_eq(mm_brush_decode(ours, cut, height, width, &back, &err), MM_ERR_FORMAT);
        ck_assert_int_eq(mm_brush_decode(ours, our_size, height + 1, width, &back, &err), MM_ERR_FORMAT);
        free(ours);
        free(theirs);
        mm_rle_free(&mask);
    }
    fclose(file);
    ck_assert_int_ge(cases, 9);
}
END_TEST

/* Values that do not repeat, other channels, and alpha that is not all or nothing. */
START_TEST(alpha_decides)
{
    /* 2 pixels: (9, 8, 7, 128), (255, 255, 255, 127), in lengths of 3, 4, 8, 16 bits, as 8 single values. */
    const uint8_t values[8] = {9, 8, 7, 128, 255, 255, 255, 127};
    uint8_t bytes[32] = {0};
    size_t at = 0;
    const struct {
        uint32_t value;
        unsigned bits;
    } head[] = {{8, 32}, {7, 5}, {2, 4}, {3, 4}, {7, 4}, {15, 4}, {0, 1}, {0, 2}, {7, 3}};
    for (size_t i = 0; i < sizeof head / sizeof head[0] + 8; i++) {
        const uint32_t value = i < 9 ? head[i].value : values[i - 9];
        const unsigned bits = i < 9 ? head[i].bits : 8;
        for (unsigned b = bits; b-- > 0; at++)
            bytes[at / 8] |= (uint8_t)((value >> b & 1) << (7 - at % 8));
    }
    mm_rle rle;
    mm_error err = {0};
    ck_assert_msg(mm_brush_decode(bytes, (at + 7) / 8, 1, 2, &rle, &err) == MM_OK, "%s", err.text);
    ck_assert_uint_eq(mm_rle_area(&rle), 1);
    ck_assert_uint_eq(rle.runs[0], 0);
    mm_rle_free(&rle);
    bytes[0] = 1; /* as if there were 2^24 values more */
    ck_assert_int_eq(mm_brush_decode(bytes, (at + 7) / 8, 1, 2, &rle, &err), MM_ERR_FORMAT);
    ck_assert_ptr_nonnull(strstr(err.text, "16777224 values"));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("brush");
    TCase *tests = tcase_create("brush");
    tcase_add_test(tests, masks_go_there_and_back);
    tcase_add_test(tests, alpha_decides);
    suite_add_tcase(suite, tests);
    return mm_check_main(suite);
}
