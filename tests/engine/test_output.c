#include "check_main.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "engine/output.h"

static char scratch[] = "/tmp/maskmill_output_XXXXXX";

static const char *in_scratch(const char *name)
{
    static char path[512];
    (void)snprintf(path, sizeof path, "%s/%s", scratch, name);
    return path;
}

static void put_file(const char *name)
{
    FILE *file = fopen(in_scratch(name), "w");
    ck_assert_ptr_nonnull(file);
    ck_assert_int_eq(fputs("x", file) < 0, 0);
    ck_assert_int_eq(fclose(file), 0);
}

static void put_folder(const char *name)
{
    ck_assert_int_eq(mkdir(in_scratch(name), 0777), 0);
}

static bool there(const char *name)
{
    struct stat about;
    return lstat(in_scratch(name), &about) == 0;
}

static void make_scratch(void)
{
    memcpy(scratch + strlen(scratch) - 6, "XXXXXX", 6);
    ck_assert_ptr_nonnull(mkdtemp(scratch));
}

static void remove_scratch(void)
{
    char command[600];
    (void)snprintf(command, sizeof command, "rm -rf '%s'", scratch);
    ck_assert_int_eq(system(command), 0);
}

static void expect(const char *name, bool overwrite, mm_status status)
{
    mm_error err = {0};
    char path[512];
    (void)snprintf(path, sizeof path, "%s", in_scratch(name));
    ck_assert_int_eq(mm_output_inspect(path, overwrite, &err), status);
    if (status != MM_OK) {
        ck_assert_ptr_nonnull(strstr(err.text, path));
        const mm_error before = err;
        ck_assert_int_eq(mm_output_prepare(path, overwrite, &err), status);
        ck_assert_str_eq(err.text, before.text);
    }
}

START_TEST(a_new_or_empty_folder_is_good_and_nothing_is_made_by_looking)
{
    expect("new", false, MM_OK);
    expect("deep/er/new", false, MM_OK);
    ck_assert(!there("new") && !there("deep"));
    mm_error err = {0};
    ck_assert_int_eq(mm_output_prepare(in_scratch("deep/er/new"), false, &err), MM_OK);
    ck_assert(there("deep/er/new/shards"));
    put_folder("empty");
    expect("empty", false, MM_OK);
    ck_assert_int_eq(mm_output_prepare(in_scratch("empty/"), false, &err), MM_OK);
    ck_assert(there("empty/shards"));
    ck_assert_int_eq(mm_output_inspect("", false, &err), MM_ERR_USAGE);
}
END_TEST

START_TEST(what_is_there_is_kept_without_overwrite)
{
    put_folder("full");
    put_file("full/manifest.h5");
    expect("full", false, MM_ERR_USAGE);
    ck_assert(there("full/manifest.h5"));
}
END_TEST

START_TEST(overwrite_removes_only_what_a_run_writes)
{
    put_folder("old");
    put_folder("old/shards");
    put_folder("old/journal");
    put_file("old/manifest.h5");
    put_file("old/dataset.h5");
    put_file("old/dataset.h5.tmp");
    put_file("old/run.json");
    put_file("old/quarantine.tsv");
    put_file("old/shards/sa_000000.h5");
    put_file("old/shards/sa_000001.h5.tmp");
    put_file("old/shards/notes.txt");
    put_file("old/journal/sa_000000.mmj");
    put_file("old/photo.jpg");
    mm_error err = {0};
    ck_assert_int_eq(mm_output_prepare(in_scratch("old"), true, &err), MM_OK);
    ck_assert(there("old/photo.jpg") && there("old/shards/notes.txt"));
    ck_assert(!there("old/manifest.h5") && !there("old/dataset.h5") && !there("old/dataset.h5.tmp"));
    ck_assert(!there("old/run.json") && !there("old/quarantine.tsv") && !there("old/journal"));
    ck_assert(!there("old/shards/sa_000000.h5") && !there("old/shards/sa_000001.h5.tmp"));
}
END_TEST

START_TEST(overwrite_leaves_other_folders_alone)
{
    put_folder("photos");
    put_file("photos/a.jpg");
    put_folder("photos/shards");
    put_file("photos/shards/sa_1.h5");
    expect("photos", true, MM_ERR_USAGE);
    ck_assert(there("photos/a.jpg") && there("photos/shards/sa_1.h5"));
    /* A run that failed before its manifest was written leaves only this. */
    put_folder("begun");
    put_folder("begun/shards");
    expect("begun", true, MM_OK);
    expect("begun", false, MM_ERR_USAGE);
}
END_TEST

START_TEST(what_cannot_be_written_is_an_io_error)
{
    put_file("file");
    expect("file", false, MM_ERR_IO);
    expect("file", true, MM_ERR_IO);
    expect("file/below", false, MM_ERR_IO);
    expect("file/far/below", false, MM_ERR_IO);
    if (geteuid() == 0)
        return; /* root may write anywhere */
    put_folder("locked");
    ck_assert_int_eq(chmod(in_scratch("locked"), 0555), 0);
    expect("locked", false, MM_ERR_IO);
    expect("locked/new", false, MM_ERR_IO);
    ck_assert_int_eq(chmod(in_scratch("locked"), 0755), 0);
}
END_TEST

START_TEST(small_files_are_put_whole)
{
    mm_error err = {0};
    ck_assert_int_eq(mm_output_put(scratch, "run.json", "first", 5, &err), MM_OK);
    ck_assert_int_eq(mm_output_put(scratch, "run.json", "second", 6, &err), MM_OK);
    char text[16] = "";
    FILE *file = fopen(in_scratch("run.json"), "r");
    ck_assert_ptr_nonnull(file);
    ck_assert_uint_eq(fread(text, 1, sizeof text, file), 6);
    ck_assert_int_eq(fclose(file), 0);
    ck_assert_str_eq(text, "second");
    ck_assert(!there("run.json.tmp"));
    /* A folder stands where the file should go: the temporary file does not stay. */
    put_folder("quarantine.tsv");
    ck_assert_int_eq(mm_output_put(scratch, "quarantine.tsv", "x", 1, &err), MM_ERR_IO);
    ck_assert(!there("quarantine.tsv.tmp"));
    ck_assert_int_eq(mm_output_put(in_scratch("none"), "run.json", "x", 1, &err), MM_ERR_IO);
}
END_TEST

START_TEST(overlong_paths_are_refused)
{
    mm_error err = {0};
    char path[8];
    ck_assert_int_eq(mm_output_path("folder", "name", path, sizeof path, &err), MM_ERR_LIMIT);
    ck_assert_int_eq(mm_output_path("ab", "cdef", path, sizeof path, &err), MM_OK);
    ck_assert_str_eq(path, "ab/cdef");
    static char longer[10000];
    memset(longer, 'x', sizeof longer - 1);
    for (size_t i = 100; i < sizeof longer - 1; i += 100)
        longer[i] = '/';
    ck_assert_int_ne(mm_output_inspect(longer, false, &err), MM_OK);
    ck_assert_int_ne(mm_output_prepare(longer, true, &err), MM_OK);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("engine/output");
    TCase *tests = tcase_create("folder");
    tcase_add_checked_fixture(tests, make_scratch, remove_scratch);
    tcase_add_test(tests, a_new_or_empty_folder_is_good_and_nothing_is_made_by_looking);
    tcase_add_test(tests, what_is_there_is_kept_without_overwrite);
    tcase_add_test(tests, overwrite_removes_only_what_a_run_writes);
    tcase_add_test(tests, overwrite_leaves_other_folders_alone);
    tcase_add_test(tests, what_cannot_be_written_is_an_io_error);
    tcase_add_test(tests, small_files_are_put_whole);
    tcase_add_test(tests, overlong_paths_are_refused);
    suite_add_tcase(suite, tests);
    return mm_check_main(suite);
}
