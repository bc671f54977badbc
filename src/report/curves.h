/* Curves as inline SVG, each chart with a table of the same numbers. Colours come from the page's style sheet. */
#ifndef MM_REPORT_CURVES_H
#define MM_REPORT_CURVES_H

#include <stdbool.h>
#include <stdio.h>

enum { MM_CURVE_POINTS = 16, MM_CURVE_COLOURS = 8 };

typedef struct mm_curve {
    const char *name; /* untrusted text */
    double x[MM_CURVE_POINTS], y[MM_CURVE_POINTS]; /* y from 0 to 1 */
    size_t count;
} mm_curve;

typedef struct mm_curves {
    const char *id; /* unique on the page */
    const char *title, *explanation, *x_name, *y_name;
    const mm_curve *curves; /* curve i has the colour i modulo MM_CURVE_COLOURS */
    size_t count;
    double first, last, step; /* of the x axis, and between its ticks */
    int decimals;             /* of its numbers */
    bool diagonal;            /* a line where y is x */
} mm_curves;

/* A figure: title, chart, legend and table. Curves without points are told in the legend alone. */
void mm_curves_figure(FILE *out, const mm_curves *curves);

#endif
