#include "check_main.h"

#include <math.h>

#include "report/chart.h"
#include "report/text_of.h"

enum { PLOT_HEIGHT = MM_CHART_HEIGHT - MM_CHART_TOP - MM_CHART_BOTTOM,
       PLOT_WIDTH = MM_CHART_WIDTH - MM_CHART_LEFT - MM_CHART_RIGHT };

static mm_stats stats;
static mm_distribution all[MM_DISTRIBUTIONS];

static void set_up(void)
{
    mm_stats_clear(&stats);
    mm_distributions_of(&stats, all);
}

static mm_histogram histogram_of(int which)
{
    mm_histogram h = {.id = "h", .title = "T", .axis = "a < b", .unit = "masks", .of = &all[which],
                      .end = all[which].bins};
    return h;
}

/* The attribute of the n-th bar, from 0. */
static double bar_value(const char *svg, size_t n, const char *name)
{
    const char *at = strstr(svg, "<g class=\"bars\">");
    ck_assert_ptr_nonnull(at);
    for (size_t i = 0; i <= n; i++) {
        at = strstr(at + 1, "<rect ");
        ck_assert_ptr_nonnull(at);
    }
    char key[32];
    (void)snprintf(key, sizeof key, " %s=\"", name);
    at = strstr(at, key);
    ck_assert_ptr_nonnull(at);
    return strtod(at + strlen(key), NULL);
}

START_TEST(bars_are_as_high_as_their_share)
{
    const mm_histogram h = histogram_of(MM_DISTRIBUTION_CONCAVITY);
    written w;
    stats.concavity[0] = 30;
    stats.concavity[10] = 60;
    stats.concavity[99] = 10;
    mm_chart_histogram(begin_text(&w), &h);
    const char *svg = end_text(&w);
    ck_assert_uint_eq(count_of(strstr(svg, "<g class=\"bars\">"), "<rect "), 3);
    ck_assert_double_eq_tol(bar_value(svg, 1, "height"), PLOT_HEIGHT, 0.01);
    ck_assert_double_eq_tol(bar_value(svg, 0, "height"), PLOT_HEIGHT * 0.5, 0.01);
    ck_assert_double_eq_tol(bar_value(svg, 2, "height"), PLOT_HEIGHT / 6.0, 0.01);
    for (size_t i = 0; i < 3; i++) /* they stand on the axis */
        ck_assert_double_eq_tol(bar_value(svg, i, "y") + bar_value(svg, i, "height"), MM_CHART_TOP + PLOT_HEIGHT, 0.02);
    const double pitch = PLOT_WIDTH / 100.0;
    ck_assert_double_eq_tol(bar_value(svg, 1, "x") - bar_value(svg, 0, "x"), 10 * pitch, 0.02);
    ck_assert_double_lt(bar_value(svg, 2, "x") + bar_value(svg, 2, "width"), MM_CHART_LEFT + PLOT_WIDTH + 0.01);
    ck_assert_ptr_nonnull(strstr(svg, "<title>0.10 to 0.11: 60 masks (60 %)</title>"));
    ck_assert_ptr_nonnull(strstr(svg, "a &lt; b"));
    free(w.text);
}
END_TEST

START_TEST(nothing_is_drawn_of_nothing)
{
    const mm_histogram h = histogram_of(MM_DISTRIBUTION_RELATIVE_SIZE);
    written w;
    FILE *out = begin_text(&w);
    mm_chart_histogram(out, &h);
    mm_chart_histogram_table(out, &h);
    mm_chart_heat_map(out, stats.centres);
    mm_chart_heat_map_table(out, stats.centres);
    ck_assert_str_eq(end_text(&w), "");
    free(w.text);
    uint32_t first = 7, end = 7;
    mm_chart_range(h.of, &first, &end);
    ck_assert(first == 0 && end == 0);
}
END_TEST

START_TEST(one_image_is_one_whole_bar)
{
    mm_histogram h = histogram_of(MM_DISTRIBUTION_MASKS_PER_IMAGE);
    h.unit = "images";
    written w;
    stats.masks_per_image[3] = 1;
    mm_chart_range(h.of, &h.first, &h.end);
    ck_assert(h.first == 3 && h.end == 4);
    FILE *out = begin_text(&w);
    mm_chart_histogram(out, &h);
    mm_chart_histogram_table(out, &h);
    const char *svg = end_text(&w);
    ck_assert_double_eq_tol(bar_value(svg, 0, "height"), PLOT_HEIGHT, 0.01);
    ck_assert_ptr_nonnull(strstr(svg, "<title>3: 1 image (100 %)</title>"));
    ck_assert_ptr_nonnull(strstr(svg, "<tr><th scope=\"row\">3</th><td>1</td><td>100 %</td></tr>"));
    free(w.text);
}
END_TEST

START_TEST(the_rarest_is_seen_and_the_largest_counts_fit)
{
    ck_assert_double_eq(mm_chart_bar_height(0, 100), 0);
    ck_assert_double_gt(mm_chart_bar_height(1, 1e12), 0.5);
    ck_assert_double_eq_tol(mm_chart_bar_height(UINT64_MAX, (double)UINT64_MAX), PLOT_HEIGHT, 1e-9);
    ck_assert_double_eq(mm_chart_bar_height(7, 0), 0);
    mm_histogram h = histogram_of(MM_DISTRIBUTION_STABILITY_SCORE);
    written w;
    for (int i = 0; i < MM_STATS_UNIT_BINS; i++)
        stats.stability_score[i] = i == 98 ? UINT64_C(1100000000000) : (uint64_t)i % 2;
    mm_chart_histogram(begin_text(&w), &h);
    const char *svg = end_text(&w);
    ck_assert_uint_eq(count_of(strstr(svg, "<g class=\"bars\">"), "<rect "), 51);
    ck_assert_ptr_nonnull(strstr(svg, "1,100,000,000,000 masks (>99.9 %)"));
    ck_assert_ptr_null(strstr(svg, "nan"));
    free(w.text);
}
END_TEST

START_TEST(steps_are_round_and_few)
{
    static const struct {
        double most;
        int parts;
        double step;
    } cases[] = {{100, 4, 50}, {100, 5, 20}, {80, 4, 20}, {10, 4, 5}, {1, 5, 0.2}, {0.5, 6, 0.1}, {7.3, 4, 2},
                 {0.013, 4, 0.005}, {2048, 6, 500}, {0, 4, 1}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        ck_assert_double_eq_tol(mm_chart_step(cases[i].most, cases[i].parts), cases[i].step, 1e-12);
}
END_TEST

START_TEST(values_are_placed_in_their_bins)
{
    mm_histogram h = histogram_of(MM_DISTRIBUTION_MASKS_PER_IMAGE);
    ck_assert_double_eq_tol(mm_chart_position(&h, 3), 3, 1e-9);
    ck_assert_double_eq_tol(mm_chart_position(&h, 3.5), 3.5, 1e-9);
    ck_assert_double_eq_tol(mm_chart_position(&h, 17.5), 16.5, 1e-9);  /* 16 to 18 is one bin */
    ck_assert_double_eq_tol(mm_chart_position(&h, 100), 26 + 10 / 17.0, 1e-9); /* 90 to 106 is bin 26 */
    ck_assert_double_eq_tol(mm_chart_position(&h, -1), 0, 1e-9);
    h.end = 20;
    ck_assert_double_eq_tol(mm_chart_position(&h, 1e6), 20, 1e-9);
    h = histogram_of(MM_DISTRIBUTION_PREDICTED_IOU);
    ck_assert_double_eq_tol(mm_chart_position(&h, 0.88), 88, 1e-6);
    ck_assert_double_eq_tol(mm_chart_position(&h, 1), 100, 1e-6);
    h.first = 90;
    ck_assert_double_eq_tol(mm_chart_position(&h, 0.5), 90, 1e-9);
}
END_TEST

START_TEST(bins_are_named)
{
    char text[64];
    mm_chart_bin_label(&all[MM_DISTRIBUTION_MASKS_PER_IMAGE], 5, text, sizeof text);
    ck_assert_str_eq(text, "5");
    mm_chart_bin_label(&all[MM_DISTRIBUTION_MASKS_PER_IMAGE], 16, text, sizeof text);
    ck_assert_str_eq(text, "16 to 18");
    mm_chart_bin_label(&all[MM_DISTRIBUTION_MASKS_PER_IMAGE], 63, text, sizeof text);
    ck_assert_str_eq(text, "55108 or more");
    mm_chart_bin_label(&all[MM_DISTRIBUTION_LONG_SIDE], 8, text, sizeof text);
    ck_assert_str_eq(text, "1024 to 1151");
    mm_chart_bin_label(&all[MM_DISTRIBUTION_CONCAVITY], 99, text, sizeof text);
    ck_assert_str_eq(text, "0.99 to 1.00");
}
END_TEST

START_TEST(marks_are_drawn_where_they_belong)
{
    mm_histogram h = histogram_of(MM_DISTRIBUTION_PREDICTED_IOU);
    const mm_chart_mark marks[] = {{0.5, "half & half", false}, {0.88, "SA-1B", true}};
    written w;
    h.marks = marks;
    h.mark_count = 2;
    stats.predicted_iou[90] = 1;
    mm_chart_histogram(begin_text(&w), &h);
    const char *svg = end_text(&w);
    char line[32];
    (void)snprintf(line, sizeof line, "x1=\"%.2f\"", MM_CHART_LEFT + PLOT_WIDTH * 0.5);
    ck_assert_ptr_nonnull(strstr(strstr(svg, "class=\"mark\""), line));
    (void)snprintf(line, sizeof line, "x1=\"%.2f\"", MM_CHART_LEFT + PLOT_WIDTH * 0.88);
    ck_assert_ptr_nonnull(strstr(strstr(svg, "class=\"mark published\""), line));
    ck_assert_ptr_nonnull(strstr(svg, "half &amp; half"));
    free(w.text);
}
END_TEST

START_TEST(the_map_is_as_fine_as_there_are_masks)
{
    written w;
    stats.centres[0] = 10;
    stats.centres[63 * 64 + 63] = 30;
    FILE *out = begin_text(&w);
    mm_chart_heat_map(out, stats.centres);
    mm_chart_heat_map_table(out, stats.centres);
    const char *svg = end_text(&w);
    ck_assert_ptr_nonnull(strstr(svg, "30 masks in one of 8 \xc3\x97 8 cells"));
    ck_assert_ptr_nonnull(strstr(svg, "<path d=\"M0 0h40v40h-40z\" style=\"fill:var(--heat-3)\"/>"));
    ck_assert_ptr_nonnull(strstr(svg, "<path d=\"M280 280h40v40h-40z\" style=\"fill:var(--heat-9)\"/>"));
    ck_assert_ptr_nonnull(strstr(svg, "<title>10 masks (25 %)</title>"));
    ck_assert_uint_eq(count_of(svg, "<td>"), 64);
    ck_assert_ptr_nonnull(strstr(svg, "<td>75 %</td></tr>"));
    free(w.text);

    for (int i = 0; i < 64 * 64; i++)
        stats.centres[i] = i < 64 ? 400 : 4;
    mm_chart_heat_map(begin_text(&w), stats.centres);
    svg = end_text(&w);
    ck_assert_ptr_nonnull(strstr(svg, "400 masks in one of 64 \xc3\x97 64 cells"));
    ck_assert_ptr_nonnull(strstr(svg, "<path d=\"M0 0h320v5h-320z\" style=\"fill:var(--heat-9)\"/>")); /* joined */
    free(w.text);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("report/chart");
    TCase *tests = tcase_create("chart");
    tcase_add_checked_fixture(tests, set_up, NULL);
    tcase_add_test(tests, bars_are_as_high_as_their_share);
    tcase_add_test(tests, nothing_is_drawn_of_nothing);
    tcase_add_test(tests, one_image_is_one_whole_bar);
    tcase_add_test(tests, the_rarest_is_seen_and_the_largest_counts_fit);
    tcase_add_test(tests, steps_are_round_and_few);
    tcase_add_test(tests, values_are_placed_in_their_bins);
    tcase_add_test(tests, bins_are_named);
    tcase_add_test(tests, marks_are_drawn_where_they_belong);
    tcase_add_test(tests, the_map_is_as_fine_as_there_are_masks);
    suite_add_tcase(suite, tests);
    return mm_check_main(suite);
}
