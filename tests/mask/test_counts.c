#include "check_main.h"

#include "golden.h"

static mm_status parse(const void *counts, size_t size, uint32_t height, uint32_t width, mm_rle *rle)
{
    mm_error err = {0};
    uint8_t *exact = malloc(size + 1); /* a copy without a terminator behind it, for the sanitizer to guard */
    memcpy(exact, counts, size);
    exact = realloc(exact, size ? size : 1);
    const mm_status status = mm_rle_from_counts(exact, size, height, width, rle, &err);
    free(exact);
    if (status) {
        ck_assert_ptr_null(rle->runs);
        ck_assert_int_eq(err.status, status);
        ck_assert_uint_gt(strlen(err.text), 0);
    }
    return status;
}

static void assert_whole(const mm_rle *rle)
{
    uint64_t sum = 0;
    ck_assert_uint_ge(rle->count, 1);
    for (size_t i = 0; i < rle->count; i++) {
        ck_assert(i == 0 || rle->runs[i] > 0);
        sum += rle->runs[i];
    }
    ck_assert_uint_eq(sum, (uint64_t)rle->height * rle->width);
}

/* Longer ones would add time and nothing else. */
#define MAX_DAMAGED 200

static void for_each_golden(void (*visit)(uint32_t height, uint32_t width, const char *counts))
{
    FILE *file = open_golden("mask/small_regions.txt");
    static char before[MAX_COUNTS], after[MAX_COUNTS];
    uint32_t height, width, min_area, largest;
    int changed;
    while (fscanf(file, "%u %u %u %65535s %65535s %d %u", &height, &width, &min_area, before, after, &changed,
                  &largest) == 7)
        if (strlen(before) <= MAX_DAMAGED)
            visit(height, width, before);
    fclose(file);
}

static void refuse_truncations(uint32_t height, uint32_t width, const char *counts)
{
    mm_rle rle;
    for (size_t size = 0; size < strlen(counts); size++)
        ck_assert_int_eq(parse(counts, size, height, width, &rle), MM_ERR_FORMAT);
}

START_TEST(every_truncation_is_refused)
{
    for_each_golden(refuse_truncations);
}
END_TEST

/* A flipped bit may give another mask of the same size; it must never give runs that do not add up. */
static void flip_bits(uint32_t height, uint32_t width, const char *counts)
{
    const size_t size = strlen(counts);
    for (size_t bit = 0; bit < 8 * size; bit++) {
        char damaged[MAX_DAMAGED];
        memcpy(damaged, counts, size);
        damaged[bit / 8] ^= (char)(1 << bit % 8);
        mm_rle rle;
        if (parse(damaged, size, height, width, &rle) == MM_OK) {
            assert_whole(&rle);
            mm_rle_free(&rle);
        }
    }
}

START_TEST(flipped_bits_give_whole_masks_or_errors)
{
    for_each_golden(flip_bits);
}
END_TEST

START_TEST(bad_counts)
{
    static const struct {
        const char *counts;
        uint32_t height, width;
        mm_status status;
    } cases[] = {
        {"6", 2, 3, MM_OK},
        {"06", 2, 3, MM_OK},
        {"", 2, 3, MM_ERR_FORMAT},
        {"5", 2, 3, MM_ERR_FORMAT},          /* too short */
        {"7", 2, 3, MM_ERR_FORMAT},          /* too long */
        {"61", 2, 3, MM_ERR_FORMAT},         /* a run beyond the end */
        {"N6", 2, 3, MM_ERR_FORMAT},         /* -2 */
        {"6/", 2, 3, MM_ERR_FORMAT},         /* below '0' */
        {"6p", 2, 3, MM_ERR_FORMAT},         /* beyond 'o' */
        {"1111O2", 2, 3, MM_ERR_FORMAT},     /* fourth run 1 + 1, fifth 1 - 1, sixth 2 + 2 */
        {"PPPPPPPPPPPPPPPP", 2, 3, MM_ERR_FORMAT},
        {"oooooooooooooooo", 2, 3, MM_ERR_FORMAT},
        {"VPPPPP0", 2, 3, MM_OK},            /* six, with needless groups */
        {"0", 65536, 65536, MM_ERR_LIMIT},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        mm_rle rle;
        ck_assert_msg(parse(cases[i].counts, strlen(cases[i].counts), cases[i].height, cases[i].width, &rle) ==
                      cases[i].status, "%s", cases[i].counts);
        if (!cases[i].status)
            mm_rle_free(&rle);
    }
}
END_TEST

START_TEST(empty_runs_of_other_writers_are_joined)
{
    mm_rle rle;
    /* 2 0, 1 1, 0 0, 1 1, 2 0: differences from the fourth run on */
    ck_assert_int_eq(parse("21002", 5, 2, 3, &rle), MM_OK);
    ck_assert_uint_eq(rle.count, 3);
    ck_assert(rle.runs[0] == 2 && rle.runs[1] == 2 && rle.runs[2] == 2);
    mm_rle_free(&rle);
    ck_assert_int_eq(parse("060", 3, 2, 3, &rle), MM_OK);
    ck_assert_uint_eq(rle.count, 2);
    mm_rle_free(&rle);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("mask/counts");
    TCase *tests = tcase_create("counts");
    tcase_set_timeout(tests, 60);
    tcase_add_test(tests, every_truncation_is_refused);
    tcase_add_test(tests, flipped_bits_give_whole_masks_or_errors);
    tcase_add_test(tests, bad_counts);
    tcase_add_test(tests, empty_runs_of_other_writers_are_joined);
    suite_add_tcase(suite, tests);
    return mm_check_main(suite);
}
