/* run.json: how a dataset was made, times and machines included (none of which a shard may hold). */
#ifndef MM_ENGINE_REPORT_H
#define MM_ENGINE_REPORT_H

#include <jansson.h>
#include <time.h>

#include "engine/setup.h"

typedef enum mm_stage {
    MM_STAGE_READ = 0, /* bytes of the file */
    MM_STAGE_JPEG,     /* to pixels */
    MM_STAGE_ENCODE,   /* resize and image encoder */
    MM_STAGE_DECODE,   /* prompts and mask decoder */
    MM_STAGE_MASKS,    /* logits to masks, filters, NMS */
    MM_STAGE_COUNT
} mm_stage;

/* What each rank tells at the end. */
typedef struct mm_rank_report {
    char host[256];
    char kernels[256]; /* mm_kernels_describe */
    double seconds[MM_STAGE_COUNT];
    uint64_t begun; /* images, in this attempt */
} mm_rank_report;

typedef struct mm_report {
    const mm_run_options *options;
    const mm_setup *setup;
    const mm_run_summary *summary;
    const mm_rank_report *ranks; /* in rank order; sums are made in this order */
    size_t rank_count;
    time_t started, ended; /* of the last attempt */
    json_t *attempts;      /* mm_attempts_json; the caller's */
} mm_report;

/* Put OUT/run.json in its place. */
MM_RESULT_USED mm_status mm_report_write(const mm_report *report, mm_error *err);
/* The counts in the OUT/run.json of a run that has ended. */
MM_RESULT_USED mm_status mm_report_read(const char *out, mm_run_summary *summary, mm_error *err);

#endif
