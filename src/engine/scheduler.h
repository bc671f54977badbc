/* Who makes which images: batches in the order of their ids, sized by measured time. Plain values, no ranks talk here;
 * rank 0's service thread is the only caller, so there is no lock. */
#ifndef MM_ENGINE_SCHEDULER_H
#define MM_ENGINE_SCHEDULER_H

#include <stdbool.h>
#include <stdint.h>

#include "maskmill/status.h"

typedef struct mm_batch {
    uint64_t first, count; /* images first .. first + count - 1 */
} mm_batch;

typedef enum mm_turn {
    MM_TURN_BATCH = 0, /* make these */
    MM_TURN_LATER,     /* ask again with nothing in hand: the few that are left are for whoever is free first */
    MM_TURN_OVER       /* all images are handed out */
} mm_turn;

typedef struct mm_scheduler mm_scheduler;

/* Images 0 .. images-1 for ranks 0 .. ranks-1. */
MM_RESULT_USED mm_status mm_scheduler_new(uint64_t images, int ranks, mm_scheduler **scheduler, mm_error *err);
void mm_scheduler_free(mm_scheduler *scheduler);

/* A rank has made this many more images in so many seconds. */
void mm_scheduler_measured(mm_scheduler *scheduler, int rank, uint64_t images, double seconds);

/* The next batch for a rank. `ahead`: it asks while it still has images in hand. Every image is handed out once. */
mm_turn mm_scheduler_next(mm_scheduler *scheduler, int rank, bool ahead, mm_batch *batch);

#endif
