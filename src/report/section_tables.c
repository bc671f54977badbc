/* The parts of the page that are tables with bars: the filter funnel, times, and what was set aside. */
#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "base/format.h"
#include "report/chart.h"
#include "report/html.h"
#include "report/page.h"

/* --- The filter funnel, in the order of mm_funnel. --- */

static const struct {
    const char *name, *what;
} steps[8] = {
    {"Candidates", "three masks for each point of each window's grid"},
    {"Predicted IoU", "above <code>pred_iou_thresh</code>"},
    {"Stability", "at least <code>stability_score_thresh</code>"},
    {"Area", "smaller than <code>max_area_fraction</code> of the frame"},
    {"Window edges", "not cut off by the edge of a window inside the image"},
    {"NMS in windows", "no better mask with nearly the same box"},
    {"NMS across windows", "none in a window that shows it larger"},
    {"Kept", "after small regions were cleaned, if that is set"},
};

void mm_page_funnel(const mm_page *page)
{
    FILE *out = page->out;
    const uint64_t *funnel = page->stats->funnel;
    (void)fputs("<section id=\"funnel\">\n<h2>Filters</h2>\n<p>How many masks were left after each step of mask "
                "generation."
                "</p>\n", out);
    if (funnel[0] == 0) {
        (void)fputs("<p class=\"empty\">No candidates were made.</p>\n</section>\n", out);
        return;
    }
    (void)fputs("<div class=\"card wide\"><table id=\"funnel-table\"><thead><tr><th scope=\"col\">step</th><th "
                "scope=\"col\" class=\"bar-cell\">"
                "of all candidates</th><th scope=\"col\" class=\"number\">masks left</th><th scope=\"col\" "
                "class=\"number\">of all</th>"
                "<th scope=\"col\" class=\"number optional\">of the step before</th></tr></thead><tbody>\n", out);
    for (int i = 0; i < 8; i++) {
        char count[MM_NUMBER_TEXT], all[MM_NUMBER_TEXT], before[MM_NUMBER_TEXT];
        (void)fprintf(out, "<tr><th scope=\"row\">%s<br><span class=\"soft optional\">%s</span></th><td "
                           "class=\"bar-cell\">", steps[i].name,
                      steps[i].what);
        mm_chart_share(out, (double)funnel[i], (double)funnel[0]);
        (void)fprintf(out, "</td><td class=\"number\">%s</td><td class=\"number\">%s</td><td class=\"number "
                           "optional\">%s</td></tr>\n",
                      mm_format_count(count, sizeof count, funnel[i]),
                      mm_format_percent(all, sizeof all, funnel[i], funnel[0]),
                      i ? mm_format_percent(before, sizeof before, funnel[i], funnel[i - 1]) : "");
    }
    (void)fputs("</tbody></table></div>\n</section>\n", out);
}

/* --- Times. --- */

static const struct {
    const char *key, *name;
} stages[] = {
    {"read", "Reading the file"},
    {"jpeg", "JPEG to pixels"},
    {"encode", "Image encoder"},
    {"decode", "Prompts and mask decoder"},
    {"masks", "Logits to masks, filters, NMS"},
};
enum { STAGES = sizeof stages / sizeof stages[0] };

static double sum_of_stages(const json_t *seconds, double *most)
{
    double sum = 0;
    *most = 0;
    for (size_t i = 0; i < STAGES; i++) {
        const double value = fmax(mm_run_json_number(seconds, stages[i].key), 0);
        sum += value;
        *most = fmax(*most, value);
    }
    return sum;
}

static void print_stage(FILE *out, const char *name, double seconds, double sum, double most, double images)
{
    char text[MM_NUMBER_TEXT], each[MM_NUMBER_TEXT];
    (void)fprintf(out, "<tr><th scope=\"row\">%s</th><td class=\"bar-cell\">", name);
    if (most > 0)
        mm_chart_share(out, seconds, most);
    (void)fprintf(out, "</td><td class=\"number\">%s</td><td class=\"number\">%.1f %%</td><td class=\"number "
                       "optional\">%s</td></tr>\n",
                  mm_format_duration(text, sizeof text, seconds), 100 * seconds / sum,
                  images > 0 ? mm_format_duration(each, sizeof each, seconds / images) : "-");
}

/* Of the last attempt, whose times run.json tells. */
static double images_timed(const mm_page *page)
{
    const double images = (double)(page->stats->images_done + page->stats->images_set_aside);
    const json_t *attempts = json_object_get(page->run, "attempts");
    const size_t count = json_array_size(attempts);
    return count ? images - fmax(mm_run_json_number(json_array_get(attempts, count - 1), "images_kept"), 0) : images;
}

static void print_stages(const mm_page *page)
{
    FILE *out = page->out;
    const json_t *seconds = json_object_get(page->run, "stage_seconds");
    const double images = images_timed(page);
    double most;
    const double sum = sum_of_stages(seconds, &most);
    if (!(sum > 0)) {
        (void)fputs("<p class=\"empty\">run.json tells no times of stages.</p>\n", out);
        return;
    }
    (void)fputs("<div class=\"card wide\"><table id=\"stage-table\"><thead><tr><th scope=\"col\">stage</th><th "
                "scope=\"col\" class=\"bar-cell\">"
                "</th><th scope=\"col\" class=\"number\">all ranks</th><th scope=\"col\" class=\"number\">share</th>"
                "<th scope=\"col\" "
                "class=\"number optional\">an image</th></tr></thead><tbody>\n", out);
    for (size_t i = 0; i < STAGES; i++)
        print_stage(out, stages[i].name, fmax(mm_run_json_number(seconds, stages[i].key), 0), sum, most, images);
    print_stage(out, "<b>Together</b>", sum, sum, 0, images);
    (void)fputs("</tbody></table></div>\n", out);
}

void mm_page_times(const mm_page *page)
{
    FILE *out = page->out;
    (void)fputs("<section id=\"times\">\n<h2>Times</h2>\n", out);
    if (!page->run) {
        (void)fputs("<p class=\"empty\">There is no run.json beside the dataset, so times are not known. ", out);
        mm_html_text(out, page->run_trouble);
        (void)fputs("</p>\n</section>\n", out);
        return;
    }
    char text[MM_NUMBER_TEXT], pace[MM_NUMBER_TEXT];
    const double seconds = mm_run_json_number(page->run, "seconds"), ranks = mm_run_json_number(page->run, "ranks");
    double most;
    const double sum = sum_of_stages(json_object_get(page->run, "stage_seconds"), &most);
    (void)fprintf(out, "<p>%s from start to end, %s images/s",
                  mm_format_duration(text, sizeof text, seconds),
                  mm_format_pace(pace, sizeof pace, mm_run_json_number(page->run, "images_per_second")));
    if (ranks > 0 && seconds > 0 && sum > 0)
        (void)fprintf(out, " on %.0f rank%s. The stages below fill %.0f %% of the ranks\xe2\x80\x99 time; the rest is "
                           "starting, waiting "
                           "for the last images, and writing",
                      ranks, ranks == 1 ? "" : "s", fmin(100 * sum / (ranks * seconds), 100));
    const size_t attempts = json_array_size(json_object_get(page->run, "attempts"));
    if (attempts > 1)
        (void)fprintf(out, ". The run took %zu attempts; these are the times of the last one", attempts);
    (void)fputs(".</p>\n", out);
    print_stages(page);
    (void)fputs("</section>\n", out);
}

/* --- Images set aside. --- */

enum { NAME_LENGTH = 90, REASON_LENGTH = 300 };

static void print_group(FILE *out, const mm_aside_group *group)
{
    char count[MM_NUMBER_TEXT];
    (void)fprintf(out, "<tr><td class=\"number\">%s</td><td><span class=\"kind\">",
                  mm_format_count(count, sizeof count, group->count));
    mm_html_text_short(out, group->status, 30);
    (void)fputs("</span></td><td>", out);
    mm_html_text_short(out, group->reason, REASON_LENGTH);
    (void)fputs("<div class=\"examples\">", out);
    for (int i = 0; i < MM_ASIDE_EXAMPLES && group->examples[i]; i++) {
        (void)fputs(i ? ", " : "", out);
        mm_html_text_short(out, group->examples[i], NAME_LENGTH);
    }
    (void)fputs(group->count > MM_ASIDE_EXAMPLES ? ", \xe2\x80\xa6</div></td></tr>\n" : "</div></td></tr>\n", out);
}

static void print_rows(FILE *out, const mm_aside *aside)
{
    char all[MM_NUMBER_TEXT];
    (void)fprintf(out, "<details id=\"aside-list\"><summary>%s%zu of %s images</summary><div class=\"scroll\" "
                       "tabindex=\"0\"><table><thead><tr>"
                       "<th scope=\"col\">id</th><th scope=\"col\">image</th><th scope=\"col\">reason</th></tr></thead>"
                       "<tbody>\n",
                  aside->row_count < aside->count ? "The first " : "", aside->row_count,
                  mm_format_count(all, sizeof all, aside->count));
    for (size_t i = 0; i < aside->row_count; i++) {
        (void)fputs("<tr><td class=\"number\">", out);
        mm_html_text_short(out, aside->rows[i].image_id, 20);
        (void)fputs("</td><td>", out);
        mm_html_text_short(out, aside->rows[i].path, NAME_LENGTH);
        (void)fputs("</td><td>", out);
        mm_html_text_short(out, aside->rows[i].reason, REASON_LENGTH);
        (void)fputs("</td></tr>\n", out);
    }
    (void)fputs("</tbody></table></div></details>\n", out);
}

void mm_page_set_aside(const mm_page *page)
{
    FILE *out = page->out;
    const mm_aside *aside = page->aside;
    const uint64_t set_aside = page->stats->images_set_aside;
    char a[MM_NUMBER_TEXT], b[MM_NUMBER_TEXT], share[MM_NUMBER_TEXT];
    (void)fputs("<section id=\"set-aside\">\n<h2>Images set aside</h2>\n", out);
    if (set_aside == 0) {
        (void)fputs("<p class=\"empty\">None: every image of the corpus was done.</p>\n</section>\n", out);
        return;
    }
    (void)fprintf(out, "<p>%s of %s images (%s) could not be used and have no masks. By what was wrong:</p>\n",
                  mm_format_count(a, sizeof a, set_aside),
                  mm_format_count(b, sizeof b, set_aside + page->stats->images_done),
                  mm_format_percent(share, sizeof share, set_aside, set_aside + page->stats->images_done));
    if (aside->count == 0) {
        (void)fputs("<p class=\"empty\">There is no quarantine.tsv beside the dataset, so the reasons are not "
                    "known. ", out);
        mm_html_text(out, page->aside_trouble);
        (void)fputs("</p>\n</section>\n", out);
        return;
    }
    (void)fputs("<div class=\"card wide\"><table id=\"aside-table\"><thead><tr><th scope=\"col\" "
                "class=\"number\">images</th><th scope=\"col\">"
                "kind</th><th scope=\"col\">reason, and examples</th></tr></thead><tbody>\n", out);
    for (size_t i = 0; i < aside->group_count; i++)
        print_group(out, &aside->groups[i]);
    if (aside->ungrouped)
        (void)fprintf(out, "<tr><td class=\"number\">%s</td><td></td><td>for further reasons, which quarantine.tsv "
                           "tells</td></tr>\n",
                      mm_format_count(a, sizeof a, aside->ungrouped));
    (void)fputs("</tbody></table>\n", out);
    print_rows(out, aside);
    (void)fputs("</div>\n</section>\n", out);
}
