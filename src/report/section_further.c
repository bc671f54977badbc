/* Where masks come from in the later stages of the data engine: by source, and what lies beside them, a detector's confident
 * masks and hints, with their scores. */
#include "base/format.h"
#include "report/html.h"
#include "report/page.h"

bool mm_page_has_further(const mm_page *page)
{
    const mm_stats *stats = page->stats;
    return stats->masks_by_source[1] || stats->masks_by_source[2] || stats->confident_masks || stats->hint_masks;
}

static void print_row(const mm_page *page, const char *name, const char *what, uint64_t count, uint64_t most)
{
    FILE *out = page->out;
    char number[MM_NUMBER_TEXT];
    const double images = page->stats->images_done ? (double)page->stats->images_done : 1;
    (void)fprintf(out, "<tr><th scope=\"row\">%s<br><span class=\"soft optional\">%s</span></th><td class=\"bar-cell\">", name,
                  what);
    mm_chart_share(out, (double)count, (double)most);
    (void)fprintf(out, "</td><td class=\"number\">%s</td><td class=\"number optional\">%.1f</td></tr>\n",
                  mm_format_count(number, sizeof number, count), (double)count / images);
}

static void print_table(const mm_page *page)
{
    const mm_stats *stats = page->stats;
    const struct {
        const char *name, *what;
        uint64_t count;
    } rows[] = {
        {"Masks: automatic", "of the grid", stats->masks_by_source[0]},
        {"Masks: confident", "a detector\xe2\x80\x99s, left by people", stats->masks_by_source[1]},
        {"Masks: by people", "drawn, corrected or accepted", stats->masks_by_source[2]},
        {"Beside: confident", "what the detector is sure of, for people to see", stats->confident_masks},
        {"Beside: hints", "of the grid, just short of being kept", stats->hint_masks},
    };
    enum { ROWS = sizeof rows / sizeof rows[0] };
    uint64_t most = 1;
    for (int i = 0; i < ROWS; i++)
        most = rows[i].count > most ? rows[i].count : most;
    (void)fputs("<div class=\"card wide\"><table id=\"source-table\"><thead><tr><th scope=\"col\">source</th><th scope=\"col\" "
                "class=\"bar-cell\">masks</th><th scope=\"col\" class=\"number\">masks</th><th scope=\"col\" class=\"number "
                "optional\">an image</th></tr></thead><tbody>\n", page->out);
    for (int i = 0; i < ROWS; i++)
        print_row(page, rows[i].name, rows[i].what, rows[i].count, most);
    (void)fputs("</tbody></table></div>\n", page->out);
}

/* One of the scores; nothing for a distribution without counts. `threshold` below 0 or 0 is none. */
static void print_scores(const mm_page *page, const mm_distribution *of, const char *id, const char *title, const char *axis,
                         const char *explanation, double threshold)
{
    mm_chart_mark mark = {.value = threshold};
    mm_histogram h = {.id = id, .title = title, .axis = axis, .unit = "masks", .of = of, .marks = &mark,
                      .mark_count = page->has_config && threshold > 0};
    if (mm_distribution_total(of) == 0)
        return;
    (void)snprintf(mark.label, sizeof mark.label, "threshold %.2f", threshold); /* fits */
    mm_page_unit_range(&h, false);
    mm_page_figure(page->out, &h, "card", explanation, NULL);
}

static void print_charts(const mm_page *page)
{
    mm_distribution of[MM_FURTHER_DISTRIBUTIONS];
    const mm_config *config = &page->config;
    mm_distributions_of_further(page->stats, of);
    (void)fputs("<div class=\"charts\">\n", page->out);
    print_scores(page, &of[MM_FURTHER_DETECTOR_SCORE], "confident-detector", "Confident masks: detector\xe2\x80\x99s score",
                 "detector\xe2\x80\x99s score", "How sure the detector is of the box that became the prompt.",
                 (double)config->detect.score_thresh);
    print_scores(page, &of[MM_FURTHER_CONFIDENT_IOU], "confident-iou", "Confident masks: predicted IoU", "predicted IoU",
                 "The model\xe2\x80\x99s own estimate of the mask that it made of the box.",
                 (double)config->detect.pred_iou_thresh);
    print_scores(page, &of[MM_FURTHER_CONFIDENT_STABILITY], "confident-stability", "Confident masks: stability",
                 "stability score", "How little that mask changes when its cutoff does.",
                 (double)config->detect.stability_score_thresh);
    print_scores(page, &of[MM_FURTHER_HINT_IOU], "hint-iou", "Hints: predicted IoU", "predicted IoU",
                 "The threshold is what masks had to pass; hints may lie below it.", (double)config->amg.pred_iou_thresh);
    print_scores(page, &of[MM_FURTHER_HINT_STABILITY], "hint-stability", "Hints: stability", "stability score",
                 "Likewise.", (double)config->amg.stability_score_thresh);
    (void)fputs("</div>\n", page->out);
}

void mm_page_further(const mm_page *page)
{
    if (!mm_page_has_further(page))
        return;
    mm_page_begin_section(page->out, "further", "Sources",
                          "Where masks come from, and what people get to see beside them: a detector\xe2\x80\x99s confident "
                          "masks, and hints, which are masks of the grid that fell just short.");
    print_table(page);
    print_charts(page);
    if (page->options->samples > 0) {
        (void)fputs("<h3>In photographs</h3>\n<p class=\"kinds\"><i class=\"kind-human\"></i> by people <i "
                    "class=\"kind-confident\"></i> confident <i class=\"kind-hint\"></i> hints</p>\n", page->out);
        mm_page_further_samples(page);
    }
    (void)fputs("</section>\n", page->out);
}
