#include "check_main.h"
#include "shard/dataset_fixture.h"

#include "corpus/h5.h"

static mm_error err;

static void setup(void)
{
    scratch_make();
    put_folder("out");
    err = (mm_error){0};
}

START_TEST(a_dataset_shows_all_shards)
{
    put_dataset(at("out"), 3);
    /* Opened by folder, by file, and after the folder was moved. */
    ck_assert_int_eq(rename(at("out"), at("moved")), 0);
    const char *const paths[] = {at("moved"), at("moved/dataset.h5")};
    for (int p = 0; p < 2; p++) {
        mm_dataset *dataset;
        ck_assert_msg(mm_dataset_open(paths[p], &dataset, &err) == MM_OK, "%s", err.text);
        ck_assert_uint_eq(mm_dataset_images(dataset), 12);
        ck_assert_uint_eq(mm_dataset_masks(dataset), 45);
        ck_assert_uint_eq(mm_dataset_shards(dataset), 3);
        ck_assert_str_eq(mm_dataset_folder(dataset), at("moved"));
        for (uint64_t row = 0; row < 12; row++) {
            mm_record record, expected[FIXTURE_IMAGES];
            char *name;
            const uint64_t at_row = row * 5 % 12; /* hops between shards */
            ck_assert_msg(mm_dataset_read(dataset, at_row, &record, &name, &err) == MM_OK, "%s", err.text);
            make_records(at_row / 4 * 4, expected);
            ck_assert_str_eq(name, fixture_names[at_row % 4]);
            expect_equal_records(&expected[at_row % 4], &record);
            free_records(expected);
            mm_record_free(&record);
            free(name);
        }
        mm_record none;
        ck_assert_int_eq(mm_dataset_read(dataset, 12, &none, NULL, &err), MM_ERR_USAGE);
        mm_stats stats;
        ck_assert_int_eq(mm_dataset_statistics(dataset, &stats, &err), MM_OK);
        ck_assert_uint_eq(stats.images_done, 9);
        ck_assert_uint_eq(stats.images_set_aside, 3);
        ck_assert_uint_eq(stats.masks, 45);
        mm_dataset_close(dataset);
    }
    mm_verify_report report;
    ck_assert_int_eq(mm_dataset_verify(at("moved"), NULL, NULL, &report, &err), MM_OK);
    ck_assert_msg(report.faults == 0, "%s", report.first);
    ck_assert_uint_eq(report.images, 12);
    ck_assert_uint_eq(report.masks, 45);
    ck_assert_uint_eq(report.shards, 3);
}
END_TEST

START_TEST(virtual_columns_show_the_shards)
{
    put_dataset(at("out"), 2);
    const hid_t file = H5Fopen(at("out/dataset.h5"), H5F_ACC_RDONLY, H5P_DEFAULT);
    uint32_t area[30];
    uint64_t offsets[31], rows[9];
    float boxes[30][4];
    const struct {
        const char *name;
        hid_t type;
        void *values;
        hsize_t size;
    } wanted[] = {{"/masks/area", H5T_NATIVE_UINT32, area, sizeof area},
                  {"/masks/bbox", H5T_NATIVE_FLOAT, boxes, sizeof boxes},
                  {"/masks/rle_offset", H5T_NATIVE_UINT64, offsets, sizeof offsets},
                  {"/images/mask_offset", H5T_NATIVE_UINT64, rows, sizeof rows}};
    for (int i = 0; i < 4; i++) {
        const hid_t dataset = H5Dopen2(file, wanted[i].name, H5P_DEFAULT), space = H5Dget_space(dataset);
        ck_assert_int_eq(H5Sget_simple_extent_npoints(space) * (hssize_t)H5Tget_size(wanted[i].type),
                         (hssize_t)wanted[i].size);
        ck_assert_int_ge(H5Dread(dataset, wanted[i].type, H5S_ALL, H5S_ALL, H5P_DEFAULT, wanted[i].values), 0);
        H5Sclose(space);
        H5Dclose(dataset);
    }
    H5Fclose(file);
    mm_record expected[FIXTURE_IMAGES];
    make_records(0, expected);
    uint64_t row = 0, bytes = 0, mask = 0;
    for (int k = 0; k < 2; k++)
        for (int i = 0; i < FIXTURE_IMAGES; i++) {
            ck_assert_uint_eq(rows[row++], mask);
            for (uint64_t m = 0; m < expected[i].mask_count; m++, mask++) {
                ck_assert_uint_eq(area[mask], expected[i].area[m]);
                ck_assert_mem_eq(boxes[mask], expected[i].bbox[m], sizeof boxes[0]);
                ck_assert_uint_eq(offsets[mask], bytes + expected[i].rle_offset[m]);
            }
            bytes += expected[i].rle_offset[expected[i].mask_count];
        }
    ck_assert_uint_eq(offsets[30], bytes);
    ck_assert_uint_eq(rows[8], 30);
    free_records(expected);
}
END_TEST

START_TEST(images_are_found)
{
    /* Two shards with other names in each, so that some are unique. */
    mm_record records[FIXTURE_IMAGES];
    const char *const first[] = {"a/1.jpg", "a/2.jpg", "a/3.jpg", "b/1.jpg"}, *const second[] = {"b/2.jpg", "b/4.jpg",
                                                                                                 "c", "7"};
    make_records(0, records);
    ck_assert_int_eq(mm_shard_write(at("out"), 0, 0, records, first, 4, &origin, &err), MM_OK);
    free_records(records);
    make_records(4, records);
    ck_assert_int_eq(mm_shard_write(at("out"), 1, 4, records, second, 4, &origin, &err), MM_OK);
    free_records(records);
    ck_assert_int_eq(mm_dataset_index(at("out"), 0, 2, &origin, NULL, &err), MM_OK);
    mm_dataset *dataset;
    ck_assert_int_eq(mm_dataset_open(at("out"), &dataset, &err), MM_OK);
    const struct {
        const char *what;
        uint64_t row;
    } found[] = {{"a/2.jpg", 1}, {"3.jpg", 2}, {"4.jpg", 5}, {"c", 6}, {"7", 7}, {"0", 0}, {"6", 6}};
    for (size_t i = 0; i < sizeof found / sizeof found[0]; i++) {
        uint64_t row;
        ck_assert_msg(mm_dataset_find(dataset, found[i].what, &row, &err) == MM_OK, "%s", err.text);
        ck_assert_uint_eq(row, found[i].row);
    }
    uint64_t row;
    ck_assert_int_eq(mm_dataset_find(dataset, "1.jpg", &row, &err), MM_ERR_USAGE);
    ck_assert_ptr_nonnull(strstr(err.text, "2 images are named"));
    ck_assert_int_eq(mm_dataset_find(dataset, "8", &row, &err), MM_ERR_USAGE);
    ck_assert_int_eq(mm_dataset_find(dataset, "", &row, &err), MM_ERR_USAGE);
    mm_dataset_close(dataset);
}
END_TEST

static void expect_one_fault(const char *path, const char *word)
{
    mm_verify_report report;
    ck_assert_int_eq(mm_dataset_verify(path, NULL, NULL, &report, &err), MM_OK);
    ck_assert_uint_ge(report.faults, 1);
    ck_assert_msg(strstr(report.first, word) != NULL, "'%s' does not say '%s'", report.first, word);
}

START_TEST(a_shard_that_is_missing_or_another_is_noticed)
{
    put_dataset(at("out"), 3);
    mm_dataset *dataset;
    ck_assert_int_eq(rename(at("out/shards/sa_000001.h5"), at("kept")), 0);
    ck_assert_int_eq(mm_dataset_open(at("out"), &dataset, &err), MM_ERR_IO);
    ck_assert_msg(strstr(err.text, "sa_000001.h5") != NULL, "%s", err.text);
    expect_one_fault(at("out"), "sa_000001.h5");
    ck_assert_int_eq(mm_dataset_index(at("out"), 0, 3, &origin, NULL, &err), MM_ERR_IO);
    /* A whole shard, but not this one. */
    ck_assert_int_eq(link(at("out/shards/sa_000002.h5"), at("out/shards/sa_000001.h5")), 0);
    ck_assert_int_eq(mm_dataset_open(at("out"), &dataset, &err), MM_ERR_FORMAT);
    expect_one_fault(at("out"), "is not the shard");
    ck_assert_int_eq(mm_dataset_index(at("out"), 0, 3, &origin, NULL, &err), MM_ERR_FORMAT);
    ck_assert_msg(strstr(err.text, "starts with image 8") != NULL, "%s", err.text);
    /* The right one again. */
    ck_assert_int_eq(rename(at("kept"), at("out/shards/sa_000001.h5")), 0);
    ck_assert_int_eq(mm_dataset_open(at("out"), &dataset, &err), MM_OK);
    mm_dataset_close(dataset);
    ck_assert_int_eq(truncate(at("out/shards/sa_000000.h5"), 9000), 0);
    ck_assert_int_eq(mm_dataset_open(at("out"), &dataset, &err), MM_ERR_FORMAT);
}
END_TEST

START_TEST(damage_inside_a_shard_is_met_when_it_is_read)
{
    put_dataset(at("out"), 2);
    size_t size;
    free(get_bytes(at("out/shards/sa_000001.h5"), &size));
    flip_byte(at("out/shards/sa_000001.h5"), size / 2, 4);
    mm_dataset *dataset;
    ck_assert_int_eq(mm_dataset_open(at("out"), &dataset, &err), MM_OK); /* contents are not read yet */
    mm_record record;
    ck_assert_int_eq(mm_dataset_read(dataset, 0, &record, NULL, &err), MM_OK);
    mm_record_free(&record);
    ck_assert_int_eq(mm_dataset_read(dataset, 5, &record, NULL, &err), MM_ERR_FORMAT);
    ck_assert_int_eq(mm_dataset_read(dataset, 1, &record, NULL, &err), MM_OK);
    mm_record_free(&record);
    mm_dataset_close(dataset);
    expect_one_fault(at("out"), "damaged");
}
END_TEST

START_TEST(shards_of_other_runs_do_not_join)
{
    ck_assert_int_eq(put_shard(at("out"), 0, &err), MM_OK);
    mm_shard_origin other = origin;
    other.model_sha256 = "another";
    ck_assert_int_eq(mm_dataset_index(at("out"), 0, 1, &other, NULL, &err), MM_ERR_FORMAT);
    ck_assert_msg(strstr(err.text, "model file") != NULL, "%s", err.text);
    other = origin;
    other.config_yaml = "";
    ck_assert_int_eq(mm_dataset_index(at("out"), 0, 1, &other, NULL, &err), MM_ERR_FORMAT);
    ck_assert_int_eq(mm_dataset_index(at("out"), 0, 0, &origin, NULL, &err), MM_ERR_USAGE);
    ck_assert_int_ne(access(at("out/dataset.h5"), F_OK), 0);
}
END_TEST

START_TEST(what_is_no_dataset_is_refused)
{
    mm_dataset *dataset;
    ck_assert_int_eq(mm_dataset_open(at("out"), &dataset, &err), MM_ERR_IO);
    ck_assert_msg(strstr(err.text, "dataset.h5") && strstr(err.text, "--resume"), "%s", err.text);
    ck_assert_int_eq(mm_dataset_open(at("gone"), &dataset, &err), MM_ERR_IO);
    put_text("text", "some text");
    ck_assert_int_eq(mm_dataset_open(at("text"), &dataset, &err), MM_ERR_FORMAT);
    char page[600] = "maskmill shard\nformat 2\nbytes 600\nxxh3 0000000000000000\nHDF5 from byte 512 on\n";
    put_bytes(at("later"), page, sizeof page);
    ck_assert_int_eq(mm_dataset_open(at("later"), &dataset, &err), MM_ERR_UNSUPPORTED);
}
END_TEST

/* dataset.h5 is opened by its head alone, so that opening does not take longer for more masks. */
START_TEST(damage_behind_the_head_is_for_verify_to_find)
{
    mm_seal seal, again;
    /* Many small masks, so that there is something behind the head. */
    mm_record record = make_image(0, 8, 8, 60000);
    const char *const name = "many.jpg";
    ck_assert_int_eq(mm_shard_write(at("out"), 0, 0, &record, &name, 1, &origin, &err), MM_OK);
    mm_record_free(&record);
    ck_assert_int_eq(mm_dataset_index(at("out"), 0, 1, &origin, NULL, &err), MM_OK);
    ck_assert_int_eq(mm_seal_check(at("out/dataset.h5"), &seal, &err), MM_OK);
    ck_assert(seal.head > MM_SEAL_BYTES && seal.head < seal.bytes / 2);
    flip_byte(at("out/dataset.h5"), seal.head + (seal.bytes - seal.head) / 2, 4);
    mm_dataset *dataset;
    ck_assert_msg(mm_dataset_open(at("out"), &dataset, &err) == MM_OK, "%s", err.text);
    ck_assert_uint_eq(mm_dataset_masks(dataset), 60000);
    mm_dataset_close(dataset);
    ck_assert_int_eq(mm_seal_check(at("out/dataset.h5"), &again, &err), MM_ERR_FORMAT);
    expect_one_fault(at("out"), "dataset.h5 is damaged");
    ck_assert_int_eq(mm_dataset_index(at("out"), 0, 1, &origin, NULL, &err), MM_OK);
    flip_byte(at("out/dataset.h5"), seal.head - 100, 4);
    ck_assert_int_eq(mm_dataset_open(at("out"), &dataset, &err), MM_ERR_FORMAT);
    expect_one_fault(at("out"), "dataset.h5 is damaged");
}
END_TEST

/* A shard is opened when it is its turn, and closed again. */
START_TEST(more_shards_than_files_may_be_open)
{
    enum { MANY = 80 };
    struct rlimit before;
    ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &before), 0);
    const struct rlimit few = {.rlim_cur = 40, .rlim_max = before.rlim_max};
    ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &few), 0);
    put_dataset(at("out"), MANY);
    mm_dataset *dataset;
    ck_assert_msg(mm_dataset_open(at("out"), &dataset, &err) == MM_OK, "%s", err.text);
    for (uint64_t row = 0; row < mm_dataset_images(dataset); row++) {
        mm_record record;
        ck_assert_msg(mm_dataset_read(dataset, row, &record, NULL, &err) == MM_OK, "%s", err.text);
        ck_assert_uint_eq(record.image_id, row);
        mm_record_free(&record);
    }
    mm_dataset_close(dataset);
    mm_verify_report report;
    ck_assert_int_eq(mm_dataset_verify(at("out"), NULL, NULL, &report, &err), MM_OK);
    ck_assert_msg(report.faults == 0, "%s", report.first);
    ck_assert_uint_eq(report.shards, MANY);
    ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &before), 0);
}
END_TEST

/* --- lies: a shard that is sealed, but says what is not so ----------------------------------------------------------
 */

static void reseal(const char *path)
{
    size_t size;
    uint8_t *bytes = get_bytes(path, &size);
    mm_seal_stamp(strstr(path, "dataset.h5") ? "dataset" : "shard", bytes, size, NULL);
    put_bytes(path, bytes, size);
    free(bytes);
}

static void overwrite(const char *path, const char *name, hid_t type, hsize_t row, hsize_t width, const void *value)
{
    const hid_t file = H5Fopen(path, H5F_ACC_RDWR, H5P_DEFAULT), dataset = H5Dopen2(file, name, H5P_DEFAULT);
    const hid_t space = H5Dget_space(dataset);
    const hsize_t start[2] = {row, 0}, count[2] = {1, width};
    ck_assert_int_ge(H5Sselect_hyperslab(space, H5S_SELECT_SET, start, NULL, count, NULL), 0);
    const hid_t memory = H5Screate_simple(width ? 2 : 1, count, NULL);
    ck_assert_int_ge(H5Dwrite(dataset, type, memory, space, H5P_DEFAULT, value), 0);
    H5Sclose(memory);
    H5Sclose(space);
    H5Dclose(dataset);
    ck_assert_int_ge(H5Fclose(file), 0);
    reseal(path);
}

typedef struct lie {
    const char *name;
    bool wide; /* u64, else u32; u8 for single bytes */
    bool byte;
    hsize_t row;
    uint64_t value;
    bool refused; /* at opening */
    const char *word;
} lie;

START_TEST(lies_are_found_out)
{
    static const lie lies[] = {
        {"/images/mask_offset", true, false, 4, 16, true, "mask_offset"},
        {"/images/mask_offset", true, false, 0, 1, true, "mask_offset"},
        {"/images/mask_offset", true, false, 1, UINT64_MAX, false, "span"},
        {"/images/mask_offset", true, false, 1, 9, false, "image 0, mask 5"},
        {"/masks/rle_offset", true, false, 15, UINT64_MAX, true, "rle_offset"},
        {"/masks/rle_offset", true, false, 5, UINT64_MAX / 2, false, "span"},
        {"/masks/rle_offset", true, false, 2, 0, false, "offsets fall"},
        {"/masks/rle_offset", true, false, 2, UINT64_MAX, false, "offsets fall"},
        {"/images/image_id", true, false, 1, 7, false, "image_id"},
        {"/images/width", false, false, 1, 30, false, "image 1"},
        {"/images/width", false, false, 1, 0, false, "no size"},
        {"/images/height", false, false, 1, UINT32_MAX, false, "image 1"},
        {"/images/status", false, true, 1, 4, false, "status"},
        {"/images/status", false, true, 1, 2, false, "not done but has masks"},
        {"/masks/area", false, false, 3, 1, false, "area"},
        {"/masks/source", false, true, 3, 9, false, "source"},
        {"/rle", false, true, 0, '0', false, "image 0, mask 0"},
        {"/statistics/masks", true, false, 0, 14, false, "statistics"},
    };
    for (size_t i = 0; i < sizeof lies / sizeof lies[0]; i++) {
        const struct lie *told = &lies[i];
        ck_assert_int_eq(put_shard(scratch, 0, &err), MM_OK);
        const char *path = at("shards/sa_000000.h5");
        const uint32_t narrow = (uint32_t)told->value;
        const uint8_t byte = (uint8_t)told->value;
        overwrite(path, told->name,
                  told->wide   ? H5T_NATIVE_UINT64
                  : told->byte ? H5T_NATIVE_UINT8
                               : H5T_NATIVE_UINT32,
                  told->row, 0,
                  told->wide   ? (const void *)&told->value
                  : told->byte ? (const void *)&byte
                               : &narrow);
        mm_dataset *dataset = NULL;
        const mm_status opened = mm_dataset_open(path, &dataset, &err);
        ck_assert_msg((opened != MM_OK) == told->refused, "lie %zu: %d %s", i, opened, err.text);
        for (uint64_t row = 0; opened == MM_OK && row < FIXTURE_IMAGES; row++) {
            mm_record record;
            if (mm_dataset_read(dataset, row, &record, NULL, &err) == MM_OK)
                mm_record_free(&record);
        }
        mm_dataset_close(dataset);
        expect_one_fault(path, told->word);
    }
    /* A box that is not its mask's. */
    const float box[4] = {1, 2, 3, 4};
    ck_assert_int_eq(put_shard(scratch, 0, &err), MM_OK);
    overwrite(at("shards/sa_000000.h5"), "/masks/bbox", H5T_NATIVE_FLOAT, 6, 4, box);
    expect_one_fault(at("shards/sa_000000.h5"), "bbox");
    /* A point: nothing to compare it with but the digest. */
    ck_assert_int_eq(put_shard(scratch, 0, &err), MM_OK);
    overwrite(at("shards/sa_000000.h5"), "/masks/point_coords", H5T_NATIVE_FLOAT, 6, 2, box);
    expect_one_fault(at("shards/sa_000000.h5"), "masks_digest");
    /* A score: its histogram tells. */
    const float score = 0.5f;
    ck_assert_int_eq(put_shard(scratch, 0, &err), MM_OK);
    overwrite(at("shards/sa_000000.h5"), "/masks/stability_score", H5T_NATIVE_FLOAT, 6, 0, &score);
    expect_one_fault(at("shards/sa_000000.h5"), "statistics");
}
END_TEST

START_TEST(lengths_that_cannot_be_are_refused)
{
    ck_assert_int_eq(put_shard(scratch, 0, &err), MM_OK);
    const char *path = at("shards/sa_000000.h5");
    /* Datasets of 2^40 rows of which no chunk was ever written. */
    const hid_t file = H5Fopen(path, H5F_ACC_RDWR, H5P_DEFAULT);
    const hsize_t rows = 1ull << 40, chunk = 1u << 16;
    const hid_t space = H5Screate_simple(1, &rows, NULL), list = H5Pcreate(H5P_DATASET_CREATE);
    H5Pset_chunk(list, 1, &chunk);
    ck_assert_int_ge(H5Ldelete(file, "rle", H5P_DEFAULT), 0);
    const hid_t dataset = H5Dcreate2(file, "rle", H5T_STD_U8LE, space, H5P_DEFAULT, list, H5P_DEFAULT);
    ck_assert_int_ge(dataset, 0);
    H5Dclose(dataset);
    H5Pclose(list);
    H5Sclose(space);
    ck_assert_int_ge(H5Fclose(file), 0);
    reseal(path);
    mm_dataset *opened;
    ck_assert_int_eq(mm_dataset_open(path, &opened, &err), MM_ERR_FORMAT);
    ck_assert_msg(strstr(err.text, "cannot be in so small a file") != NULL, "%s", err.text);
}
END_TEST

/* Replace a virtual column by one that maps each shard's area to `starts`, or by a plain one of zeros. */
static void put_mapping(const char *path, const hsize_t *starts, const char *const *files)
{
    const hid_t file = H5Fopen(path, H5F_ACC_RDWR, H5P_DEFAULT), list = H5Pcreate(H5P_DATASET_CREATE);
    const hsize_t whole = 45, part = 15;
    const hid_t space = H5Screate_simple(1, &whole, NULL), source = H5Screate_simple(1, &part, NULL);
    ck_assert_int_ge(H5Ldelete(file, "/masks/area", H5P_DEFAULT), 0);
    for (int k = 0; starts && k < 3; k++) {
        ck_assert_int_ge(H5Sselect_hyperslab(space, H5S_SELECT_SET, &starts[k], NULL, &part, NULL), 0);
        ck_assert_int_ge(H5Pset_virtual(list, space, files[k], "/masks/area", source), 0);
    }
    const hid_t dataset = H5Dcreate2(file, "/masks/area", H5T_STD_U32LE, space, H5P_DEFAULT, list, H5P_DEFAULT);
    ck_assert_int_ge(dataset, 0);
    H5Dclose(dataset);
    H5Sclose(space);
    H5Sclose(source);
    H5Pclose(list);
    ck_assert_int_ge(H5Fclose(file), 0);
    reseal(path);
}

START_TEST(lies_of_the_index_are_found_out)
{
    static const char *const right[] = {"shards/sa_000000.h5", "shards/sa_000001.h5", "shards/sa_000002.h5"};
    static const char *const wrong[] = {"shards/sa_000000.h5", "shards/sa_000000.h5", "shards/sa_000002.h5"};
    static const hsize_t places[] = {0, 15, 30}, swapped[] = {15, 0, 30};
    put_dataset(at("out"), 3);
    mm_verify_report report;
    char path[1024];
    snprintf(path, sizeof path, "%s", at("out/dataset.h5"));
    put_mapping(path, places, right); /* this way of making it is no fault by itself */
    ck_assert_int_eq(mm_dataset_verify(at("out"), NULL, NULL, &report, &err), MM_OK);
    ck_assert_msg(report.faults == 0, "%s", report.first);
    put_mapping(path, places, wrong);
    expect_one_fault(at("out"), "/masks/area does not show the rows of shard 1");
    put_mapping(path, swapped, right);
    expect_one_fault(at("out"), "/masks/area does not show the rows of shard 0");
    put_mapping(path, NULL, NULL);
    expect_one_fault(at("out"), "/masks/area is not a virtual dataset");
    static const struct {
        const char *name;
        hsize_t row;
        uint64_t value;
        const char *word;
    } lies[] = {
        {"/images/mask_offset", 5, 16, "mask_offset has other values than"},
        {"/masks/rle_offset", 45, 1, "rle_offset has other values than"},
        {"/statistics/masks", 0, 46, "not the sum"},
        {"/shards/masks", 1, 14, "rows, the shards have"},
        {"/shards/images", 1, 5, "starts with image"},
        {"/shards/images", 2, UINT64_MAX, "claims more"},
        {"/shards/digest", 2, 1, "is not the shard"},
    };
    for (size_t i = 0; i < sizeof lies / sizeof lies[0]; i++) {
        ck_assert_int_eq(mm_dataset_index(at("out"), 0, 3, &origin, NULL, &err), MM_OK);
        overwrite(path, lies[i].name, H5T_NATIVE_UINT64, lies[i].row, 0, &lies[i].value);
        expect_one_fault(at("out"), lies[i].word);
        mm_dataset *dataset;
        mm_record record;
        if (mm_dataset_open(at("out"), &dataset, &err) != MM_OK)
            continue;
        for (uint64_t row = 0; row < mm_dataset_images(dataset); row++)
            if (mm_dataset_read(dataset, row, &record, NULL, &err) == MM_OK)
                mm_record_free(&record);
        mm_dataset_close(dataset);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("shard/dataset");
    TCase *tests = tcase_create("dataset");
    tcase_add_checked_fixture(tests, setup, scratch_remove);
    tcase_set_timeout(tests, 60);
    tcase_add_test(tests, a_dataset_shows_all_shards);
    tcase_add_test(tests, virtual_columns_show_the_shards);
    tcase_add_test(tests, images_are_found);
    tcase_add_test(tests, a_shard_that_is_missing_or_another_is_noticed);
    tcase_add_test(tests, damage_inside_a_shard_is_met_when_it_is_read);
    tcase_add_test(tests, shards_of_other_runs_do_not_join);
    tcase_add_test(tests, what_is_no_dataset_is_refused);
    tcase_add_test(tests, damage_behind_the_head_is_for_verify_to_find);
    tcase_add_test(tests, more_shards_than_files_may_be_open);
    tcase_add_test(tests, lies_are_found_out);
    tcase_add_test(tests, lies_of_the_index_are_found_out);
    tcase_add_test(tests, lengths_that_cannot_be_are_refused);
    suite_add_tcase(suite, tests);
    return mm_check_main(suite);
}
