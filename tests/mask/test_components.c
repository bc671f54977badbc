#include "check_main.h"

#include "golden.h"

START_TEST(small_regions_go_as_in_the_reference)
{
    FILE *file = open_golden("mask/small_regions.txt");
    static char before[MAX_COUNTS], after[MAX_COUNTS];
    uint32_t height, width, min_area, largest, found;
    int changed, cases = 0;
    for (; fscanf(file, "%u %u %u %65535s %65535s %d %u", &height, &width, &min_area, before, after, &changed,
                  &largest) == 7; cases++) {
        mm_rle rle = rle_of_text(before, height, width);
        bool flag;
        ck_assert_int_eq(mm_mask_remove_small(&rle, min_area, &flag, &found, NULL), MM_OK);
        assert_counts_are(&rle, after);
        ck_assert_int_eq(flag, changed);
        ck_assert_uint_eq(found, largest);
        mm_rle_free(&rle);
    }
    fclose(file);
    ck_assert_int_ge(cases, 400);
}
END_TEST

START_TEST(the_largest_area_is_optional_and_zero_changes_nothing)
{
    uint32_t *runs = malloc(4 * sizeof *runs);
    memcpy(runs, (uint32_t[]){1, 1, 1, 1}, 4 * sizeof *runs);
    mm_rle rle = {2, 2, 4, runs};
    bool changed = true;
    ck_assert_int_eq(mm_mask_remove_small(&rle, 0, &changed, NULL, NULL), MM_OK);
    ck_assert(!changed);
    ck_assert_uint_eq(rle.count, 4);
    mm_rle_free(&rle);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("mask/components");
    TCase *tests = tcase_create("components");
    tcase_add_test(tests, small_regions_go_as_in_the_reference);
    tcase_add_test(tests, the_largest_area_is_optional_and_zero_changes_nothing);
    suite_add_tcase(suite, tests);
    return mm_check_main(suite);
}
