#include "report/chart.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "base/format.h"
#include "report/html.h"

enum {
    PLOT_WIDTH = MM_CHART_WIDTH - MM_CHART_LEFT - MM_CHART_RIGHT,
    PLOT_HEIGHT = MM_CHART_HEIGHT - MM_CHART_TOP - MM_CHART_BOTTOM,
    BASE = MM_CHART_HEIGHT - MM_CHART_BOTTOM /* y of the axis */
};
static const double least_height = 0.75;

double mm_chart_step(double most, int parts)
{
    static const double round[] = {1, 2, 5, 10};
    if (!(most > 0))
        return 1;
    const double power = pow(10, floor(log10(most / parts)));
    for (size_t i = 0; i < sizeof round / sizeof round[0]; i++)
        if (most / (round[i] * power) <= parts * (1 + 1e-9))
            return round[i] * power;
    return 10 * power;
}

void mm_chart_range(const mm_distribution *of, uint32_t *first, uint32_t *end)
{
    *first = *end = 0;
    for (uint32_t i = 0; i < of->bins; i++)
        if (of->counts[i]) {
            *first = *end ? *first : i;
            *end = i + 1;
        }
}

double mm_chart_position(const mm_histogram *h, double value)
{
    uint32_t bin = h->first;
    while (bin < h->end && bin + 1 < h->of->bins && h->of->edge(bin + 1) <= value + 1e-9)
        bin++;
    if (value <= h->of->edge(h->first))
        return h->first;
    if (bin >= h->end)
        return h->end;
    const double low = h->of->edge(bin), high = bin + 1 < h->of->bins ? h->of->edge(bin + 1) : 1;
    const double part = high > low ? (value - low) / (high - low) : 0;
    return bin + fmin(fmax(part, 0), 1);
}

double mm_chart_bar_height(uint64_t count, double top)
{
    if (count == 0 || !(top > 0))
        return 0;
    return fmin(fmax((double)count / top * PLOT_HEIGHT, least_height), PLOT_HEIGHT);
}

void mm_chart_bin_label(const mm_distribution *of, uint32_t bin, char *text, size_t size)
{
    const double low = of->edge(bin), high = bin + 1 < of->bins ? of->edge(bin + 1) : 1;
    if (of->open && bin + 1 == of->bins)
        (void)snprintf(text, size, "%.0f or more", low);
    else if (of->counted && high - low <= 1)
        (void)snprintf(text, size, "%.0f", low);
    else if (of->counted)
        (void)snprintf(text, size, "%.0f to %.0f", low, high - 1);
    else
        (void)snprintf(text, size, "%.2f to %.2f", low, high);
}

static double x_of(const mm_histogram *h, double position)
{
    return MM_CHART_LEFT + (position - h->first) / (h->end - h->first) * PLOT_WIDTH;
}

/* --- The vertical axis: shares in percent. --- */

static void print_grid(FILE *out, double top_percent, double step)
{
    const int decimals = step >= 1 ? 0 : step >= 0.1 ? 1 : 2;
    (void)fputs("<g class=\"grid\">", out);
    for (int i = 1; i * step <= top_percent * (1 + 1e-9); i++) {
        const double y = BASE - i * step / top_percent * PLOT_HEIGHT;
        (void)fprintf(out, "<line x1=\"%d\" x2=\"%d\" y1=\"%.2f\" y2=\"%.2f\"/><text x=\"%d\" y=\"%.2f\">%.*f %%"
                           "</text>",
                      MM_CHART_LEFT, MM_CHART_LEFT + PLOT_WIDTH, y, y, MM_CHART_LEFT - 6, y + 4, decimals, i * step);
    }
    (void)fputs("</g>", out);
}

/* --- The horizontal axis. --- */

static void print_tick(FILE *out, double x, double value, int decimals)
{
    (void)fprintf(out, "<text x=\"%.2f\" y=\"%d\">%.*f</text>", x, BASE + 17, decimals, value);
}

/* Parts of one: round numbers at the bins' edges. */
static void print_even_ticks(FILE *out, const mm_histogram *h, double bin_width)
{
    const double low = h->first * bin_width, high = h->end * bin_width, step = mm_chart_step(high - low, 6);
    const int last = (int)floor(high / step + 1e-9);
    for (int i = (int)ceil(low / step - 1e-9); i <= last; i++)
        print_tick(out, x_of(h, i * step / bin_width), i * step, step < 0.1 ? 2 : step < 1 ? 1 : 0);
}

/* Masks per image: powers of two, which all begin a bin; a tick stands in the middle of its bin, since the first bins
 * are a number each. */
static void print_octave_ticks(FILE *out, const mm_histogram *h)
{
    double last = -1e9;
    for (uint32_t bin = h->first; bin < h->end; bin++) {
        const uint32_t edge = (uint32_t)h->of->edge(bin);
        const double x = x_of(h, bin + 0.5);
        if ((edge & (edge - 1)) != 0 || x - last < 26)
            continue;
        print_tick(out, x, edge, 0);
        last = x;
    }
}

static void print_axis(FILE *out, const mm_histogram *h)
{
    const mm_distribution *of = h->of;
    (void)fprintf(out, "<line class=\"axis\" x1=\"%d\" x2=\"%d\" y1=\"%d\" y2=\"%d\"/><g "
                       "class=\"ticks\">", MM_CHART_LEFT,
                  MM_CHART_LEFT + PLOT_WIDTH, BASE, BASE);
    if (of->counted && of->edge(1) <= 1)
        print_octave_ticks(out, h);
    else
        print_even_ticks(out, h, of->edge(1));
    (void)fprintf(out, "</g><text class=\"axis-name\" x=\"%d\" y=\"%d\">", MM_CHART_LEFT + PLOT_WIDTH / 2,
                  MM_CHART_HEIGHT - 6);
    mm_html_text(out, h->axis);
    (void)fputs("</text>", out);
}

/* --- Bars and marks. A unit is a plural; one is told without its s. --- */

static void print_bars(FILE *out, const mm_histogram *h, uint64_t total, double top)
{
    const double pitch = (double)PLOT_WIDTH / (h->end - h->first), gap = fmin(pitch * 0.18, 3);
    (void)fputs("<g class=\"bars\">", out);
    for (uint32_t bin = h->first; bin < h->end; bin++) {
        const uint64_t count = h->of->counts[bin];
        if (count == 0)
            continue;
        char label[64], number[MM_NUMBER_TEXT], percent[MM_NUMBER_TEXT];
        const double height = mm_chart_bar_height(count, top);
        mm_chart_bin_label(h->of, bin, label, sizeof label);
        (void)fprintf(out, "<rect x=\"%.2f\" y=\"%.2f\" width=\"%.2f\" height=\"%.2f\"><title>%s: %s %.*s (%s)</title>"
                           "</rect>",
                      x_of(h, bin) + gap / 2, BASE - height, pitch - gap, height, label,
                      mm_format_count(number, sizeof number, count), (int)strlen(h->unit) - (count == 1), h->unit,
                      mm_format_percent(percent, sizeof percent, count, total));
    }
    (void)fputs("</g>", out);
}

/* Whole numbers: n takes the axis from n to n + 1, so that its bar's middle, where its tick stands, is n + 0.5. */
static double middle_of(const mm_histogram *h, double value)
{
    return h->of->counted && h->of->edge(1) <= 1 ? value + 0.5 : value;
}

/* Labels take turns in two lines, so that two of them are legible however near their values are. */
static void print_marks(FILE *out, const mm_histogram *h)
{
    for (size_t i = 0; i < h->mark_count; i++) {
        const mm_chart_mark *mark = &h->marks[i];
        const double x = x_of(h, mm_chart_position(h, middle_of(h, mark->value))), y = 14 + 15.0 * (double)(i % 2);
        const char *anchor = x > MM_CHART_LEFT + PLOT_WIDTH * 0.5 ? "end" : "start";
        (void)fprintf(out, "<g class=\"mark%s\"><line x1=\"%.2f\" x2=\"%.2f\" y1=\"%.2f\" y2=\"%d\"/>"
                           "<text x=\"%.2f\" y=\"%.2f\" text-anchor=\"%s\">",
                      mark->published ? " published" : "", x, x, y - 9, BASE, x + (*anchor == 'e' ? -5 : 5), y, anchor);
        mm_html_text(out, mark->label);
        (void)fputs("</text></g>", out);
    }
}

static void print_description(FILE *out, const mm_histogram *h, uint64_t total)
{
    char number[MM_NUMBER_TEXT];
    const int decimals = h->of->counted ? 0 : 2;
    (void)fprintf(out, "<title id=\"%s-title\">", h->id);
    mm_html_text(out, h->title);
    (void)fprintf(out, "</title><desc id=\"%s-desc\">Histogram of %s %s. 5 %% lie below %.*f, half below %.*f, 95 %% "
                       "below %.*f, as exact as a bar is wide. The table has all numbers.</desc>",
                  h->id, mm_format_count(number, sizeof number, total), h->unit, decimals,
                  mm_distribution_quantile(h->of, 0.05), decimals, mm_distribution_quantile(h->of, 0.5), decimals,
                  mm_distribution_quantile(h->of, 0.95));
}

void mm_chart_histogram(FILE *out, const mm_histogram *h)
{
    const uint64_t total = mm_distribution_total(h->of);
    uint64_t most = 0;
    for (uint32_t bin = h->first; bin < h->end; bin++)
        most = h->of->counts[bin] > most ? h->of->counts[bin] : most;
    if (most == 0)
        return;
    const double most_percent = 100.0 * (double)most / (double)total, step = mm_chart_step(most_percent, 4);
    const double top_percent = fmax(most_percent, step);
    const int unused = h->mark_count ? 0 : MM_CHART_TOP - 8; /* the room for labels of marks */
    (void)fprintf(out, "<svg class=\"histogram\" id=\"%s\" viewBox=\"0 %d %d %d\" role=\"img\" "
                       "aria-labelledby=\"%s-title "
                       "%s-desc\">", h->id, unused, MM_CHART_WIDTH, MM_CHART_HEIGHT - unused, h->id, h->id);
    print_description(out, h, total);
    print_grid(out, top_percent, step);
    print_bars(out, h, total, top_percent / 100 * (double)total);
    print_axis(out, h);
    print_marks(out, h);
    (void)fputs("</svg>\n", out);
}

void mm_chart_histogram_table(FILE *out, const mm_histogram *h)
{
    const uint64_t total = mm_distribution_total(h->of);
    if (total == 0)
        return;
    (void)fputs("<details><summary>Table</summary><div class=\"scroll\" tabindex=\"0\"><table class=\"numbers\"><thead>"
                "<tr><th scope=\"col\">",
                out);
    mm_html_text(out, h->axis);
    (void)fprintf(out, "</th><th scope=\"col\">%s</th><th scope=\"col\">share</th></tr></thead><tbody>\n", h->unit);
    for (uint32_t bin = 0; bin < h->of->bins; bin++) {
        char label[64], number[MM_NUMBER_TEXT], percent[MM_NUMBER_TEXT];
        const uint64_t count = h->of->counts[bin];
        if (count == 0)
            continue;
        mm_chart_bin_label(h->of, bin, label, sizeof label);
        (void)fprintf(out, "<tr><th scope=\"row\">%s</th><td>%s</td><td>%s</td></tr>\n", label,
                      mm_format_count(number, sizeof number, count),
                      mm_format_percent(percent, sizeof percent, count, total));
    }
    (void)fputs("</tbody></table></div></details>\n", out);
}

void mm_chart_share(FILE *out, double part, double whole)
{
    const double percent = whole > 0 && part > 0 ? fmin(100 * part / whole, 100) : 0;
    (void)fprintf(out, "<span class=\"track\" aria-hidden=\"true\"><span style=\"width:%.3f%%\"></span>"
                       "</span>", percent);
}
