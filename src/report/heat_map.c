/* Mask centres as a map: cells of equal share are one path, which keeps 4096 cells small. */
#include <inttypes.h>

#include "base/format.h"
#include "report/chart.h"

enum { SIDE = MM_STATS_CENTRE_SIDE, LEVELS = 9, COARSE = 8, PER_COARSE = SIDE / COARSE, CELL = 5 };

typedef struct summary {
    uint64_t total, most;
    uint64_t coarse[COARSE][COARSE];
} summary;

static summary summarise(const uint64_t *centres)
{
    summary s = {0};
    for (int y = 0; y < SIDE; y++)
        for (int x = 0; x < SIDE; x++) {
            const uint64_t count = centres[y * SIDE + x];
            s.total += count;
            s.most = count > s.most ? count : s.most;
            s.coarse[y / PER_COARSE][x / PER_COARSE] += count;
        }
    return s;
}

/* 1 .. LEVELS for cells with masks, 0 for those without. */
static int level_of(uint64_t count, uint64_t most)
{
    if (count == 0)
        return 0;
    const int level = (int)((double)count / (double)most * LEVELS + 0.999999);
    return level < 1 ? 1 : level > LEVELS ? LEVELS : level;
}

static void print_level(FILE *out, const uint64_t *centres, uint64_t most, int level)
{
    bool any = false;
    for (int y = 0; y < SIDE; y++)
        for (int x = 0; x < SIDE;) {
            int end = x;
            while (end < SIDE && level_of(centres[y * SIDE + end], most) == level)
                end++;
            if (end == x) {
                x++;
                continue;
            }
            (void)fprintf(out, "%sM%d %dh%dv%dh-%dz", any ? "" : "<path d=\"", x * CELL, y * CELL, (end - x) * CELL, CELL,
                          (end - x) * CELL);
            any = true;
            x = end;
        }
    if (any)
        (void)fprintf(out, "\" style=\"fill:var(--heat-%d)\"/>", level);
}

void mm_chart_heat_map(FILE *out, const uint64_t *centres)
{
    const summary s = summarise(centres);
    char number[MM_NUMBER_TEXT], percent[MM_NUMBER_TEXT];
    if (s.total == 0)
        return;
    (void)fprintf(out, "<svg class=\"heat\" id=\"centres-map\" viewBox=\"0 0 %d %d\" role=\"img\" aria-labelledby=\"centres-title "
                       "centres-desc\"><title id=\"centres-title\">Mask centres</title><desc id=\"centres-desc\">Map of %s "
                       "masks by the mean position of their pixels in the frame, %d by %d cells. The table has it in 8 by 8.</desc>"
                       "<rect class=\"ground\" width=\"%d\" height=\"%d\"/><g shape-rendering=\"crispEdges\">",
                  SIDE * CELL, SIDE * CELL, mm_format_count(number, sizeof number, s.total), SIDE, SIDE, SIDE * CELL,
                  SIDE * CELL);
    for (int level = 1; level <= LEVELS; level++)
        print_level(out, centres, s.most, level);
    (void)fputs("</g><g class=\"probe\">", out);
    for (int y = 0; y < COARSE; y++)
        for (int x = 0; x < COARSE; x++)
            (void)fprintf(out, "<rect x=\"%d\" y=\"%d\" width=\"%d\" height=\"%d\"><title>%s masks (%s)</title></rect>",
                          x * PER_COARSE * CELL, y * PER_COARSE * CELL, PER_COARSE * CELL, PER_COARSE * CELL,
                          mm_format_count(number, sizeof number, s.coarse[y][x]),
                          mm_format_percent(percent, sizeof percent, s.coarse[y][x], s.total));
    (void)fputs("</g></svg>\n<p class=\"legend\"><span>0</span><span class=\"ramp\" aria-hidden=\"true\">", out);
    for (int level = 1; level <= LEVELS; level++)
        (void)fprintf(out, "<i style=\"background:var(--heat-%d)\"></i>", level);
    (void)fprintf(out, "</span><span>%s masks a cell</span></p>\n", mm_format_count(number, sizeof number, s.most));
}

void mm_chart_heat_map_table(FILE *out, const uint64_t *centres)
{
    const summary s = summarise(centres);
    if (s.total == 0)
        return;
    (void)fputs("<details><summary>Table</summary><div class=\"scroll\"><table class=\"numbers\"><caption>Share of the masks by eighths "
                "of the frame, left to right and top to bottom</caption><tbody>\n", out);
    for (int y = 0; y < COARSE; y++) {
        (void)fputs("<tr>", out);
        for (int x = 0; x < COARSE; x++) {
            char percent[MM_NUMBER_TEXT];
            (void)fprintf(out, "<td>%s</td>", mm_format_percent(percent, sizeof percent, s.coarse[y][x], s.total));
        }
        (void)fputs("</tr>\n", out);
    }
    (void)fputs("</tbody></table></div></details>\n", out);
}
