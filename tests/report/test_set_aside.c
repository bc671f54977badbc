#include "corpus/scratch.h"

#include "check_main.h"

#include "report/set_aside.h"

static mm_aside aside;

static void read_text(const char *text)
{
    mm_error err = {0};
    put_bytes(at("q.tsv"), text, strlen(text));
    ck_assert_msg(mm_aside_read(at("q.tsv"), &aside, &err) == MM_OK, "%s", err.text);
}

START_TEST(reasons_of_one_kind_are_one_group)
{
    read_text("image_id\tpath\tstatus\treason\n"
              "3\ta.jpg\tformat\tdamaged JPEG: near byte 483 of 500\n"
              "4\tb/c d.jpg\tio\tcannot open /data/x y/b.jpg: No such file\n"
              "9\td.jpg\tformat\tdamaged JPEG: near byte 1 of 99999\n"
              "11\te.jpg\tformat\tnot a JPEG: it begins with 0x6e 0xff\n"
              "12\tf.jpg\tlimit\tdamaged JPEG: near byte 1 of 2\n");
    ck_assert(aside.found && aside.count == 5 && aside.row_count == 5);
    ck_assert_uint_eq(aside.group_count, 4);
    ck_assert_uint_eq(aside.groups[0].count, 2);
    ck_assert_str_eq(aside.groups[0].status, "format");
    ck_assert_str_eq(aside.groups[0].reason, "damaged JPEG: near byte N of N");
    ck_assert_str_eq(aside.groups[0].examples[0], "a.jpg");
    ck_assert_str_eq(aside.groups[0].examples[1], "d.jpg");
    ck_assert_ptr_null(aside.groups[0].examples[2]);
    ck_assert_str_eq(aside.groups[1].reason, "not a JPEG: it begins with N N");
    ck_assert_str_eq(aside.groups[2].reason, "cannot open \xe2\x80\xa6 \xe2\x80\xa6: No such file");
    ck_assert_str_eq(aside.groups[3].status, "limit");
    ck_assert_str_eq(aside.rows[1].path, "b/c d.jpg");
    mm_aside_free(&aside);
}
END_TEST

START_TEST(columns_are_found_by_name_and_odd_lines_do_no_harm)
{
    read_text("reason\tnew\tstatus\tpath\timage_id\nwhy\tx\tio\tp.jpg\t7\nonly a "
              "reason\n\n\t\t\t\t\t\t\t\t\nlast\tx\tio\tq.jpg\t8");
    ck_assert_uint_eq(aside.count, 5);
    ck_assert_str_eq(aside.rows[0].reason, "why");
    ck_assert_str_eq(aside.rows[0].path, "p.jpg");
    ck_assert_str_eq(aside.rows[0].image_id, "7");
    ck_assert_str_eq(aside.rows[1].path, "");
    ck_assert_str_eq(aside.rows[4].image_id, "8");
    mm_aside_free(&aside);
}
END_TEST

START_TEST(what_is_kept_is_bounded_and_what_is_counted_is_not)
{
    enum { KINDS = 100, OF_EACH = 50 };
    FILE *file = fopen(at("q.tsv"), "w");
    mm_error err = {0};
    (void)fputs("image_id\tpath\tstatus\treason\n", file);
    for (int i = 0; i < KINDS * OF_EACH; i++) {
        (void)fprintf(file, "%d\tp%d\tformat\t", i, i);
        for (int c = 0; c <= i % KINDS; c++)
            (void)fputc('x', file);
        (void)fputc('\n', file);
    }
    ck_assert_int_eq(fclose(file), 0);
    ck_assert_int_eq(mm_aside_read(at("q.tsv"), &aside, &err), MM_OK);
    ck_assert_uint_eq(aside.count, KINDS * OF_EACH);
    ck_assert_uint_eq(aside.row_count, MM_ASIDE_LISTED);
    ck_assert_uint_eq(aside.group_count, MM_ASIDE_GROUPS);
    ck_assert_uint_eq(aside.groups[0].count, OF_EACH);
    ck_assert_uint_eq(aside.ungrouped, (KINDS - MM_ASIDE_GROUPS) * OF_EACH);
    mm_aside_free(&aside);
}
END_TEST

START_TEST(no_file_is_no_fault_and_another_file_is_one)
{
    mm_error err = {0};
    ck_assert_int_eq(mm_aside_read(at("none.tsv"), &aside, &err), MM_OK);
    ck_assert(!aside.found && aside.count == 0);
    static const char *const wrong[] = {"", "\n", "image_id\tpath\tstatus\n", "\x89PNG\r\n"};
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        put_bytes(at("q.tsv"), wrong[i], strlen(wrong[i]));
        ck_assert_int_eq(mm_aside_read(at("q.tsv"), &aside, &err), MM_ERR_FORMAT);
        ck_assert_ptr_nonnull(strstr(err.text, "q.tsv"));
        mm_aside_free(&aside);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("report/set_aside");
    TCase *tests = tcase_create("set_aside");
    tcase_add_checked_fixture(tests, scratch_make, scratch_remove);
    tcase_add_test(tests, reasons_of_one_kind_are_one_group);
    tcase_add_test(tests, columns_are_found_by_name_and_odd_lines_do_no_harm);
    tcase_add_test(tests, what_is_kept_is_bounded_and_what_is_counted_is_not);
    tcase_add_test(tests, no_file_is_no_fault_and_another_file_is_one);
    suite_add_tcase(suite, tests);
    return mm_check_main(suite);
}
