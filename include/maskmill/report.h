/* The report: one HTML page about a dataset that needs nothing else, neither scripts nor other files. docs/report.md
 * says what is on it. */
#ifndef MASKMILL_REPORT_H
#define MASKMILL_REPORT_H

#include <stdint.h>
#include <stdio.h>

#include "maskmill/status.h"

enum { MM_REPORT_SAMPLES = 12, MM_REPORT_MOST_SAMPLES = 200 };

typedef struct mm_report_options {
    const char *corpus; /* where the photographs are now, if they were moved; or NULL */
    uint32_t samples;   /* pictures with masks, spread evenly over the dataset; at most MM_REPORT_MOST_SAMPLES */
} mm_report_options;

/* Of the dataset at `path` (as mm_dataset_open takes it). Fails where there is no dataset; what else is missing
 * (run.json, quarantine.tsv, photographs) is said on the page. Equal datasets give equal pages. Errors of writing to
 * `out` stay with the stream. */
MM_RESULT_USED mm_status mm_report_html(const char *path, const mm_report_options *options, FILE *out, mm_error *err);

#endif
