#include "check_main.h"

#include <errno.h>
#include <string.h>

#include "maskmill/status.h"

START_TEST(error_is_one_line_and_prefix_stands_before_it)
{
    mm_error err = {0};
    ck_assert_int_eq(mm_fail(&err, MM_ERR_FORMAT, "bad\nthing %d", 7), MM_ERR_FORMAT);
    ck_assert_str_eq(err.text, "bad thing 7");
    ck_assert_int_eq(mm_error_prefix(&err, "file %s", "a.jpg"), MM_ERR_FORMAT);
    ck_assert_str_eq(err.text, "file a.jpg: bad thing 7");
}
END_TEST

START_TEST(overlong_lines_are_cut_not_overrun)
{
    mm_error err = {0};
    char longer[2 * MM_ERROR_TEXT];
    memset(longer, 'x', sizeof longer);
    longer[sizeof longer - 1] = '\0';
    ck_assert_int_eq(mm_fail(&err, MM_ERR_IO, "%s", longer), MM_ERR_IO);
    ck_assert_uint_eq(strlen(err.text), MM_ERROR_TEXT - 1);
    ck_assert_int_eq(mm_error_prefix(&err, "%s", longer), MM_ERR_IO);
    ck_assert_uint_eq(strlen(err.text), MM_ERROR_TEXT - 1);
}
END_TEST

START_TEST(errno_gives_status_and_reason)
{
    mm_error err = {0};
    errno = ENOENT;
    ck_assert_int_eq(mm_fail_errno(&err, "open %s", "x"), MM_ERR_IO);
    ck_assert_str_eq(err.text, "open x: No such file or directory");
    errno = ENOMEM;
    ck_assert_int_eq(mm_fail_errno(NULL, "open"), MM_ERR_NOMEM);
    ck_assert_str_eq(mm_status_name(MM_ERR_LIMIT), "limit");
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("base/status");
    TCase *tests = tcase_create("errors");
    tcase_add_test(tests, error_is_one_line_and_prefix_stands_before_it);
    tcase_add_test(tests, overlong_lines_are_cut_not_overrun);
    tcase_add_test(tests, errno_gives_status_and_reason);
    suite_add_tcase(suite, tests);
    return mm_check_main(suite);
}
