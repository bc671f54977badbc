#include "check_main.h"
#include "shard/dataset_fixture.h"

static mm_error err;

static void setup(void)
{
    scratch_make();
    err = (mm_error){0};
}

START_TEST(what_is_written_is_read_back)
{
    ck_assert_msg(put_shard(scratch, 3, &err) == MM_OK, "%s", err.text);
    ck_assert_int_ne(access(at("shards/sa_000003.h5.tmp"), F_OK), 0);
    mm_dataset *dataset;
    ck_assert_msg(mm_dataset_open(at("shards/sa_000003.h5"), &dataset, &err) == MM_OK, "%s", err.text);
    ck_assert_uint_eq(mm_dataset_images(dataset), FIXTURE_IMAGES);
    ck_assert_uint_eq(mm_dataset_masks(dataset), 15);
    ck_assert_uint_eq(mm_dataset_shards(dataset), 1);
    mm_record records[FIXTURE_IMAGES];
    make_records(12, records);
    /* Backwards, so that nothing depends on reading in order. */
    for (int i = FIXTURE_IMAGES - 1; i >= 0; i--) {
        mm_record record;
        char *name;
        ck_assert_msg(mm_dataset_read(dataset, (uint64_t)i, &record, &name, &err) == MM_OK, "%s", err.text);
        ck_assert_str_eq(name, fixture_names[i]);
        expect_equal_records(&records[i], &record);
        mm_record_free(&record);
        free(name);
    }
    mm_stats stats, expected;
    mm_stats_clear(&expected);
    for (int i = 0; i < FIXTURE_IMAGES; i++)
        ck_assert_int_eq(mm_stats_add(&expected, &records[i], &err), MM_OK);
    ck_assert_int_eq(mm_dataset_statistics(dataset, &stats, &err), MM_OK);
    ck_assert_mem_eq(&stats, &expected, sizeof stats);
    char *yaml;
    ck_assert_int_eq(mm_dataset_config(dataset, &yaml, &err), MM_OK);
    ck_assert_str_eq(yaml, origin.config_yaml);
    free(yaml);
    uint64_t row;
    ck_assert_int_eq(mm_dataset_find(dataset, "14", &row, &err), MM_OK); /* by image id */
    ck_assert_uint_eq(row, 2);
    ck_assert_int_eq(mm_dataset_find(dataset, "2", &row, &err), MM_ERR_USAGE);
    mm_dataset_close(dataset);
    free_records(records);
}
END_TEST

START_TEST(equal_input_gives_equal_bytes)
{
    put_folder("1");
    put_folder("2");
    ck_assert_int_eq(put_shard(at("1"), 0, &err), MM_OK);
    ck_assert_int_eq(usleep(1100000), 0); /* past the next second: no time may get in */
    ck_assert_int_eq(put_shard(at("2"), 0, &err), MM_OK);
    size_t one_size, two_size;
    uint8_t *one = get_bytes(at("1/shards/sa_000000.h5"), &one_size);
    uint8_t *two = get_bytes(at("2/shards/sa_000000.h5"), &two_size);
    ck_assert_uint_eq(one_size, two_size);
    ck_assert_mem_eq(one, two, one_size);
    free(one);
    free(two);
}
END_TEST

START_TEST(a_shard_may_be_empty_of_masks)
{
    mm_record records[2] = {make_image(0, 5, 5, 0), make_image(1, 5, 5, 0)};
    const char *const names[] = {"a", "b"};
    ck_assert_msg(mm_shard_write(scratch, 0, 0, records, names, 2, &origin, &err) == MM_OK, "%s", err.text);
    ck_assert_msg(mm_dataset_index(scratch, 0, 1, &origin, NULL, &err) == MM_OK, "%s", err.text);
    mm_verify_report report;
    ck_assert_int_eq(mm_dataset_verify(scratch, NULL, NULL, &report, &err), MM_OK);
    ck_assert_msg(report.faults == 0, "%s", report.first);
    ck_assert_uint_eq(report.images, 2);
    mm_record_free(&records[0]);
    mm_record_free(&records[1]);
}
END_TEST

START_TEST(large_shards_span_chunks)
{
    enum { IMAGES = 300, MASKS = 120 };
    static mm_record records[IMAGES];
    static const char *names[IMAGES];
    for (uint64_t i = 0; i < IMAGES; i++) {
        records[i] = make_image(i, 40, 30, MASKS);
        names[i] = "same name";
    }
    ck_assert_msg(mm_shard_write(scratch, 0, 0, records, names, IMAGES, &origin, &err) == MM_OK, "%s", err.text);
    mm_dataset *dataset;
    ck_assert_msg(mm_dataset_open(at("shards/sa_000000.h5"), &dataset, &err) == MM_OK, "%s", err.text);
    ck_assert_uint_eq(mm_dataset_masks(dataset), IMAGES * MASKS);
    for (uint64_t i = 0; i < IMAGES; i += 23) {
        mm_record record;
        ck_assert_msg(mm_dataset_read(dataset, i, &record, NULL, &err) == MM_OK, "%s", err.text);
        expect_equal_records(&records[i], &record);
        mm_record_free(&record);
    }
    mm_dataset_close(dataset);
    for (int i = 0; i < IMAGES; i++)
        mm_record_free(&records[i]);
}
END_TEST

START_TEST(wrong_input_is_refused_before_anything_is_written)
{
    mm_record records[FIXTURE_IMAGES];
    make_records(0, records);
    ck_assert_int_eq(mm_shard_write(scratch, 0, 1, records, fixture_names, FIXTURE_IMAGES, &origin, &err),
                     MM_ERR_INTERNAL);
    const char *const unnamed[FIXTURE_IMAGES] = {"a", "b", "", "d"};
    ck_assert_int_eq(mm_shard_write(scratch, 0, 0, records, unnamed, FIXTURE_IMAGES, &origin, &err), MM_ERR_INTERNAL);
    records[1].rle[0] ^= 2; /* its area is no longer that of its runs */
    ck_assert_int_eq(mm_shard_write(scratch, 0, 0, records, fixture_names, FIXTURE_IMAGES, &origin, &err),
                     MM_ERR_FORMAT);
    ck_assert_msg(strstr(err.text, "image 1, mask 0") != NULL, "%s", err.text);
    ck_assert_int_ne(access(at("shards/sa_000000.h5"), F_OK), 0);
    char path[8];
    ck_assert_int_eq(mm_shard_path("too/long/for/that", 0, path, sizeof path, &err), MM_ERR_USAGE);
    free_records(records);
}
END_TEST

START_TEST(a_full_disk_leaves_no_shard)
{
    ck_assert_int_eq(put_shard(scratch, 0, &err), MM_OK);
    mm_error of_index = {0}, of_first = {0};
    mm_record first[FIXTURE_IMAGES], second[FIXTURE_IMAGES];
    make_records(0, first);
    make_records(FIXTURE_IMAGES, second);
    limit_files(4000);
    const mm_status new_shard =
        mm_shard_write(scratch, 1, FIXTURE_IMAGES, second, fixture_names, FIXTURE_IMAGES, &origin, &err);
    const mm_status index = mm_dataset_index(scratch, 0, 1, &origin, NULL, &of_index);
    const mm_status again = mm_shard_write(scratch, 0, 0, first, fixture_names, FIXTURE_IMAGES, &origin, &of_first);
    unlimit_files();
    free_records(first);
    free_records(second);
    ck_assert_int_eq(new_shard, MM_ERR_IO);
    ck_assert_msg(strstr(err.text, "sa_000001.h5") && strstr(err.text, "File too large"), "%s", err.text);
    ck_assert_int_ne(access(at("shards/sa_000001.h5"), F_OK), 0);
    ck_assert_int_ne(access(at("shards/sa_000001.h5.tmp"), F_OK), 0);
    ck_assert_int_eq(index, MM_ERR_IO);
    ck_assert_int_ne(access(at("dataset.h5"), F_OK), 0);
    /* One that was there stays as it was. */
    ck_assert_int_eq(again, MM_ERR_IO);
    mm_dataset *dataset;
    ck_assert_int_eq(mm_dataset_open(at("shards/sa_000000.h5"), &dataset, &err), MM_OK);
    mm_dataset_close(dataset);
}
END_TEST

/* HDF5 1.10 crashes when a write of its own fails: wherever the disk becomes full, it must not see it. */
START_TEST(a_disk_that_fills_up_anywhere_leaves_no_dataset)
{
    ck_assert_int_eq(put_shard(scratch, 0, &err), MM_OK);
    ck_assert_int_eq(mm_dataset_index(scratch, 0, 1, &origin, NULL, &err), MM_OK);
    size_t size, again;
    uint8_t *whole = get_bytes(at("dataset.h5"), &size);
    for (size_t room = 0; room < size; room += 997) {
        ck_assert_int_eq(unlink(at("dataset.h5")), 0);
        limit_files(room);
        const mm_status status = mm_dataset_index(scratch, 0, 1, &origin, NULL, &err);
        unlimit_files();
        ck_assert_int_eq(status, MM_ERR_IO);
        ck_assert_msg(strstr(err.text, "dataset.h5") && strstr(err.text, "File too large"), "%s", err.text);
        ck_assert_int_ne(access(at("dataset.h5"), F_OK), 0);
        ck_assert_int_ne(access(at("dataset.h5.tmp"), F_OK), 0);
        ck_assert_int_eq(mm_dataset_index(scratch, 0, 1, &origin, NULL, &err), MM_OK);
    }
    uint8_t *other = get_bytes(at("dataset.h5"), &again);
    ck_assert(size == again && memcmp(whole, other, size) == 0); /* equal input, equal bytes */
    free(whole);
    free(other);
}
END_TEST

START_TEST(any_damage_is_noticed)
{
    ck_assert_int_eq(put_shard(scratch, 0, &err), MM_OK);
    const char *path = at("shards/sa_000000.h5");
    size_t size;
    free(get_bytes(path, &size));
    mm_dataset *dataset;
    mm_verify_report report;
    for (size_t i = 0; i < size; i += i < 600 ? 1 : 11) {
        flip_byte(path, i, (uint8_t)(1u << (i % 8)));
        ck_assert_msg(mm_dataset_open(path, &dataset, &err) != MM_OK, "a flip at byte %zu", i);
        if (i % 50 == 0) {
            ck_assert_int_eq(mm_dataset_verify(path, NULL, NULL, &report, &err), MM_OK);
            ck_assert_uint_eq(report.faults, 1);
        }
        flip_byte(path, i, (uint8_t)(1u << (i % 8)));
    }
    ck_assert_int_eq(mm_dataset_open(path, &dataset, &err), MM_OK);
    mm_dataset_close(dataset);
    for (size_t length = size; length > 0; length -= 1 + length / 40) {
        ck_assert_int_eq(truncate(path, (off_t)length - 1), 0);
        ck_assert_int_ne(mm_dataset_open(path, &dataset, &err), MM_OK);
        ck_assert_ptr_null(dataset);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("shard/shard");
    TCase *tests = tcase_create("shard");
    tcase_add_checked_fixture(tests, setup, scratch_remove);
    tcase_set_timeout(tests, 60);
    tcase_add_test(tests, what_is_written_is_read_back);
    tcase_add_test(tests, equal_input_gives_equal_bytes);
    tcase_add_test(tests, a_shard_may_be_empty_of_masks);
    tcase_add_test(tests, large_shards_span_chunks);
    tcase_add_test(tests, wrong_input_is_refused_before_anything_is_written);
    tcase_add_test(tests, a_full_disk_leaves_no_shard);
    tcase_add_test(tests, a_disk_that_fills_up_anywhere_leaves_no_dataset);
    tcase_add_test(tests, any_damage_is_noticed);
    suite_add_tcase(suite, tests);
    return mm_check_main(suite);
}
