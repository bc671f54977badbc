#include "report/curves.h"

#include <math.h>

#include "report/chart.h"
#include "report/html.h"

enum {
    TOP = 10,
    PLOT_WIDTH = MM_CHART_WIDTH - MM_CHART_LEFT - MM_CHART_RIGHT,
    BASE = MM_CHART_HEIGHT - MM_CHART_BOTTOM,
    PLOT_HEIGHT = BASE - TOP
};

static double x_of(const mm_curves *c, double x)
{
    const double part = c->last > c->first ? (x - c->first) / (c->last - c->first) : 0.5;
    return MM_CHART_LEFT + fmin(fmax(part, 0), 1) * PLOT_WIDTH;
}

static double y_of(double y)
{
    return BASE - fmin(fmax(y, 0), 1) * PLOT_HEIGHT;
}

static void print_frame(FILE *out, const mm_curves *c)
{
    (void)fputs("<g class=\"grid\">", out);
    for (int i = 1; i <= 5; i++)
        (void)fprintf(out, "<line x1=\"%d\" x2=\"%d\" y1=\"%.2f\" y2=\"%.2f\"/><text x=\"%d\" y=\"%.2f\">%.1f</text>",
                      MM_CHART_LEFT, MM_CHART_LEFT + PLOT_WIDTH, y_of(i / 5.0), y_of(i / 5.0), MM_CHART_LEFT - 6,
                      y_of(i / 5.0) + 4, i / 5.0);
    (void)fprintf(out, "</g><line class=\"axis\" x1=\"%d\" x2=\"%d\" y1=\"%d\" y2=\"%d\"/><g class=\"ticks\">",
                  MM_CHART_LEFT, MM_CHART_LEFT + PLOT_WIDTH, BASE, BASE);
    for (int i = 0; c->first + i * c->step <= c->last + 1e-9; i++)
        (void)fprintf(out, "<text x=\"%.2f\" y=\"%d\">%.*f</text>", x_of(c, c->first + i * c->step), BASE + 17, c->decimals,
                      c->first + i * c->step);
    (void)fprintf(out, "</g><text class=\"axis-name\" x=\"%d\" y=\"%d\">%s</text>", MM_CHART_LEFT + PLOT_WIDTH / 2,
                  MM_CHART_HEIGHT - 6, c->x_name);
    if (c->diagonal)
        (void)fprintf(out, "<line class=\"diagonal\" x1=\"%.2f\" x2=\"%.2f\" y1=\"%.2f\" y2=\"%.2f\"/>", x_of(c, c->first),
                      x_of(c, c->last), y_of(c->first), y_of(c->last));
}

static void print_curve(FILE *out, const mm_curves *c, size_t index)
{
    const mm_curve *curve = &c->curves[index];
    if (!curve->count)
        return;
    (void)fprintf(out, "<g class=\"curve c%zu\"><polyline points=\"", index % MM_CURVE_COLOURS);
    for (size_t i = 0; i < curve->count; i++)
        (void)fprintf(out, "%s%.2f,%.2f", i ? " " : "", x_of(c, curve->x[i]), y_of(curve->y[i]));
    (void)fputs("\"/>", out);
    for (size_t i = 0; i < curve->count; i++) {
        (void)fprintf(out, "<circle cx=\"%.2f\" cy=\"%.2f\" r=\"3\"><title>", x_of(c, curve->x[i]), y_of(curve->y[i]));
        mm_html_text_short(out, curve->name, 60);
        (void)fprintf(out, ": %.4f at %.*f</title></circle>", curve->y[i], c->decimals + c->diagonal, curve->x[i]);
    }
    (void)fputs("</g>", out);
}

static void print_legend(FILE *out, const mm_curves *c)
{
    (void)fputs("<ul class=\"keys\">", out);
    for (size_t i = 0; i < c->count; i++) {
        (void)fprintf(out, "<li><i class=\"c%zu\"></i>", i % MM_CURVE_COLOURS);
        mm_html_text_short(out, c->curves[i].name, 60);
        (void)fputs(c->curves[i].count ? "</li>" : " (not measured)</li>", out);
    }
    (void)fputs("</ul>\n", out);
}

static void print_table(FILE *out, const mm_curves *c)
{
    (void)fprintf(out, "<details><summary>Table</summary><div class=\"scroll\" tabindex=\"0\"><table class=\"numbers\">"
                       "<thead><tr><th scope=\"col\">curve</th><th scope=\"col\">%s</th><th scope=\"col\">%s</th></tr></thead>"
                       "<tbody>\n", c->x_name, c->y_name);
    for (size_t i = 0; i < c->count; i++)
        for (size_t k = 0; k < c->curves[i].count; k++) {
            (void)fputs("<tr><th scope=\"row\">", out);
            mm_html_text_short(out, c->curves[i].name, 60);
            (void)fprintf(out, "</th><td>%.*f</td><td>%.4f</td></tr>\n", c->decimals + c->diagonal, c->curves[i].x[k],
                          c->curves[i].y[k]);
        }
    (void)fputs("</tbody></table></div></details>\n", out);
}

void mm_curves_figure(FILE *out, const mm_curves *c)
{
    (void)fprintf(out, "<figure class=\"card\">\n<figcaption><h3>%s</h3><p>%s</p></figcaption>\n"
                       "<svg class=\"curves\" id=\"%s\" viewBox=\"0 0 %d %d\" role=\"img\" aria-labelledby=\"%s-title\">"
                       "<title id=\"%s-title\">%s</title>",
                  c->title, c->explanation, c->id, MM_CHART_WIDTH, MM_CHART_HEIGHT, c->id, c->id, c->title);
    print_frame(out, c);
    for (size_t i = 0; i < c->count; i++)
        print_curve(out, c, i);
    (void)fputs("</svg>\n", out);
    print_legend(out, c);
    print_table(out, c);
    (void)fputs("</figure>\n", out);
}
