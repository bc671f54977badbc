/* Evaluations: what is written is read again; what is no evaluation is refused; pages hold all figures and no markup of others. */
#include "check_main.h"

#include <string.h>
#include <unistd.h>

#include "maskmill/evaluation.h"
#include "report/curves.h"
#include "report/text_of.h"

static char path[64];

static void set_up(void)
{
    (void)snprintf(path, sizeof path, "/tmp/maskmill_evaluation_XXXXXX");
    const int file = mkstemp(path);
    ck_assert_int_ge(file, 0);
    (void)close(file);
}

static void tear_down(void)
{
    (void)unlink(path);
}

static mm_evaluation_result example(const char *model)
{
    mm_evaluation_result r = {.dataset = "a/dataset", .datasets = 2, .click_count = 3, .images = 7, .masks = 123,
                              .clicks = {0.5, 0.625, 0.75}, .best = {0.625, 0.75, 0.875}, .box = 0.8125, .box_best = 0.875,
                              .iou_error = 0.125};
    (void)snprintf(r.model, sizeof r.model, "%s", model);
    r.calibration[9].count = 100;
    r.calibration[9].predicted = 0.9375;
    r.calibration[9].truth = 0.6875;
    r.generated.images = 4;
    r.generated.sought = 60;
    r.generated.made = 42;
    r.generated.pred_iou_thresh = 0.875;
    r.generated.stability_score_thresh = 0.5;
    r.generated.recall[0] = 0.75;
    r.generated.recall[5] = 0.25;
    r.generated.precision[0] = 0.5;
    for (int i = 0; i < MM_EVALUATE_SIZES; i++)
        r.sizes[i] = r.sources[i] = (mm_evaluation_part){.masks = 40 + i, .clicks = {0.125 * i}, .box = 0.25, .sought = 20,
                                                          .recall = {0.5}};
    return r;
}

static void put(const mm_evaluation_result *results, size_t count)
{
    FILE *out = fopen(path, "w");
    ck_assert_ptr_nonnull(out);
    ck_assert(mm_evaluation_write(results, count, out, NULL) == MM_OK);
    ck_assert_int_eq(fclose(out), 0);
}

START_TEST(what_is_written_is_read_again)
{
    mm_evaluation_result two[2] = {example("first"), example("second")}, read[3];
    two[1].generated.images = 0; /* not measured: nothing of it is kept */
    memset(&two[1].generated, 0, sizeof two[1].generated);
    for (size_t count = 1; count <= 2; count++) {
        size_t found = 1;
        put(two, count);
        memset(read, 0, sizeof read);
        ck_assert(mm_evaluation_read(path, read, 3, &found, NULL) == MM_OK);
        ck_assert_uint_eq(found, 1 + count);
        for (size_t i = 0; i < count; i++)
            ck_assert_mem_eq(&read[1 + i], &two[i], sizeof two[i]);
    }
}
END_TEST

START_TEST(more_than_there_is_room_for_is_refused)
{
    const mm_evaluation_result two[2] = {example("first"), example("second")};
    mm_evaluation_result read[2];
    size_t found = 1;
    put(two, 2);
    ck_assert(mm_evaluation_read(path, read, 2, &found, NULL) == MM_ERR_USAGE);
    ck_assert_uint_eq(found, 1);
}
END_TEST

/* The text of one evaluation with a part of it replaced. */
static mm_status read_changed(const char *from, const char *to)
{
    const mm_evaluation_result one = example("m");
    mm_evaluation_result read[1];
    size_t found = 0;
    written w;
    ck_assert(mm_evaluation_write(&one, 1, begin_text(&w), NULL) == MM_OK);
    const char *text = end_text(&w), *at = strstr(text, from);
    ck_assert_msg(at != NULL, "no %s", from);
    FILE *out = fopen(path, "w");
    ck_assert_ptr_nonnull(out);
    (void)fprintf(out, "%.*s%s%s", (int)(at - text), text, to, at + strlen(from));
    ck_assert_int_eq(fclose(out), 0);
    free(w.text);
    return mm_evaluation_read(path, read, 1, &found, NULL);
}

START_TEST(what_is_no_evaluation_is_refused)
{
    static const char *const changes[][2] = {
        {"\"model\": \"m\"", "\"model\": 3"},      {"0.625", "1.5"},          {"0.625", "-0.5"},
        {"0.625", "\"x\""},                         {"\"box\": 0.8125", "\"boxes\": 1"},
        {"\"images\": 7", "\"images\": 1e300"},     {"\"images\": 4", "\"images\": 0"},
        {"\"clicks\": [", "\"clicks\": [0.1,0.1,0.1,0.1,0.1,0.1,0.1,0.1,0.1,0.1,0.1,0.1,0.1,0.1,0.1,0.1,"},
        {"\"clicks\": [", "\"clicks\": [], \"more\": ["}, {"\"from\": 0.0,", ""}, {"{", "{{"}, {"{", "[3,{"},
    };
    ck_assert(read_changed("\"m\"", "\"n\"") == MM_OK);
    for (size_t i = 0; i < sizeof changes / sizeof changes[0]; i++) {
        const bool harmless = strcmp(changes[i][0], "\"from\": 0.0,") == 0; /* it says nothing that is not known */
        ck_assert_msg((read_changed(changes[i][0], changes[i][1]) == MM_OK) == harmless, "change %zu", i);
    }
}
END_TEST

START_TEST(sizes)
{
    ck_assert_int_eq(mm_evaluation_size(0, 0), 0);
    ck_assert_int_eq(mm_evaluation_size(9 * 9, 160 * 160), 0);
    ck_assert_int_eq(mm_evaluation_size(10 * 10, 160 * 160), 1);
    ck_assert_int_eq(mm_evaluation_size(26 * 26, 160 * 160), 1);
    ck_assert_int_eq(mm_evaluation_size(27 * 27, 160 * 160), 2);
}
END_TEST

START_TEST(a_page_has_a_curve_a_model_and_no_markup_of_theirs)
{
    mm_evaluation_result three[3] = {example("first"), example("<script>alert(1)</script>"), example("third")};
    three[2].generated.images = 0;
    written w;
    mm_evaluation_page(three, 3, begin_text(&w));
    const char *page = end_text(&w);
    ck_assert_uint_eq(count_of(page, "<svg class=\"curves\""), 5);
    /* clicks and calibration of three, recall and precision of two, four figures from model to model */
    ck_assert_uint_eq(count_of(page, "<polyline "), 3 + 3 + 2 + 2 + 4);
    ck_assert_uint_eq(count_of(page, "(not measured)"), 2);
    ck_assert_ptr_null(strstr(page, "<script"));
    ck_assert_ptr_nonnull(strstr(page, "&lt;script&gt;"));
    ck_assert_ptr_nonnull(strstr(page, "<td class=\"number\">10.5</td>")); /* 42 masks of 4 images */
    ck_assert_ptr_nonnull(strstr(page, "maskmill evaluation</title>"));
    ck_assert_uint_eq(count_of(page, "<section "), count_of(page, "</section>"));
    ck_assert_uint_eq(count_of(page, "<figure "), count_of(page, "</figure>"));
    free(w.text);
    /* One model goes nowhere. */
    mm_evaluation_page(three, 1, begin_text(&w));
    ck_assert_ptr_null(strstr(end_text(&w), "id=\"course\""));
    free(w.text);
}
END_TEST

START_TEST(points_lie_where_the_axes_say)
{
    const mm_curve curve = {.name = "c", .x = {0, 1, 2}, .y = {0, 0.5, 7}, .count = 3};
    written w;
    mm_curves_figure(begin_text(&w), &(mm_curves){.id = "i", .title = "T", .explanation = "", .x_name = "x", .y_name = "y",
                                                  .curves = &curve, .count = 1, .first = 0, .last = 2, .step = 1});
    double x[3], y[3];
    const char *at = strstr(end_text(&w), "<polyline points=\"");
    ck_assert_ptr_nonnull(at);
    ck_assert_int_eq(sscanf(at, "<polyline points=\"%lf,%lf %lf,%lf %lf,%lf\"", &x[0], &y[0], &x[1], &y[1], &x[2], &y[2]), 6);
    ck_assert_double_eq_tol(x[1] - x[0], x[2] - x[1], 0.02);
    ck_assert_double_gt(x[1] - x[0], 100);
    ck_assert_double_eq_tol(y[0] - y[1], y[1] - y[2], 0.02); /* what is above one stays on the chart */
    ck_assert_double_gt(y[2], 0);
    free(w.text);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("report/evaluation");
    TCase *tests = tcase_create("evaluation");
    tcase_add_checked_fixture(tests, set_up, tear_down);
    tcase_add_test(tests, what_is_written_is_read_again);
    tcase_add_test(tests, more_than_there_is_room_for_is_refused);
    tcase_add_test(tests, what_is_no_evaluation_is_refused);
    tcase_add_test(tests, sizes);
    tcase_add_test(tests, a_page_has_a_curve_a_model_and_no_markup_of_theirs);
    tcase_add_test(tests, points_lie_where_the_axes_say);
    suite_add_tcase(suite, tests);
    return mm_check_main(suite);
}
