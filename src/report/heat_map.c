/* Mask centres as a map: cells of equal share are one path, which keeps 4096 cells small. */
#include <inttypes.h>

#include "base/format.h"
#include "report/chart.h"

enum { SIDE = MM_STATS_CENTRE_SIDE, LEVELS = 9, COARSE = 8, LENGTH = 320, MASKS_PER_CELL = 4 };

/* The counts in `side` x `side` cells. */
typedef struct map {
    int side;
    uint64_t total, most;
    uint64_t cells[SIDE * SIDE];
} map;

static map map_of(const uint64_t *centres, int side)
{
    map m = {.side = side};
    for (int y = 0; y < SIDE; y++)
        for (int x = 0; x < SIDE; x++) {
            uint64_t *cell = &m.cells[y * side / SIDE * side + x * side / SIDE];
            *cell += centres[y * SIDE + x];
            m.total += centres[y * SIDE + x];
            m.most = *cell > m.most ? *cell : m.most;
        }
    return m;
}

/* As fine as the number of masks allows: where most cells hold none or one, nothing can be seen. */
static int side_for(uint64_t total)
{
    int side = SIDE;
    while (side > COARSE && total < (uint64_t)MASKS_PER_CELL * (uint64_t)side * (uint64_t)side)
        side /= 2;
    return side;
}

/* 1 .. LEVELS for cells with masks, 0 for those without. */
static int level_of(uint64_t count, uint64_t most)
{
    if (count == 0)
        return 0;
    const int level = (int)((double)count / (double)most * LEVELS + 0.999999);
    return level < 1 ? 1 : level > LEVELS ? LEVELS : level;
}

/* Cells of one level that touch in a row are one rectangle. */
static void print_level(FILE *out, const map *m, int level)
{
    const int pixels = LENGTH / m->side;
    bool any = false;
    for (int y = 0; y < m->side; y++)
        for (int x = 0; x < m->side;) {
            int end = x;
            while (end < m->side && level_of(m->cells[y * m->side + end], m->most) == level)
                end++;
            if (end == x) {
                x++;
                continue;
            }
            const int width = (end - x) * pixels;
            (void)fprintf(out, "%sM%d %dh%dv%dh-%dz", any ? "" : "<path d=\"", x * pixels, y * pixels, width,
                          pixels, width);
            any = true;
            x = end;
        }
    if (any)
        (void)fprintf(out, "\" style=\"fill:var(--heat-%d)\"/>", level);
}

/* Invisible rectangles that tell their numbers under the mouse. */
static void print_probes(FILE *out, const map *coarse)
{
    const int pixels = LENGTH / COARSE;
    char number[MM_NUMBER_TEXT], percent[MM_NUMBER_TEXT];
    (void)fputs("<g class=\"probe\">", out);
    for (int y = 0; y < COARSE; y++)
        for (int x = 0; x < COARSE; x++) {
            const uint64_t count = coarse->cells[y * COARSE + x];
            (void)fprintf(out, "<rect x=\"%d\" y=\"%d\" width=\"%d\" height=\"%d\"><title>%s masks (%s)</title></rect>",
                          x * pixels, y * pixels, pixels, pixels, mm_format_count(number, sizeof number, count),
                          mm_format_percent(percent, sizeof percent, count, coarse->total));
        }
    (void)fputs("</g>", out);
}

void mm_chart_heat_map(FILE *out, const uint64_t *centres)
{
    const map coarse = map_of(centres, COARSE);
    const map m = map_of(centres, side_for(coarse.total));
    char number[MM_NUMBER_TEXT];
    if (m.total == 0)
        return;
    (void)fprintf(out, "<svg class=\"heat\" id=\"centres-map\" viewBox=\"0 0 %d %d\" role=\"img\" "
                       "aria-labelledby=\"centres-title centres-desc\"><title id=\"centres-title\">Mask centres</title>"
                       "<desc id=\"centres-desc\">Map of %s masks by the mean position of their pixels in the frame, "
                       "%d by %d "
                       "cells. The table has it in 8 by 8.</desc><rect class=\"ground\" width=\"%d\" height=\"%d\"/>"
                       "<g shape-rendering=\"crispEdges\">",
                  LENGTH, LENGTH, mm_format_count(number, sizeof number, m.total), m.side, m.side, LENGTH, LENGTH);
    for (int level = 1; level <= LEVELS; level++)
        print_level(out, &m, level);
    (void)fputs("</g>", out);
    print_probes(out, &coarse);
    (void)fputs("</svg>\n<p class=\"legend\"><span>0</span><span class=\"ramp\" aria-hidden=\"true\">", out);
    for (int level = 1; level <= LEVELS; level++)
        (void)fprintf(out, "<i style=\"background:var(--heat-%d)\"></i>", level);
    (void)fprintf(out, "</span><span>%s masks in one of %d \xc3\x97 %d cells</span></p>\n",
                  mm_format_count(number, sizeof number, m.most), m.side, m.side);
}

void mm_chart_heat_map_table(FILE *out, const uint64_t *centres)
{
    const map coarse = map_of(centres, COARSE);
    if (coarse.total == 0)
        return;
    (void)fputs("<details><summary>Table</summary><div class=\"scroll\" tabindex=\"0\"><table class=\"numbers\">"
                "<caption>Share of "
                "the masks by eighths of the frame, left to right and top to bottom</caption><tbody>\n", out);
    for (int y = 0; y < COARSE; y++) {
        (void)fputs("<tr>", out);
        for (int x = 0; x < COARSE; x++) {
            char percent[MM_NUMBER_TEXT];
            (void)fprintf(out, "<td>%s</td>",
                          mm_format_percent(percent, sizeof percent, coarse.cells[y * COARSE + x], coarse.total));
        }
        (void)fputs("</tr>\n", out);
    }
    (void)fputs("</tbody></table></div></details>\n", out);
}
