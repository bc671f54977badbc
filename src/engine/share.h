/* The shared part of a run: images are handed out, made, sent to the owners of their shards, and written. What making
 * and writing mean is the caller's: this file knows ranks, images and shards only.
 *
 * Threads of a rank: the caller's own makes images; the service thread hands them out (rank 0) and gathers records (the
 * owners); the keeper puts those into journals; the writer commits whole shards. See docs/run.md. */
#ifndef MM_ENGINE_SHARE_H
#define MM_ENGINE_SHARE_H

#include "engine/hand.h"
#include "engine/messages.h"
#include "engine/owner.h"
#include "maskmill/comm.h"
#include "maskmill/journal.h"

typedef struct mm_share_plan {
    uint64_t first, end; /* images first .. end-1, at least one, whole shards but for the last; the same on all ranks */
    uint32_t images_per_shard;
    void *user;
    /* Make one image, in the caller's thread: *record, which the caller frees, and in *why the reason's status if it
     * was set aside. `suspect`: see scheduler.h. Anything but MM_OK stops the run. */
    mm_status (*make)(void *user, uint64_t image_id, bool suspect, mm_record *record, mm_status *why, mm_error *err);
    /* Write and commit a shard, in the writer's thread. Anything but MM_OK stops the run. */
    mm_status (*commit)(void *user, uint64_t shard, uint64_t first_image, const mm_record *records, size_t count,
                        mm_error *err);
    /* On rank 0, in the service thread: an image was set aside (stops the run if it fails); a rank has made more
     * (counts those set aside, which were told before); some milliseconds have passed. */
    mm_status (*set_aside)(void *user, const mm_set_aside *image, mm_error *err);
    void (*made)(void *user, int rank, const mm_made *made);
    void (*tick)(void *user);
    /* On every rank, in the service thread, every few milliseconds; may be NULL. What signals have asked for so far
     * goes into *stop and *signal, which come as MM_STOP_NONE. Anything but MM_OK stops the run. */
    mm_status (*watch)(void *user, mm_stop *stop, int *signal, mm_error *err);
    /* After MM_STOP_NOW, in the service thread: journals are on the disk, and the computing thread is still in an
     * image. Ends the process; needed with watch only. */
    void (*leave)(void *user, const mm_verdict *verdict);
    /* This rank's shards: those that are in their places are finished, and journals hold what was made before. Its
     * keeper has it while images are shared. */
    mm_owner *owner;
    double sync_seconds; /* how long a record may wait in a journal for the disk */
    mm_hand *hand;       /* notes what is in hand; NULL: no notes */
    uint64_t shards_there; /* rank 0: of the range, in their places already, on all ranks together */
    /* On rank 0, for the scheduler (scheduler.h); may be NULL. Called before sharing begins and in the service
     * thread. */
    bool (*skip)(void *user, uint64_t image_id);
    uint64_t (*cost)(void *user, uint64_t image_id);
    const uint64_t *suspects;
    size_t suspect_count;
} mm_share_plan;

/* Collective. Returns on all ranks with the same status and text: when every shard is committed; or after a fault or a
 * signal (MM_ERR_STOPPED), when images in hand are finished and all that was made is in journals. */
MM_RESULT_USED mm_status mm_share_images(mm_comm *comm, const mm_share_plan *plan, mm_error *err);

#endif
