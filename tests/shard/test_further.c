/* Confident masks, hints and what people did, in shards and in the dataset over them. */
#include "check_main.h"

#include <string.h>
#include <unistd.h>

#include "corpus/h5.h"
#include "dataset_fixture.h"

static mm_error err;
static const char *const people[] = {"ann", "bob"};
static mm_shard_origin full; /* with everything there is */

static void setup(void)
{
    scratch_make();
    ck_assert_int_eq(mkdir(at("out"), 0777), 0);
    full = origin;
    full.confident = full.hints = full.human = true;
    full.detector_sha256 = origin.model_sha256;
    full.annotators = people;
    full.annotator_count = 2;
}

/* Image i of a shard has i + 1 confident masks and 2 i hints; images but the second have annotators. */
static void add_further(mm_record *record, uint32_t i)
{
    float scores[8];
    for (uint32_t k = 0; k < 8; k++)
        scores[k] = 1.0f / (float)(k + 1);
    for (int which = 0; which < 2; which++) {
        const uint32_t count = which == 0 ? i + 1 : 2 * i;
        mm_record masks = make_image(record->image_id, record->width, record->height, count);
        masks.funnel = (mm_funnel){0};
        mm_record *held = malloc(sizeof *held);
        if (which == 0) {
            masks.detector_score = malloc(sizeof scores);
            memcpy(masks.detector_score, scores, sizeof scores);
            memset(masks.source, 1, count);
        }
        *held = masks;
        *(which == 0 ? &record->confident : &record->hints) = held;
    }
    if (i == 1)
        return;
    ck_assert_int_eq(mm_record_make_human(record, &err), MM_OK);
    for (uint64_t k = 0; k < record->mask_count; k++) {
        record->annotator[k] = (uint16_t)(k % 3);
        record->seconds[k] = 1.5f * (float)k;
        record->clicks[k] = (uint16_t)k;
        record->source[k] = k % 3 ? 2 : 0;
    }
}

static void make_full(uint64_t first_image, mm_record records[FIXTURE_IMAGES])
{
    make_records(first_image, records);
    for (uint32_t i = 0; i < FIXTURE_IMAGES; i++)
        if (records[i].status == MM_IMAGE_DONE)
            add_further(&records[i], i);
}

static mm_status put_full(uint64_t shard)
{
    mm_record records[FIXTURE_IMAGES];
    make_full(shard * FIXTURE_IMAGES, records);
    const mm_status status = mm_shard_write(at("out"), shard, shard * FIXTURE_IMAGES, records, fixture_names,
                                            FIXTURE_IMAGES, &full, &err);
    free_records(records);
    return status;
}

static void put_full_dataset(uint64_t shards)
{
    for (uint64_t k = 0; k < shards; k++)
        ck_assert_msg(put_full(k) == MM_OK, "%s", err.text);
    ck_assert_msg(mm_dataset_index(at("out"), 0, shards, &full, NULL, &err) == MM_OK, "%s", err.text);
}

static void expect_faults(const char *path, uint64_t faults, const char *word)
{
    mm_verify_report report;
    ck_assert_int_eq(mm_dataset_verify(path, NULL, NULL, &report, &err), MM_OK);
    ck_assert_msg((report.faults > 0) == (faults > 0), "%s", report.first);
    ck_assert_msg(!word || strstr(report.first, word), "%s instead of %s", report.first, word);
}

static void expect_equal_further(const mm_record *a, const mm_record *b)
{
    expect_equal_records(a, b);
    ck_assert((a->confident == NULL) == (b->confident == NULL) && (a->hints == NULL) == (b->hints == NULL));
    if (!a->confident)
        return;
    expect_equal_records(a->confident, b->confident);
    expect_equal_records(a->hints, b->hints);
    ck_assert_mem_eq(a->confident->detector_score, b->confident->detector_score,
                     a->confident->mask_count * sizeof(float));
    for (uint64_t i = 0; i < a->mask_count; i++) {
        ck_assert_uint_eq(b->annotator[i], a->annotator ? a->annotator[i] : 0);
        ck_assert(b->seconds[i] == (a->seconds ? a->seconds[i] : 0));
        ck_assert_uint_eq(b->clicks[i], a->clicks ? a->clicks[i] : 0);
    }
}

START_TEST(what_is_written_is_read)
{
    put_full_dataset(3);
    mm_dataset *dataset;
    ck_assert_msg(mm_dataset_open(at("out"), &dataset, &err) == MM_OK, "%s", err.text);
    ck_assert_ptr_null(mm_shard_origin_difference(mm_dataset_origin(dataset), &full));
    ck_assert_str_eq(mm_dataset_origin(dataset)->annotators[1], "bob");
    for (uint64_t row = 0; row < 3 * FIXTURE_IMAGES; row++) {
        mm_record records[FIXTURE_IMAGES], record;
        make_full(row / FIXTURE_IMAGES * FIXTURE_IMAGES, records);
        ck_assert_msg(mm_dataset_read(dataset, row, &record, NULL, &err) == MM_OK, "%s", err.text);
        expect_equal_further(&records[row % FIXTURE_IMAGES], &record);
        mm_record_free(&record);
        free_records(records);
    }
    mm_stats stats;
    ck_assert_int_eq(mm_dataset_statistics(dataset, &stats, &err), MM_OK);
    ck_assert_uint_eq(stats.confident_masks, 3 * (1 + 2 + 4));
    ck_assert_uint_eq(stats.hint_masks, 3 * (0 + 2 + 6));
    ck_assert_uint_eq(stats.confident_detector_score[99], 3 * 3); /* the first mask of three images has 1 */
    ck_assert_uint_eq(stats.confident_detector_score[25], 3 * 1); /* the fourth, which the last image alone has */
    ck_assert_uint_eq(stats.confident_predicted_iou[88] + stats.confident_predicted_iou[89], 3 * (1 + 2 + 2));
    ck_assert_uint_eq(stats.confident_stability_score[99], 3 * (1 + 2 + 2)); /* 1 and 0.9901 */
    ck_assert_uint_eq(stats.hint_predicted_iou[88] + stats.hint_predicted_iou[89], 3 * (0 + 2 + 2));
    ck_assert_uint_eq(stats.hint_stability_score[98], 3 * 1); /* 0.9804, the third */
    ck_assert_uint_eq(stats.masks, 3 * 15);
    ck_assert_uint_eq(stats.masks_by_source[0] + stats.masks_by_source[2], stats.masks);
    ck_assert_uint_eq(stats.masks_by_source[2], 3 * (3 + 4)); /* of 5 and of 7, those with k % 3 */
    mm_dataset_close(dataset);
    expect_faults(at("out"), 0, NULL);
    /* One shard alone says the same. */
    ck_assert_msg(mm_dataset_open(at("out/shards/sa_000001.h5"), &dataset, &err) == MM_OK, "%s", err.text);
    ck_assert_ptr_null(mm_shard_origin_difference(mm_dataset_origin(dataset), &full));
    mm_dataset_close(dataset);
    expect_faults(at("out/shards/sa_000001.h5"), 0, NULL);
}
END_TEST

/* A column of dataset.h5 as HDF5 shows it, through the shards. */
static void read_all(hid_t file, const char *name, hid_t type, size_t rows, void *values)
{
    const hid_t dataset = H5Dopen2(file, name, H5P_DEFAULT), space = H5Dget_space(dataset);
    ck_assert_msg(dataset >= 0, "%s", name);
    ck_assert_int_eq(H5Sget_simple_extent_npoints(space), (hssize_t)rows);
    ck_assert_int_ge(H5Dread(dataset, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, values), 0);
    H5Sclose(space);
    H5Dclose(dataset);
}

START_TEST(virtual_columns_and_offsets_show_all_shards)
{
    put_full_dataset(3);
    const hid_t file = H5Fopen(at("out/dataset.h5"), H5F_ACC_RDONLY, H5P_DEFAULT);
    uint64_t offsets[64], confident_masks[3];
    float scores[21];
    uint16_t annotators[45];
    read_all(file, "/confident/detector_score", H5T_NATIVE_FLOAT, 21, scores);
    for (int k = 0; k < 3; k++) /* 1; 1, 1/2; 1, 1/2, 1/3, 1/4 */
        ck_assert(scores[7 * k] == 1 && scores[7 * k + 2] == 0.5f && scores[7 * k + 6] == 0.25f);
    read_all(file, "/confident/mask_offset", H5T_NATIVE_UINT64, 13, offsets);
    ck_assert(offsets[0] == 0 && offsets[1] == 1 && offsets[2] == 3 && offsets[3] == 3 && offsets[4] == 7);
    ck_assert(offsets[5] == 8 && offsets[12] == 21);
    read_all(file, "/hints/mask_offset", H5T_NATIVE_UINT64, 13, offsets);
    ck_assert(offsets[1] == 0 && offsets[2] == 2 && offsets[4] == 8 && offsets[6] == 10 && offsets[12] == 24);
    read_all(file, "/hints/rle_offset", H5T_NATIVE_UINT64, 25, offsets);
    ck_assert_uint_eq(offsets[8] * 3, offsets[24]);
    read_all(file, "/shards/confident_masks", H5T_NATIVE_UINT64, 3, confident_masks);
    ck_assert_uint_eq(confident_masks[2], 7);
    read_all(file, "/masks/annotator", H5T_NATIVE_UINT16, 45, annotators);
    ck_assert(annotators[1] == 1 && annotators[2] == 2 && annotators[5] == 0 && annotators[15 + 2] == 2);
    H5Fclose(file);
}
END_TEST

/* Nothing of all this is in a dataset that did not ask for it. */
START_TEST(a_plain_dataset_has_none_of_it)
{
    static const char *const names[] = {"/confident", "/hints", "/annotators", "/masks/annotator", "/masks/seconds",
                                        "/masks/detector_score", "/statistics/masks_by_source",
                                        "/statistics/confident_masks", "/statistics/hint_masks"};
    put_dataset(at("out"), 2);
    for (int k = 0; k < 2; k++) {
        const hid_t file = H5Fopen(at(k ? "out/dataset.h5" : "out/shards/sa_000000.h5"), H5F_ACC_RDONLY, H5P_DEFAULT);
        for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
            ck_assert_msg(H5Lexists(file, names[i], H5P_DEFAULT) == 0, "%s", names[i]);
        ck_assert_int_eq(H5Aexists(file, "confident_digest"), 0);
        ck_assert_int_eq(H5Aexists(file, "detector_sha256"), 0);
        H5Fclose(file);
    }
    mm_dataset *dataset;
    ck_assert_int_eq(mm_dataset_open(at("out"), &dataset, &err), MM_OK);
    ck_assert_int_eq(mm_dataset_choose_masks(dataset, "confident", &err), MM_ERR_USAGE);
    ck_assert_int_eq(mm_dataset_choose_masks(dataset, "masks", &err), MM_OK);
    mm_dataset_close(dataset);
}
END_TEST

START_TEST(records_must_have_what_the_shard_has)
{
    mm_record records[FIXTURE_IMAGES];
    static const char *const words[] = {"no confident", "no hints", "has annotators", "a group", "no annotator 3"};
    for (int wrong = 0; wrong < 5; wrong++) {
        mm_shard_origin said = full;
        make_full(0, records);
        if (wrong < 2) {
            mm_record **slot = wrong == 0 ? &records[1].confident : &records[1].hints;
            mm_record_free(*slot);
            free(*slot);
            *slot = NULL;
        } else if (wrong == 2) {
            said.human = false;
            said.annotator_count = 0;
        } else if (wrong == 3) {
            said.confident = false;
        } else {
            records[0].annotator[0] = 3;
        }
        ck_assert_int_eq(mm_shard_write(at("out"), 0, 0, records, fixture_names, FIXTURE_IMAGES, &said, &err),
                         MM_ERR_INTERNAL);
        ck_assert_msg(strstr(err.text, words[wrong]) != NULL, "%s", err.text);
        ck_assert_int_ne(access(at("out/shards/sa_000000.h5"), F_OK), 0);
        free_records(records);
    }
    static const char *const unnamed[] = {"ann", ""};
    mm_shard_origin said = full;
    said.annotators = unnamed;
    make_full(0, records);
    ck_assert_int_eq(mm_shard_write(at("out"), 0, 0, records, fixture_names, FIXTURE_IMAGES, &said, &err),
                     MM_ERR_INTERNAL);
    free_records(records);
}
END_TEST

START_TEST(shards_of_other_origins_do_not_join)
{
    static const char *const others[] = {"ann", "bill"};
    ck_assert_int_eq(put_full(0), MM_OK);
    for (int wrong = 0; wrong < 5; wrong++) {
        static const char *const words[] = {"confident masks", "hints", "annotators", "list of annotators", "detector"};
        mm_shard_origin other = full;
        other.confident = wrong != 0;
        other.hints = wrong != 1;
        other.human = wrong != 2;
        other.annotators = wrong == 3 ? others : people;
        other.detector_sha256 = wrong == 4 ? NULL : full.detector_sha256;
        ck_assert_int_eq(mm_dataset_index(at("out"), 0, 1, &other, NULL, &err), MM_ERR_FORMAT);
        ck_assert_msg(strstr(err.text, words[wrong]) != NULL, "%s", err.text);
        bool there;
        mm_shard_content content;
        ck_assert_int_eq(mm_shard_examine(at("out"), 0, 0, FIXTURE_IMAGES, &other, &there, &content, &err),
                         MM_ERR_FORMAT);
    }
}
END_TEST

/* --- lies: sealed, but not so --- */

static void overwrite(const char *path, const char *name, hid_t type, hsize_t row, const void *value)
{
    const hid_t file = H5Fopen(path, H5F_ACC_RDWR, H5P_DEFAULT), dataset = H5Dopen2(file, name, H5P_DEFAULT);
    const hid_t space = H5Dget_space(dataset);
    const hsize_t start = row, count = 1;
    ck_assert_int_ge(H5Sselect_hyperslab(space, H5S_SELECT_SET, &start, NULL, &count, NULL), 0);
    const hid_t memory = H5Screate_simple(1, &count, NULL);
    ck_assert_int_ge(H5Dwrite(dataset, type, memory, space, H5P_DEFAULT, value), 0);
    H5Sclose(memory);
    H5Sclose(space);
    H5Dclose(dataset);
    ck_assert_int_ge(H5Fclose(file), 0);
    size_t size;
    uint8_t *bytes = get_bytes(path, &size);
    mm_seal_stamp(strstr(path, "dataset.h5") ? "dataset" : "shard", bytes, size, NULL);
    put_bytes(path, bytes, size);
    free(bytes);
}

START_TEST(lies_are_found_out)
{
    static const struct {
        const char *name;
        int bytes; /* of the value; 5: a float */
        hsize_t row;
        uint64_t value;
        float number;
        const char *word;
    } lies[] = {
        {"/confident/mask_offset", 8, 0, 1, 0, "mask_offset"},
        {"/confident/mask_offset", 8, 4, 6, 0, "mask_offset"},
        {"/confident/mask_offset", 8, 2, 100, 0, "confident: mask_offset, row 1"},
        {"/confident/rle_offset", 8, 3, UINT64_MAX, 0, "confident"},
        {"/confident/area", 4, 2, 1, 0, "confident: image"},
        {"/confident/detector_score", 5, 2, 0, 1.5f, "a detector score of 1.5"},
        {"/confident/detector_score", 5, 2, 0, 0.75f, "its statistics are not"},
        {"/confident/detector_score", 5, 2, 0, 0.505f, "confident_digest"}, /* in the bin of what stood there */
        {"/confident/predicted_iou", 5, 2, 0, 0.895f, "confident_digest"},
        {"/hints/area", 4, 3, 1, 0, "hints: image"},
        {"/hints/stability_score", 5, 3, 0, 0.25f, "its statistics are not"},
        {"/hints/stability_score", 5, 3, 0, 0.992f, "hints_digest"},
        {"/hints/rle", 1, 0, '0', 0, "hints: image 1, mask 0"},
        {"/masks/annotator", 2, 1, 3, 0, "there is no annotator 3"},
        {"/masks/annotator", 2, 1, 2, 0, "masks_digest"},
        {"/masks/seconds", 5, 1, 0, -2, "-2 seconds"},
        {"/masks/clicks", 2, 1, 77, 0, "masks_digest"},
        {"/statistics/hint_masks", 8, 0, 9, 0, "statistics"},
        {"/statistics/confident_stability_score", 8, 99, 1, 0, "statistics"},
        {"/statistics/masks_by_source", 8, 2, 9, 0, "statistics"},
    };
    for (size_t i = 0; i < sizeof lies / sizeof lies[0]; i++) {
        ck_assert_int_eq(put_full(0), MM_OK);
        const char *path = at("out/shards/sa_000000.h5");
        const uint8_t byte = (uint8_t)lies[i].value;
        const uint16_t two = (uint16_t)lies[i].value;
        const uint32_t four = (uint32_t)lies[i].value;
        switch (lies[i].bytes) {
        case 1: overwrite(path, lies[i].name, H5T_NATIVE_UINT8, lies[i].row, &byte); break;
        case 2: overwrite(path, lies[i].name, H5T_NATIVE_UINT16, lies[i].row, &two); break;
        case 4: overwrite(path, lies[i].name, H5T_NATIVE_UINT32, lies[i].row, &four); break;
        case 5: overwrite(path, lies[i].name, H5T_NATIVE_FLOAT, lies[i].row, &lies[i].number); break;
        default: overwrite(path, lies[i].name, H5T_NATIVE_UINT64, lies[i].row, &lies[i].value);
        }
        expect_faults(path, 1, lies[i].word);
    }
}
END_TEST

START_TEST(lies_of_the_index_are_found_out)
{
    put_full_dataset(3);
    static const struct {
        const char *name;
        hsize_t row;
        uint64_t value;
        const char *word;
    } lies[] = {
        {"/confident/mask_offset", 5, 9, "mask_offset has other values than"},
        {"/hints/rle_offset", 20, 1, "rle_offset has other values than"},
        {"/shards/hint_masks", 1, 9, "rows, the shards have"},
        {"/shards/confident_masks", 2, UINT64_MAX, "claims more"},
        {"/statistics/confident_masks", 0, 22, "not the sum"},
    };
    for (size_t i = 0; i < sizeof lies / sizeof lies[0]; i++) {
        ck_assert_int_eq(mm_dataset_index(at("out"), 0, 3, &full, NULL, &err), MM_OK);
        overwrite(at("out/dataset.h5"), lies[i].name, H5T_NATIVE_UINT64, lies[i].row, &lies[i].value);
        expect_faults(at("out"), 1, lies[i].word);
    }
    /* A shard without the group, under a dataset.h5 that says it has. */
    ck_assert_int_eq(mm_dataset_index(at("out"), 0, 3, &full, NULL, &err), MM_OK);
    expect_faults(at("out"), 0, NULL);
    ck_assert_int_eq(put_shard(at("out"), 1, &err), MM_OK);
    expect_faults(at("out"), 1, "is not the shard that dataset.h5 was made with");
}
END_TEST

START_TEST(exports_write_the_masks_that_are_chosen)
{
    put_full_dataset(1);
    mm_dataset *dataset;
    uint64_t written;
    size_t size;
    ck_assert_int_eq(mm_dataset_open(at("out"), &dataset, &err), MM_OK);
    static const char *const groups[] = {"masks", "confident", "hints"};
    static const int counts[] = {15, 7, 8};
    for (int g = 0; g < 3; g++) {
        ck_assert_int_eq(mm_dataset_choose_masks(dataset, groups[g], &err), MM_OK);
        ck_assert_int_eq(mm_dataset_export_coco(dataset, at("json"), &written, &err), MM_OK);
        ck_assert_uint_eq(written, 3);
        char *text = (char *)get_bytes(at("json/instances.json"), &size);
        text = realloc(text, size + 1);
        text[size] = '\0';
        int masks = 0, scores = 0;
        for (const char *c = strstr(text, "\"segmentation\""); c; c = strstr(c + 1, "\"segmentation\""))
            masks++;
        for (const char *c = strstr(text, "\"detector_score\""); c; c = strstr(c + 1, "\"detector_score\""))
            scores++;
        ck_assert_int_eq(masks, counts[g]);
        ck_assert_int_eq(scores, g == 1 ? 7 : 0);
        free(text);
    }
    mm_dataset_close(dataset);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("shard/further");
    TCase *tests = tcase_create("further");
    tcase_add_checked_fixture(tests, setup, scratch_remove);
    tcase_set_timeout(tests, 60);
    tcase_add_test(tests, what_is_written_is_read);
    tcase_add_test(tests, virtual_columns_and_offsets_show_all_shards);
    tcase_add_test(tests, a_plain_dataset_has_none_of_it);
    tcase_add_test(tests, records_must_have_what_the_shard_has);
    tcase_add_test(tests, shards_of_other_origins_do_not_join);
    tcase_add_test(tests, lies_are_found_out);
    tcase_add_test(tests, lies_of_the_index_are_found_out);
    tcase_add_test(tests, exports_write_the_masks_that_are_chosen);
    suite_add_tcase(suite, tests);
    return mm_check_main(suite);
}
