/* Charts as inline SVG, each with a table of the same numbers. Colours come from the page's style sheet. */
#ifndef MM_REPORT_CHART_H
#define MM_REPORT_CHART_H

#include <stdbool.h>
#include <stdio.h>

#include "stats/distribution.h"

/* A value marked in a histogram: a line with a label. */
typedef struct mm_chart_mark {
    double value; /* in the distribution's own unit */
    char label[64];
    bool published; /* SA-1B's rather than this dataset's */
} mm_chart_mark;

typedef struct mm_histogram {
    const char *id;          /* of the figure, unique on the page */
    const char *title, *axis, *unit; /* "Masks per image", "masks in an image", "images" */
    const mm_distribution *of;
    uint32_t first, end; /* bins shown: first .. end - 1; all others must be empty */
    const mm_chart_mark *marks;
    size_t mark_count;
} mm_histogram;

/* The drawing's frame, in its own units. */
enum { MM_CHART_WIDTH = 460, MM_CHART_HEIGHT = 236, MM_CHART_LEFT = 44, MM_CHART_RIGHT = 12, MM_CHART_TOP = 40,
       MM_CHART_BOTTOM = 42 };

/* Where a value lies in bins, with the fraction of its bin; kept within first .. end. */
double mm_chart_position(const mm_histogram *histogram, double value);
/* Height of a bar that is `count` where the axis ends at `top`; what is there at all is seen. */
double mm_chart_bar_height(uint64_t count, double top);
/* A round step (1, 2 or 5 times a power of ten) that divides 0 .. most into at most `parts`. */
double mm_chart_step(double most, int parts);
/* The bins from the first to the last that hold something, or first = end = 0. */
void mm_chart_range(const mm_distribution *of, uint32_t *first, uint32_t *end);
/* "0.40 to 0.41", "16 to 18", "55108 or more": what bin `bin` holds. */
void mm_chart_bin_label(const mm_distribution *of, uint32_t bin, char *text, size_t size);

/* The svg element, and the details element with the table; nothing at all for a distribution without counts. */
void mm_chart_histogram(FILE *out, const mm_histogram *histogram);
void mm_chart_histogram_table(FILE *out, const mm_histogram *histogram);

/* Mask centres, MM_STATS_CENTRE_SIDE a side; the table has 8 x 8 cells. */
void mm_chart_heat_map(FILE *out, const uint64_t *centres);
void mm_chart_heat_map_table(FILE *out, const uint64_t *centres);

/* A bar as long as a part of the whole, for a table's cell. */
void mm_chart_share(FILE *out, double part, double whole);

#endif
