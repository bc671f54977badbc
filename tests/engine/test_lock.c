#include "check_main.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "engine/lock.h"
#include "engine/lock_holder.h"

static char folder[64], path[80];
static mm_error err;

static void make_folder(void)
{
    (void)snprintf(folder, sizeof folder, "/tmp/maskmill_lock_XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(folder));
    (void)snprintf(path, sizeof path, "%s/lock", folder);
    (void)unsetenv("SLURM_JOB_ID");
    (void)unsetenv("PBS_JOBID");
    (void)unsetenv("LSB_JOBID");
}

static void remove_folder(void)
{
    char command[128];
    (void)snprintf(command, sizeof command, "rm -rf '%s'", folder);
    ck_assert_int_eq(system(command), 0);
}

static void put_at(const char *place, const mm_lock_holder *holder, time_t age)
{
    char text[2048];
    mm_lock_holder_print(holder, 3, text, sizeof text);
    FILE *file = fopen(place, "w");
    ck_assert_ptr_nonnull(file);
    ck_assert_int_ge(fputs(text, file), 0);
    ck_assert_int_eq(fclose(file), 0);
    const struct timespec when[2] = {{.tv_sec = time(NULL) - age}, {.tv_sec = time(NULL) - age}};
    ck_assert_int_eq(utimensat(AT_FDCWD, place, when, 0), 0);
}

static void put(const mm_lock_holder *holder, time_t age)
{
    put_at(path, holder, age);
}

/* A process that was here and is no more. */
static mm_lock_holder gone(void)
{
    mm_lock_holder holder;
    mm_lock_holder_self(&holder);
    (void)snprintf(holder.start, sizeof holder.start, "1");
    return holder;
}

/* What a run leaves that dies while it takes the lock of `of` away; a run of this process, if it is alive. */
static mm_lock_holder put_over(const mm_lock_holder *of, bool alive)
{
    char place[200];
    mm_lock_holder holder = gone();
    if (alive)
        mm_lock_holder_self(&holder);
    (void)snprintf(place, sizeof place, "%s/lock.over.%s", folder, of->token);
    put_at(place, &holder, 0);
    return holder;
}

static mm_lock *take(const char *note)
{
    mm_lock *lock = NULL;
    char found[400];
    ck_assert_msg(mm_lock_take(folder, &lock, found, sizeof found, &err) == MM_OK, "%s", err.text);
    ck_assert_msg(*note ? strstr(found, note) != NULL : *found == '\0', "%s", found);
    ck_assert(mm_lock_is_held(lock));
    return lock;
}

static void refuse_to_take(const char *text)
{
    mm_lock *lock = NULL;
    char note[400];
    ck_assert_int_eq(mm_lock_take(folder, &lock, note, sizeof note, &err), MM_ERR_USAGE);
    ck_assert_msg(strstr(err.text, text) != NULL, "%s", err.text);
}

static void refuse(const char *text)
{
    ck_assert_int_eq(mm_lock_inspect(folder, &err), MM_ERR_USAGE);
    ck_assert_msg(strstr(err.text, text) != NULL, "%s", err.text);
    refuse_to_take(text);
}

/* No helper file may be left. */
static void expect_files(int count)
{
    char command[128];
    (void)snprintf(command, sizeof command, "test \"$(ls -A '%s' | wc -l)\" -eq %d", folder, count);
    ck_assert_int_eq(system(command), 0);
}

START_TEST(a_lock_keeps_others_out_until_it_is_released)
{
    mm_lock *lock = take("");
    expect_files(1);
    refuse("another run writes into");
    refuse("on this host");
    expect_files(1);
    mm_lock_release(lock);
    expect_files(0);
    ck_assert_int_eq(mm_lock_inspect(folder, &err), MM_OK);
    lock = take("");
    mm_lock_drop(lock); /* as the last act of a process */
    expect_files(0);
    mm_lock_release(lock);
    mm_lock_release(NULL);
}
END_TEST

START_TEST(what_is_printed_is_parsed)
{
    mm_lock_holder self, again;
    char text[2048];
    mm_lock_holder_self(&self);
    ck_assert_int_eq(self.pid, getpid());
    ck_assert(self.host[0] && self.start[0] && strlen(self.token) == 32);
    mm_lock_holder_print(&self, 1, text, sizeof text);
    mm_lock_holder_parse(text, &again);
    ck_assert_mem_eq(&again, &self, sizeof self);
    ck_assert_int_eq(mm_lock_holder_fate(&again), MM_HOLDER_LIVES);
    mm_lock_holder_parse("", &again);
    ck_assert(again.pid == 0 && !again.host[0]);
    mm_lock_holder_parse("\n\nhost\npid 12x\nhosts a\nhost b", &again);
    ck_assert(again.pid == 12 && strcmp(again.host, "b") == 0);
}
END_TEST

/* A process that was here and is gone, or whose number another one has now. */
START_TEST(the_lock_of_a_dead_process_is_taken_over)
{
    mm_lock_holder holder;
    mm_lock_holder_self(&holder);
    const pid_t child = fork();
    ck_assert_int_ge(child, 0);
    if (child == 0)
        _exit(0);
    /* Dead, and not buried yet. */
    siginfo_t info;
    ck_assert_int_eq(waitid(P_PID, (id_t)child, &info, WEXITED | WNOWAIT), 0);
    holder.pid = child;
    put(&holder, 0);
    mm_lock *lock = take("is no more");
    mm_lock_release(lock);
    ck_assert_int_eq(waitpid(child, NULL, 0), child);
    put(&holder, 0);
    lock = take("is no more");
    mm_lock_release(lock);
    holder = gone(); /* another process has its number now */
    put(&holder, 0);
    ck_assert_int_eq(mm_lock_inspect(folder, &err), MM_OK);
    lock = take("is no more");
    expect_files(1);
    mm_lock_release(lock);
}
END_TEST

/* Runs that died when they were about to take over are no hindrance, however many; one that lives is. */
START_TEST(a_takeover_that_was_cut_short_is_taken_over)
{
    mm_lock_holder stale = gone();
    for (int deaths = 1; deaths <= 4; deaths++) {
        put(&stale, 0);
        mm_lock_holder last = stale;
        for (int i = 0; i < deaths; i++)
            last = put_over(&last, false);
        mm_lock *lock = take("is no more");
        expect_files(1);
        mm_lock_release(lock);
        expect_files(0);
    }
    put(&stale, 0);
    const mm_lock_holder dead = put_over(&stale, false);
    (void)put_over(&dead, true);
    refuse_to_take("another run writes into");
    expect_files(3);
}
END_TEST

/* Whoever has the lock removes what dead runs left, and nothing else. */
START_TEST(files_of_dead_runs_are_swept)
{
    static const char *names[] = {"lock.0123456789abcdef0123456789abcdef", "lock.over.0123456789abcdef0123456789abcdef",
                                  "lock.over.fedcba9876543210fedcba9876543210", "lock.txt",
                                  "lock.0123456789abcdef0123456789abcdef0", "lock.over.0123456789abcdef"};
    mm_lock_holder holder;
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        char place[200];
        holder = gone();
        if (i == 2) /* that one is in use */
            mm_lock_holder_self(&holder);
        (void)snprintf(place, sizeof place, "%s/%s", folder, names[i]);
        put_at(place, &holder, 0);
    }
    mm_lock *lock = take("");
    expect_files(1 + 4);
    mm_lock_release(lock);
}
END_TEST

/* Its token is part of a file's name. */
START_TEST(a_token_from_a_file_leads_nowhere)
{
    mm_lock_holder stale = gone();
    (void)snprintf(stale.token, sizeof stale.token, "../../../../tmp/x");
    put(&stale, 0);
    mm_lock *lock = take("is no more");
    expect_files(1);
    mm_lock_release(lock);
    /* A file that is its own successor ends the search. */
    put(&stale, 0);
    stale.token[0] = '\0';
    char place[200];
    (void)snprintf(place, sizeof place, "%s/lock.over.", folder);
    put_at(place, &stale, 0);
    refuse_to_take("lock.over.; remove it");
}
END_TEST

/* On another host, in another container, on a machine of the same name: only the heartbeat tells. */
START_TEST(the_lock_of_another_host_goes_by_its_heartbeat)
{
    mm_lock_holder others[3];
    for (int i = 0; i < 3; i++)
        mm_lock_holder_self(&others[i]);
    (void)snprintf(others[0].host, sizeof others[0].host, "elsewhere");
    (void)snprintf(others[1].space, sizeof others[1].space, "pid:[1]");
    (void)snprintf(others[2].boot, sizeof others[2].boot, "another");
    for (int i = 0; i < 3; i++) {
        put(&others[i], 20);
        refuse("sign of life is");
        put(&others[i], 110);
        refuse("try again in");
        put(&others[i], 130);
        ck_assert_int_eq(mm_lock_inspect(folder, &err), MM_OK);
        mm_lock *lock = take("its last sign of life");
        mm_lock_release(lock);
        expect_files(0);
    }
}
END_TEST

START_TEST(a_job_that_is_started_again_takes_its_lock_over)
{
    mm_lock_holder holder;
    mm_lock_holder_self(&holder);
    (void)snprintf(holder.host, sizeof holder.host, "elsewhere");
    (void)snprintf(holder.job, sizeof holder.job, "slurm 47 restart 1");
    put(&holder, 5);
    ck_assert_int_eq(setenv("SLURM_JOB_ID", "47", 1), 0);
    ck_assert_int_eq(setenv("SLURM_RESTART_COUNT", "1", 1), 0);
    refuse("slurm 47 restart 1"); /* a second step of the same start */
    ck_assert_int_eq(setenv("SLURM_JOB_ID", "471", 1), 0);
    ck_assert_int_eq(setenv("SLURM_RESTART_COUNT", "2", 1), 0);
    refuse("slurm 47 restart 1");
    ck_assert_int_eq(setenv("SLURM_JOB_ID", "47", 1), 0);
    mm_lock *lock = take("earlier start of this job");
    mm_lock_release(lock);
    (void)unsetenv("SLURM_JOB_ID");
    (void)unsetenv("SLURM_RESTART_COUNT");
}
END_TEST

START_TEST(damaged_locks_are_stale_in_time)
{
    FILE *file = fopen(path, "w");
    ck_assert_ptr_nonnull(file);
    ck_assert_int_eq(fclose(file), 0);
    refuse("sign of life");
    const struct timespec when[2] = {{.tv_sec = 1000}, {.tv_sec = 1000}};
    ck_assert_int_eq(utimensat(AT_FDCWD, path, when, 0), 0);
    mm_lock *lock = take("sign of life");
    mm_lock_release(lock);
}
END_TEST

/* Of many that find the same stale lock at once, one gets it; also where another died before them, in every other trial.
 * Each trial hits other moments. */
enum { TRIALS = 40 };

START_TEST(one_of_many_takes_a_stale_lock)
{
    enum { RIVALS = 8 };
    mm_lock_holder holder;
    mm_lock_holder_self(&holder);
    (void)snprintf(holder.host, sizeof holder.host, "elsewhere");
    put(&holder, 1000);
    if (_i % 2 == 1)
        (void)put_over(&holder, false);
    pid_t rivals[RIVALS];
    int ends[2], answers[2], over[2];
    ck_assert(pipe(ends) == 0 && pipe(answers) == 0 && pipe(over) == 0);
    for (int i = 0; i < RIVALS; i++) {
        rivals[i] = fork();
        ck_assert_int_ge(rivals[i], 0);
        if (rivals[i] == 0) {
            mm_lock *lock = NULL;
            char note[400], byte;
            (void)close(ends[1]);
            (void)close(over[1]);
            (void)!read(ends[0], &byte, 1); /* the end of this pipe starts them all */
            const mm_status status = mm_lock_take(folder, &lock, note, sizeof note, &err);
            const char told = status == MM_OK ? 'y' : status == MM_ERR_USAGE ? 'n' : '?';
            (void)!write(answers[1], &told, 1);
            (void)close(answers[1]);
            (void)!read(over[0], &byte, 1); /* holds what it has until all have tried */
            _exit(0);
        }
    }
    (void)close(ends[0]);
    (void)close(ends[1]);
    (void)close(answers[1]);
    int taken = 0;
    for (int i = 0; i < RIVALS; i++) {
        char told = 0;
        ck_assert_int_eq(read(answers[0], &told, 1), 1);
        ck_assert(told == 'y' || told == 'n');
        taken += told == 'y';
    }
    ck_assert_int_eq(taken, 1);
    (void)close(over[1]);
    for (int i = 0; i < RIVALS; i++)
        ck_assert_int_eq(waitpid(rivals[i], NULL, 0), rivals[i]);
    (void)close(over[0]);
    (void)close(answers[0]);
    expect_files(1);
    ck_assert_int_eq(unlink(path), 0);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("engine/lock");
    TCase *tests = tcase_create("locks");
    tcase_add_checked_fixture(tests, make_folder, remove_folder);
    tcase_set_timeout(tests, 120);
    tcase_add_test(tests, a_lock_keeps_others_out_until_it_is_released);
    tcase_add_test(tests, what_is_printed_is_parsed);
    tcase_add_test(tests, the_lock_of_a_dead_process_is_taken_over);
    tcase_add_test(tests, a_takeover_that_was_cut_short_is_taken_over);
    tcase_add_test(tests, files_of_dead_runs_are_swept);
    tcase_add_test(tests, a_token_from_a_file_leads_nowhere);
    tcase_add_test(tests, the_lock_of_another_host_goes_by_its_heartbeat);
    tcase_add_test(tests, a_job_that_is_started_again_takes_its_lock_over);
    tcase_add_test(tests, damaged_locks_are_stale_in_time);
    tcase_add_loop_test(tests, one_of_many_takes_a_stale_lock, 0, TRIALS);
    suite_add_tcase(suite, tests);
    return mm_check_main(suite);
}
