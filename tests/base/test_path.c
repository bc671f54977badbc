#include "check_main.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/path.h"

static char root[PATH_MAX];

static void enter(void)
{
    char path[] = "/tmp/maskmill-test-XXXXXX";
    ck_assert_ptr_nonnull(mkdtemp(path));
    ck_assert_int_eq(chdir(path), 0);
    ck_assert_ptr_nonnull(getcwd(root, sizeof root)); /* as the system calls it */
    ck_assert_int_eq(mkdir("a", 0777) + mkdir("a/b", 0777) + mkdir("ab", 0777) + symlink("a/b", "link"), 0);
}

static void leave(void)
{
    ck_assert_int_eq(unlink("link") + rmdir("ab") + rmdir("a/b") + rmdir("a") + chdir("/") + rmdir(root), 0);
}

START_TEST(folders_are_named_from_each_other)
{
    static const struct {
        const char *from, *folder, *path;
    } cases[] = {
        {"a", "ab", "../ab"},   {"ab", "a", "../a"},    {"a/b", "a", ".."}, {"a", "a/b", "b"},
        {"a/b", "ab", "../../ab"}, {"a", "a/./", "."},  {".", "a/b", "a/b"}, {"link", "ab", "../../ab"},
        {"ab", "link", "../a/b"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char *path = NULL, *joined = NULL, there[PATH_MAX], back[PATH_MAX];
        mm_error err = {0};
        ck_assert_msg(mm_path_relative(cases[i].from, cases[i].folder, &path, &err) == MM_OK, "%s", err.text);
        ck_assert_str_eq(path, cases[i].path);
        ck_assert_int_eq(mm_path_join(cases[i].from, path, &joined, &err), MM_OK);
        ck_assert_ptr_nonnull(realpath(joined, back));
        ck_assert_ptr_nonnull(realpath(cases[i].folder, there));
        ck_assert_str_eq(back, there);
        free(path);
        free(joined);
    }
}
END_TEST

START_TEST(what_is_not_there_or_far_away)
{
    char *path = NULL;
    mm_error err = {0};
    ck_assert_int_eq(mm_path_relative("a", "none", &path, &err), MM_ERR_IO);
    ck_assert_int_eq(mm_path_relative("none", "a", &path, &err), MM_ERR_IO);
    ck_assert_int_eq(mm_path_relative("a", "/usr", &path, &err), MM_OK);
    ck_assert_str_eq(path, "/usr");
    free(path);
    ck_assert_int_eq(mm_path_join("a", "/usr", &path, &err), MM_OK);
    ck_assert_str_eq(path, "/usr");
    free(path);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("path");
    TCase *tests = tcase_create("path");
    tcase_add_checked_fixture(tests, enter, leave);
    tcase_add_test(tests, folders_are_named_from_each_other);
    tcase_add_test(tests, what_is_not_there_or_far_away);
    suite_add_tcase(suite, tests);
    return mm_check_main(suite);
}
