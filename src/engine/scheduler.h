/* Who makes which images. Plain values, no ranks talk here; rank 0's service thread is the only caller, so there is no
 * lock.
 *
 * Ids are handed out window by window, a window being a few shards, so that shards become whole one after the other and
 * few records wait. Within a window the costliest go first: what comes last, and decides when the run ends, is small.
 * A batch is sized by the time its images will take. */
#ifndef MM_ENGINE_SCHEDULER_H
#define MM_ENGINE_SCHEDULER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "maskmill/status.h"

enum { MM_BATCH_MAX = 64 };

typedef struct mm_batch {
    uint32_t count; /* 1 .. MM_BATCH_MAX */
    bool suspect;   /* then count is 1: it was in hand when an earlier run died, and may kill who makes it */
    uint64_t image_ids[MM_BATCH_MAX];
} mm_batch;

typedef enum mm_turn {
    MM_TURN_BATCH = 0, /* make these */
    MM_TURN_LATER,     /* ask again with nothing in hand: the few that are left are for whoever is free first */
    MM_TURN_OVER       /* all images are handed out */
} mm_turn;

typedef struct mm_scheduler_plan {
    uint64_t first, end;       /* images first .. end-1; may be none */
    uint32_t images_per_shard; /* at least 1 */
    int ranks;                 /* 0 .. ranks-1 ask */
    double batch_seconds;      /* how long a batch is to take; 0: 4 s, more with more than 16000 ranks */
    void *user;
    /* True for what is not to be made (an earlier run did). Asked twice for each image, in order: when the scheduler is
     * made, and when the image's turn comes; the answers must be the same. NULL: none. */
    bool (*skip)(void *user, uint64_t image_id);
    /* What the time of an image grows with, such as its pixels; 0 where unknown. NULL: unknown. Asked once an image. */
    uint64_t (*cost)(void *user, uint64_t image_id);
    /* Handed out last, one at a time, to ranks with nothing else in hand. Any order; those outside of first .. end-1
     * and those to skip are ignored. Copied. */
    const uint64_t *suspects;
    size_t suspect_count;
} mm_scheduler_plan;

typedef struct mm_scheduler mm_scheduler;

/* Memory: some bytes a rank, a window and a suspect; none for the images outside of the window. */
MM_RESULT_USED mm_status mm_scheduler_new(const mm_scheduler_plan *plan, mm_scheduler **scheduler, mm_error *err);
void mm_scheduler_free(mm_scheduler *scheduler);

/* Images to be handed out in all: first .. end-1 without those to skip, with suspects. */
uint64_t mm_scheduler_total(const mm_scheduler *scheduler);

/* A rank has finished this many more of the images it was given, in so many seconds. */
void mm_scheduler_measured(mm_scheduler *scheduler, int rank, uint64_t images, double seconds);

/* The next batch for a rank. `ahead`: it asks while it still has images in hand. Every image is handed out once. */
mm_turn mm_scheduler_next(mm_scheduler *scheduler, int rank, bool ahead, mm_batch *batch);

#endif
