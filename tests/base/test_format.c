#include "check_main.h"

#include <math.h>

#include "base/format.h"

static char text[MM_NUMBER_TEXT];

START_TEST(counts_have_commas)
{
    ck_assert_str_eq(mm_format_count(text, sizeof text, 0), "0");
    ck_assert_str_eq(mm_format_count(text, sizeof text, 999), "999");
    ck_assert_str_eq(mm_format_count(text, sizeof text, 1000), "1,000");
    ck_assert_str_eq(mm_format_count(text, sizeof text, 5512345), "5,512,345");
    ck_assert_str_eq(mm_format_count(text, sizeof text, UINT64_MAX), "18,446,744,073,709,551,615");
}
END_TEST

START_TEST(short_counts_have_five_characters_at_most)
{
    ck_assert_str_eq(mm_format_short(text, sizeof text, 0), "0");
    ck_assert_str_eq(mm_format_short(text, sizeof text, 99999), "99999");
    ck_assert_str_eq(mm_format_short(text, sizeof text, 100000), "100k");
    ck_assert_str_eq(mm_format_short(text, sizeof text, 999499), "999k");
    ck_assert_str_eq(mm_format_short(text, sizeof text, 999500), "1.00M");
    ck_assert_str_eq(mm_format_short(text, sizeof text, 9994999), "9.99M");
    ck_assert_str_eq(mm_format_short(text, sizeof text, 9996000), "10.0M");
    ck_assert_str_eq(mm_format_short(text, sizeof text, 1129000000), "1.13G");
    ck_assert_str_eq(mm_format_short(text, sizeof text, UINT64_MAX), "18.4E");
}
END_TEST

START_TEST(paces_have_three_digits)
{
    ck_assert_str_eq(mm_format_pace(text, sizeof text, 0), "0");
    ck_assert_str_eq(mm_format_pace(text, sizeof text, 0.07129), "0.0713");
    ck_assert_str_eq(mm_format_pace(text, sizeof text, 3.14159), "3.14");
    ck_assert_str_eq(mm_format_pace(text, sizeof text, 999.4), "999");
    ck_assert_str_eq(mm_format_pace(text, sizeof text, 12345.6), "12346");
    ck_assert_str_eq(mm_format_pace(text, sizeof text, 0.00001), "1.00e-05");
    ck_assert_str_eq(mm_format_pace(text, sizeof text, -1), "-");
    ck_assert_str_eq(mm_format_pace(text, sizeof text, NAN), "-");
    ck_assert_str_eq(mm_format_pace(text, sizeof text, INFINITY), "-");
}
END_TEST

START_TEST(durations_grow_from_seconds_to_days)
{
    ck_assert_str_eq(mm_format_duration(text, sizeof text, 0), "0 s");
    ck_assert_str_eq(mm_format_duration(text, sizeof text, 7.5e-5), "75 \xc2\xb5s");
    ck_assert_str_eq(mm_format_duration(text, sizeof text, 0.0033), "3.3 ms");
    ck_assert_str_eq(mm_format_duration(text, sizeof text, 0.4219), "422 ms");
    ck_assert_str_eq(mm_format_duration(text, sizeof text, 4.219), "4.2 s");
    ck_assert_str_eq(mm_format_wait(text, sizeof text, 0.4219), "0 s");
    ck_assert_str_eq(mm_format_duration(text, sizeof text, 7), "7 s");
    ck_assert_str_eq(mm_format_duration(text, sizeof text, 59.4), "59 s");
    ck_assert_str_eq(mm_format_duration(text, sizeof text, 59.6), "1 min 00 s");
    ck_assert_str_eq(mm_format_duration(text, sizeof text, 3599.7), "1 h 00 min");
    ck_assert_str_eq(mm_format_duration(text, sizeof text, 7500), "2 h 05 min");
    ck_assert_str_eq(mm_format_duration(text, sizeof text, 273600), "3 d 04 h");
    ck_assert_str_eq(mm_format_duration(text, sizeof text, 1e300), "11574074 d 01 h");
    ck_assert_str_eq(mm_format_duration(text, sizeof text, -1), "-");
    ck_assert_str_eq(mm_format_duration(text, sizeof text, NAN), "-");
}
END_TEST

START_TEST(bytes_and_percents)
{
    ck_assert_str_eq(mm_format_bytes(text, sizeof text, 512), "512 bytes");
    ck_assert_str_eq(mm_format_bytes(text, sizeof text, 1536), "1.50 KiB");
    ck_assert_str_eq(mm_format_bytes(text, sizeof text, UINT64_C(21797789696)), "20.3 GiB");
    ck_assert_str_eq(mm_format_percent(text, sizeof text, 0, 0), "0 %");
    ck_assert_str_eq(mm_format_percent(text, sizeof text, 5, 5), "100 %");
    ck_assert_str_eq(mm_format_percent(text, sizeof text, 99999, 100000), ">99.9 %");
    ck_assert_str_eq(mm_format_percent(text, sizeof text, 373, 1000), "37.3 %");
    ck_assert_str_eq(mm_format_percent(text, sizeof text, 21, 1000), "2.1 %");
    ck_assert_str_eq(mm_format_percent(text, sizeof text, 13, 100000), "0.013 %");
    ck_assert_str_eq(mm_format_percent(text, sizeof text, 1, 11000000), "<0.001 %");
}
END_TEST

START_TEST(what_does_not_fit_is_cut_and_terminated)
{
    char tiny[4] = "xxx";
    ck_assert_str_eq(mm_format_count(tiny, sizeof tiny, 5512345), "5,5");
    ck_assert_str_eq(mm_format_duration(tiny, sizeof tiny, 7500), "2 h");
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("base/format");
    TCase *tests = tcase_create("numbers");
    tcase_add_test(tests, counts_have_commas);
    tcase_add_test(tests, short_counts_have_five_characters_at_most);
    tcase_add_test(tests, paces_have_three_digits);
    tcase_add_test(tests, durations_grow_from_seconds_to_days);
    tcase_add_test(tests, bytes_and_percents);
    tcase_add_test(tests, what_does_not_fit_is_cut_and_terminated);
    suite_add_tcase(suite, tests);
    return mm_check_main(suite);
}
