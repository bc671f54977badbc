/* The threshold that lets a share of the prompts keep a mask. */
#include "check_main.h"

#include <math.h>
#include <string.h>

#include "maskmill/amg.h"

/* How many of scores[] lie above the threshold for `share`, as step 4 has it. */
static size_t kept(const float *scores, size_t count, double share)
{
    float copy[16];
    size_t above = 0;
    ck_assert_uint_le(count, 16);
    memcpy(copy, scores, count * sizeof *copy);
    const float threshold = mm_amg_keep_threshold(copy, count, share);
    if (!(threshold > 0))
        return count;
    for (size_t i = 0; i < count; i++)
        above += scores[i] > threshold;
    return above;
}

START_TEST(shares_are_rounded_to_whole_prompts)
{
    static const float scores[10] = {0.3f, 0.9f, 0.1f, 0.8f, 0.5f, 0.7f, 0.2f, 0.6f, 0.4f, 0.95f};
    for (size_t i = 0; i <= 10; i++)
        ck_assert_uint_eq(kept(scores, 10, (double)i / 10), i);
    ck_assert_uint_eq(kept(scores, 10, 0.44), 4);
    ck_assert_uint_eq(kept(scores, 10, 0.46), 5);
    float copy[10];
    memcpy(copy, scores, sizeof copy);
    ck_assert_float_eq_tol(mm_amg_keep_threshold(copy, 10, 0.4), 0.65f, 1e-6f); /* half way */
}
END_TEST

START_TEST(equal_scores_go_together)
{
    static const float scores[5] = {0.5f, 0.7f, 0.5f, 0.5f, 0.2f};
    ck_assert_uint_eq(kept(scores, 5, 0.2), 1);
    ck_assert_uint_eq(kept(scores, 5, 0.4), 1);
    ck_assert_uint_eq(kept(scores, 5, 0.6), 1);
    ck_assert_uint_eq(kept(scores, 5, 0.8), 4);
    /* Neighbours with no number between them. */
    const float close[2] = {0.5f, nextafterf(0.5f, 1)};
    ck_assert_uint_eq(kept(close, 2, 0.5), 1);
}
END_TEST

START_TEST(the_filter_stays_on)
{
    static const float low[4] = {0.5f, -0.5f, -INFINITY, 0};
    ck_assert_uint_eq(kept(low, 4, 0), 0);
    ck_assert_uint_eq(kept(low, 4, 0.25), 1);
    ck_assert_uint_eq(kept(low, 4, 0.5), 1); /* at most what lies above 0 */
    ck_assert_uint_eq(kept(low, 4, 1), 4);
    static const float above_one[2] = {1.5f, 2.5f};
    ck_assert_uint_eq(kept(above_one, 2, 0.5), 1);
    ck_assert(!(mm_amg_keep_threshold(NULL, 0, 0.5) > 0));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("amg/keep");
    TCase *tests = tcase_create("keep");
    tcase_add_test(tests, shares_are_rounded_to_whole_prompts);
    tcase_add_test(tests, equal_scores_go_together);
    tcase_add_test(tests, the_filter_stays_on);
    suite_add_tcase(suite, tests);
    return mm_check_main(suite);
}
