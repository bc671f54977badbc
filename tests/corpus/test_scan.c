#include "check_main.h"
#include "corpus/scratch.h"

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

static mm_status scan(const char *name)
{
    const char *source = at(name);
    return mm_corpus_scan(&source, 1, &manifest, &report, &err);
}

static void expect_paths(const char *const *paths, size_t count)
{
    ck_assert_msg(err.status == MM_OK, "%s", err.text);
    for (uint64_t i = 0; i < mm_manifest_count(manifest) && i < count; i++)
        ck_assert_str_eq(mm_manifest_at(manifest, i).path, paths[i]);
    ck_assert_uint_eq(mm_manifest_count(manifest), count);
}

START_TEST(a_folder_is_walked_in_bytewise_order)
{
    put_folder("c");
    put_folder("c/b");
    put_folder("c/b/empty");
    put_jpeg("c/b/1.JPG", 33, 20);
    put_jpeg("c/b-1.jpeg", 20, 33);
    put_jpeg("c/B.jpg", 8, 8);
    put_jpeg("c/\xc3\xa4.jpg", 9, 7);
    put_text("c/readme.txt", "no image");
    put_text("c/b/x.png", "no image");
    put_text("c/nojpeg.jpg", "no image either, but called one");
    ck_assert_int_eq(scan("c"), MM_OK);
    /* '-' < '/', 'B' < 'b', and bytes above 127 come last. */
    static const char *const paths[] = {"B.jpg", "b-1.jpeg", "b/1.JPG", "nojpeg.jpg", "\xc3\xa4.jpg"};
    expect_paths(paths, 5);
    ck_assert_uint_eq(report.images, 5);
    ck_assert_uint_eq(report.ignored, 2);
    ck_assert_uint_eq(report.unreadable, 0);
    ck_assert_uint_eq(report.duplicates, 0);
    const mm_manifest_entry first = mm_manifest_at(manifest, 2), none = mm_manifest_at(manifest, 3);
    ck_assert_uint_eq(first.image_id, 2);
    ck_assert_uint_eq(first.width, 33);
    ck_assert_uint_eq(first.height, 20);
    ck_assert_uint_eq(first.offset, 0);
    size_t size;
    uint8_t *file = get_bytes(at("c/b/1.JPG"), &size);
    free(file);
    ck_assert_uint_eq(first.length, size);
    ck_assert_uint_eq(none.width, 0);
    ck_assert_uint_eq(none.height, 0);
}
END_TEST

START_TEST(a_header_far_into_the_file_is_found)
{
    put_folder("c");
    size_t size;
    uint8_t *jpeg = make_jpeg(40, 30, 200000, &size);
    put_bytes(at("c/1.jpg"), jpeg, size);
    free(jpeg);
    jpeg = make_jpeg(50, 30, 3000000, &size);
    put_bytes(at("c/2.jpg"), jpeg, size);
    free(jpeg);
    ck_assert_int_eq(scan("c"), MM_OK);
    ck_assert_uint_eq(mm_manifest_at(manifest, 0).width, 40);
    ck_assert_uint_eq(mm_manifest_at(manifest, 1).width, 50);
}
END_TEST

START_TEST(links_are_followed_but_loops_end)
{
    put_folder("c");
    put_folder("c/z");
    put_folder("other");
    put_folder("other/deep");
    put_jpeg("c/z/1.jpg", 8, 8);
    put_jpeg("other/deep/2.jpg", 8, 8);
    ck_assert_int_eq(symlink("gone", at("c/z/link.jpg")), 0); /* broken: set aside later */
    ck_assert_int_eq(symlink("z/1.jpg", at("c/file.jpg")), 0);
    ck_assert_int_eq(symlink("z", at("c/a")), 0);            /* a second name of a real folder: not walked again */
    ck_assert_int_eq(symlink("..", at("c/z/up")), 0);        /* a loop */
    ck_assert_int_eq(symlink(at("other"), at("c/x")), 0);    /* leads out */
    ck_assert_int_eq(symlink(at("other"), at("c/y")), 0);    /* the same again */
    ck_assert_int_eq(symlink(at("c"), at("other/back")), 0); /* a loop through both */
    ck_assert_int_eq(scan("c"), MM_OK);
    static const char *const paths[] = {"file.jpg", "x/deep/2.jpg", "z/1.jpg", "z/link.jpg"};
    expect_paths(paths, 4);
    ck_assert_uint_eq(mm_manifest_at(manifest, 0).width, 8);
    ck_assert_uint_eq(mm_manifest_at(manifest, 3).length, 0);
}
END_TEST

START_TEST(folders_that_cannot_be_entered_are_counted)
{
    put_folder("c");
    put_folder("c/locked");
    put_jpeg("c/1.jpg", 8, 8);
    put_jpeg("c/locked/2.jpg", 8, 8);
    ck_assert_int_eq(chmod(at("c/locked"), 0), 0);
    const bool root = geteuid() == 0;
    if (root)
        ck_assert_int_eq(seteuid(65534), 0);
    const mm_status status = scan("c");
    if (root)
        ck_assert_int_eq(seteuid(0), 0);
    ck_assert_int_eq(chmod(at("c/locked"), 0755), 0);
    ck_assert_int_eq(status, MM_OK);
    ck_assert_uint_eq(report.images, 1);
    ck_assert_uint_eq(report.unreadable, 1);
}
END_TEST

START_TEST(a_deep_tree_needs_no_more_descriptors)
{
    put_folder("c");
    char path[400] = "c";
    for (int i = 0; i < 100; i++) {
        strcat(path, "/d");
        put_folder(path);
    }
    strcat(path, "/1.jpg");
    put_jpeg(path, 8, 8);
    struct rlimit before;
    ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &before), 0);
    const struct rlimit few = {24, before.rlim_max};
    ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &few), 0);
    const mm_status status = scan("c");
    ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &before), 0);
    ck_assert_int_eq(status, MM_OK);
    ck_assert_uint_eq(report.images, 1);
    ck_assert_uint_eq(report.unreadable, 0);
}
END_TEST

START_TEST(special_files_do_not_stop_a_scan)
{
    put_folder("c");
    ck_assert_int_eq(mkfifo(at("c/pipe.jpg"), 0644), 0);
    ck_assert_int_eq(scan("c"), MM_OK);
    uint8_t *bytes;
    size_t size;
    ck_assert_int_ne(mm_corpus_read(manifest, 0, 0, &bytes, &size, &err), MM_OK);
    ck_assert_ptr_null(bytes);
}
END_TEST

START_TEST(a_list_takes_what_it_names)
{
    put_folder("c");
    put_folder("c/b");
    put_jpeg("c/b/1.jpg", 11, 8);
    put_text("c/notes.txt", "text");
    put_text("c/p.png", "\x89PNG\r\n\x1a\n");
    char text[1024];
    snprintf(text, sizeof text, "./b/1.jpg\r\n\nnotes.txt\np.png\n%s/c/b/1.jpg\ngone.jpg\nb", scratch);
    put_text("c/list", text);
    ck_assert_int_eq(scan("c/list"), MM_OK);
    char whole[512];
    snprintf(whole, sizeof whole, "%s/c/b/1.jpg", scratch);
    const char *const paths[] = {whole, "b", "b/1.jpg", "gone.jpg", "notes.txt", "p.png"};
    expect_paths(paths, 6);
    ck_assert_uint_eq(mm_manifest_at(manifest, 0).width, 11);
    ck_assert_uint_eq(mm_manifest_at(manifest, 2).width, 11);
    ck_assert_uint_eq(mm_manifest_at(manifest, 4).width, 0);
    uint8_t *bytes;
    size_t size;
    ck_assert_int_eq(mm_corpus_read(manifest, 4, 0, &bytes, &size, &err), MM_OK);
    ck_assert_uint_eq(size, 4);
    ck_assert_mem_eq(bytes, "text", 4);
    free(bytes);
    ck_assert_int_eq(mm_corpus_read(manifest, 3, 0, &bytes, &size, &err), MM_ERR_IO);
    ck_assert_ptr_nonnull(strstr(err.text, "gone.jpg"));
    ck_assert_int_ne(mm_corpus_read(manifest, 1, 0, &bytes, &size, &err), MM_OK);
}
END_TEST

START_TEST(several_sources_are_joined_without_doubles)
{
    put_folder("a");
    put_folder("b");
    put_jpeg("a/1.jpg", 8, 8);
    put_jpeg("b/2.jpg", 8, 8);
    put_text("list", "b/2.jpg\na/1.jpg\n");
    const char *const sources[] = {at("b"), at("a"), at("list")};
    ck_assert_int_eq(mm_corpus_scan(sources, 3, &manifest, &report, &err), MM_OK);
    char one[512], two[512];
    snprintf(one, sizeof one, "%s/a/1.jpg", scratch);
    snprintf(two, sizeof two, "%s/b/2.jpg", scratch);
    const char *const paths[] = {one, two};
    expect_paths(paths, 2);
    ck_assert_uint_eq(report.duplicates, 2);
    /* A manifest is a source like the others. */
    ck_assert_int_eq(mm_manifest_write(manifest, at("m.h5"), &err), MM_OK);
    mm_manifest_free(manifest);
    put_jpeg("a/3.jpg", 8, 8);
    const char *const again[] = {at("m.h5"), at("a")};
    ck_assert_int_eq(mm_corpus_scan(again, 2, &manifest, &report, &err), MM_OK);
    ck_assert_uint_eq(report.images, 3);
    ck_assert_uint_eq(report.duplicates, 1);
}
END_TEST

static void expect_refusal(const char *name, mm_status status, const char *word)
{
    ck_assert_int_eq(scan(name), status);
    ck_assert_ptr_null(manifest);
    ck_assert_msg(strstr(err.text, word) != NULL, "'%s' does not say '%s'", err.text, word);
}

START_TEST(what_is_no_corpus_is_refused_with_a_reason)
{
    put_folder("empty");
    put_folder("texts");
    put_text("texts/a.txt", "a");
    put_text("texts/b.png", "b");
    put_text("blank", "\n\n");
    put_text("nothing", "");
    put_jpeg("one.jpg", 8, 8);
    put_bytes(at("zero"), "a\0b\n", 4);
    put_text("gz.tar.gz", "\x1f\x8b\x08");
    put_text("fake.h5", "maskmill manifest\n");
    expect_refusal("empty", MM_ERR_FORMAT, "empty");
    expect_refusal("texts", MM_ERR_FORMAT, "none of the 2 files");
    expect_refusal("gone", MM_ERR_IO, "No such file");
    expect_refusal("blank", MM_ERR_FORMAT, "no image");
    expect_refusal("nothing", MM_ERR_FORMAT, "no image");
    expect_refusal("one.jpg", MM_ERR_UNSUPPORTED, "maskmill segment");
    expect_refusal("zero", MM_ERR_FORMAT, "zero byte");
    expect_refusal("gz.tar.gz", MM_ERR_UNSUPPORTED, "gunzip");
    expect_refusal("fake.h5", MM_ERR_FORMAT, "fake.h5");
    ck_assert_int_eq(mm_corpus_scan(NULL, 0, &manifest, &report, &err), MM_ERR_USAGE);
}
END_TEST

START_TEST(reading_tells_what_changed_since_the_scan)
{
    put_folder("c");
    put_text("c/1.jpg", "first");
    put_text("c/2.jpg", "second");
    put_text("c/3.jpg", "");
    ck_assert_int_eq(scan("c"), MM_OK);
    put_text("c/1.jpg", "grown since");
    uint8_t *bytes;
    size_t size;
    ck_assert_int_eq(mm_corpus_read(manifest, 0, 0, &bytes, &size, &err), MM_OK);
    ck_assert_uint_eq(size, 11);
    ck_assert_mem_eq(bytes, "grown since", 11);
    free(bytes);
    ck_assert_int_eq(mm_corpus_read(manifest, 0, 10, &bytes, &size, &err), MM_ERR_LIMIT);
    ck_assert_int_eq(mm_corpus_read(manifest, 0, 11, &bytes, &size, &err), MM_OK);
    free(bytes);
    ck_assert_int_eq(mm_corpus_read(manifest, 2, 0, &bytes, &size, &err), MM_ERR_FORMAT);
    ck_assert_int_eq(unlink(at("c/2.jpg")), 0);
    ck_assert_int_eq(mm_corpus_read(manifest, 1, 0, &bytes, &size, &err), MM_ERR_IO);
    ck_assert_int_eq(mm_corpus_read(manifest, 3, 0, &bytes, &size, &err), MM_ERR_USAGE);
}
END_TEST

START_TEST(images_are_found_by_name_and_number)
{
    put_folder("c");
    put_folder("c/a");
    put_folder("c/b");
    put_text("c/1", "x");
    put_text("c/a/7.jpg", "x");
    put_text("c/b/7.jpg", "x");
    put_text("c/b/8.jpg", "x");
    put_text("c/list", "a/7.jpg\nb/7.jpg\nb/8.jpg\n1\n");
    ck_assert_int_eq(scan("c/list"), MM_OK);
    ck_assert_uint_eq(mm_manifest_find(manifest, "a/7.jpg"), 1);
    ck_assert_uint_eq(mm_manifest_find(manifest, "8.jpg"), 3);
    ck_assert_uint_eq(mm_manifest_find(manifest, "7.jpg"), 4); /* two have it */
    char whole[512];
    snprintf(whole, sizeof whole, "%s/c/b/7.jpg", scratch);
    ck_assert_uint_eq(mm_manifest_find(manifest, whole), 2);
    ck_assert_uint_eq(mm_manifest_find(manifest, "/b/7.jpg"), 4);
    ck_assert_uint_eq(mm_manifest_find(manifest, ".jpg"), 4); /* the end of a name is no name */
    ck_assert_uint_eq(mm_manifest_find(manifest, ""), 4);
    ck_assert_uint_eq(mm_manifest_find(manifest, "1"), 0);     /* a name goes before a number */
    ck_assert_uint_eq(mm_manifest_find(manifest, "2"), 2);
    ck_assert_uint_eq(mm_manifest_find(manifest, "4"), 4);
    ck_assert_uint_eq(mm_manifest_find(manifest, "-1"), 4);
    ck_assert_uint_eq(mm_manifest_find(manifest, "99999999999999999999999"), 4);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("corpus/scan");
    TCase *tests = tcase_create("scan");
    tcase_add_checked_fixture(tests, setup, teardown);
    tcase_add_test(tests, a_folder_is_walked_in_bytewise_order);
    tcase_add_test(tests, a_header_far_into_the_file_is_found);
    tcase_add_test(tests, links_are_followed_but_loops_end);
    tcase_add_test(tests, folders_that_cannot_be_entered_are_counted);
    tcase_add_test(tests, a_deep_tree_needs_no_more_descriptors);
    tcase_add_test(tests, special_files_do_not_stop_a_scan);
    tcase_add_test(tests, a_list_takes_what_it_names);
    tcase_add_test(tests, several_sources_are_joined_without_doubles);
    tcase_add_test(tests, what_is_no_corpus_is_refused_with_a_reason);
    tcase_add_test(tests, reading_tells_what_changed_since_the_scan);
    tcase_add_test(tests, images_are_found_by_name_and_number);
    suite_add_tcase(suite, tests);
    return mm_check_main(suite);
}
