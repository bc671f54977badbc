/* How far a run is, for outside eyes: OUT/progress.json, which the run replaces in one step every few seconds, and what
 * `maskmill status` makes of it. docs/run.md has the file's keys. */
#ifndef MASKMILL_PROGRESS_H
#define MASKMILL_PROGRESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "maskmill/status.h"

typedef enum mm_run_state {
    MM_RUN_RUNNING = 0, /* images are being made */
    MM_RUN_CLOSING,     /* all are made; dataset.h5 and the other books are being written */
    MM_RUN_DONE,
    MM_RUN_STOPPED, /* by a signal or a full disk: can be resumed */
    MM_RUN_FAILED   /* by a fault, which `reason` tells */
} mm_run_state;

enum { MM_PROGRESS_SILENT = 8 }; /* so many silent ranks are named */

/* Images per second are of this attempt; negative where nothing is known yet. Times are seconds, moments seconds since
 * 1970. */
typedef struct mm_run_progress {
    mm_run_state state;
    char reason[MM_ERROR_TEXT]; /* why it stopped or failed; else empty */
    char host[256], job[64];    /* of rank 0; the scheduler's job number, or empty */
    int64_t pid;
    double started, updated, interval; /* updated every `interval` while the run lives */
    uint64_t images_total, images_done, images_set_aside, masks;
    uint64_t images_before; /* of images_done + images_set_aside: those of earlier attempts */
    double elapsed, images_per_second, images_per_second_now, left;
    uint32_t ranks;
    uint32_t slowest_rank, fastest_rank;
    double slowest, median, fastest;     /* images per second of single ranks */
    uint32_t silent_count;               /* ranks not heard of for `silent_after` seconds */
    uint32_t silent[MM_PROGRESS_SILENT]; /* the first of them */
    double silent_after;
} mm_run_progress;

const char *mm_run_state_name(mm_run_state state);

/* progress.json's text; the caller frees it. NULL without memory. */
char *mm_run_progress_to_json(const mm_run_progress *progress);
/* From untrusted text: MM_ERR_FORMAT if it is no progress of a run. `path` is for the message. */
MM_RESULT_USED mm_status mm_run_progress_from_json(const char *text, size_t size, const char *path,
                                                   mm_run_progress *progress, mm_error *err);

typedef enum mm_run_life {
    MM_LIFE_ENDED = 0, /* done, stopped or failed, and said so */
    MM_LIFE_ALIVE,     /* a sign of life not long ago */
    MM_LIFE_SILENT,    /* none for longer than a live run keeps still */
    MM_LIFE_DEAD       /* its process is no more on this very host */
} mm_run_life;

/* One run: OUT itself, or a part folder of an array of jobs. */
typedef struct mm_run_status {
    char *folder;
    mm_run_progress progress;
    mm_run_life life;
    double age; /* seconds since the last sign of life, at least 0 */
} mm_run_status;

typedef struct mm_run_statuses {
    char *folder; /* OUT */
    mm_run_status *runs;
    size_t count;
    bool parts;     /* runs are OUT/part-... */
    size_t waiting; /* part folders in which no run has begun yet */
} mm_run_statuses;

/* Of OUT/progress.json; where there is none, of every OUT/part-NAME/progress.json, sorted by name. MM_ERR_IO if there
 * is neither. The time of OUT/lock, where it is there, is a sign of life, too. `now` is seconds since 1970. The caller
 * frees *statuses. */
MM_RESULT_USED mm_status mm_run_status_read(const char *out, double now, mm_run_statuses *statuses, mm_error *err);
void mm_run_status_free(mm_run_statuses *statuses);
/* Counts of all added up, paces of those that are alive. It is alive if one of them is, and as well as the worst
 * otherwise; `folder` is NULL. */
mm_run_status mm_run_status_sum(const mm_run_statuses *statuses);

/* For people, and as one JSON object. Errors of writing stay with the stream. */
void mm_run_status_print_text(const mm_run_statuses *statuses, FILE *out);
MM_RESULT_USED mm_status mm_run_status_print_json(const mm_run_statuses *statuses, FILE *out, mm_error *err);

#endif
