/* The thread of an owner that keeps records: each goes into its shard's journal as it comes, and a shard whose
 * records are all there goes to the writer. The service thread gives; it never waits for the disk. How much waits
 * here is bounded by what ranks may have on the way (share.c). */
#ifndef MM_ENGINE_KEEPER_H
#define MM_ENGINE_KEEPER_H

#include <stdbool.h>

#include "engine/owner.h"

typedef struct mm_keeper_options {
    mm_owner *owner;     /* the keeper's alone while it lives */
    double sync_seconds; /* how long a record may wait for the disk; 0: no record is answered for before it is there */
    void *user;
    /* All in the keeper's thread. `kept`: the record is in the journal, or was dropped (`lost`) after a failure;
     * either way it is out of the sender's hands. `whole`: all records of a shard are in; the journal belongs to
     * the function. `failed`: once; records that come later are dropped. */
    void (*kept)(void *user, int maker, uint64_t image_id, bool lost);
    void (*whole)(void *user, mm_journal *journal);
    void (*failed)(void *user, mm_status status, const mm_error *err);
} mm_keeper_options;

typedef struct mm_keeper mm_keeper;

MM_RESULT_USED mm_status mm_keeper_start(const mm_keeper_options *options, mm_keeper **keeper, mm_error *err);
/* Queue a record, bytes[size] (malloc'd, now the keeper's), which rank `maker` made. Does not wait. */
MM_RESULT_USED mm_status mm_keeper_give(mm_keeper *keeper, int maker, uint64_t image_id, uint8_t *bytes, size_t size,
                                        mm_error *err);
/* From now on, sync as soon as the queue is empty. Does not wait. */
void mm_keeper_hurry(mm_keeper *keeper);
/* After mm_keeper_hurry: nothing is queued, and all is on the disk (or writing failed). */
bool mm_keeper_is_through(mm_keeper *keeper);
/* Keep what is queued, sync, end the thread. NULL is fine. */
void mm_keeper_stop(mm_keeper *keeper);

#endif
