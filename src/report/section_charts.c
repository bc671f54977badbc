/* The parts of the page that are charts. SA-1B's figures are those that [SAM] (arXiv 2304.02643) prints as numbers or
 * says in words; its curves are not redrawn, since their numbers were not published. */
#include <math.h>
#include <string.h>

#include "base/format.h"
#include "report/chart.h"
#include "report/html.h"
#include "report/page.h"

static const double sa1b_masks_per_image = 100, sa1b_pred_iou = 0.88, sa1b_stability = 0.95;

void mm_page_begin_section(FILE *out, const char *id, const char *title, const char *text)
{
    (void)fprintf(out, "<section id=\"%s\">\n<h2>%s</h2>\n<p>%s</p>\n", id, title, text);
}

static void print_published(FILE *out, const char *text)
{
    (void)fprintf(out, "<p class=\"published-note\"><b>SA-1B, published:</b> %s</p>\n", text);
}

/* "Half of the masks lie between 0.05 and 0.19." */
static void print_middle(FILE *out, const mm_histogram *h)
{
    const int decimals = h->of->counted ? 0 : 2;
    (void)fprintf(out, "Median %.*f, middle half %.*f to %.*f, middle nine tenths %.*f to %.*f.", decimals,
                  mm_distribution_quantile(h->of, 0.5), decimals, mm_distribution_quantile(h->of, 0.25), decimals,
                  mm_distribution_quantile(h->of, 0.75), decimals, mm_distribution_quantile(h->of, 0.05), decimals,
                  mm_distribution_quantile(h->of, 0.95));
}

void mm_page_figure(FILE *out, const mm_histogram *h, const char *layout, const char *explanation, const char *published)
{
    (void)fprintf(out, "<figure class=\"%s\">\n<figcaption><h3>%s</h3><p>%s ", layout, h->title, explanation);
    const bool empty = mm_distribution_total(h->of) == 0;
    if (!empty)
        print_middle(out, h);
    (void)fputs("</p></figcaption>\n", out);
    if (empty)
        (void)fprintf(out, "<p class=\"empty\">There are no %s to count.</p>\n", h->unit);
    mm_chart_histogram(out, h);
    if (published)
        print_published(out, published);
    mm_chart_histogram_table(out, h);
    (void)fputs("</figure>\n", out);
}

void mm_page_unit_range(mm_histogram *h, bool whole)
{
    enum { TENTH = MM_STATS_UNIT_BINS / 10 };
    mm_chart_range(h->of, &h->first, &h->end);
    for (size_t i = 0; i < h->mark_count; i++) {
        const double bin = h->marks[i].value * MM_STATS_UNIT_BINS;
        h->first = bin < h->first ? (uint32_t)bin : h->first;
    }
    h->first = whole ? 0 : h->first / TENTH * TENTH;
    h->end = h->of->bins;
}

static void print_masks_per_image(const mm_page *page)
{
    const mm_stats *stats = page->stats;
    mm_chart_mark marks[2] = {{.value = sa1b_masks_per_image, .label = "SA-1B: about 100 on "
                                                                       "average", .published = true}};
    mm_histogram h = {.id = "masks-per-image", .title = "Masks per image", .axis = "masks in an "
                                                                                   "image", .unit = "images",
                      .of = &page->distributions[MM_DISTRIBUTION_MASKS_PER_IMAGE], .marks = marks, .mark_count = 1};
    mm_chart_range(h.of, &h.first, &h.end);
    h.first = 0;
    while (h.end < h.of->bins && h.of->edge(h.end) <= 128) /* so that SA-1B's mean can be seen */
        h.end++;
    if (stats->images_done) {
        marks[1].value = (double)stats->masks / (double)stats->images_done;
        (void)snprintf(marks[1].label, sizeof marks[1].label, "mean %.1f", marks[1].value);
        h.mark_count = 2;
    }
    mm_page_figure(page->out, &h, "card", "From 16 on, bars are wider: four to each doubling.",
                 "1.1 billion masks on 11 million images, about 100 an image on average; 99.1 % of them made without a "
                 "person.");
}

static void print_relative_size(const mm_page *page)
{
    mm_histogram h = {.id = "relative-size", .title = "Relative mask size", .axis = "square root of mask area / image "
                                                                                    "area",
                      .unit = "masks", .of = &page->distributions[MM_DISTRIBUTION_RELATIVE_SIZE]};
    mm_page_unit_range(&h, true);
    mm_page_figure(page->out, &h, "card", "The side of a square as large as the mask, as a part of the image's.",
                 "a greater part of small and medium masks than in earlier datasets (in words; no numbers).");
}

static void print_concavity(const mm_page *page)
{
    mm_histogram h = {.id = "concavity", .title = "Concavity", .axis = "1 \xe2\x88\x92 mask area / area of its convex "
                                                                       "hull",
                      .unit = "masks", .of = &page->distributions[MM_DISTRIBUTION_CONCAVITY]};
    mm_page_unit_range(&h, true);
    mm_page_figure(page->out, &h, "card", "0 for a convex shape; the more indented its outline, the larger.",
                 "broadly similar to other datasets at equal mask sizes (in words; no numbers).");
}

/* Share of the centres in the middle quarter of the frame, and in its four corners of a sixteenth each. */
static void print_centre_shares(FILE *out, const uint64_t *centres)
{
    enum { SIDE = MM_STATS_CENTRE_SIDE, QUARTER = SIDE / 4 };
    uint64_t total = 0, middle = 0, corners = 0;
    for (int y = 0; y < SIDE; y++)
        for (int x = 0; x < SIDE; x++) {
            const uint64_t count = centres[y * SIDE + x];
            const bool inner_x = x >= QUARTER && x < SIDE - QUARTER, inner_y = y >= QUARTER && y < SIDE - QUARTER;
            total += count;
            middle += inner_x && inner_y ? count : 0;
            corners += !inner_x && !inner_y ? count : 0;
        }
    char a[MM_NUMBER_TEXT], b[MM_NUMBER_TEXT];
    if (total)
        (void)fprintf(out, "The middle quarter of the frame holds %s of the masks, the four corners, together another "
                           "quarter, "
                           "%s.", mm_format_percent(a, sizeof a, middle, total),
                      mm_format_percent(b, sizeof b, corners, total));
}

static void print_centres(const mm_page *page)
{
    FILE *out = page->out;
    const bool empty = page->stats->masks == 0;
    (void)fputs("<figure class=\"card\">\n<figcaption><h3>Mask centres</h3><p>", out);
    print_centre_shares(out, page->stats->centres);
    (void)fputs("</p></figcaption>\n", out);
    if (empty)
        (void)fputs("<p class=\"empty\">There are no masks to count.</p>\n", out);
    mm_chart_heat_map(out, page->stats->centres);
    print_published(out, "greater coverage of image corners than LVIS v1 and ADE20K; COCO and Open Images have a more "
                         "prominent bias towards the centre (in words; no numbers).");
    mm_chart_heat_map_table(out, page->stats->centres);
    (void)fputs("</figure>\n", out);
}

void mm_page_masks(const mm_page *page)
{
    mm_page_begin_section(page->out, "masks", "Masks",
                  "The four properties by which section 5 of <cite>Segment Anything</cite> describes its dataset.");
    (void)fputs("<div class=\"charts\">\n", page->out);
    print_masks_per_image(page);
    print_relative_size(page);
    print_concavity(page);
    print_centres(page);
    (void)fputs("</div>\n</section>\n", page->out);
}

/* This run's threshold and SA-1B's, in one label if they are the same. A threshold of 0 is a filter that is off. */
static size_t threshold_marks(const mm_page *page, double own, double published, mm_chart_mark marks[2])
{
    size_t count = 0;
    const bool known = page->has_config, same = known && fabs(own - published) < 1e-6;
    marks[count] = (mm_chart_mark){.value = published, .published = true};
    (void)snprintf(marks[count].label, sizeof marks[count].label, same ? "threshold %.2f, as "
                                                                         "SA-1B's" : "SA-1B's threshold %.2f",
                   published);
    count++;
    if (known && !same && own > 0) {
        marks[count] = (mm_chart_mark){.value = own};
        (void)snprintf(marks[count].label, sizeof marks[count].label, "threshold %.2f", own);
        count++;
    }
    return count;
}

void mm_page_scores(const mm_page *page)
{
    mm_chart_mark iou[2], stability[2];
    mm_histogram h = {.id = "predicted-iou", .title = "Predicted IoU", .axis = "predicted IoU", .unit = "masks",
                      .of = &page->distributions[MM_DISTRIBUTION_PREDICTED_IOU], .marks = iou,
                      .mark_count = threshold_marks(page, page->config.amg.pred_iou_thresh, sa1b_pred_iou, iou)};
    mm_page_begin_section(page->out, "scores", "Scores", "How sure the model is of the masks that were kept.");
    (void)fputs("<div class=\"charts\">\n", page->out);
    mm_page_unit_range(&h, false);
    mm_page_figure(page->out, &h, "card", "The model\xe2\x80\x99s own estimate of how well a mask fits.", NULL);
    h = (mm_histogram){.id = "stability", .title = "Stability score", .axis = "stability score", .unit = "masks",
                       .of = &page->distributions[MM_DISTRIBUTION_STABILITY_SCORE], .marks = stability,
                       .mark_count = threshold_marks(page, page->config.amg.stability_score_thresh, sa1b_stability,
                                                     stability)};
    mm_page_unit_range(&h, false);
    mm_page_figure(page->out, &h, "card", "How little a mask changes when its cutoff does.", NULL);
    (void)fputs("</div>\n</section>\n", page->out);
}

void mm_page_images(const mm_page *page)
{
    mm_histogram h = {.id = "long-side", .title = "Long side of the masks\xe2\x80\x99 frame",
                      .axis = "pixels, 128 a bar", .unit = "images",
                      .of = &page->distributions[MM_DISTRIBUTION_LONG_SIDE]};
    mm_page_begin_section(page->out, "images", "Image sizes",
                  "Of the frame in which masks are stored: the photograph, or smaller if <code>output.short_side"
                  "</code> is set.");
    mm_chart_range(h.of, &h.first, &h.end);
    h.first = h.first > 1 ? h.first - 2 : 0;
    h.end = h.end + 2 < h.of->bins ? h.end + 2 : h.of->bins;
    mm_page_figure(page->out, &h, "card split", "", "photographs of 3300 \xc3\x97 4950 pixels on average, released at a "
                                                  "short side of 1500.");
    (void)fputs("</section>\n", page->out);
}
