#include "check_main.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "engine/quarantine.h"

static char scratch[] = "/tmp/maskmill_quarantine_XXXXXX";

/* Four listed files; sorted by path, "b<tab>.jpg" is image 1 and "d\.jpg" image 3. */
static mm_manifest *scan_four(void)
{
    static const char *const names[] = {"a.jpg", "b\t.jpg", "c.jpg", "d\\.jpg"};
    char path[512], list[512];
    ck_assert_ptr_nonnull(mkdtemp(scratch));
    for (size_t i = 0; i < 4; i++) {
        (void)snprintf(path, sizeof path, "%s/%s", scratch, names[i]);
        FILE *file = fopen(path, "w");
        ck_assert_ptr_nonnull(file);
        ck_assert_int_eq(fclose(file), 0);
    }
    (void)snprintf(list, sizeof list, "%s", scratch);
    const char *sources[] = {list};
    mm_error err = {0};
    mm_manifest *manifest = NULL;
    mm_scan_report report;
    ck_assert_int_eq(mm_corpus_scan(sources, 1, &manifest, &report, &err), MM_OK);
    ck_assert_uint_eq(mm_manifest_count(manifest), 4);
    return manifest;
}

START_TEST(lines_are_sorted_and_escaped)
{
    mm_manifest *manifest = scan_four();
    mm_error err = {0};
    mm_quarantine quarantine = {0};
    char path[512];
    (void)snprintf(path, sizeof path, "%s/quarantine.tsv", scratch);

    ck_assert_int_eq(mm_quarantine_write(&quarantine, manifest, scratch, &err), MM_OK);
    ck_assert_int_ne(access(path, F_OK), 0); /* none set aside, no file */

    ck_assert_int_eq(mm_quarantine_add(&quarantine, 3, MM_ERR_LIMIT, "too large", &err), MM_OK);
    ck_assert_int_eq(mm_quarantine_add(&quarantine, 0, MM_ERR_FORMAT, "no\tJPEG", &err), MM_OK);
    ck_assert_int_eq(mm_quarantine_add(&quarantine, 1, MM_ERR_IO, "gone", &err), MM_OK);
    ck_assert_int_eq(mm_quarantine_write(&quarantine, manifest, scratch, &err), MM_OK);
    mm_quarantine_free(&quarantine);
    mm_manifest_free(manifest);

    char text[1024] = "";
    FILE *file = fopen(path, "r");
    ck_assert_ptr_nonnull(file);
    ck_assert_uint_gt(fread(text, 1, sizeof text - 1, file), 0);
    ck_assert_int_eq(fclose(file), 0);
    ck_assert_str_eq(text, "image_id\tpath\tstatus\treason\n"
                           "0\ta.jpg\tformat\tno\\tJPEG\n"
                           "1\tb\\t.jpg\tio\tgone\n"
                           "3\td\\\\.jpg\tlimit\ttoo large\n");
    char command[600];
    (void)snprintf(command, sizeof command, "rm -rf '%s'", scratch);
    ck_assert_int_eq(system(command), 0);
}
END_TEST

START_TEST(many_are_kept)
{
    mm_error err = {0};
    mm_quarantine quarantine = {0};
    for (uint64_t i = 0; i < 1000; i++)
        ck_assert_int_eq(mm_quarantine_add(&quarantine, i, MM_ERR_FORMAT, "r", &err), MM_OK);
    ck_assert_uint_eq(quarantine.count, 1000);
    mm_quarantine_free(&quarantine);
    ck_assert_uint_eq(quarantine.count, 0);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("engine/quarantine");
    TCase *tests = tcase_create("list");
    tcase_add_test(tests, lines_are_sorted_and_escaped);
    tcase_add_test(tests, many_are_kept);
    suite_add_tcase(suite, tests);
    return mm_check_main(suite);
}
