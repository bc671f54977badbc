#include "corpus/scratch.h"

#include "check_main.h"

#include <math.h>
#include <sys/wait.h>
#include <time.h>

#include "engine/progress.h"

static mm_run_progress sample(mm_run_state state)
{
    mm_run_progress p = {.state = state, .pid = getpid(), .started = 1000, .updated = 5000, .interval = 5,
                         .images_total = 100, .images_done = 40, .images_set_aside = 2, .images_before = 10,
                         .masks = 4000, .elapsed = 50, .images_per_second = 0.64, .images_per_second_now = 0.7,
                         .left = 90, .ranks = 4, .slowest_rank = 3, .fastest_rank = 1, .slowest = 0.1, .median = 0.15,
                         .fastest = 0.2, .silent_count = 2, .silent = {2, 3}, .silent_after = 60};
    (void)strcpy(p.host, "elsewhere");
    (void)strcpy(p.job, "77_3");
    return p;
}

static void put_progress(const char *name, const mm_run_progress *progress)
{
    char *text = mm_run_progress_to_json(progress);
    ck_assert_ptr_nonnull(text);
    put_bytes(at(name), text, strlen(text));
    free(text);
}

static mm_run_statuses read_status(const char *folder, double now)
{
    mm_run_statuses statuses;
    mm_error err = {0};
    ck_assert_msg(mm_run_status_read(folder, now, &statuses, &err) == MM_OK, "%s", err.text);
    return statuses;
}

static void expect_failure(const char *folder, const char *text)
{
    mm_run_statuses statuses;
    mm_error err = {0};
    ck_assert_int_ne(mm_run_status_read(folder, 5000, &statuses, &err), MM_OK);
    ck_assert_msg(strstr(err.text, text) != NULL, "%s", err.text);
}

START_TEST(what_is_written_is_read_back)
{
    mm_run_progress p = sample(MM_RUN_FAILED), q;
    (void)strcpy(p.reason, "cannot write \"x\": No space left \xff on device");
    p.left = -1;
    p.median = NAN;
    char *text = mm_run_progress_to_json(&p);
    ck_assert_ptr_nonnull(strstr(text, "\"seconds_left\": null"));
    mm_error err = {0};
    ck_assert_int_eq(mm_run_progress_from_json(text, strlen(text), "p", &q, &err), MM_OK);
    free(text);
    ck_assert_int_eq(q.state, MM_RUN_FAILED);
    ck_assert_str_eq(q.reason, "cannot write \"x\": No space left ? on device");
    ck_assert_str_eq(q.host, "elsewhere");
    ck_assert_str_eq(q.job, "77_3");
    ck_assert(q.pid == p.pid && q.started == 1000 && q.updated == 5000 && q.interval == 5);
    ck_assert(q.images_total == 100 && q.images_done == 40 && q.images_set_aside == 2 && q.images_before == 10);
    ck_assert(q.masks == 4000 && q.elapsed == 50 && q.left == -1 && q.median == -1);
    ck_assert_double_eq_tol(q.images_per_second, 0.64, 1e-12);
    ck_assert(q.ranks == 4 && q.slowest_rank == 3 && q.fastest_rank == 1 && q.silent_count == 2);
    ck_assert(q.silent[0] == 2 && q.silent[1] == 3 && q.silent_after == 60);
}
END_TEST

START_TEST(hostile_texts_are_refused_or_harmless)
{
    static const char *const refused[] = {
        "",
        "{",
        "[]",
        "{}",
        "{\"format\": 1}",
        "{\"format\": 2, \"state\": \"done\"}",
        "{\"format\": 1, \"state\": \"happy\"}",
        "{\"format\": 1, \"state\": 3}",
    };
    mm_run_progress p;
    mm_error err = {0};
    for (size_t i = 0; i < sizeof refused / sizeof refused[0]; i++) {
        ck_assert_int_eq(mm_run_progress_from_json(refused[i], strlen(refused[i]), "p", &p, &err), MM_ERR_FORMAT);
        ck_assert_ptr_nonnull(strstr(err.text, "p: "));
    }
    static const char odd[] =
        "{\"format\": 1, \"state\": \"running\", \"reason\": \"\\u001b[31m\\n\", \"host\": 7, \"pid\": -4,"
        " \"images_total\": -5, \"images_done\": 9223372036854775807, \"masks\": \"many\", \"seconds_left\": [],"
        " \"ranks\": {\"count\": 99999999999, \"silent_count\": 4000000000, \"silent\": [1, \"x\"]}}";
    ck_assert_int_eq(mm_run_progress_from_json(odd, strlen(odd), "p", &p, &err), MM_OK);
    ck_assert_str_eq(p.reason, "?[31m?");
    ck_assert(p.host[0] == '\0' && p.images_total == 0 && p.masks == 0 && p.left == -1);
    ck_assert_uint_eq(p.images_done, UINT64_C(1) << 48);
    ck_assert(p.ranks == UINT32_MAX && p.silent_count == 2 && p.silent[0] == 1 && p.silent[1] == 0);
    /* Whatever is cut off, nothing is read past the end. */
    for (size_t cut = 0; cut < sizeof odd - 1; cut++) {
        char *piece = malloc(cut ? cut : 1);
        memcpy(piece, odd, cut);
        ck_assert_int_eq(mm_run_progress_from_json(piece, cut, "p", &p, &err), MM_ERR_FORMAT);
        free(piece);
    }
}
END_TEST

START_TEST(a_run_is_alive_silent_dead_or_ended)
{
    mm_run_progress p = sample(MM_RUN_RUNNING);
    put_progress("progress.json", &p);
    mm_run_statuses s = read_status(scratch, 5003);
    ck_assert(s.count == 1 && !s.parts && s.runs[0].life == MM_LIFE_ALIVE && s.runs[0].age == 3);
    mm_run_status_free(&s);
    s = read_status(scratch, 4990); /* that host's clock is ahead of ours */
    ck_assert(s.runs[0].life == MM_LIFE_ALIVE && s.runs[0].age == 0);
    mm_run_status_free(&s);
    s = read_status(scratch, 5100);
    ck_assert(s.runs[0].life == MM_LIFE_SILENT && s.runs[0].age == 100);
    mm_run_status_free(&s);

    put_bytes(at("lock"), "x", 1); /* its time is of today: a later sign of life */
    s = read_status(scratch, (double)time(NULL) + 1);
    ck_assert_int_eq(s.runs[0].life, MM_LIFE_ALIVE);
    mm_run_status_free(&s);
    ck_assert_int_eq(unlink(at("lock")), 0);

    p.state = MM_RUN_DONE;
    put_progress("progress.json", &p);
    s = read_status(scratch, 1e9);
    ck_assert_int_eq(s.runs[0].life, MM_LIFE_ENDED);
    mm_run_status_free(&s);
}
END_TEST

START_TEST(a_process_that_is_gone_on_this_host_is_dead_at_once)
{
    const pid_t child = fork();
    if (child == 0)
        _exit(0);
    ck_assert_int_eq(waitpid(child, NULL, 0), child);
    mm_run_progress p = sample(MM_RUN_RUNNING);
    ck_assert_int_eq(gethostname(p.host, sizeof p.host - 1), 0);
    p.pid = child;
    put_progress("progress.json", &p);
    mm_run_statuses s = read_status(scratch, 5001);
    ck_assert_int_eq(s.runs[0].life, MM_LIFE_DEAD);
    mm_run_status_free(&s);
    p.pid = getpid();
    put_progress("progress.json", &p);
    s = read_status(scratch, 5001);
    ck_assert_int_eq(s.runs[0].life, MM_LIFE_ALIVE);
    mm_run_status_free(&s);
}
END_TEST

START_TEST(parts_are_listed_in_order_and_added_up)
{
    mm_run_progress p = sample(MM_RUN_RUNNING);
    static const char *const folders[] = {"part-10-19", "part-0-9", "part-20-29", "part-30-39"};
    for (size_t i = 0; i < 4; i++)
        put_folder(folders[i]);
    put_folder("shards");
    put_progress("part-10-19/progress.json", &p);
    put_progress("part-20-29/progress.json", &p);
    p.state = MM_RUN_DONE;
    p.images_done = 98;
    put_progress("part-0-9/progress.json", &p);
    mm_run_statuses s = read_status(scratch, 5001);
    ck_assert(s.parts && s.count == 3 && s.waiting == 1);
    ck_assert_ptr_nonnull(strstr(s.runs[0].folder, "part-0-9"));
    ck_assert_ptr_nonnull(strstr(s.runs[1].folder, "part-10-19"));
    const mm_run_status sum = mm_run_status_sum(&s);
    ck_assert(sum.life == MM_LIFE_ALIVE && sum.progress.state == MM_RUN_RUNNING);
    ck_assert(sum.progress.images_total == 300 && sum.progress.images_done == 178 && sum.progress.masks == 12000);
    ck_assert_double_eq_tol(sum.progress.images_per_second, 2 * 0.64, 1e-12); /* the one that is done does none */
    ck_assert_double_eq_tol(sum.progress.left, 90, 1e-12);
    ck_assert_uint_eq(sum.progress.ranks, 8);

    char *text = NULL;
    size_t size = 0;
    FILE *stream = open_memstream(&text, &size);
    mm_run_status_print_text(&s, stream);
    mm_error err = {0};
    ck_assert_int_eq(mm_run_status_print_json(&s, stream, &err), MM_OK);
    ck_assert_int_eq(fclose(stream), 0);
    ck_assert_ptr_nonnull(strstr(text, "3 parts and 1 in which nothing has begun"));
    ck_assert_ptr_nonnull(strstr(text, "184 of 300 (61.3 %)"));
    ck_assert_ptr_nonnull(strstr(text, "  done       part-0-9: 100/100 images"));
    ck_assert_ptr_nonnull(strstr(text, "\"parts_waiting\": 1"));
    free(text);
    mm_run_status_free(&s);
}
END_TEST

START_TEST(what_is_no_run_is_said)
{
    expect_failure(at("nothing"), "nothing");
    expect_failure(scratch, "no progress.json");
    put_folder("part-0-9");
    expect_failure(scratch, "no progress.json");
    put_bytes(at("part-0-9/progress.json"), "{}", 2);
    expect_failure(scratch, "part-0-9/progress.json: is not the progress");
    char *large = calloc(1, 2 << 20);
    put_bytes(at("progress.json"), large, 2 << 20);
    expect_failure(scratch, "longer than");
    free(large);
}
END_TEST

static mm_run_progress read_whole(void)
{
    mm_run_statuses s = read_status(scratch, 5000);
    const mm_run_progress p = s.runs[0].progress;
    mm_run_status_free(&s);
    return p;
}

START_TEST(a_run_leaves_its_last_state_and_no_other_file)
{
    mm_error err = {0};
    mm_progress *progress = NULL;
    const mm_progress_options options = {.out = scratch, .total = 3, .ranks = 1};
    ck_assert_int_eq(mm_progress_begin(&options, 0, &progress, &err), MM_OK);
    mm_progress_add(progress, 0, 1, false, 7, 1);
    mm_progress_end(progress, MM_RUN_STOPPED, "SIGUSR1", 2);
    mm_run_progress p = read_whole();
    ck_assert(p.state == MM_RUN_STOPPED && p.images_done == 1 && p.masks == 7 && p.pid == getpid());
    ck_assert_str_eq(p.reason, "SIGUSR1");
    ck_assert_double_gt(p.updated, 1.6e9);
    ck_assert(access(at("progress.json.tmp"), F_OK) != 0);

    put_folder("progress.json.tmp"); /* cannot be written: no reason for anything to fail, and the old one stays */
    ck_assert_int_eq(mm_progress_begin(&options, 0, &progress, &err), MM_OK);
    mm_progress_end(progress, MM_RUN_DONE, NULL, 2);
    p = read_whole();
    ck_assert_int_eq(p.state, MM_RUN_STOPPED);
}
END_TEST

START_TEST(the_file_is_refreshed_while_the_run_is_on)
{
    mm_error err = {0};
    mm_progress *progress = NULL;
    const mm_progress_options options = {.out = scratch, .total = 3, .ranks = 1};
    ck_assert_int_eq(mm_progress_begin(&options, 0, &progress, &err), MM_OK);
    double first = 0;
    for (int waited = 0; waited < 6000 && first == 0; waited++) {
        if (access(at("progress.json"), F_OK) == 0)
            first = read_whole().updated;
        (void)usleep(10000);
    }
    ck_assert_double_gt(first, 0);
    mm_progress_add(progress, 0, 1, false, 7, 1);
    mm_progress_tick(progress, 10);
    mm_run_progress p = {0};
    for (int waited = 0; waited < 6000 && p.images_done == 0; waited++) {
        (void)usleep(10000);
        p = read_whole();
    }
    ck_assert_uint_eq(p.images_done, 1);
    ck_assert_int_eq(p.state, MM_RUN_RUNNING);
    ck_assert_double_gt(p.updated, first);
    mm_progress_end(progress, MM_RUN_DONE, NULL, 20);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("engine/progress_status");
    TCase *tests = tcase_create("status");
    tcase_set_timeout(tests, 120);
    tcase_add_checked_fixture(tests, scratch_make, scratch_remove);
    tcase_add_test(tests, what_is_written_is_read_back);
    tcase_add_test(tests, hostile_texts_are_refused_or_harmless);
    tcase_add_test(tests, a_run_is_alive_silent_dead_or_ended);
    tcase_add_test(tests, a_process_that_is_gone_on_this_host_is_dead_at_once);
    tcase_add_test(tests, parts_are_listed_in_order_and_added_up);
    tcase_add_test(tests, what_is_no_run_is_said);
    tcase_add_test(tests, a_run_leaves_its_last_state_and_no_other_file);
    tcase_add_test(tests, the_file_is_refreshed_while_the_run_is_on);
    suite_add_tcase(suite, tests);
    return mm_check_main(suite);
}
