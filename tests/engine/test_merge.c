#include "check_main.h"
#include "shard/dataset_fixture.h"

#include <jansson.h>
#include <sys/stat.h>

#include "base/file.h"
#include "maskmill/engine.h"

/* A whole of 11 images in three shards of four, as one run would leave it in "whole", and parts of it. */
enum { IMAGES = 11, SHARDS = 3 };

static mm_error err;
static char *config_yaml;
static mm_manifest *manifest;

static mm_shard_origin our_origin(void)
{
    return (mm_shard_origin){.config_yaml = config_yaml, .model_name = origin.model_name,
                             .model_sha256 = origin.model_sha256};
}

static void setup(void)
{
    err = (mm_error){0};
    scratch_make();
    put_folder("corpus");
    for (int i = 0; i < IMAGES; i++) {
        char name[32];
        (void)snprintf(name, sizeof name, "corpus/%02d.jpg", i);
        put_text(name, "no photograph");
    }
    const char *sources[] = {at("corpus")};
    mm_scan_report report;
    ck_assert_int_eq(mm_corpus_scan(sources, 1, &manifest, &report, &err), MM_OK);
    mm_config config = mm_config_defaults();
    config.output.images_per_shard = FIXTURE_IMAGES;
    ck_assert_int_eq(mm_config_to_yaml(&config, &config_yaml, &err), MM_OK);
}

static void teardown(void)
{
    mm_manifest_free(manifest);
    free(config_yaml);
    scratch_remove();
}

static const char *in(const char *folder, const char *name)
{
    static char path[4][1200];
    static int turn;
    turn = (turn + 1) % 4;
    (void)snprintf(path[turn], sizeof path[turn], "%s/%s/%s", scratch, folder, name);
    return path[turn];
}

static void put_our_shard(const char *folder, uint64_t k)
{
    mm_record records[FIXTURE_IMAGES];
    const mm_shard_origin o = our_origin();
    const size_t count = k + 1 == SHARDS ? IMAGES - k * FIXTURE_IMAGES : FIXTURE_IMAGES;
    make_records(k * FIXTURE_IMAGES, records);
    ck_assert_msg(mm_shard_write(at(folder), k, k * FIXTURE_IMAGES, records, fixture_names, count, &o, &err) == MM_OK,
                  "%s", err.text);
    free_records(records);
}

/* What a run over shards first .. last leaves. */
static void put_run(const char *folder, uint64_t first, uint64_t last, const char *kernels)
{
    const mm_shard_origin o = our_origin();
    char name[300], text[2000];
    size_t length = 0;
    put_folder(folder);
    ck_assert_int_eq(mm_manifest_write(manifest, in(folder, "manifest.h5"), &err), MM_OK);
    length += (size_t)snprintf(text, sizeof text, "image_id\tpath\tstatus\treason\n");
    for (uint64_t k = first; k <= last; k++) {
        put_our_shard(folder, k);
        length += (size_t)snprintf(text + length, sizeof text - length, "%d\tbroken.jpg\tformat\tno JPEG\n",
                                   (int)k * FIXTURE_IMAGES + 2);
    }
    ck_assert_msg(mm_dataset_index(at(folder), first, last - first + 1, &o, NULL, &err) == MM_OK, "%s", err.text);
    (void)snprintf(name, sizeof name, "%s/quarantine.tsv", folder);
    put_text(name, text);
    (void)snprintf(text, sizeof text,
                   "{\"kernels\": [\"%s\"], \"hosts\": [{\"host\": \"a\", \"ranks\": 2}], \"seconds\": 1.5, "
                   "\"started\": \"2026-03-0%dT12:00:00Z\", \"ended\": \"2026-03-0%dT13:00:00Z\", \"stage_seconds\": "
                   "{\"read\": 0.5}, \"corpus\": {\"images\": 11}, \"model\": {\"name\": \"tiny\"}}\n",
                   kernels, (int)first + 1, (int)last + 1);
    (void)snprintf(name, sizeof name, "%s/run.json", folder);
    put_text(name, text);
}

static mm_status merge_with(const char *out, bool mixed)
{
    mm_run_summary summary;
    char *words[] = {"maskmill", "merge"};
    const mm_merge_options options = {.out = at(out), .mixed_kernels = mixed, .argc = 2, .argv = words};
    err = (mm_error){0};
    const mm_status status = mm_engine_merge(&options, &summary, &err);
    if (status == MM_OK) {
        ck_assert_uint_eq(summary.images_done + summary.images_set_aside, IMAGES);
        ck_assert_uint_eq(summary.shards, SHARDS);
    }
    return status;
}

static mm_status merge(const char *out)
{
    return merge_with(out, false);
}

static void expect_same_file(const char *a, const char *b, const char *name)
{
    size_t size_a, size_b;
    uint8_t *bytes_a = get_bytes(in(a, name), &size_a), *bytes_b = get_bytes(in(b, name), &size_b);
    ck_assert_msg(size_a == size_b && memcmp(bytes_a, bytes_b, size_a) == 0, "%s differs", name);
    free(bytes_a);
    free(bytes_b);
}

static void expect_whole(const char *out)
{
    static const char *const files[] = {"manifest.h5", "dataset.h5", "quarantine.tsv", "shards/sa_000000.h5",
                                        "shards/sa_000001.h5", "shards/sa_000002.h5"};
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++)
        expect_same_file("whole", out, files[i]);
    mm_verify_report report;
    ck_assert_int_eq(mm_dataset_verify(at(out), NULL, NULL, &report, &err), MM_OK);
    ck_assert_msg(report.faults == 0, "%s", report.first);
}

static void put_parts(void)
{
    put_run("whole", 0, 2, "f32");
    put_folder("out");
    put_run("out/part-0-0", 0, 0, "f32");
    put_run("out/part-1-1", 1, 1, "f32, 2 threads");
    put_run("out/part-2-9", 2, 2, "f32, 1 thread"); /* asked for more than there is */
}

START_TEST(parts_make_the_whole)
{
    put_parts();
    ck_assert_msg(merge("out") == MM_OK, "%s", err.text);
    expect_whole("out");
    json_t *run = json_load_file(in("out", "run.json"), 0, NULL);
    ck_assert_ptr_nonnull(run);
    ck_assert_int_eq(json_integer_value(json_object_get(run, "images_done")), 8);
    ck_assert_int_eq(json_integer_value(json_object_get(run, "images_set_aside")), 3);
    ck_assert_str_eq(json_string_value(json_object_get(run, "started")), "2026-03-01T12:00:00Z");
    ck_assert_str_eq(json_string_value(json_object_get(run, "ended")), "2026-03-03T13:00:00Z");
    ck_assert_float_eq((float)json_number_value(json_object_get(run, "seconds")), 4.5f);
    ck_assert_float_eq((float)json_number_value(json_object_get(json_object_get(run, "stage_seconds"), "read")), 1.5f);
    ck_assert_uint_eq(json_array_size(json_object_get(run, "hosts")), 1);
    ck_assert_uint_eq(json_array_size(json_object_get(run, "parts")), 3);
    ck_assert_str_eq(json_string_value(json_object_get(run, "config")), config_yaml);
    json_decref(run);
    ck_assert_msg(merge("out") == MM_OK, "%s", err.text); /* once more does no harm */
    expect_whole("out");
    /* A part is a dataset of its own. */
    mm_dataset *part;
    mm_record record;
    ck_assert_int_eq(mm_dataset_open(at("out/part-1-1"), &part, &err), MM_OK);
    ck_assert_uint_eq(mm_dataset_span(part, 0).number, 1);
    ck_assert_int_eq(mm_dataset_read(part, 1, &record, NULL, &err), MM_OK);
    ck_assert_uint_eq(record.image_id, 5);
    mm_record_free(&record);
    mm_dataset_close(part);
}
END_TEST

/* Wherever an earlier merge stopped: some of its files are there. */
START_TEST(an_interrupted_merge_is_repeated)
{
    put_parts();
    put_folder("out/shards");
    put_bytes(in("out", "shards/sa_000000.h5.tmp"), "half", 4);
    ck_assert_int_eq(link(in("out", "part-0-0/shards/sa_000000.h5"), in("out", "shards/sa_000000.h5")), 0);
    ck_assert_int_eq(link(in("out", "part-0-0/manifest.h5"), in("out", "manifest.h5")), 0);
    ck_assert_msg(merge("out") == MM_OK, "%s", err.text);
    expect_whole("out");
    ck_assert_int_eq(unlink(in("out", "run.json")), 0);
    ck_assert_int_eq(unlink(in("out", "dataset.h5")), 0);
    ck_assert_int_eq(unlink(in("out", "shards/sa_000002.h5")), 0);
    ck_assert_msg(merge("out") == MM_OK, "%s", err.text);
    expect_whole("out");
    /* A disk that fills up at any of these points leaves a merge that can be repeated. */
    for (rlim_t limit = 0; limit < 20000; limit += 1777) {
        ck_assert_int_eq(unlink(in("out", "dataset.h5")), 0);
        limit_files(limit);
        const mm_status status = merge("out");
        unlimit_files();
        ck_assert_int_ne(access(in("out", "dataset.h5.tmp"), F_OK), 0);
        ck_assert_int_eq(status, MM_ERR_IO);
        ck_assert_msg(merge("out") == MM_OK, "%s", err.text);
    }
    expect_whole("out");
}
END_TEST

START_TEST(what_does_not_fit_is_told)
{
    put_parts();
    const char *kept = in("", "kept");
    char middle[1200];
    (void)snprintf(middle, sizeof middle, "%s", in("out", "part-1-1"));
    ck_assert_int_eq(rename(middle, kept), 0);
    ck_assert_int_eq(merge("out"), MM_ERR_USAGE);
    ck_assert_msg(strstr(err.text, "of shards 0-2 these are in no part: 1-1;") != NULL, "%s", err.text);
    ck_assert_int_ne(access(in("out", "shards"), F_OK), 0); /* nothing was written */
    /* Unfinished. */
    ck_assert_int_eq(rename(kept, middle), 0);
    ck_assert_int_eq(unlink(in("out", "part-1-1/run.json")), 0);
    ck_assert_int_eq(merge("out"), MM_ERR_USAGE);
    ck_assert_msg(strstr(err.text, "not finished") && strstr(err.text, "part-1-1"), "%s", err.text);
    /* Other kernels. */
    put_run("other", 1, 1, "bf16");
    ck_assert_int_eq(rename(in("other", "run.json"), in("out", "part-1-1/run.json")), 0);
    ck_assert_int_eq(merge("out"), MM_ERR_USAGE);
    ck_assert_msg(strstr(err.text, "different kernels") != NULL, "%s", err.text);
    ck_assert_int_eq(merge_with("out", true), MM_OK);
    expect_whole("out");
    /* Overlap. */
    put_run("out/part-1-2", 1, 2, "f32");
    ck_assert_int_eq(merge_with("out", true), MM_ERR_USAGE);
    ck_assert_msg(strstr(err.text, "shard 1 is in") != NULL, "%s", err.text);
}
END_TEST

START_TEST(parts_of_other_datasets_are_refused)
{
    put_parts();
    put_run("elsewhere", 1, 1, "f32");
    char *before = config_yaml;
    mm_config config = mm_config_defaults();
    config.output.images_per_shard = FIXTURE_IMAGES;
    config.amg.pred_iou_thresh = 0.5f;
    ck_assert_int_eq(mm_config_to_yaml(&config, &config_yaml, &err), MM_OK);
    put_run("others", 1, 1, "f32");
    free(config_yaml);
    config_yaml = before;
    ck_assert_int_eq(rename(in("out", "part-1-1"), in("", "kept")), 0);
    ck_assert_int_eq(rename(in("", "others"), in("out", "part-1-1")), 0);
    ck_assert_int_eq(merge("out"), MM_ERR_USAGE);
    ck_assert_msg(strstr(err.text, "another configuration") != NULL, "%s", err.text);
    /* A folder that has another dataset in it stays as it is. */
    put_folder("taken");
    put_folder("taken/shards");
    put_bytes(in("taken", "shards/sa_000001.h5"), "mine", 4);
    const char *parts[] = {at("elsewhere"), in("out", "part-0-0"), in("out", "part-2-9")};
    const mm_merge_options options = {.parts = parts, .part_count = 3, .out = at("taken")};
    mm_run_summary summary;
    ck_assert_int_ne(mm_engine_merge(&options, &summary, &err), MM_OK);
    ck_assert_msg(strstr(err.text, "taken/shards/sa_000001.h5") != NULL, "%s", err.text);
    ck_assert_int_ne(access(in("taken", "run.json"), F_OK), 0);
    /* Parts by name, in any order, to a new folder. */
    const char *named[] = {in("out", "part-2-9"), at("elsewhere"), in("out", "part-0-0")};
    const mm_merge_options right = {.parts = named, .part_count = 3, .out = at("new/deep")};
    ck_assert_msg(mm_engine_merge(&right, &summary, &err) == MM_OK, "%s", err.text);
    expect_whole("new/deep");
    put_folder("nothing");
    ck_assert_int_eq(merge("nothing"), MM_ERR_USAGE);
    ck_assert_msg(strstr(err.text, "--shards") != NULL, "%s", err.text);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("engine/merge");
    TCase *tests = tcase_create("merge");
    tcase_add_checked_fixture(tests, setup, teardown);
    tcase_set_timeout(tests, 60);
    tcase_add_test(tests, parts_make_the_whole);
    tcase_add_test(tests, an_interrupted_merge_is_repeated);
    tcase_add_test(tests, what_does_not_fit_is_told);
    tcase_add_test(tests, parts_of_other_datasets_are_refused);
    suite_add_tcase(suite, tests);
    return mm_check_main(suite);
}
