/* The page as a whole, of datasets that hold little or are hostile. How it looks is for tests/integration/report.sh. */
#include "shard/dataset_fixture.h"

#include "check_main.h"

#include "maskmill/report.h"
#include "report/text_of.h"

static char *page_of(const char *folder, uint32_t samples)
{
    written w;
    mm_error err = {0};
    const mm_report_options options = {.samples = samples};
    const mm_status status = mm_report_html(folder, &options, begin_text(&w), &err);
    (void)end_text(&w);
    ck_assert_msg(status == MM_OK, "%s", err.text);
    return w.text;
}

static void expect(const char *page, const char *part)
{
    ck_assert_msg(strstr(page, part) != NULL, "the page has no: %s", part);
}

static void expect_not(const char *page, const char *part)
{
    ck_assert_msg(strstr(page, part) == NULL, "the page has: %s", part);
}

/* A dataset of one shard of our own records. */
static void put_records(const mm_record *records, const char *const *names, size_t count)
{
    mm_error err = {0};
    ck_assert_msg(mm_shard_write(scratch, 0, 0, records, names, count, &origin, &err) == MM_OK, "%s", err.text);
    ck_assert_msg(mm_dataset_index(scratch, 0, 1, &origin, NULL, &err) == MM_OK, "%s", err.text);
}

static void make_folder(void)
{
    scratch_make();
    put_folder("shards");
}

START_TEST(the_numbers_are_those_of_the_dataset)
{
    put_dataset(scratch, 2);
    char *page = page_of(scratch, 0);
    expect(page, "30 masks of 6 photographs, made by tiny.");
    expect(page, "<span class=\"what\">Images</span><span class=\"value\">8</span>");
    expect(page, "<span class=\"what\">Masks an image</span><span class=\"value\">5.0</span>");
    expect(page, "<span class=\"what\">Images set aside</span><span class=\"value\">2</span>");
    expect(page, "<td class=\"number\">18,432</td><td class=\"number\">100 %</td>"); /* 6 x 3072 candidates */
    expect(page, origin.model_sha256);
    expect(page, "points_per_side: 32");
    expect(page, "no run.json");
    expect(page, "no quarantine.tsv");
    expect_not(page, "id=\"samples\"");
    ck_assert_uint_eq(count_of(page, "<figure class=\"card"), 7);
    char *again = page_of(scratch, 0);
    ck_assert_str_eq(page, again);
    free(again);
    free(page);
}
END_TEST

START_TEST(photographs_that_are_not_there_are_said)
{
    put_dataset(scratch, 1);
    char *page = page_of(scratch, 5);
    expect(page, "id=\"samples\"");
    expect(page, "No photograph can be shown.");
    expect(page, "--corpus FOLDER");
    expect_not(page, "<img");
    free(page);
}
END_TEST

/* Two images: one whose masks came of all three sources, and both with confident masks and hints. */
static void put_further(void)
{
    static const char *const names[] = {"a.jpg", "b.jpg"};
    mm_record records[2];
    mm_shard_origin full = origin;
    mm_error err = {0};
    full.confident = full.hints = true;
    full.detector_sha256 = origin.model_sha256;
    full.config_yaml = "detect:\n  enabled: true\n  score_thresh: 0.25\n";
    for (uint32_t i = 0; i < 2; i++) {
        records[i] = make_image(i, 64, 48, 6);
        for (int which = 0; which < 2; which++) {
            mm_record *held = malloc(sizeof *held);
            *held = make_image(i, 64, 48, which == 0 ? 2 : 3);
            held->funnel = (mm_funnel){0};
            if (which == 0) {
                held->detector_score = malloc(2 * sizeof *held->detector_score);
                held->detector_score[0] = 0.75f;
                held->detector_score[1] = 0.5f;
                memset(held->source, 1, 2);
            }
            *(which == 0 ? &records[i].confident : &records[i].hints) = held;
        }
    }
    memcpy(records[0].source, (uint8_t[6]){0, 1, 1, 2, 2, 2}, 6);
    ck_assert_msg(mm_shard_write(scratch, 0, 0, records, names, 2, &full, &err) == MM_OK, "%s", err.text);
    ck_assert_msg(mm_dataset_index(scratch, 0, 1, &full, NULL, &err) == MM_OK, "%s", err.text);
    for (int i = 0; i < 2; i++)
        mm_record_free(&records[i]);
}

/* The row of a source, up to its count. */
static void expect_source(const char *page, const char *name, const char *count)
{
    char start[80], number[80];
    (void)snprintf(start, sizeof start, "<th scope=\"row\">%s<br>", name);
    (void)snprintf(number, sizeof number, "<td class=\"number\">%s</td>", count);
    const char *row = strstr(page, start);
    ck_assert_msg(row != NULL, "the page has no row %s", name);
    const char *end = strstr(row, "</tr>"), *cell = strstr(row, number);
    ck_assert_msg(cell && cell < end, "%s are not %s", name, count);
}

START_TEST(sources_confident_masks_and_hints_are_shown)
{
    put_further();
    char *page = page_of(scratch, 4);
    expect(page, "<a href=\"#further\">Sources</a>");
    expect_source(page, "Masks: automatic", "7");
    expect_source(page, "Masks: confident", "2");
    expect_source(page, "Masks: by people", "3");
    expect_source(page, "Beside: confident", "4");
    expect_source(page, "Beside: hints", "6");
    static const char *const charts[] = {"confident-detector", "confident-iou", "confident-stability", "hint-iou",
                                         "hint-stability"};
    for (size_t i = 0; i < sizeof charts / sizeof charts[0]; i++) {
        char id[80];
        (void)snprintf(id, sizeof id, "<svg class=\"histogram\" id=\"%s\"", charts[i]);
        expect(page, id);
    }
    expect(page, "<title>0.75 to 0.76: 2 masks (50 %)</title>");
    expect(page, "threshold 0.25");
    expect(page, "class=\"kind-hint\"");
    ck_assert_uint_eq(count_of(page, "No photograph can be shown."), 2); /* here and in the sample */
    free(page);
    page = page_of(scratch, 0);
    expect_not(page, "class=\"kinds\"");
    free(page);
    put_dataset(scratch, 1);
    page = page_of(scratch, 0);
    expect_not(page, "id=\"further\"");
    expect_not(page, "source-table");
    free(page);
}
END_TEST

START_TEST(all_images_set_aside_is_a_page_too)
{
    mm_record records[2];
    static const char *const names[] = {"a.jpg", "b.jpg"};
    mm_error err = {0};
    for (uint64_t i = 0; i < 2; i++)
        ck_assert_int_eq(mm_record_set_aside(i, 0, 0, "no JPEG", &records[i], &err), MM_OK);
    put_records(records, names, 2);
    for (int i = 0; i < 2; i++)
        mm_record_free(&records[i]);
    char *page = page_of(scratch, 3);
    expect(page, "0 masks of 0 photographs");
    expect(page, "There are no images to count.");
    expect(page, "There are no masks to count.");
    expect(page, "No candidates were made.");
    expect(page, "2 of 2 images (100 %)");
    expect_not(page, "nan");
    expect_not(page, "inf");
    ck_assert_uint_eq(count_of(page, "<svg"), 0);
    free(page);
}
END_TEST

START_TEST(one_image_without_masks)
{
    mm_record record = make_image(0, 64, 48, 0);
    static const char *const names[] = {"a.jpg"};
    put_records(&record, names, 1);
    mm_record_free(&record);
    char *page = page_of(scratch, 0);
    expect(page, "0 masks of 1 photograph,");
    expect(page, "<title>0: 1 image (100 %)</title>");
    expect(page, "There are no masks to count.");
    ck_assert_uint_eq(count_of(page, "<svg"), 2); /* masks per image, image sizes */
    expect_not(page, "nan");
    free(page);
}
END_TEST

START_TEST(hostile_names_stay_text)
{
    put_dataset(scratch, 1);
    static const char attack[] = "<img src=x onerror=alert(1)>";
    char text[1024];
    (void)snprintf(text, sizeof text, "image_id\tpath\tstatus\treason\n2\t%s\t%s\t\"'>%s\n", attack, attack, attack);
    put_bytes(at("quarantine.tsv"), text, strlen(text));
    (void)snprintf(text, sizeof text,
                   "{\"command\": [\"%s\", 7], \"kernels\": [\"%s\"], \"hosts\": [{\"host\": \"%s\"}, 3], \"started\": "
                   "\"%s\","
                   " \"maskmill\": \"%s\", \"model\": {\"path\": \"%s\"}, \"corpus\": {\"sources\": [\"%s\"]}}",
                   attack, attack, attack, attack, attack, attack, attack);
    put_bytes(at("run.json"), text, strlen(text));
    char *page = page_of(scratch, 0);
    expect_not(page, "<img");
    ck_assert_uint_ge(count_of(page, "&lt;img src=x onerror=alert(1)&gt;"), 10);
    free(page);
}
END_TEST

START_TEST(a_run_json_of_any_shape_is_lived_with)
{
    static const char *const odd[] = {
        "", "[]", "{", "{}", "7", "{\"seconds\": \"x\", \"ranks\": -1, \"stage_seconds\": 3, \"hosts\": {}, "
                                  "\"kernels\": {}}",
        "{\"seconds\": 1e308, \"ranks\": 1e300, \"images_per_second\": null, \"stage_seconds\": {\"read\": -5, "
        "\"jpeg\": 1e308,"
        " \"encode\": 1e308}}",
    };
    put_dataset(scratch, 1);
    for (size_t i = 0; i < sizeof odd / sizeof odd[0]; i++) {
        put_bytes(at("run.json"), odd[i], strlen(odd[i]));
        char *page = page_of(scratch, 0);
        expect(page, "<h2>Times</h2>");
        expect(page, "</html>");
        free(page);
    }
}
END_TEST

START_TEST(no_dataset_is_an_error)
{
    mm_error err = {0};
    const mm_report_options options = {0};
    written w;
    FILE *out = begin_text(&w);
    ck_assert_int_ne(mm_report_html(at("none"), &options, out, &err), MM_OK);
    ck_assert_ptr_nonnull(strstr(err.text, "none"));
    ck_assert_int_ne(mm_report_html(scratch, &options, out, &err), MM_OK);
    ck_assert_str_eq(end_text(&w), "");
    free(w.text);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("report/page");
    TCase *tests = tcase_create("page");
    tcase_set_timeout(tests, 60);
    tcase_add_checked_fixture(tests, make_folder, scratch_remove);
    tcase_add_test(tests, the_numbers_are_those_of_the_dataset);
    tcase_add_test(tests, photographs_that_are_not_there_are_said);
    tcase_add_test(tests, sources_confident_masks_and_hints_are_shown);
    tcase_add_test(tests, all_images_set_aside_is_a_page_too);
    tcase_add_test(tests, one_image_without_masks);
    tcase_add_test(tests, hostile_names_stay_text);
    tcase_add_test(tests, a_run_json_of_any_shape_is_lived_with);
    tcase_add_test(tests, no_dataset_is_an_error);
    suite_add_tcase(suite, tests);
    return mm_check_main(suite);
}
