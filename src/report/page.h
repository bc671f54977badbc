/* What the parts of the page are made of. Each function writes one section and gets all it needs from here. */
#ifndef MM_REPORT_PAGE_H
#define MM_REPORT_PAGE_H

#include "maskmill/report.h"
#include "report/chart.h"
#include "report/photograph.h"
#include "report/run_json.h"
#include "report/set_aside.h"
#include "stats/distribution.h"

typedef struct mm_page {
    const mm_report_options *options;
    const mm_dataset *dataset;
    const char *name; /* of the dataset's folder */
    mm_stats *stats;
    mm_distribution distributions[MM_DISTRIBUTIONS];
    mm_config config;
    bool has_config; /* false: written by another version, with keys that are not known here */
    json_t *run;     /* run.json, or NULL */
    char run_trouble[MM_ERROR_TEXT]; /* why there is none, or empty */
    mm_aside *aside;
    char aside_trouble[MM_ERROR_TEXT];
    FILE *out;
} mm_page;

void mm_page_overview(const mm_page *page);
void mm_page_masks(const mm_page *page);     /* section_charts.c */
void mm_page_scores(const mm_page *page);    /* section_charts.c */
void mm_page_further(const mm_page *page);   /* section_further.c */
void mm_page_images(const mm_page *page);    /* section_charts.c */
void mm_page_funnel(const mm_page *page);    /* section_tables.c */
void mm_page_times(const mm_page *page);     /* section_tables.c */
void mm_page_set_aside(const mm_page *page); /* section_tables.c */
void mm_page_samples(const mm_page *page);   /* section_samples.c */
void mm_page_origin(const mm_page *page);    /* section_origin.c */

/* Whether there are masks that the grid did not give, or further ones beside the masks. */
bool mm_page_has_further(const mm_page *page);
/* Of mm_page_further, with its colours: photographs with what people made, confident masks and hints. section_samples.c */
void mm_page_further_samples(const mm_page *page);

/* Parts of sections with charts; section_charts.c. */
void mm_page_begin_section(FILE *out, const char *id, const char *title, const char *text);
/* `layout` is one of the style sheet's classes. */
void mm_page_figure(FILE *out, const mm_histogram *h, const char *layout, const char *explanation, const char *published);
/* The whole range from 0 to 1 for shapes; for scores, which crowd at the top, from the tenth below all there is. */
void mm_page_unit_range(mm_histogram *h, bool whole);

/* The page's style sheet: style.css, made a string by the build. */
extern const char mm_page_style[];

#endif
