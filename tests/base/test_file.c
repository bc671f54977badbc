#include "check_main.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"

static char path[] = "/tmp/test_file_XXXXXX";

static void make_file(void)
{
    const int descriptor = mkstemp(path);
    ck_assert_int_ge(descriptor, 0);
    ck_assert_int_eq(close(descriptor), 0);
}

static void remove_file(void)
{
    (void)unlink(path);
}

static void fill(size_t size)
{
    FILE *file = fopen(path, "wb");
    ck_assert_ptr_nonnull(file);
    for (size_t i = 0; i < size; i++)
        (void)fputc((int)(i * 7 % 251), file); /* failures show in fclose */
    ck_assert_int_eq(fclose(file), 0);
}

START_TEST(whole_files_of_every_size_around_the_buffer)
{
    static const size_t sizes[] = {0, 1, 65534, 65535, 65536, 65537, 300000};
    mm_error err = {0};
    for (size_t s = 0; s < sizeof sizes / sizeof sizes[0]; s++) {
        uint8_t *bytes = NULL;
        size_t size = 0;
        fill(sizes[s]);
        ck_assert_msg(mm_file_read(path, sizes[s], &bytes, &size, &err) == MM_OK, "%s", err.text);
        ck_assert_uint_eq(size, sizes[s]);
        size_t wrong = 0;
        for (size_t i = 0; i < size; i++)
            wrong += bytes[i] != i * 7 % 251;
        ck_assert_uint_eq(wrong, 0);
        ck_assert_uint_eq(bytes[size], 0);
        free(bytes);
        if (sizes[s] > 1)
            ck_assert_int_eq(mm_file_read(path, sizes[s] - 1, &bytes, &size, &err), MM_ERR_LIMIT);
    }
}
END_TEST

START_TEST(endless_and_unreadable_files_are_refused)
{
    uint8_t *bytes = NULL;
    size_t size = 0;
    mm_error err = {0};
    ck_assert_int_eq(mm_file_read("/dev/zero", 1000000, &bytes, &size, &err), MM_ERR_LIMIT);
    ck_assert_int_eq(mm_file_read("/tmp", 0, &bytes, &size, &err), MM_ERR_IO);
    ck_assert_str_eq(err.text, "/tmp: Is a directory");
    ck_assert_int_eq(mm_file_read("/nonexistent/file", 0, &bytes, &size, &err), MM_ERR_IO);
    ck_assert_ptr_null(bytes);
}
END_TEST

static void assert_holds(const char *name, const char *text)
{
    uint8_t *bytes = NULL;
    size_t size = 0;
    ck_assert_int_eq(mm_file_read(name, 0, &bytes, &size, NULL), MM_OK);
    ck_assert_str_eq((const char *)bytes, text);
    free(bytes);
}

START_TEST(a_draft_takes_its_place_whole_or_not_at_all)
{
    char folder[] = "/tmp/maskmill-test-XXXXXX", target[64], temporary[80];
    ck_assert_ptr_nonnull(mkdtemp(folder));
    (void)snprintf(target, sizeof target, "%s/file", folder);
    (void)snprintf(temporary, sizeof temporary, "%s.tmp", target);
    ck_assert_int_eq(mm_file_commit(target, "old", 3, NULL), MM_OK);
    assert_holds(target, "old");

    /* Until it is finished readers see the old file; a failure on the way leaves that. */
    mm_error err = {0};
    mm_file_draft draft;
    ck_assert_int_eq(mm_file_begin(target, &draft, &err), MM_OK);
    ck_assert_int_ge(fputs("new", draft.stream), 0);
    ck_assert_int_eq(fflush(draft.stream), 0);
    assert_holds(target, "old");
    ck_assert_int_eq(mm_file_finish(&draft, MM_ERR_FORMAT, &err), MM_ERR_FORMAT);
    assert_holds(target, "old");
    ck_assert_int_ne(access(temporary, F_OK), 0);

    ck_assert_int_eq(mm_file_begin(target, &draft, &err), MM_OK);
    ck_assert_int_ge(fputs("new", draft.stream), 0);
    ck_assert_int_eq(mm_file_finish(&draft, MM_OK, &err), MM_OK);
    assert_holds(target, "new");
    ck_assert_int_ne(access(temporary, F_OK), 0);

    /* What cannot be put there is not left elsewhere: the target is a folder. */
    ck_assert_int_eq(unlink(target), 0);
    ck_assert_int_eq(mkdir(target, 0777), 0);
    ck_assert_int_eq(mm_file_commit(target, "new", 3, &err), MM_ERR_IO);
    ck_assert_ptr_nonnull(strstr(err.text, "cannot rename"));
    ck_assert_int_ne(access(temporary, F_OK), 0);
    ck_assert_int_eq(rmdir(target), 0);
    ck_assert_int_eq(rmdir(folder), 0);
    ck_assert_int_eq(mm_file_commit(target, "new", 3, &err), MM_ERR_IO); /* its folder is gone */
}
END_TEST

START_TEST(shipped_files_are_found_in_the_source_tree)
{
    char found[4096], small[8];
    ck_assert(mm_file_find_shipped("configs", "/tmp", strrchr(path, '/') + 1, found, sizeof found));
    ck_assert_str_eq(found, path);
    ck_assert(!mm_file_find_shipped("configs", "/tmp", "no such file", found, sizeof found));
    ck_assert(!mm_file_find_shipped("configs", "/tmp", strrchr(path, '/') + 1, small, sizeof small));
    ck_assert(mm_file_exists(path) && !mm_file_exists("/tmp") && !mm_file_exists("/nonexistent"));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("base/file");
    TCase *tests = tcase_create("files");
    tcase_add_unchecked_fixture(tests, make_file, remove_file);
    tcase_add_test(tests, whole_files_of_every_size_around_the_buffer);
    tcase_add_test(tests, endless_and_unreadable_files_are_refused);
    tcase_add_test(tests, a_draft_takes_its_place_whole_or_not_at_all);
    tcase_add_test(tests, shipped_files_are_found_in_the_source_tree);
    suite_add_tcase(suite, tests);
    return mm_check_main(suite);
}
