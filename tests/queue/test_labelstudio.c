/* Label Studio's answers: good ones, and each kind of bad ones with the line it gets. */
#include "check_main.h"

#include "answers_fixture.h"

/* image 17 is 20 x 10 pixels */
#define TASK(annotations)                                                                                              \
    "[{\"id\": 1, \"data\": {\"image\": \"/data/upload/2/0c-sa_17.jpg\"}, \"annotations\": [" annotations "]}]"
#define FRAME "\"original_width\": 20, \"original_height\": 10, \"image_rotation\": 0"
#define SQUARE                                                                                                         \
    "{\"id\": \"a\", \"type\": \"polygonlabels\", " FRAME ", \"value\": {\"points\": [[10, 20], [35, 20], [35, 70], "  \
                                                          "[10, 70]], "                                                \
    "\"polygonlabels\": [\"object\"]}}"

static reading r;

static void expect_refused(const char *region, const char *why)
{
    char text[2048];
    (void)snprintf(text, sizeof text, TASK("{\"result\": [%s]}"), region);
    read_text(&r, text);
    ck_assert_msg(r.status == MM_OK, "%s: %s", region, r.err.text);
    ck_assert_msg(r.faults.refused == 1, "%s was not refused", region);
    ck_assert_msg(strstr(r.lines, why) != NULL, "\"%s\" does not say \"%s\"", r.lines, why);
    ck_assert_msg(strncmp(r.lines, "answers.json: image sa_17.jpg, region a", 39) == 0, "%s", r.lines);
    ck_assert_uint_eq(r.answers.count, 1);
    ck_assert_uint_eq(r.answers.items[0].count, 0);
    forget(&r);
}

START_TEST(tasks_with_annotations_are_answers)
{
    read_text(&r, "[{\"data\": {\"image\": \"sa_4.jpg\"}, \"annotations\": []}, {\"data\": {\"image\": \"sa_9.jpg\"}}, "
                  "{\"data\": {\"photo\": \"x/sa_17.jpg\"}, \"annotations\": [{\"completed_by\": {\"id\": 1, "
                  "\"email\": \"a@b.c\"}, "
                  "\"lead_time\": 12.5, \"was_cancelled\": false, \"result\": [" SQUARE ", {\"id\": \"mm-17-c3#x\", "
                                                                                        "\"type\": \"polygonlabels\", "
                                                                                        "\"value\": {\"points\": [[0, "
                                                                                        "0], [100, 0], [100, 100], [0, "
                                                                                        "100]], "
                  "\"polygonlabels\": [\"hint\"]}}, {\"type\": \"choices\", \"value\": {\"choices\": "
                  "[\"good\"]}}]}]}]");
    ck_assert_msg(r.status == MM_OK && r.faults.refused == 0, "%s%s", r.err.text, r.lines);
    ck_assert_uint_eq(r.answers.count, 1);
    const mm_answer *one = &r.answers.items[0];
    ck_assert_double_eq(one->seconds, 12.5);
    ck_assert_str_eq(r.answers.annotators[one->annotator - 1], "a@b.c");
    ck_assert_uint_eq(one->count, 2);
    ck_assert_uint_eq(area_of(one, 0), 25); /* x 2 .. 7, y 2 .. 7 */
    ck_assert(!one->masks[0].named && !one->masks[0].is_hint && !one->masks[0].exact);
    ck_assert(one->masks[1].named && one->masks[1].is_hint);
    ck_assert_uint_eq(one->masks[1].name.index, 3);
    ck_assert_uint_eq(area_of(one, 1), 200);
    forget(&r);
}
END_TEST

START_TEST(the_newest_annotation_counts)
{
    read_text(&r, TASK("{\"updated_at\": \"2026-03-02T10:00:00Z\", \"completed_by\": 4, \"result\": [" SQUARE "]}, "
                       "{\"updated_at\": \"2026-03-01T10:00:00Z\", \"completed_by\": 5, \"result\": []}, "
                       "{\"updated_at\": \"2026-03-03T10:00:00Z\", \"was_cancelled\": true, \"result\": []}"));
    ck_assert_uint_eq(r.answers.count, 1);
    ck_assert_uint_eq(r.answers.items[0].count, 1);
    ck_assert_str_eq(r.answers.annotators[0], "user 4");
    ck_assert_uint_eq(r.faults.repaired, 1);
    ck_assert_ptr_nonnull(strstr(r.lines, "image sa_17.jpg: has 2 annotations; the newest counts"));
    forget(&r);
}
END_TEST

START_TEST(bad_regions_are_refused_one_by_one)
{
    expect_refused("{\"id\": \"a\", \"type\": \"rectanglelabels\", " FRAME ", \"value\": {}}", "rectanglelabels is no "
                                                                                               "mask");
    expect_refused("{\"id\": \"a\", \"type\": \"brushlabels\", " FRAME ", \"value\": {}}", "has no \"rle\"");
    expect_refused("{\"id\": \"a\", \"type\": \"brushlabels\", " FRAME ", \"value\": {\"rle\": [1, 256]}}", "number 1 "
                                                                                                            "of its "
                                                                                                            "\"rle\"");
    expect_refused("{\"id\": \"a\", \"type\": \"brushlabels\", " FRAME ", \"value\": {\"rle\": [0, 0, 1, 2]}}", "no "
                                                                                                                "run "
                                                                                                                "length"
                                                                                                                "s");
    expect_refused("{\"id\": \"a\", \"type\": \"brushlabels\", " FRAME ", \"value\": {\"rle\": [0, 0, 0, 4, 57, 27, "
                                                                       "255, 0]}}",
                   "of 4 values, not of the 800");
    expect_refused("{\"id\": \"a\", \"type\": \"brushlabels\", " FRAME ", \"value\": {\"rle\": [0, 0, 3, 32, 57, 27, "
                                                                       "255]}}",
                   "cut short");
    expect_refused("{\"id\": \"a\", \"type\": \"polygonlabels\", " FRAME ", \"value\": {\"points\": [[1, 1], [2, 2]]}}",
                   "polygon of 2 points");
    expect_refused("{\"id\": \"a\", \"type\": \"polygonlabels\", " FRAME ", \"value\": {\"points\": [[1, 1], [2, 2], "
                                                                         "[3]]}}",
                   "point 2 of its polygon");
    expect_refused("{\"id\": \"a\", \"type\": \"polygonlabels\", " FRAME ", \"value\": {}}", "polygon of 0 points");
    expect_refused("{\"id\": \"a\", \"type\": \"polygonlabels\", " FRAME
                   ", \"value\": {\"points\": [[101, 10], [150, 10], [150, 90]]}}", "no pixel inside the image");
    expect_refused("{\"id\": \"a\", \"type\": \"polygonlabels\", \"original_width\": 40, \"original_height\": 10, "
                   "\"value\": {}}",
                   "of an image of 40 x 10 pixels, not 20 x 10");
    expect_refused("{\"id\": \"a\", \"type\": \"polygonlabels\", \"image_rotation\": 90, \"value\": {}}", "turned by "
                                                                                                          "90 degrees");
}
END_TEST

START_TEST(ids_that_come_twice_and_unknown_images)
{
    read_text(&r, "[{\"data\": {\"image\": \"sa_17.jpg\"}, \"annotations\": [{\"result\": [" SQUARE ", " SQUARE "]}]}, "
                  "{\"data\": {\"image\": \"sa_17.jpg\"}, \"annotations\": [{\"result\": []}]}, "
                  "{\"data\": {\"image\": \"sa_5.jpg\"}, \"annotations\": [{\"result\": []}]}, "
                  "{\"image\": \"sa_4.jpg\"}]");
    ck_assert_uint_eq(r.faults.refused, 4);
    ck_assert_ptr_nonnull(strstr(r.lines, "image sa_17.jpg, region a: another region has this id"));
    ck_assert_ptr_nonnull(strstr(r.lines, "image sa_17.jpg: it was answered before"));
    ck_assert_ptr_nonnull(strstr(r.lines, "image sa_5.jpg, task number 3 in the list: is not in the queue"));
    ck_assert_ptr_nonnull(strstr(r.lines, "task number 4 in the list has no \"data\""));
    ck_assert_uint_eq(r.answers.count, 1);
    ck_assert_uint_eq(r.answers.items[0].count, 1);
    forget(&r);
}
END_TEST

START_TEST(polygons_are_repaired_and_files_refused)
{
    static const char *const files[] = {"[", "[{\"data\": ", "[{}", "[{}] x", "[{}, 3]"};
    read_text(&r, TASK("{\"result\": [{\"id\": \"a\", \"type\": \"polygonlabels\", " FRAME
                       ", \"value\": {\"points\": [[5, 10], [40, 80], [40, 10], [5, 80]]}}]}"));
    ck_assert_uint_eq(r.faults.repaired, 1);
    ck_assert_ptr_nonnull(strstr(r.lines, "region a: crosses itself"));
    forget(&r);
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++) {
        read_text(&r, files[i]);
        ck_assert_msg(r.status == MM_ERR_FORMAT, "case %zu: %d", i, r.status);
        forget(&r);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("label studio answers");
    TCase *tests = tcase_create("label studio");
    tcase_add_checked_fixture(tests, scratch_enter, scratch_leave);
    tcase_add_test(tests, tasks_with_annotations_are_answers);
    tcase_add_test(tests, the_newest_annotation_counts);
    tcase_add_test(tests, bad_regions_are_refused_one_by_one);
    tcase_add_test(tests, ids_that_come_twice_and_unknown_images);
    tcase_add_test(tests, polygons_are_repaired_and_files_refused);
    suite_add_tcase(suite, tests);
    return mm_check_main(suite);
}
