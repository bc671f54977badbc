/* quarantine.tsv as the report shows it: grouped by what went wrong, and a bounded list. */
#ifndef MM_REPORT_SET_ASIDE_H
#define MM_REPORT_SET_ASIDE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "maskmill/status.h"

enum { MM_ASIDE_GROUPS = 40, MM_ASIDE_EXAMPLES = 3, MM_ASIDE_LISTED = 200 };

typedef struct mm_aside_row {
    char *image_id, *path, *status, *reason;
} mm_aside_row;

typedef struct mm_aside_group {
    char *status, *reason; /* numbers in the reason are N, paths are … */
    uint64_t count;
    char *examples[MM_ASIDE_EXAMPLES]; /* paths; NULL behind the last */
} mm_aside_group;

typedef struct mm_aside {
    bool found; /* there is a file */
    uint64_t count;
    mm_aside_group groups[MM_ASIDE_GROUPS]; /* most frequent first */
    size_t group_count;
    uint64_t ungrouped; /* rows of further kinds */
    mm_aside_row rows[MM_ASIDE_LISTED]; /* the first ones */
    size_t row_count;
} mm_aside;

/* From an untrusted file; one that is not there leaves *aside empty. MM_ERR_FORMAT if it has no such columns. The
 * caller frees, also after a failure. */
MM_RESULT_USED mm_status mm_aside_read(const char *path, mm_aside *aside, mm_error *err);
void mm_aside_free(mm_aside *aside);

#endif
