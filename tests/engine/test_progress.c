#include "check_main.h"

#include <string.h>

#include "engine/progress.h"
#include "engine/progress_line.h"

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

static mm_progress *begin(mm_progress_options options, double now)
{
    mm_error err = {0};
    mm_progress *progress = NULL;
    options.ranks = options.ranks ? options.ranks : 1;
    ck_assert_msg(mm_progress_begin(&options, now, &progress, &err) == MM_OK, "%s", err.text);
    return progress;
}

START_TEST(plain_lines_come_every_ten_seconds_and_at_the_end)
{
    FILE *stream = open_text();
    mm_progress *progress = begin((mm_progress_options){.stream = stream, .total = 100}, 1000);
    mm_progress_tick(progress, 1009.9);
    mm_progress_tick(progress, 1010);
    for (int i = 0; i < 20; i++)
        mm_progress_add(progress, 0, 1, i == 7, 3, 1011);
    mm_progress_tick(progress, 1019);
    mm_progress_tick(progress, 1020);
    mm_progress_close(progress, 1025);
    mm_progress_tick(progress, 2000);
    mm_progress_end(progress, MM_RUN_DONE, NULL, 2000);
    expect_text(stream, "0/100 images, 0 masks\n"
                        "20/100 images, 1 set aside, 60 masks, 1 images/s, 1 min 20 s left\n"
                        "20/100 images, 1 set aside, 60 masks, 0.8 images/s, 1 min 40 s left\n");
}
END_TEST

START_TEST(a_terminal_line_is_written_over_and_leaves_no_rest)
{
    FILE *stream = open_text();
    mm_progress *progress = begin((mm_progress_options){.stream = stream, .terminal = true, .total = 2}, 0);
    mm_progress_add(progress, 0, 1, false, 5, 0.4);
    mm_progress_tick(progress, 0.5);
    mm_progress_tick(progress, 2);
    mm_progress_add(progress, 0, 1, false, 5, 3);
    mm_progress_end(progress, MM_RUN_DONE, NULL, 4);
    expect_text(stream, "\r1/2 images, 5 masks, 0.5 images/s, 2 s left"
                        "\r2/2 images, 10 masks, 0.5 images/s         \n");
}
END_TEST

START_TEST(quiet_and_absent_progress_print_nothing)
{
    mm_progress *progress = begin((mm_progress_options){.terminal = true, .total = 10}, 0);
    mm_progress_add(progress, 0, 1, true, 0, 1);
    mm_progress_tick(progress, 100);
    const mm_run_progress measured = mm_progress_measure(progress, 100);
    ck_assert_uint_eq(measured.images_done, 0);
    ck_assert_uint_eq(measured.images_set_aside, 1);
    mm_progress_end(progress, MM_RUN_DONE, NULL, 200);
    mm_progress_add(NULL, 0, 1, false, 0, 0); /* the other ranks have none */
    mm_progress_tick(NULL, 0);
    mm_progress_close(NULL, 0);
    mm_progress_end(NULL, MM_RUN_DONE, NULL, 0);
}
END_TEST

START_TEST(what_was_done_before_counts_but_not_for_the_pace)
{
    mm_progress *progress = begin((mm_progress_options){.total = 1000, .done_before = 600, .set_aside_before = 10,
                                                        .masks_before = 6000}, 0);
    mm_run_progress measured = mm_progress_measure(progress, 0);
    ck_assert(measured.images_per_second < 0 && measured.left < 0);
    for (int i = 0; i < 20; i++)
        mm_progress_add(progress, 0, 1, false, 10, i);
    measured = mm_progress_measure(progress, 20);
    ck_assert_uint_eq(measured.images_done, 620);
    ck_assert_uint_eq(measured.images_set_aside, 10);
    ck_assert_uint_eq(measured.images_before, 610);
    ck_assert_uint_eq(measured.masks, 6200);
    ck_assert_double_eq_tol(measured.images_per_second, 1, 1e-9);
    ck_assert_double_eq_tol(measured.left, 370, 1e-9);
    mm_progress_end(progress, MM_RUN_DONE, NULL, 20);
}
END_TEST

START_TEST(the_pace_now_follows_a_change_and_so_does_the_time_left)
{
    mm_progress *progress = begin((mm_progress_options){.total = 100000}, 0);
    for (int t = 1; t <= 2000; t++) /* two a second */
        for (int i = 0; i < 2; i++)
            mm_progress_add(progress, 0, 1, false, 1, t);
    for (int t = 2001; t <= 2100; t++) /* eight a second */
        for (int i = 0; i < 8; i++)
            mm_progress_add(progress, 0, 1, false, 1, t);
    const mm_run_progress measured = mm_progress_measure(progress, 2100);
    ck_assert_double_eq_tol(measured.images_per_second, 4800 / 2100.0, 1e-9);
    ck_assert_double_eq_tol(measured.images_per_second_now, 8, 0.3);
    /* Of the last quarter of an hour: 800 s at 2 and 100 s at 8, not of the whole run. */
    ck_assert_double_eq_tol(measured.left, (100000 - 4800) / (2400 / 900.0), 600);
    mm_progress_end(progress, MM_RUN_STOPPED, NULL, 2100);
}
END_TEST

START_TEST(slow_images_are_measured_over_ten_of_them)
{
    mm_progress *progress = begin((mm_progress_options){.total = 1000}, 0);
    for (int i = 1; i <= 30; i++)
        mm_progress_add(progress, 0, 1, false, 1, i * 40.0);
    const mm_run_progress measured = mm_progress_measure(progress, 1210);
    ck_assert_double_gt(measured.images_per_second_now, 0.02);
    ck_assert_double_lt(measured.images_per_second_now, 0.03);
    mm_progress_end(progress, MM_RUN_DONE, NULL, 1210);
}
END_TEST

START_TEST(ranks_are_compared_and_the_silent_are_found)
{
    mm_progress *progress = begin((mm_progress_options){.total = 10000, .ranks = 4}, 0);
    for (int t = 1; t <= 100; t++) {
        mm_progress_add(progress, 0, 1, false, 1, t);
        mm_progress_add(progress, 1, 1, false, 1, t);
        mm_progress_add(progress, 1, 1, false, 1, t);
        if (t <= 20)
            mm_progress_add(progress, 3, 1, false, 1, t);
    }
    mm_run_progress measured = mm_progress_measure(progress, 50);
    ck_assert_double_lt(measured.slowest, 0); /* rank 2 may still be at its first image */
    ck_assert_uint_eq(measured.silent_count, 0);
    measured = mm_progress_measure(progress, 100);
    ck_assert_double_eq_tol(measured.slowest, 0, 1e-9);
    ck_assert_uint_eq(measured.slowest_rank, 2);
    ck_assert_double_eq_tol(measured.fastest, 2, 1e-9);
    ck_assert_uint_eq(measured.fastest_rank, 1);
    ck_assert_double_eq_tol(measured.median, 1, 1e-9);
    ck_assert_double_eq_tol(measured.silent_after, 60, 1e-9);
    ck_assert_uint_eq(measured.silent_count, 2);
    ck_assert_uint_eq(measured.silent[0], 2);
    ck_assert_uint_eq(measured.silent[1], 3);
    mm_progress_heard(progress, 2, 99); /* asks for work, so it lives */
    measured = mm_progress_measure(progress, 100);
    ck_assert_uint_eq(measured.silent_count, 1);
    mm_progress_add(progress, 77, 1, false, 1, 100); /* no such rank: counted, nothing written astray */
    mm_progress_end(progress, MM_RUN_DONE, NULL, 100);
}
END_TEST

START_TEST(nobody_is_silent_when_nothing_is_left_to_do)
{
    mm_progress *progress = begin((mm_progress_options){.total = 101, .ranks = 2}, 0);
    for (int i = 0; i < 100; i++)
        mm_progress_add(progress, 0, 1, false, 1, i);
    ck_assert_uint_eq(mm_progress_measure(progress, 100).silent_count, 0);
    mm_progress_end(progress, MM_RUN_DONE, NULL, 100);
}
END_TEST

static const mm_run_progress large = {
    .images_total = 11000000, .images_done = 5512345, .images_set_aside = 12345, .masks = 551234567,
    .images_per_second = 1200.4, .images_per_second_now = 1234.6, .left = 4560, .ranks = 512, .slowest = 2.1,
    .median = 2.4, .fastest = 2.9,
};

START_TEST(a_line_leaves_out_what_matters_least_to_fit)
{
    static const struct {
        int columns;
        const char *line;
    } cases[] = {
        {200, "5524690/11000000 images, 12345 set aside, 551M masks, 1200 images/s (now 1235), 1 h 16 min left, "
              "ranks 2.1-2.9"},
        {100, "5524690/11000000 images, 12345 set aside, 551M masks, 1200 images/s (now 1235), 1 h 16 min left"},
        {90, "5524690/11000000 images, 12345 set aside, 551M masks, 1200 images/s, 1 h 16 min left"},
        {79, "5524690/11000000 images, 12345 set aside, 1200 images/s, 1 h 16 min left"},
        {60, "5524690/11000000 images, 12345 set aside, 1 h 16 min left"},
        {30, "5524690/11000000 images"},
        {5, "5524690/11000000 images"},
    };
    char line[256];
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const int width = mm_progress_line(line, sizeof line, &large, cases[i].columns);
        ck_assert_str_eq(line, cases[i].line);
        ck_assert_int_eq(width, (int)strlen(line));
    }
    mm_run_progress silent = large;
    silent.silent_count = 2;
    (void)mm_progress_line(line, sizeof line, &silent, 100);
    ck_assert_str_eq(line, "5524690/11000000 images, 12345 set aside, 551M masks, 1200 images/s, 1 h 16 min left, "
                           "2 ranks silent");
    (void)mm_progress_line(line, sizeof line, &silent, 80);
    ck_assert_str_eq(line, "5524690/11000000 images, 12345 set aside, 1 h 16 min left, 2 ranks silent");
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("engine/progress");
    TCase *tests = tcase_create("line");
    tcase_add_test(tests, plain_lines_come_every_ten_seconds_and_at_the_end);
    tcase_add_test(tests, a_terminal_line_is_written_over_and_leaves_no_rest);
    tcase_add_test(tests, quiet_and_absent_progress_print_nothing);
    tcase_add_test(tests, what_was_done_before_counts_but_not_for_the_pace);
    tcase_add_test(tests, the_pace_now_follows_a_change_and_so_does_the_time_left);
    tcase_add_test(tests, slow_images_are_measured_over_ten_of_them);
    tcase_add_test(tests, ranks_are_compared_and_the_silent_are_found);
    tcase_add_test(tests, nobody_is_silent_when_nothing_is_left_to_do);
    tcase_add_test(tests, a_line_leaves_out_what_matters_least_to_fit);
    suite_add_tcase(suite, tests);
    return mm_check_main(suite);
}
