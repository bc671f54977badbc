/* Where boxes come from: COCO files, good and bad. */
#include <string.h>
#include <sys/resource.h>

#include "check_main.h"
#include "corpus/scratch.h"
#include "train/samples.h"

static mm_error err;
static mm_samples samples;

static void setup(void)
{
    scratch_make();
    samples = (mm_samples){0};
}

static void teardown(void)
{
    mm_samples_free(&samples);
    scratch_remove();
}

#define IMAGES "\"images\":[{\"id\":7,\"file_name\":\"b.jpg\",\"width\":40,\"height\":30}," \
               "{\"id\":-3,\"file_name\":\"sub/a.jpg\",\"width\":10,\"height\":20}]"

START_TEST(boxes_go_to_their_images_and_stay_inside)
{
    put_text("c.json", "{" IMAGES ",\"annotations\":["
                       "{\"image_id\":-3,\"bbox\":[1,2,3,4]},"
                       "{\"image_id\":7,\"bbox\":[-5,5,10.5,100]},"
                       "{\"image_id\":7,\"bbox\":[50,5,10,10]},"    /* outside */
                       "{\"image_id\":7,\"bbox\":[5,5,0,10]},"      /* empty */
                       "{\"image_id\":7,\"bbox\":[0,0,9,9],\"iscrowd\":1},"
                       "{\"image_id\":7,\"bbox\":[1,1,2,2],\"segmentation\":\"of no interest\"}],\"more\":{}}");
    ck_assert_msg(mm_samples_add_coco(&samples, at("c.json"), NULL, true, &err) == MM_OK, "%s", err.text);
    ck_assert_uint_eq(samples.count, 2);
    ck_assert_uint_eq(samples.box_count, 3);
    ck_assert_str_eq(samples.text + samples.items[1].path, at("sub/a.jpg"));
    ck_assert_uint_eq(samples.items[0].boxes, 2);
    ck_assert_uint_eq(samples.items[1].first_box, 2);
    ck_assert_uint_eq(samples.items[0].validation, 1);
    static const float expected[3][4] = {{0, 5, 5.5f, 30}, {1, 1, 3, 3}, {1, 2, 4, 6}};
    ck_assert_mem_eq(samples.boxes, expected, sizeof expected);
}
END_TEST

START_TEST(lists_come_in_any_order)
{
    put_text("c.json", "{\"info\":{\"year\":2026},\"annotations\":["
                       "{\"image_id\":-3,\"bbox\":[1,2,3,4],\"segmentation\":[[1,2,3,4,5,6]]},"
                       "{\"image_id\":7,\"bbox\":[1,1,2,2]}]," IMAGES "}");
    ck_assert_msg(mm_samples_add_coco(&samples, at("c.json"), NULL, false, &err) == MM_OK, "%s", err.text);
    static const float expected[2][4] = {{1, 1, 3, 3}, {1, 2, 4, 6}};
    ck_assert_uint_eq(samples.box_count, 2);
    ck_assert_mem_eq(samples.boxes, expected, sizeof expected);
    ck_assert_uint_eq(samples.items[1].first_box, 1);
}
END_TEST

#ifdef __SANITIZE_ADDRESS__
static const bool memory_is_told = false; /* freed memory is kept for a while */
#else
static const bool memory_is_told = true;
#endif

/* Segmentations are most of a file, and nothing of them is kept. */
START_TEST(a_large_file_takes_little_memory)
{
    enum { ANNOTATIONS = 3000, NUMBERS = 2000 };
    FILE *file = fopen(at("large.json"), "w");
    fprintf(file, "{" IMAGES ",\"annotations\":[");
    for (int i = 0; i < ANNOTATIONS; i++) {
        fprintf(file, "%s{\"image_id\":7,\"bbox\":[1,1,2,2],\"segmentation\":[[0", i ? "," : "");
        for (int k = 1; k < NUMBERS; k++)
            fprintf(file, ",%d", k % 10);
        fprintf(file, "]]}");
    }
    fprintf(file, "]}");
    const long size = ftell(file);
    fclose(file);
    struct rusage before, after;
    ck_assert_int_eq(getrusage(RUSAGE_SELF, &before), 0);
    ck_assert_msg(mm_samples_add_coco(&samples, at("large.json"), NULL, false, &err) == MM_OK, "%s", err.text);
    ck_assert_int_eq(getrusage(RUSAGE_SELF, &after), 0);
    ck_assert_uint_eq(samples.box_count, ANNOTATIONS);
    if (memory_is_told)
        ck_assert_int_lt((after.ru_maxrss - before.ru_maxrss) * 1024, size / 3);
}
END_TEST

START_TEST(photographs_are_looked_for_where_one_would)
{
    put_text("c.json", "{" IMAGES ",\"annotations\":[]}");
    ck_assert_int_eq(mm_samples_add_coco(&samples, at("c.json"), "/photos", false, &err), MM_OK);
    ck_assert_str_eq(samples.text + samples.items[0].path, "/photos/b.jpg");
    put_folder("images");
    ck_assert_int_eq(mm_samples_add_coco(&samples, at("c.json"), NULL, false, &err), MM_OK);
    ck_assert_str_eq(samples.text + samples.items[2].path, at("images/b.jpg"));
}
END_TEST

static const struct {
    const char *json, *named;
} bad[] = {
    {"{\"images\":[", "cut"},
    {"[]", "no lists"},
    {"{" IMAGES ",\"annotations\":[]} more", "follows the end"},
    {"{" IMAGES "," IMAGES ",\"annotations\":[]}", "two lists"},
    {"{\"images\":{},\"annotations\":[]}", "no lists"},
    {"{\"images\":[5],\"annotations\":[]}", "images[0]"},
    {"{\"images\":[{\"id\":1.5,\"file_name\":\"a\",\"width\":1,\"height\":1}],\"annotations\":[]}", "images[0]"},
    {"{\"images\":[{\"id\":1,\"width\":1,\"height\":1}],\"annotations\":[]}", "file_name"},
    {"{\"images\":[{\"id\":1,\"file_name\":\"a\",\"width\":0,\"height\":1}],\"annotations\":[]}", "width and height"},
    {"{\"images\":[{\"id\":1,\"file_name\":\"a\",\"width\":99999999999,\"height\":1}],\"annotations\":[]}",
     "width and height"},
    {"{\"images\":[{\"id\":1,\"file_name\":\"a\",\"width\":2,\"height\":2},{\"id\":1,\"file_name\":\"b\",\"width\":2,"
     "\"height\":2}],\"annotations\":[]}",
     "another image"},
    {"{" IMAGES ",\"annotations\":[{\"bbox\":[1,1,1,1]}]}", "annotations[0]"},
    {"{" IMAGES ",\"annotations\":[{\"image_id\":8,\"bbox\":[1,1,1,1]}]}", "the image 8"},
    {"{" IMAGES ",\"annotations\":[{\"image_id\":7}]}", "bbox"},
    {"{" IMAGES ",\"annotations\":[{\"image_id\":7,\"bbox\":[1,1,1]}]}", "bbox"},
    {"{" IMAGES ",\"annotations\":[{\"image_id\":7,\"bbox\":[1,1,\"1\",1]}]}", "bbox"},
    {"{" IMAGES ",\"annotations\":[{\"image_id\":7,\"bbox\":[1,1,-1,1]}]}", "bbox"},
    {"{" IMAGES ",\"annotations\":[{\"image_id\":7,\"bbox\":[1e300,1,1,1]}]}", "bbox"},
    {"{" IMAGES ",\"annotations\":[7]}", "annotations[0]"},
};

START_TEST(bad_files_are_refused_and_the_place_is_named)
{
    put_text("bad.json", bad[_i].json);
    ck_assert_int_eq(mm_samples_add_coco(&samples, at("bad.json"), NULL, false, &err), MM_ERR_FORMAT);
    ck_assert_msg(strstr(err.text, bad[_i].named) && strstr(err.text, "bad.json"), "%s", err.text);
}
END_TEST

static mm_status load(const char *name, double share)
{
    const char *path = at(name);
    const mm_train_options options = {.sources = &path, .source_count = 1, .validation_share = share};
    return mm_samples_load(NULL, &options, NULL, &samples, &err);
}

START_TEST(some_are_kept_for_validation)
{
    FILE *file = fopen(at("many.json"), "w");
    fprintf(file, "{\"images\":[");
    for (int i = 0; i < 400; i++)
        fprintf(file, "%s{\"id\":%d,\"file_name\":\"%d.jpg\",\"width\":40,\"height\":30}", i ? "," : "", i, i);
    fprintf(file, "],\"annotations\":[");
    for (int i = 0; i < 400; i++)
        fprintf(file, "%s{\"image_id\":%d,\"bbox\":[1,1,5,5]}", i ? "," : "", i);
    fprintf(file, "]}");
    fclose(file);
    size_t validation[2] = {0};
    uint64_t digests[2];
    static const double shares[2] = {0.1, 0};
    for (int round = 0; round < 2; round++) {
        ck_assert_msg(load("many.json", shares[round]) == MM_OK, "%s", err.text);
        for (size_t i = 0; i < samples.count; i++)
            validation[round] += samples.items[i].validation;
        digests[round] = mm_samples_digest(&samples);
        mm_samples_free(&samples);
    }
    ck_assert_uint_gt(validation[0], 20);
    ck_assert_uint_lt(validation[0], 60);
    ck_assert_uint_eq(validation[1], 1); /* never none */
    ck_assert_uint_ne(digests[0], digests[1]);
    /* Others as validation. */
    put_text("c.json", "{" IMAGES ",\"annotations\":[{\"image_id\":7,\"bbox\":[1,1,1,1]}]}");
    const char *many = at("many.json"), *few = at("c.json");
    const mm_train_options options = {
        .sources = &many, .source_count = 1, .validation = &few, .validation_count = 1};
    ck_assert_int_eq(mm_samples_load(NULL, &options, NULL, &samples, &err), MM_OK);
    ck_assert_uint_eq(samples.count, 402);
    ck_assert(!samples.items[399].validation && samples.items[400].validation && samples.items[401].validation);
}
END_TEST

START_TEST(nothing_to_learn_from_is_refused)
{
    put_text("none.json", "{\"images\":[],\"annotations\":[]}");
    ck_assert_int_eq(load("none.json", 0.1), MM_ERR_FORMAT);
    put_text("empty.json", "{" IMAGES ",\"annotations\":[]}");
    ck_assert_int_eq(load("empty.json", 0.1), MM_ERR_FORMAT);
    ck_assert_ptr_nonnull(strstr(err.text, "no masks or boxes"));
    ck_assert_int_eq(load("missing.json", 0.1), MM_ERR_IO);
    ck_assert_int_eq(load("nowhere", 0.1), MM_ERR_IO);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("train/samples");
    TCase *tc = tcase_create("samples");
    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_test(tc, boxes_go_to_their_images_and_stay_inside);
    tcase_add_test(tc, lists_come_in_any_order);
    tcase_add_test(tc, a_large_file_takes_little_memory);
    tcase_add_test(tc, photographs_are_looked_for_where_one_would);
    tcase_add_loop_test(tc, bad_files_are_refused_and_the_place_is_named, 0, sizeof bad / sizeof bad[0]);
    tcase_add_test(tc, some_are_kept_for_validation);
    tcase_add_test(tc, nothing_to_learn_from_is_refused);
    suite_add_tcase(suite, tc);
    return mm_check_main(suite);
}
