/* COCO answers: good ones, and each kind of bad ones with the line it gets. */
#include "check_main.h"

#include "answers_fixture.h"

#define IMAGES "\"images\": [{\"id\": 1, \"file_name\": \"sa_17.jpg\", \"width\": 20, \"height\": 10}]"
#define SQUARE "\"segmentation\": [[2, 2, 7, 2, 7, 7, 2, 7]]"
#define ONE(annotation) "{" IMAGES ", \"annotations\": [" annotation "]}"

static reading r;

/* One annotation that is refused, with `why` in its only line, and the image without masks. */
static void expect_refused(const char *annotation, const char *why)
{
    char text[2048];
    (void)snprintf(text, sizeof text, ONE("%s"), annotation);
    read_text(&r, text);
    ck_assert_msg(r.status == MM_OK, "%s: %s", annotation, r.err.text);
    ck_assert_msg(r.faults.refused == 1, "%s was not refused", annotation);
    ck_assert_msg(strstr(r.lines, why) != NULL, "\"%s\" does not say \"%s\"", r.lines, why);
    ck_assert_msg(strncmp(r.lines, "answers.json: image sa_17.jpg, annotation ", 42) == 0 ||
                      strncmp(r.lines, "answers.json: annotation ", 25) == 0, "%s", r.lines);
    ck_assert_ptr_eq(strchr(r.lines, '\n'), r.lines + r.size - 1);
    ck_assert_uint_eq(r.answers.count, 1);
    ck_assert_uint_eq(r.answers.items[0].count, 0);
    forget(&r);
}

START_TEST(the_three_kinds_of_masks)
{
    read_text(&r, "{\"info\": {\"a\": [1, \"]}\\\"\"]}, \"annotations\": ["
                  "{\"id\": 1, \"image_id\": 5, " SQUARE ", \"attributes\": {\"seconds\": \"12.5\", \"clicks\": 3, "
                                                         "\"annotator\": "
                  "\"Eve\"}}, "
                  "{\"id\": 2, \"image_id\": 5, \"segmentation\": {\"size\": [10, 20], \"counts\": [3, 4, 0, 2, "
                  "191]}}, "
                  "{\"id\": 3, \"image_id\": 5, \"segmentation\": {\"size\": [10, 20], \"counts\": \"34Q6\"}, "
                  "\"category_id\": 8}, "
                  "{\"id\": 18874373, \"image_id\": 7, \"segmentation\": [[0, 0, 3, 0, 3, 3], [5, 5, 9, 5, 9, 9, 5, "
                  "9]]}"
                  "], \"categories\": [{\"id\": 8, \"name\": \"hint\"}, {\"id\": 1, \"name\": \"car\"}], \"images\": ["
                  "{\"id\": 5, \"file_name\": \"data/images/sa_17.jpg\", \"width\": 20, \"height\": 10}, "
                  "{\"id\": 7, \"file_name\": \"/x/4f3-sa_4.JPEG\"}], \"more\": 1e5, \"none\": null}");
    ck_assert_msg(r.status == MM_OK, "%s", r.err.text);
    ck_assert_msg(r.faults.refused == 0 && r.faults.repaired == 0, "%s", r.lines);
    ck_assert_uint_eq(r.answers.count, 2);
    const mm_answer *one = &r.answers.items[0], *two = &r.answers.items[1];
    ck_assert_uint_eq(one->index, 0);
    ck_assert_uint_eq(two->index, 1);
    ck_assert_uint_eq(one->count, 3);
    ck_assert(one->masks[2].is_hint && one->masks[2].exact && !one->masks[1].is_hint);
    ck_assert_uint_eq(area_of(one, 2), 4);
    ck_assert_uint_eq(area_of(one, 0), 25);
    ck_assert(!one->masks[0].exact && one->masks[1].exact);
    ck_assert_uint_eq(area_of(one, 1), 4 + 2); /* the empty run joins its neighbours */
    ck_assert_float_eq(one->masks[0].seconds, 12.5f);
    ck_assert_uint_eq(one->masks[0].clicks, 3);
    ck_assert_str_eq(r.answers.annotators[one->masks[0].annotator - 1], "Eve");
    ck_assert_uint_eq(two->count, 1);
    ck_assert(two->masks[0].named); /* by its id, (17 + 1) 2^20 + 5 */
    ck_assert_uint_eq(two->masks[0].name.image_id, 17);
    ck_assert_uint_eq(two->masks[0].name.index, 5);
    forget(&r);
}
END_TEST

START_TEST(ids_and_attributes_name_masks)
{
    read_text(&r, ONE("{\"id\": 1, \"image_id\": 1, " SQUARE ", \"attributes\": {\"maskmill\": \"mm-17-h2\"}}"));
    ck_assert_uint_eq(r.answers.items[0].count, 1);
    ck_assert(r.answers.items[0].masks[0].named);
    ck_assert_int_eq(r.answers.items[0].masks[0].name.kind, MM_SHOWN_HINT);
    ck_assert_uint_eq(r.answers.items[0].masks[0].name.index, 2);
    forget(&r);
    read_text(&r, ONE("{\"id\": 7, \"image_id\": 1, " SQUARE "}"));
    ck_assert(!r.answers.items[0].masks[0].named);
    forget(&r);
}
END_TEST

START_TEST(bad_masks_are_refused_one_by_one)
{
    expect_refused("{\"id\": 1, \"image_id\": 1}", "neither polygons nor run lengths");
    expect_refused("{\"id\": 1, \"image_id\": 1, \"segmentation\": []}", "has no rings");
    expect_refused("{\"id\": 1, \"image_id\": 1, \"segmentation\": [[1, 1, 5, 5]]}", "polygon of 2 points");
    expect_refused("{\"id\": 1, \"image_id\": 1, \"segmentation\": [[1, 1, 5, 5, 3]]}", "odd number");
    expect_refused("{\"id\": 1, \"image_id\": 1, \"segmentation\": [[1, 1, 5, \"5\", 3, 3]]}", "is no number");
    expect_refused("{\"id\": 1, \"image_id\": 1, \"segmentation\": [[21, 3, 28, 3, 28, 8]]}", "no pixel inside the "
                                                                                              "image");
    expect_refused("{\"id\": 1, \"image_id\": 1, \"segmentation\": [[1, 1, 500, 3, 3, 8]]}", "far outside");
    expect_refused("{\"id\": 1, \"image_id\": 1, \"segmentation\": [[3, 3, 4, 3, 5, 3]]}", "no pixel inside the image");
    expect_refused("{\"id\": 1, \"image_id\": 1, \"segmentation\": {\"size\": [20, 10], \"counts\": [200]}}",
                   "of 10 x 20 pixels, the image has 20 x 10");
    expect_refused("{\"id\": 1, \"image_id\": 1, \"segmentation\": {\"size\": [10, 20], \"counts\": [200]}}",
                   "no pixel inside the image");
    expect_refused("{\"id\": 1, \"image_id\": 1, \"segmentation\": {\"size\": [10, 20], \"counts\": [3, 4]}}", "sum to "
                                                                                                               "7");
    expect_refused("{\"id\": 1, \"image_id\": 1, \"segmentation\": {\"size\": [10, 20], \"counts\": [3, -4, 201]}}",
                   "run 1 is no length");
    expect_refused("{\"id\": 1, \"image_id\": 1, \"segmentation\": {\"size\": [10, 20], \"counts\": [1e2, 100]}}",
                   "run 0 is no length");
    expect_refused("{\"id\": 1, \"image_id\": 1, \"segmentation\": {\"size\": [10, 20], \"counts\": \"zz~\"}}", "mask "
                                                                                                                "count"
                                                                                                                "s");
    expect_refused("{\"id\": 1, \"image_id\": 1, \"segmentation\": {\"counts\": \"0\"}}", "no \"size\"");
    expect_refused("{\"id\": 1, \"image_id\": 2, " SQUARE "}", "not among the images");
    expect_refused("{\"id\": 1, " SQUARE "}", "has no image_id");
}
END_TEST

START_TEST(a_refused_mask_that_has_a_name_is_remembered)
{
    read_text(&r, ONE("{\"id\": 1, \"image_id\": 1, \"segmentation\": [], \"attributes\": {\"maskmill\": "
                      "\"mm-17-c1\"}}"));
    ck_assert_uint_eq(r.faults.refused, 1);
    ck_assert_uint_eq(r.answers.items[0].count, 1);
    ck_assert(r.answers.items[0].masks[0].broken);
    forget(&r);
}
END_TEST

START_TEST(what_can_be_repaired_is_repaired_and_told)
{
    read_text(&r, ONE("{\"id\": 1, \"image_id\": 1, \"segmentation\": [[-5, 2, 7, 2, 7, 7, -5, 7]]}, "
                      "{\"id\": 2, \"image_id\": 1, \"segmentation\": [[1, 1, 8, 8, 8, 1, 1, 8]]}, "
                      "{\"id\": 3, \"image_id\": 1, \"segmentation\": [[1, 1, 9, 1, 9, 9, 1, 9], [3, 3, 6, 3, 6, 6, 3, "
                      "6]]}, "
                      "{\"id\": 4, \"image_id\": 1, \"segmentation\": [[-0.5, 2, 7, 2, 7, 7, -0.5, 7]]}"));
    ck_assert_uint_eq(r.faults.refused, 0);
    ck_assert_uint_eq(r.faults.repaired, 3);
    ck_assert_ptr_nonnull(strstr(r.lines, "annotation 1: reaches outside the image and was cut off"));
    ck_assert_ptr_nonnull(strstr(r.lines, "annotation 2: crosses itself and was filled by the even-odd rule"));
    ck_assert_ptr_nonnull(strstr(r.lines, "annotation 3: has a ring that adds nothing"));
    ck_assert_uint_eq(area_of(&r.answers.items[0], 0), 35);
    ck_assert_uint_eq(area_of(&r.answers.items[0], 2), 64);
    forget(&r);
}
END_TEST

START_TEST(bad_images_are_refused_with_what_belongs_to_them)
{
    read_text(&r, "{\"images\": [{\"id\": 1, \"file_name\": \"sa_17.jpg\", \"width\": 20, \"height\": 11}, "
                  "{\"id\": 2, \"file_name\": \"sa_99.jpg\"}, {\"id\": 3, \"file_name\": \"other\\n.jpg\"}, "
                  "{\"id\": 4, \"file_name\": \"sa_4.jpg\"}, {\"id\": 5, \"file_name\": \"sa_4.jpg\"}, "
                  "{\"id\": 4, \"file_name\": \"sa_9.jpg\"}, {\"file_name\": \"sa_9.jpg\"}], "
                  "\"annotations\": [{\"id\": 1, \"image_id\": 1, " SQUARE "}, {\"id\": 2, \"image_id\": 4, " SQUARE "}"
                                                                                                                     ","
                                                                                                                     " "
                  "{\"id\": 2, \"image_id\": 4, " SQUARE "}]}");
    ck_assert_msg(r.status == MM_OK, "%s", r.err.text);
    ck_assert_uint_eq(r.faults.refused, 7);
    ck_assert_ptr_nonnull(strstr(r.lines, "image sa_17.jpg: has another size: 20 x 11, not 20 x 10 pixels\n"));
    ck_assert_ptr_nonnull(strstr(r.lines, "image sa_99.jpg: is not in the queue\n"));
    ck_assert_ptr_nonnull(strstr(r.lines, "image other?.jpg: is not in the queue\n"));
    ck_assert_ptr_nonnull(strstr(r.lines, "image sa_4.jpg: it was answered before; the first answer counts\n"));
    ck_assert_ptr_nonnull(strstr(r.lines, "image sa_9.jpg: its id 4 is that of another\n"));
    ck_assert_ptr_nonnull(strstr(r.lines, "has no id or no file_name\n"));
    ck_assert_ptr_nonnull(strstr(r.lines, "image sa_4.jpg, annotation 2: another annotation has this id\n"));
    ck_assert_ptr_nonnull(strstr(r.faults.first, "image sa_17.jpg: has another size"));
    ck_assert_uint_eq(r.answers.count, 1);
    ck_assert_uint_eq(r.answers.items[0].count, 1);
    forget(&r);
}
END_TEST

START_TEST(bad_files_are_refused_whole)
{
    static const struct {
        const char *text, *why;
    } cases[] = {
        {"", "neither COCO's JSON"},
        {"hello", "neither COCO's JSON"},
        {"{", "it was cut"},
        {"{\"images\": [", "it was cut"},
        {"{" IMAGES ", \"annotations\": [{\"id\": 1, \"image_id\": 1, \"segm", "it was cut"},
        {"{" IMAGES ", \"annotations\": []", "it was cut"},
        {"{" IMAGES ", \"annotations\": []} {}", "something follows"},
        {"{" IMAGES " \"annotations\": []}", "a comma is missing"},
        {"{" IMAGES ", \"annotations\": [1]}", "an object or a list should stand here"},
        {"{" IMAGES ", \"annotations\": {}}", "there is no JSON list"},
        {"{" IMAGES ", \"annotations\": [{\"id\": 1, \"id\": 2}]}", "duplicate"},
        {"{" IMAGES ", \"annotations\": [{\"id\": 1,}]}", "in the value at byte"},
        {"{" IMAGES ", annotations: []}", "a key is missing"},
        {"{" IMAGES ", \"annotations\" []}", "a colon is missing"},
        {"{" IMAGES "}", "no \"annotations\""},
        {"{\"data\": {}, \"annotations\": []}", "no \"images\""},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        read_text(&r, cases[i].text);
        ck_assert_msg(r.status == MM_ERR_FORMAT, "case %zu: %d %s", i, r.status, r.err.text);
        ck_assert_msg(strstr(r.err.text, cases[i].why) != NULL, "case %zu: \"%s\" does not say \"%s\"", i, r.err.text,
                      cases[i].why);
        ck_assert_msg(strstr(r.err.text, "answers.json") != NULL, "%s", r.err.text);
        forget(&r);
    }
}
END_TEST

/* An annotation that is longer than the limit: it is not taken into memory. */
START_TEST(one_annotation_has_a_limit)
{
    FILE *file = fopen("large.json", "w");
    ck_assert_ptr_nonnull(file);
    ck_assert_int_ge(fputs("{" IMAGES ", \"annotations\": [{\"id\": 1, \"x\": \"", file), 0);
    static char block[1 << 16];
    memset(block, 'x', sizeof block);
    for (int i = 0; i < 513; i++)
        ck_assert_uint_eq(fwrite(block, 1, sizeof block, file), sizeof block);
    ck_assert_int_ge(fputs("\"}]}", file), 0);
    ck_assert_int_eq(fclose(file), 0);
    r = (reading){0};
    ck_assert_int_eq(mm_answers_new(&fixture_queue, &r.answers, &r.err), MM_OK);
    ck_assert_int_eq(mm_answers_read(&fixture_queue, "large.json", NULL, &r.answers, &r.faults, &r.err), MM_ERR_LIMIT);
    ck_assert_ptr_nonnull(strstr(r.err.text, "longer than 32 MiB"));
    mm_answers_free(&r.answers);
    ck_assert_int_eq(remove("large.json"), 0);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("coco answers");
    TCase *tests = tcase_create("coco");
    tcase_add_checked_fixture(tests, scratch_enter, scratch_leave);
    tcase_add_test(tests, the_three_kinds_of_masks);
    tcase_add_test(tests, ids_and_attributes_name_masks);
    tcase_add_test(tests, bad_masks_are_refused_one_by_one);
    tcase_add_test(tests, a_refused_mask_that_has_a_name_is_remembered);
    tcase_add_test(tests, what_can_be_repaired_is_repaired_and_told);
    tcase_add_test(tests, bad_images_are_refused_with_what_belongs_to_them);
    tcase_add_test(tests, bad_files_are_refused_whole);
    tcase_add_test(tests, one_annotation_has_a_limit);
    suite_add_tcase(suite, tests);
    return mm_check_main(suite);
}
