/* The shared part of a run: images are handed out, made, sent to the owners of their shards, and written. What making
 * and writing mean is the caller's: this file knows ranks, images and shards only.
 *
 * Threads of a rank: the caller's own makes images; the service thread hands them out (rank 0) and gathers records (the
 * owners); the writer thread commits whole shards. See docs/run.md. */
#ifndef MM_ENGINE_SHARE_H
#define MM_ENGINE_SHARE_H

#include "engine/messages.h"
#include "maskmill/comm.h"
#include "maskmill/journal.h"

typedef struct mm_share_plan {
    uint64_t images; /* at least 1; the same on all ranks */
    uint32_t images_per_shard;
    void *user;
    /* Make one image, in the caller's thread: *record, which the caller frees, and in *why the reason's status if it
     * was set aside. Anything but MM_OK stops the run. */
    mm_status (*make)(void *user, uint64_t image_id, mm_record *record, mm_status *why, mm_error *err);
    /* Write and commit a shard, in the writer's thread. Anything but MM_OK stops the run. */
    mm_status (*commit)(void *user, uint64_t shard, uint64_t first_image, const mm_record *records, size_t count,
                        mm_error *err);
    /* On rank 0, in the service thread: one image of any rank is finished; some milliseconds have passed. The first
     * stops the run if it fails. */
    mm_status (*finished)(void *user, const mm_finished *finished, mm_error *err);
    void (*tick)(void *user);
} mm_share_plan;

/* Collective. Returns on all ranks with the same status and text, when every shard is committed or after a fault. */
MM_RESULT_USED mm_status mm_share_images(mm_comm *comm, const mm_share_plan *plan, mm_error *err);

/* Seconds on a clock that only goes forward. */
double mm_seconds_now(void);

#endif
