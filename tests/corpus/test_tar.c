#include "check_main.h"
#include "corpus/scratch.h"

#include <archive.h>
#include <archive_entry.h>

#include "maskmill/corpus.h"

static mm_manifest *manifest;
static mm_scan_report report;
static mm_error err;

static void setup(void)
{
    scratch_make();
    manifest = NULL;
    err = (mm_error){0};
}

static void teardown(void)
{
    mm_manifest_free(manifest);
    scratch_remove();
}

typedef struct member {
    const char *name;
    const void *bytes;
    size_t size;
} member;

static void put_tar(const char *path, int (*set_format)(struct archive *), const member *members, size_t count)
{
    struct archive *archive = archive_write_new();
    ck_assert_int_eq(set_format(archive), ARCHIVE_OK);
    ck_assert_int_eq(archive_write_open_filename(archive, path), ARCHIVE_OK);
    for (size_t i = 0; i < count; i++) {
        struct archive_entry *entry = archive_entry_new();
        archive_entry_set_pathname(entry, members[i].name);
        archive_entry_set_size(entry, (la_int64_t)members[i].size);
        archive_entry_set_filetype(entry, AE_IFREG);
        archive_entry_set_perm(entry, 0644);
        ck_assert_int_ge(archive_write_header(archive, entry), ARCHIVE_WARN);
        ck_assert_int_eq(archive_write_data(archive, members[i].bytes, members[i].size), (la_ssize_t)members[i].size);
        archive_entry_free(entry);
    }
    ck_assert_int_eq(archive_write_close(archive), ARCHIVE_OK);
    ck_assert_int_eq(archive_write_free(archive), ARCHIVE_OK);
}

static mm_status scan(const char *name)
{
    const char *source = at(name);
    return mm_corpus_scan(&source, 1, &manifest, &report, &err);
}

/* A name too long for a plain header, so that formats use their extensions. */
static const char long_name[] =
    "f/0123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789"
    "0123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789.jpg";

static void check_format(int (*set_format)(struct archive *))
{
    size_t sizes[3];
    uint8_t *images[3] = {make_jpeg(31, 20, 0, &sizes[0]), make_jpeg(64, 64, 700, &sizes[1]),
                          make_jpeg(17, 90, 100000, &sizes[2])};
    const member members[] = {{"./z.jpg", images[0], sizes[0]},
                              {"a/b.JPEG", images[1], sizes[1]},
                              {"a/b.json", "{}", 2},
                              {long_name, images[2], sizes[2]},
                              {"a/empty.jpg", "", 0}};
    put_tar(at("x.tar"), set_format, members, 5);
    ck_assert_msg(scan("x.tar") == MM_OK, "%s", err.text);
    ck_assert_uint_eq(report.images, 4);
    ck_assert_uint_eq(report.ignored, 1);
    char long_path[256];
    snprintf(long_path, sizeof long_path, "x.tar/%s", long_name);
    const char *const paths[] = {"x.tar/a/b.JPEG", "x.tar/a/empty.jpg", long_path, "x.tar/z.jpg"};
    const int which[] = {1, -1, 2, 0};
    const uint32_t widths[] = {64, 0, 17, 31};
    for (uint64_t i = 0; i < 4; i++) {
        const mm_manifest_entry entry = mm_manifest_at(manifest, i);
        ck_assert_str_eq(entry.path, paths[i]);
        ck_assert_uint_gt(entry.offset, 0);
        ck_assert_uint_eq(entry.width, widths[i]);
        if (which[i] < 0)
            continue;
        uint8_t *bytes;
        size_t size;
        ck_assert_msg(mm_corpus_read(manifest, i, 0, &bytes, &size, &err) == MM_OK, "%s", err.text);
        ck_assert_uint_eq(size, sizes[which[i]]);
        ck_assert_mem_eq(bytes, images[which[i]], size);
        free(bytes);
        /* The same without a manifest. */
        ck_assert_msg(mm_corpus_read_path(at(paths[i]), 0, &bytes, &size, &err) == MM_OK, "%s", err.text);
        ck_assert_uint_eq(size, sizes[which[i]]);
        ck_assert_mem_eq(bytes, images[which[i]], size);
        free(bytes);
    }
    for (int i = 0; i < 3; i++)
        free(images[i]);
}

START_TEST(members_are_read_in_place_ustar)
{
    check_format(archive_write_set_format_pax_restricted);
}
END_TEST

START_TEST(members_are_read_in_place_gnu)
{
    check_format(archive_write_set_format_gnutar);
}
END_TEST

START_TEST(members_are_read_in_place_pax)
{
    check_format(archive_write_set_format_pax);
}
END_TEST

START_TEST(a_member_is_named_through_its_archive)
{
    const member members[] = {{"./a/1.jpg", "first", 5}, {"2.jpg", "second", 6}};
    uint8_t *bytes;
    size_t size;
    put_tar(at("x.tar"), archive_write_set_format_ustar, members, 2);
    ck_assert_msg(mm_corpus_read_path(at("x.tar/./a/1.jpg"), 0, &bytes, &size, &err) == MM_OK, "%s", err.text);
    ck_assert_mem_eq(bytes, "first", 5);
    free(bytes);
    ck_assert_int_eq(mm_corpus_read_path(at("x.tar/2.jpg"), 5, &bytes, &size, &err), MM_ERR_LIMIT);
    ck_assert_int_eq(mm_corpus_read_path(at("x.tar/1.jpg"), 0, &bytes, &size, &err), MM_ERR_IO);
    ck_assert_ptr_nonnull(strstr(err.text, "no member 1.jpg"));
    ck_assert_int_eq(mm_corpus_read_path(at("gone.tar/1.jpg"), 0, &bytes, &size, &err), MM_ERR_IO);
    put_text("text", "no archive");
    ck_assert_int_ne(mm_corpus_read_path(at("text/1.jpg"), 0, &bytes, &size, &err), MM_OK);
    ck_assert_ptr_null(bytes);
}
END_TEST

START_TEST(archives_of_one_folder_have_one_root)
{
    put_folder("c");
    const member members[] = {{"1.jpg", "first", 5}};
    put_tar(at("c/b.tar"), archive_write_set_format_ustar, members, 1);
    put_tar(at("c/a.tar"), archive_write_set_format_ustar, members, 1);
    const char *const sources[] = {at("c/b.tar"), at("c/a.tar")};
    ck_assert_int_eq(mm_corpus_scan(sources, 2, &manifest, &report, &err), MM_OK);
    ck_assert_uint_eq(report.images, 2);
    ck_assert_str_eq(mm_manifest_at(manifest, 0).path, "a.tar/1.jpg");
    ck_assert_str_eq(mm_manifest_at(manifest, 1).path, "b.tar/1.jpg");
    char whole[512];
    snprintf(whole, sizeof whole, "%s/c/b.tar/1.jpg", scratch);
    ck_assert_uint_eq(mm_manifest_find(manifest, whole), 1);
    ck_assert_uint_eq(mm_manifest_find(manifest, "1.jpg"), 2); /* two have it */
    /* So the corpus may be moved. */
    ck_assert_int_eq(rename(at("c"), at("d")), 0);
    ck_assert_int_eq(mm_manifest_move_root(manifest, at("d"), &err), MM_OK);
    uint8_t *bytes;
    size_t size;
    ck_assert_msg(mm_corpus_read(manifest, 1, 0, &bytes, &size, &err) == MM_OK, "%s", err.text);
    ck_assert_mem_eq(bytes, "first", 5);
    free(bytes);
}
END_TEST

START_TEST(a_folder_may_be_called_like_an_archive)
{
    put_folder("y.tar");
    put_folder("y.tar/z.tar");
    const member members[] = {{"1.jpg", "not really", 10}};
    put_tar(at("y.tar/z.tar/x.tar"), archive_write_set_format_ustar, members, 1);
    const char *const sources[] = {at("y.tar/z.tar/x.tar"), at("y.tar/z.tar/x.tar")};
    ck_assert_int_eq(mm_corpus_scan(sources, 2, &manifest, &report, &err), MM_OK);
    ck_assert_uint_eq(report.images, 1);
    ck_assert_uint_eq(report.duplicates, 1);
    uint8_t *bytes;
    size_t size;
    ck_assert_msg(mm_corpus_read(manifest, 0, 0, &bytes, &size, &err) == MM_OK, "%s", err.text);
    ck_assert_mem_eq(bytes, "not really", 10);
    free(bytes);
    ck_assert_int_eq(mm_corpus_read(manifest, 0, 9, &bytes, &size, &err), MM_ERR_LIMIT);
    ck_assert_int_eq(truncate(at("y.tar/z.tar/x.tar"), 515), 0);
    ck_assert_int_eq(mm_corpus_read(manifest, 0, 0, &bytes, &size, &err), MM_ERR_FORMAT);
    ck_assert_int_eq(unlink(at("y.tar/z.tar/x.tar")), 0);
    ck_assert_int_eq(mm_corpus_read(manifest, 0, 0, &bytes, &size, &err), MM_ERR_IO);
}
END_TEST

/* Whatever is cut off or flipped, a scan ends, and what it lists lies within the file. */
static void check_damaged(const uint8_t *bytes, size_t size)
{
    put_bytes(at("d.tar"), bytes, size);
    if (scan("d.tar") == MM_OK) {
        for (uint64_t i = 0; i < mm_manifest_count(manifest); i++) {
            const mm_manifest_entry entry = mm_manifest_at(manifest, i);
            ck_assert_uint_le(entry.offset, size);
            ck_assert_uint_le(entry.length, size - entry.offset);
        }
        mm_manifest_free(manifest);
        manifest = NULL;
    }
}

START_TEST(damaged_archives_are_survived)
{
    uint8_t first[1000];
    memset(first, 'a', sizeof first);
    const member members[] = {{"1.jpg", first, sizeof first}, {long_name, "second", 6}, {"3.jpg", "third", 5}};
    put_tar(at("x.tar"), archive_write_set_format_gnutar, members, 3);
    size_t size;
    uint8_t *bytes = get_bytes(at("x.tar"), &size);
    const size_t content = 512 * 9; /* the rest is zeros */
    ck_assert_uint_gt(size, content);
    for (size_t length = 0; length < content; length += 37)
        check_damaged(bytes, length);
    for (size_t i = 0; i < content; i += 3) {
        bytes[i] ^= 0x15;
        check_damaged(bytes, content);
        bytes[i] ^= 0x15;
    }
    free(bytes);
}
END_TEST

START_TEST(a_member_that_is_cut_off_is_an_error)
{
    const uint8_t first[3000] = {1, 2, 3};
    const member members[] = {{"1.jpg", first, sizeof first}};
    put_tar(at("x.tar"), archive_write_set_format_ustar, members, 1);
    ck_assert_int_eq(truncate(at("x.tar"), 2000), 0);
    ck_assert_int_eq(scan("x.tar"), MM_ERR_FORMAT);
    ck_assert_msg(strstr(err.text, "cut short") != NULL, "%s", err.text);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("corpus/tar");
    TCase *tests = tcase_create("tar");
    tcase_add_checked_fixture(tests, setup, teardown);
    tcase_set_timeout(tests, 60);
    tcase_add_test(tests, members_are_read_in_place_ustar);
    tcase_add_test(tests, members_are_read_in_place_gnu);
    tcase_add_test(tests, members_are_read_in_place_pax);
    tcase_add_test(tests, a_member_is_named_through_its_archive);
    tcase_add_test(tests, archives_of_one_folder_have_one_root);
    tcase_add_test(tests, a_folder_may_be_called_like_an_archive);
    tcase_add_test(tests, damaged_archives_are_survived);
    tcase_add_test(tests, a_member_that_is_cut_off_is_an_error);
    suite_add_tcase(suite, tests);
    return mm_check_main(suite);
}
