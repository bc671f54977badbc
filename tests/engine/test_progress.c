#include "check_main.h"

#include <string.h>

#include "engine/progress.h"

static char *text;
static size_t size;

static FILE *open_text(void)
{
    FILE *stream = open_memstream(&text, &size);
    ck_assert_ptr_nonnull(stream);
    return stream;
}

static void expect_text(FILE *stream, const char *expected)
{
    ck_assert_int_eq(fclose(stream), 0);
    ck_assert_str_eq(text, expected);
    free(text);
}

START_TEST(plain_lines_come_every_ten_seconds_and_at_the_end)
{
    FILE *stream = open_text();
    mm_progress progress = mm_progress_begin(stream, false, 100, 1000.0);
    mm_progress_tick(&progress, 1009.9);
    mm_progress_tick(&progress, 1010.0);
    for (int i = 0; i < 20; i++)
        mm_progress_add(&progress, 1, i == 7, 3);
    mm_progress_tick(&progress, 1019.0);
    mm_progress_tick(&progress, 1020.0);
    mm_progress_end(&progress, 1025.0);
    mm_progress_tick(&progress, 2000.0);
    mm_progress_end(&progress, 2000.0);
    expect_text(stream, "0/100 images, 0 masks\n"
                        "20/100 images, 1 set aside, 60 masks, 1 images/s, 1 min 20 s left\n"
                        "20/100 images, 1 set aside, 60 masks, 0.8 images/s, 1 min 40 s left\n");
}
END_TEST

START_TEST(a_terminal_line_is_written_over_and_leaves_no_rest)
{
    FILE *stream = open_text();
    mm_progress progress = mm_progress_begin(stream, true, 2, 0.0);
    mm_progress_add(&progress, 1, 0, 5);
    mm_progress_tick(&progress, 0.5);
    mm_progress_tick(&progress, 2.0);
    mm_progress_add(&progress, 1, 0, 5);
    mm_progress_end(&progress, 4.0);
    expect_text(stream, "\r1/2 images, 5 masks, 0.5 images/s, 2 s left"
                        "\r2/2 images, 10 masks, 0.5 images/s         \n");
}
END_TEST

START_TEST(long_times_are_in_hours_and_quiet_is_quiet)
{
    FILE *stream = open_text();
    mm_progress progress = mm_progress_begin(stream, false, 1001, 0.0);
    mm_progress_add(&progress, 1, 0, 0);
    mm_progress_end(&progress, 10.0);
    expect_text(stream, "1/1001 images, 0 masks, 0.1 images/s, 2 h 46 min left\n");
    progress = mm_progress_begin(NULL, true, 10, 0.0);
    mm_progress_add(&progress, 1, 1, 0);
    mm_progress_tick(&progress, 100.0);
    mm_progress_end(&progress, 200.0);
    ck_assert_uint_eq(progress.done, 1);
    ck_assert_uint_eq(progress.set_aside, 1);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("engine/progress");
    TCase *tests = tcase_create("line");
    tcase_add_test(tests, plain_lines_come_every_ten_seconds_and_at_the_end);
    tcase_add_test(tests, a_terminal_line_is_written_over_and_leaves_no_rest);
    tcase_add_test(tests, long_times_are_in_hours_and_quiet_is_quiet);
    suite_add_tcase(suite, tests);
    return mm_check_main(suite);
}
