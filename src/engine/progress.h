/* How far the run is: counts by rank, paces, one line for people (written over on a terminal, a line now and then
 * elsewhere), and OUT/progress.json. Rank 0's service thread counts; a thread of its own writes the file, since file
 * systems of clusters may take their time and a service thread must not. */
#ifndef MM_ENGINE_PROGRESS_H
#define MM_ENGINE_PROGRESS_H

#include "maskmill/progress.h"

typedef struct mm_progress mm_progress;

typedef struct mm_progress_options {
    FILE *stream;    /* NULL: print nothing */
    bool terminal;   /* write over one line */
    int columns;     /* room for a line; 0: the terminal's, or 100 */
    const char *out; /* where progress.json goes; NULL: nowhere */
    uint64_t total;  /* images of the whole run */
    uint64_t done_before, set_aside_before, masks_before; /* by earlier attempts: counted, but no part of the pace */
    int ranks;
} mm_progress_options;

/* `now` is mm_seconds_now() here and below. That progress.json cannot be written is no reason to stop a run: it is then
 * stale, and tried again. */
MM_RESULT_USED mm_status mm_progress_begin(const mm_progress_options *options, double now, mm_progress **progress,
                                           mm_error *err);
/* A rank has finished `images` more, of which so many were set aside. All functions below take NULL and do nothing. */
void mm_progress_add(mm_progress *progress, int rank, uint64_t images, uint64_t set_aside, uint64_t masks, double now);
/* A rank gave another sign of life, such as asking for work. */
void mm_progress_heard(mm_progress *progress, int rank, double now);
/* Print if it is time: every second on a terminal, every ten seconds elsewhere. */
void mm_progress_tick(mm_progress *progress, double now);
/* No more images: the last line, which stays. */
void mm_progress_close(mm_progress *progress, double now);
/* How the run ended, as progress.json will say for good; frees. `reason` may be NULL. */
void mm_progress_end(mm_progress *progress, mm_run_state state, const char *reason, double now);

/* What progress.json is made of, for tests: moments and process are left out. */
mm_run_progress mm_progress_measure(const mm_progress *progress, double now);

#endif
