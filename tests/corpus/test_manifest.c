#include "check_main.h"
#include "corpus/scratch.h"

#include <hdf5.h>

#include "corpus/manifest.h"

static mm_manifest *manifest;
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

static void fill(uint64_t rows)
{
    ck_assert_int_eq(mm_manifest_new(&manifest, &err), MM_OK);
    ck_assert_int_eq(mm_manifest_add_root(manifest, "/data/photos", &err), MM_OK);
    for (uint64_t i = 0; i < rows; i++) {
        char path[64];
        snprintf(path, sizeof path, "f%02u/%06u.jpg", (unsigned)(i * 7919 % rows / 100), (unsigned)(i * 7919 % rows));
        const mm_manifest_entry row = {0, path, i % 3 ? i * 512 : 0, i + 1, (uint32_t)i, (uint32_t)(i + 9), i << 40};
        ck_assert_int_eq(mm_manifest_add(manifest, &row, &err), MM_OK);
    }
    uint64_t duplicates;
    ck_assert_int_eq(mm_manifest_sort(manifest, &duplicates, &err), MM_OK);
    ck_assert_uint_eq(duplicates, 0);
}

START_TEST(what_is_written_is_read_back)
{
    fill(70001); /* more than one block of reading; a prime, so that i * 7919 is a permutation */
    ck_assert_msg(mm_manifest_write(manifest, at("m.h5"), &err) == MM_OK, "%s", err.text);
    mm_manifest *read = NULL;
    ck_assert_msg(mm_manifest_open(at("m.h5"), &read, &err) == MM_OK, "%s", err.text);
    ck_assert_uint_eq(mm_manifest_count(read), 70001);
    ck_assert_uint_eq(read->root_count, 1);
    ck_assert_str_eq(read->roots[0], "/data/photos");
    for (uint64_t i = 0; i < 70001; i++) {
        const mm_manifest_entry a = mm_manifest_at(manifest, i), b = mm_manifest_at(read, i);
        ck_assert_uint_eq(b.image_id, i);
        ck_assert_str_eq(a.path, b.path);
        ck_assert(a.offset == b.offset && a.length == b.length && a.phash == b.phash);
        ck_assert(a.width == b.width && a.height == b.height);
    }
    mm_manifest_free(read);
    ck_assert_int_ne(access(at("m.h5.tmp"), F_OK), 0);
}
END_TEST

START_TEST(equal_manifests_are_equal_bytes)
{
    fill(101);
    ck_assert_int_eq(mm_manifest_write(manifest, at("1.h5"), &err), MM_OK);
    ck_assert_int_eq(usleep(1100000), 0); /* past the next second: no time may get in */
    ck_assert_int_eq(mm_manifest_write(manifest, at("2.h5"), &err), MM_OK);
    size_t one_size, two_size;
    uint8_t *one = get_bytes(at("1.h5"), &one_size), *two = get_bytes(at("2.h5"), &two_size);
    ck_assert_uint_eq(one_size, two_size);
    ck_assert_mem_eq(one, two, one_size);
    free(one);
    free(two);
}
END_TEST

START_TEST(any_damage_is_noticed)
{
    fill(101);
    ck_assert_int_eq(mm_manifest_write(manifest, at("m.h5"), &err), MM_OK);
    size_t size;
    uint8_t *bytes = get_bytes(at("m.h5"), &size);
    mm_manifest *read;
    for (size_t i = 0; i < size; i += i < 600 ? 1 : 5) {
        flip_byte(at("m.h5"), i, (uint8_t)(1u << (i % 8)));
        ck_assert_msg(mm_manifest_open(at("m.h5"), &read, &err) != MM_OK, "a flip at byte %zu", i);
        flip_byte(at("m.h5"), i, (uint8_t)(1u << (i % 8)));
    }
    for (size_t length = size; length > 0; length -= 1 + length / 50) {
        ck_assert_int_eq(truncate(at("m.h5"), (off_t)length - 1), 0);
        ck_assert_int_ne(mm_manifest_open(at("m.h5"), &read, &err), MM_OK);
        ck_assert_ptr_null(read);
    }
    free(bytes);
}
END_TEST

START_TEST(a_full_disk_leaves_nothing_behind)
{
    fill(5000);
    limit_files(20000);
    const mm_status status = mm_manifest_write(manifest, at("m.h5"), &err);
    unlimit_files();
    ck_assert_int_eq(status, MM_ERR_IO);
    ck_assert_msg(strstr(err.text, "File too large") != NULL, "%s", err.text);
    ck_assert_int_ne(access(at("m.h5"), F_OK), 0);
    ck_assert_int_ne(access(at("m.h5.tmp"), F_OK), 0);
    ck_assert_int_eq(mm_manifest_write(manifest, at("no/m.h5"), &err), MM_ERR_IO);
}
END_TEST

/* --- manifests from other tools: not sealed, so every content has to be looked at -----------------------------------
 */

typedef struct column {
    const char *name;
    hid_t type;
    hsize_t rows;
    const void *values;
} column;

static int duplicate_distance = 3;

static void put_hdf5(const char *path, const column *columns, size_t count)
{
    const hid_t file = H5Fcreate(path, H5F_ACC_TRUNC, H5P_DEFAULT, H5P_DEFAULT);
    ck_assert_int_ge(file, 0);
    const hid_t text = H5Tcopy(H5T_C_S1), scalar = H5Screate(H5S_SCALAR);
    H5Tset_size(text, H5T_VARIABLE);
    H5Tset_cset(text, H5T_CSET_UTF8);
    const int version = 1; /* another integer type than maskmill's own: h5py would write int64 */
    hid_t attribute = H5Acreate2(file, "format_version", H5T_STD_I32LE, scalar, H5P_DEFAULT, H5P_DEFAULT);
    ck_assert_int_ge(H5Awrite(attribute, H5T_NATIVE_INT, &version), 0);
    H5Aclose(attribute);
    const hsize_t one = 1;
    const hid_t list = H5Screate_simple(1, &one, NULL);
    const char *const root = "/data";
    attribute = H5Acreate2(file, "roots", text, list, H5P_DEFAULT, H5P_DEFAULT);
    ck_assert_int_ge(H5Awrite(attribute, text, &root), 0);
    H5Aclose(attribute);
    H5Sclose(list);
    attribute = H5Acreate2(file, "duplicate_distance", H5T_STD_I32LE, scalar, H5P_DEFAULT, H5P_DEFAULT);
    ck_assert_int_ge(H5Awrite(attribute, H5T_NATIVE_INT, &duplicate_distance), 0);
    H5Aclose(attribute);
    for (size_t i = 0; i < count; i++) {
        const hid_t type = columns[i].type == H5T_C_S1 ? text : columns[i].type;
        const hid_t space = H5Screate_simple(1, &columns[i].rows, NULL);
        const hid_t dataset = H5Dcreate2(file, columns[i].name, type, space, H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT);
        ck_assert_int_ge(H5Dwrite(dataset, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, columns[i].values), 0);
        H5Dclose(dataset);
        H5Sclose(space);
    }
    H5Tclose(text);
    H5Sclose(scalar);
    ck_assert_int_ge(H5Fclose(file), 0);
}

START_TEST(manifests_of_other_tools_are_checked_row_by_row)
{
    const uint64_t ids[] = {0, 1, 2}, wrong_ids[] = {0, 2, 1}, zeros[3] = {0}, huge[] = {0, UINT64_MAX, 0};
    const uint32_t sizes[] = {7, 8, 9};
    const char *const paths[] = {"a", "b", "c"}, *const unsorted[] = {"b", "a", "c"}, *const twice[] = {"a", "a", "c"};
    const char *const empty[] = {"", "b", "c"};
    column good[] = {{"image_id", H5T_STD_U64LE, 3, ids}, {"path", H5T_C_S1, 3, paths},
                     {"offset", H5T_STD_U64LE, 3, zeros}, {"length", H5T_STD_U64LE, 3, ids},
                     {"width", H5T_STD_U32LE, 3, sizes},  {"height", H5T_STD_U32LE, 3, sizes},
                     {"phash", H5T_STD_U64LE, 3, zeros}};
    const struct {
        int which;
        column instead;
        const char *word;
    } bad[] = {
        {0, {"image_id", H5T_STD_U64LE, 3, wrong_ids}, "image_id"},
        {0, {"image_id", H5T_STD_U32LE, 3, sizes}, "u64"},
        {0, {"image_id", H5T_STD_U64BE, 3, ids}, "u64"},
        {0, {"other", H5T_STD_U64LE, 3, ids}, "missing"},
        {1, {"path", H5T_STD_U64LE, 3, ids}, "string"},
        {1, {"path", H5T_C_S1, 3, unsorted}, "order"},
        {1, {"path", H5T_C_S1, 3, twice}, "order"},
        {1, {"path", H5T_C_S1, 3, empty}, "path"},
        {1, {"path", H5T_C_S1, 2, paths}, "rows"},
        {2, {"offset", H5T_STD_U64LE, 3, huge}, "beyond"},
        {3, {"length", H5T_STD_U64LE, 3, huge}, "beyond"},
        {4, {"width", H5T_NATIVE_FLOAT, 3, sizes}, "u32"},
    };
    put_hdf5(at("m.h5"), good, 7);
    ck_assert_msg(mm_manifest_open(at("m.h5"), &manifest, &err) == MM_OK, "%s", err.text);
    ck_assert_str_eq(mm_manifest_at(manifest, 2).path, "c");
    mm_manifest_free(manifest);
    manifest = NULL;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        const column before = good[bad[i].which];
        good[bad[i].which] = bad[i].instead;
        put_hdf5(at("m.h5"), good, 7);
        ck_assert_msg(mm_manifest_open(at("m.h5"), &manifest, &err) == MM_ERR_FORMAT, "case %zu", i);
        ck_assert_msg(strstr(err.text, bad[i].word) != NULL, "case %zu: '%s' does not say '%s'", i, err.text,
                      bad[i].word);
        good[bad[i].which] = before;
    }
    for (int c = 0; c < 7; c++)
        good[c].rows = 0;
    put_hdf5(at("m.h5"), good, 7);
    ck_assert_int_eq(mm_manifest_open(at("m.h5"), &manifest, &err), MM_ERR_FORMAT);
}
END_TEST

START_TEST(groups_of_other_tools_are_checked)
{
    const uint64_t ids[] = {0, 1, 2, 3}, zeros[4] = {0}, good[] = {0, 0, 2, 0};
    const uint64_t bad[][4] = {{1, 1, 2, 3}, {0, 0, 1, 3}, {0, 1, 2, 4}, {0, 1, 2, UINT64_MAX}};
    const uint32_t sizes[4] = {0};
    const char *const paths[] = {"a", "b", "c", "d"};
    column columns[] = {{"image_id", H5T_STD_U64LE, 4, ids}, {"path", H5T_C_S1, 4, paths},
                        {"offset", H5T_STD_U64LE, 4, zeros}, {"length", H5T_STD_U64LE, 4, ids},
                        {"width", H5T_STD_U32LE, 4, sizes},  {"height", H5T_STD_U32LE, 4, sizes},
                        {"phash", H5T_STD_U64LE, 4, zeros},  {"duplicate_of", H5T_STD_U64LE, 4, good}};
    uint32_t distance = 0;
    put_hdf5(at("m.h5"), columns, 7);
    ck_assert_msg(mm_manifest_open(at("m.h5"), &manifest, &err) == MM_OK, "%s", err.text);
    ck_assert(!mm_manifest_grouped(manifest, &distance));
    ck_assert_uint_eq(mm_manifest_duplicate_of(manifest, 3), 3);
    mm_manifest_free(manifest);
    put_hdf5(at("m.h5"), columns, 8);
    ck_assert_msg(mm_manifest_open(at("m.h5"), &manifest, &err) == MM_OK, "%s", err.text);
    ck_assert(mm_manifest_grouped(manifest, &distance));
    ck_assert_uint_eq(distance, 3);
    ck_assert_uint_eq(mm_manifest_duplicate_of(manifest, 3), 0);
    mm_manifest_free(manifest);
    manifest = NULL;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        columns[7].values = bad[i];
        put_hdf5(at("m.h5"), columns, 8);
        ck_assert_msg(mm_manifest_open(at("m.h5"), &manifest, &err) == MM_ERR_FORMAT, "case %zu", i);
        ck_assert_ptr_nonnull(strstr(err.text, "duplicate_of"));
    }
    columns[7].values = good;
    columns[7].rows = 3;
    put_hdf5(at("m.h5"), columns, 8);
    ck_assert_int_eq(mm_manifest_open(at("m.h5"), &manifest, &err), MM_ERR_FORMAT);
    columns[7].rows = 4;
    duplicate_distance = 65;
    put_hdf5(at("m.h5"), columns, 8);
    ck_assert_int_eq(mm_manifest_open(at("m.h5"), &manifest, &err), MM_ERR_FORMAT);
    duplicate_distance = 3;
}
END_TEST

START_TEST(hdf5_prints_nothing)
{
    put_text("m.h5", "\x89HDF\r\n\x1a\n and then nothing of the kind");
    ck_assert_ptr_nonnull(freopen(at("stderr"), "w", stderr));
    ck_assert_int_eq(mm_manifest_open(at("m.h5"), &manifest, &err), MM_ERR_FORMAT);
    fflush(stderr);
    size_t size;
    free(get_bytes(at("stderr"), &size));
    ck_assert_uint_eq(size, 0);
    /* And it is as loud as before afterwards. */
    H5E_auto2_t report = NULL;
    void *context;
    ck_assert_int_ge(H5Eget_auto2(H5E_DEFAULT, &report, &context), 0);
    ck_assert(report != NULL);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("corpus/manifest");
    TCase *tests = tcase_create("manifest");
    tcase_add_checked_fixture(tests, setup, teardown);
    tcase_set_timeout(tests, 60);
    tcase_add_test(tests, what_is_written_is_read_back);
    tcase_add_test(tests, equal_manifests_are_equal_bytes);
    tcase_add_test(tests, any_damage_is_noticed);
    tcase_add_test(tests, a_full_disk_leaves_nothing_behind);
    tcase_add_test(tests, manifests_of_other_tools_are_checked_row_by_row);
    tcase_add_test(tests, groups_of_other_tools_are_checked);
    tcase_add_test(tests, hdf5_prints_nothing);
    suite_add_tcase(suite, tests);
    return mm_check_main(suite);
}
