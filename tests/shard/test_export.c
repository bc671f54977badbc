#include "check_main.h"
#include "shard/dataset_fixture.h"

#include <jansson.h>

#include "shard/export_name.h"
#include "shard/json.h"

static mm_error err;
static mm_dataset *dataset;

static void setup(void)
{
    scratch_make();
    put_folder("out");
    err = (mm_error){0};
    dataset = NULL;
}

static void teardown(void)
{
    mm_dataset_close(dataset);
    scratch_remove();
}

static json_t *load(const char *path)
{
    json_error_t where;
    json_t *root = json_load_file(path, 0, &where);
    ck_assert_msg(root != NULL, "%s:%d: %s", path, where.line, where.text);
    return root;
}

static double number(const json_t *of, const char *key)
{
    return json_number_value(json_object_get(of, key));
}

static void expect_floats(const json_t *list, const float *values, size_t count)
{
    ck_assert_uint_eq(json_array_size(list), count);
    for (size_t i = 0; i < count; i++)
        ck_assert_float_eq((float)json_number_value(json_array_get(list, i)), values[i]);
}

/* One annotation against pycocotools' word (golden) and against what was put in (expected). */
static void check_annotation(const json_t *found, const json_t *golden, const mm_record *expected, size_t i)
{
    const json_t *segmentation = json_object_get(found, "segmentation");
    ck_assert_str_eq(json_string_value(json_object_get(segmentation, "counts")),
                     json_string_value(json_object_get(golden, "counts")));
    ck_assert(json_equal(json_object_get(segmentation, "size"), json_object_get(golden, "size")));
    ck_assert(number(found, "area") == number(golden, "area"));
    for (size_t k = 0; k < 4; k++)
        ck_assert(json_number_value(json_array_get(json_object_get(found, "bbox"), k)) ==
                  json_number_value(json_array_get(json_object_get(golden, "bbox"), k)));
    ck_assert_float_eq((float)number(found, "predicted_iou"), expected->predicted_iou[i]);
    ck_assert_float_eq((float)number(found, "stability_score"), expected->stability_score[i]);
    ck_assert_uint_eq(json_array_size(json_object_get(found, "point_coords")), 1);
    expect_floats(json_array_get(json_object_get(found, "point_coords"), 0), expected->point_coords[i], 2);
    expect_floats(json_object_get(found, "crop_box"), expected->crop_box[i], 4);
}

START_TEST(sa1b_files_are_what_pycocotools_says)
{
    put_dataset(at("out"), 2);
    json_t *golden = load(MM_TEST_DATA "/shard/export.json");
    mm_record expected[FIXTURE_IMAGES];
    make_records(4, expected);
    uint64_t written;
    ck_assert_int_eq(mm_dataset_open(at("out"), &dataset, &err), MM_OK);
    ck_assert_msg(mm_dataset_export_sa1b(dataset, at("json/deep"), &written, &err) == MM_OK, "%s", err.text);
    ck_assert_uint_eq(written, 6);
    /* Both shards name their images alike, so the second ones get their id. */
    static const char *const files[] = {"json/deep/a/one.4.json", "json/deep/a/two.5.json", "json/deep/z.7.json"};
    static const int rows[] = {0, 1, 3};
    double id = 16; /* after the first shard's 15 masks */
    for (size_t f = 0; f < 3; f++) {
        json_t *root = load(at(files[f]));
        const json_t *image = json_object_get(root, "image"), *annotations = json_object_get(root, "annotations");
        ck_assert(number(image, "image_id") == 4 + rows[f]);
        ck_assert(number(image, "width") == expected[rows[f]].width);
        ck_assert(number(image, "height") == expected[rows[f]].height);
        ck_assert_str_eq(json_string_value(json_object_get(image, "file_name")), fixture_names[rows[f]]);
        ck_assert_uint_eq(json_array_size(annotations), expected[rows[f]].mask_count);
        for (size_t i = 0; i < json_array_size(annotations); i++) {
            const json_t *found = json_array_get(annotations, i);
            ck_assert(number(found, "id") == id++);
            ck_assert_uint_eq(json_object_size(found), 8);
            check_annotation(found, json_array_get(json_array_get(golden, f), i), &expected[rows[f]], i);
        }
        json_decref(root);
    }
    ck_assert_int_eq(access(at("json/deep/a/one.json"), F_OK), 0);
    ck_assert_int_ne(access(at("json/deep/broken.json"), F_OK), 0); /* set aside: no file */
    free_records(expected);
    json_decref(golden);
}
END_TEST

START_TEST(coco_file_is_one_whole)
{
    put_dataset(at("out"), 2);
    json_t *golden = load(MM_TEST_DATA "/shard/export.json");
    mm_record expected[FIXTURE_IMAGES];
    make_records(0, expected);
    uint64_t written;
    ck_assert_int_eq(mm_dataset_open(at("out"), &dataset, &err), MM_OK);
    ck_assert_msg(mm_dataset_export_coco(dataset, at("coco"), &written, &err) == MM_OK, "%s", err.text);
    ck_assert_uint_eq(written, 6);
    json_t *root = load(at("coco/instances.json"));
    const json_t *images = json_object_get(root, "images"), *annotations = json_object_get(root, "annotations");
    ck_assert_uint_eq(json_array_size(images), 6);
    ck_assert(number(json_array_get(images, 2), "id") == 3);
    ck_assert_uint_eq(json_array_size(annotations), 30);
    ck_assert_uint_eq(json_array_size(json_object_get(root, "categories")), 1);
    for (size_t i = 0; i < 30; i++) {
        const json_t *found = json_array_get(annotations, i);
        const size_t in_shard = i % 15, image = in_shard < 5 ? 0 : in_shard < 8 ? 1 : 2;
        const size_t mask = in_shard - (image == 0 ? 0 : image == 1 ? 5 : 8), row = image == 2 ? 3 : image;
        ck_assert(number(found, "id") == (double)i + 1);
        ck_assert(number(found, "image_id") == (double)(i / 15 * 4 + row));
        ck_assert(number(found, "category_id") == 1);
        ck_assert(number(found, "iscrowd") == 0);
        check_annotation(found, json_array_get(json_array_get(golden, image), mask), &expected[row], mask);
    }
    json_decref(root);
    json_decref(golden);
    free_records(expected);
}
END_TEST

/* Photographs with the names that the fixture's images have; the manifest lists them all. */
static mm_manifest *put_photographs(void)
{
    mm_manifest *manifest = NULL;
    mm_scan_report report;
    put_folder("corpus");
    put_folder("corpus/a");
    for (int i = 0; i < FIXTURE_IMAGES; i++) {
        char name[64];
        (void)snprintf(name, sizeof name, "corpus/%s", fixture_names[i]);
        put_text(name, name);
    }
    const char *sources[] = {at("corpus")};
    ck_assert_msg(mm_corpus_scan(sources, 1, &manifest, &report, &err) == MM_OK, "%s", err.text);
    return manifest;
}

START_TEST(tars_hold_the_photographs_and_need_them)
{
    put_dataset(at("out"), 1);
    mm_manifest *manifest = put_photographs();
    uint64_t written;
    size_t size;
    ck_assert_int_eq(mm_dataset_open(at("out"), &dataset, &err), MM_OK);
    ck_assert_msg(mm_dataset_export_tar(dataset, manifest, NULL, at("tar/deep"), &written, &err) == MM_OK, "%s",
                  err.text);
    ck_assert_uint_eq(written, 3);
    uint8_t *tar = get_bytes(at("tar/deep/sa_000000.tar"), &size);
    ck_assert_uint_eq(size % 10240, 0);
    ck_assert_str_eq((const char *)tar, "sa_0.jpg"); /* the headers are 512 bytes, the first photograph another 512 */
    ck_assert_mem_eq(tar + 512, "corpus/a/one.jpg", 16);
    ck_assert_str_eq((const char *)tar + 1024, "sa_0.json");
    free(tar);
    /* One was changed, one is gone: no tar, and the one that was there stays. */
    put_text("corpus/a/two.jpg", "longer than it was when the corpus was scanned");
    ck_assert_int_eq(mm_dataset_export_tar(dataset, manifest, NULL, at("new"), &written, &err), MM_ERR_FORMAT);
    ck_assert_msg(strstr(err.text, "image 1, a/two.jpg") && strstr(err.text, "scanned"), "%s", err.text);
    ck_assert_int_eq(unlink(at("corpus/a/two.jpg")), 0);
    ck_assert_int_eq(mm_dataset_export_tar(dataset, manifest, NULL, at("new"), &written, &err), MM_ERR_IO);
    ck_assert_msg(strstr(err.text, "image 1, a/two.jpg") && strstr(err.text, "--corpus"), "%s", err.text);
    ck_assert_int_ne(access(at("new/sa_000000.tar"), F_OK), 0);
    ck_assert_int_ne(access(at("new/sa_000000.tar.tmp"), F_OK), 0);
    /* Nor does a full disk leave half a tar. */
    put_text("corpus/a/two.jpg", "corpus/a/two.jpg");
    limit_files(2000);
    const mm_status full = mm_dataset_export_tar(dataset, manifest, NULL, at("tar/deep"), &written, &err);
    unlimit_files();
    ck_assert_int_eq(full, MM_ERR_IO);
    uint8_t *same = get_bytes(at("tar/deep/sa_000000.tar"), &size);
    ck_assert_str_eq((const char *)same, "sa_0.jpg");
    free(same);
    /* Another corpus's manifest. */
    mm_manifest_free(manifest);
    ck_assert_int_eq(rename(at("corpus/z.jpg"), at("corpus/y.jpg")), 0);
    const char *sources[] = {at("corpus")};
    mm_scan_report report;
    ck_assert_int_eq(mm_corpus_scan(sources, 1, &manifest, &report, &err), MM_OK);
    ck_assert_int_eq(mm_dataset_export_tar(dataset, manifest, NULL, at("new"), &written, &err), MM_ERR_FORMAT);
    ck_assert_msg(strstr(err.text, "image 3 is z.jpg in the dataset and y.jpg") != NULL, "%s", err.text);
    mm_manifest_free(manifest);
}
END_TEST

START_TEST(a_full_disk_leaves_no_half_file)
{
    put_dataset(at("out"), 1);
    uint64_t written;
    ck_assert_int_eq(mm_dataset_open(at("out"), &dataset, &err), MM_OK);
    mm_error of_coco = {0};
    limit_files(300);
    const mm_status sa1b = mm_dataset_export_sa1b(dataset, at("json"), &written, &err);
    const mm_status coco = mm_dataset_export_coco(dataset, at("json"), &written, &of_coco);
    unlimit_files();
    ck_assert_int_eq(sa1b, MM_ERR_IO);
    ck_assert_msg(strstr(err.text, "one.json") != NULL, "%s", err.text);
    ck_assert_int_ne(access(at("json/a/one.json"), F_OK), 0);
    ck_assert_int_eq(coco, MM_ERR_IO);
    ck_assert_int_ne(access(at("json/instances.json"), F_OK), 0);
    ck_assert_int_ne(access(at("json/instances.json.tmp"), F_OK), 0);
}
END_TEST

START_TEST(names_stay_inside_and_apart)
{
    static const struct {
        const char *file_name, *json;
    } cases[] = {
        {"a/b.jpg", "a/b.json"},
        {"a/b.jpeg", "a/b.1.json"},
        {"b", "b.json"},
        {"x.tar/im.1.jpg", "x.tar/im.1.json"},
        {"/data/x/1.jpg", "data_x_1.json"},
        {"../../etc/p.jpg", ".._.._etc_p.json"},
        {"a/../b.jpg", "a_.._b.json"},
        {"a//b.jpg", "a__b.json"},
        {"./c.jpg", "._c.json"},
        {".hidden", ".hidden.json"},
        {"d.e/f", "d.e/f.json"},
        {"..jpg", "..json"},
    };
    mm_export_names names = {0};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char *name;
        ck_assert_int_eq(mm_export_name(&names, cases[i].file_name, i, &name, &err), MM_OK);
        ck_assert_str_eq(name, cases[i].json);
        free(name);
    }
    for (uint64_t i = 0; i < 5000; i++) { /* through several growths */
        char text[32], *name;
        snprintf(text, sizeof text, "%u.jpg", (unsigned)(i % 2500));
        ck_assert_int_eq(mm_export_name(&names, text, i, &name, &err), MM_OK);
        ck_assert(i < 2500 ? strchr(name, '.') == strrchr(name, '.') : strchr(name, '.') != strrchr(name, '.'));
        free(name);
    }
    mm_export_names_free(&names);
}
END_TEST

static char *printed(void (*print)(FILE *, const void *), const void *what)
{
    char *text = NULL;
    size_t size;
    FILE *out = open_memstream(&text, &size);
    print(out, what);
    fclose(out);
    return text;
}

static void print_float(FILE *out, const void *value)
{
    mm_json_f32(out, *(const float *)value);
}

static void print_string(FILE *out, const void *text)
{
    mm_json_string(out, text, strlen(text));
}

START_TEST(numbers_read_back_as_the_same_f32)
{
    const float some[] = {0, 1, 0.95f, 1.0f / 3, 16777216.0f, 1e-30f, 3.4028235e38f, 1.17549435e-38f, -0.5f, 937.5f};
    for (size_t i = 0; i < sizeof some / sizeof some[0]; i++) {
        char *text = printed(print_float, &some[i]);
        ck_assert_float_eq((float)strtod(text, NULL), some[i]); /* as JSON readers do: by way of a double */
        free(text);
    }
    uint32_t bits = 12345;
    for (int i = 0; i < 20000; i++) {
        bits = bits * 1664525u + 1013904223u;
        float value;
        memcpy(&value, &bits, sizeof value);
        if (value != value || value - value != 0)
            continue;
        char *text = printed(print_float, &value);
        ck_assert_float_eq((float)strtod(text, NULL), value);
        free(text);
    }
    const float nan = (float)strtod("nan", NULL), tidy = 0.95f;
    char *text = printed(print_float, &nan);
    ck_assert_str_eq(text, "null");
    free(text);
    text = printed(print_float, &tidy);
    ck_assert_str_eq(text, "0.95");
    free(text);
}
END_TEST

START_TEST(strings_are_always_valid_json)
{
    static const struct {
        const char *bytes, *text;
    } cases[] = {
        {"a\\b\"c", "\"a\\\\b\\\"c\""},
        {"tab\there", "\"tab\\u0009here\""},
        {"\xc3\xa4/\xe2\x82\xac", "\"\xc3\xa4/\xe2\x82\xac\""},
        {"lone \xff", "\"lone \\ufffd\""},
        {"\xc3", "\"\\ufffd\""},
        {"\xed\xa0\x80", "\"\\ufffd\\ufffd\\ufffd\""},
        {"\xc0\xaf", "\"\\ufffd\\ufffd\""},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char *text = printed(print_string, cases[i].bytes);
        ck_assert_str_eq(text, cases[i].text);
        free(text);
    }
    for (int c = 1; c < 256; c++) {
        const char bytes[] = {'a', (char)c, 'b', 0};
        char *text = printed(print_string, bytes);
        json_t *value = json_loads(text, JSON_DECODE_ANY, NULL);
        ck_assert_msg(value != NULL, "byte %d: %s", c, text);
        if (c < 128)
            ck_assert_str_eq(json_string_value(value), bytes);
        json_decref(value);
        free(text);
    }
}
END_TEST

START_TEST(the_reference_s_list_is_printed)
{
    mm_annotation item = {.bbox = {1, 0, 0, 0},
                          .area = 1,
                          .predicted_iou = 0.9f,
                          .stability_score = 0.97f,
                          .point_coords = {1.5f, 0.5f},
                          .crop_box = {0, 0, 4, 3}};
    static const uint8_t bits[12] = {0, 1};
    ck_assert_int_eq(mm_rle_from_bits(bits, 3, 4, &item.rle, &err), MM_OK);
    const mm_annotations annotations = {.width = 4, .height = 3, .items = &item, .count = 1},
                         none = {.width = 4, .height = 3};
    char *text = NULL;
    size_t size;
    FILE *out = open_memstream(&text, &size);
    ck_assert_int_eq(mm_annotations_print_json(&none, out, &err), MM_OK);
    ck_assert_int_eq(mm_annotations_print_json(&annotations, out, &err), MM_OK);
    fclose(out);
    ck_assert_str_eq(text, "[]\n[{\"segmentation\": {\"size\": [3, 4], \"counts\": \"318\"}, \"area\": 1, "
                           "\"bbox\": [1, 0, 0, 0], \"predicted_iou\": 0.9, \"point_coords\": [[1.5, 0.5]], "
                           "\"stability_score\": 0.97, \"crop_box\": [0, 0, 4, 3]}]\n");
    free(text);
    mm_rle_free(&item.rle);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("shard/export");
    TCase *tests = tcase_create("export");
    tcase_add_checked_fixture(tests, setup, teardown);
    tcase_add_test(tests, sa1b_files_are_what_pycocotools_says);
    tcase_add_test(tests, coco_file_is_one_whole);
    tcase_add_test(tests, tars_hold_the_photographs_and_need_them);
    tcase_add_test(tests, a_full_disk_leaves_no_half_file);
    tcase_add_test(tests, names_stay_inside_and_apart);
    tcase_add_test(tests, numbers_read_back_as_the_same_f32);
    tcase_add_test(tests, strings_are_always_valid_json);
    tcase_add_test(tests, the_reference_s_list_is_printed);
    suite_add_tcase(suite, tests);
    return mm_check_main(suite);
}
