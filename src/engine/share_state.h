/* The parts of share.c: what one rank knows while images are shared, and who may look at it. */
#ifndef MM_ENGINE_SHARE_STATE_H
#define MM_ENGINE_SHARE_STATE_H

#include <pthread.h>

#include "engine/halt.h"
#include "engine/keeper.h"
#include "engine/share.h"
#include "engine/writer.h"

typedef struct mm_share {
    mm_comm *comm;
    mm_share_plan plan;
    mm_service *service;
    mm_keeper *keeper;
    mm_writer *writer;
    mm_journal **whole; /* [whole_count]: until the writer gets them */
    size_t whole_count;

    /* The service thread's own. */
    mm_halt halt;
    bool watch_failed;
    mm_scheduler *scheduler; /* rank 0 */
    uint64_t images_left, shards_left; /* rank 0: not yet reported as finished, as written */
    bool end_sent;                     /* rank 0 */

    pthread_mutex_t lock; /* guards what follows: what the service tells the computing thread */
    pthread_cond_t news;
    bool has_turn, halted, ended;
    unsigned unkept; /* records sent and not answered for */
    uint64_t lost;   /* ... and dropped, as a journal has failed */
    mm_turn_reply turn;
    mm_verdict verdict; /* once ended */
} mm_share;

/* Sending, from any thread. A message that cannot even be queued ends all ranks. The first takes `bytes`, the
 * second copies. A fault is what stops the run; it goes to rank 0 with this rank's name in front. */
void mm_share_give_bytes(mm_share *share, int rank, int tag, uint8_t *bytes, size_t size);
void mm_share_give(mm_share *share, int rank, int tag, const void *value, size_t size);
void mm_share_give_fault(mm_share *share, mm_status status, const mm_error *err);

/* The run was halted or has ended; it has ended. */
bool mm_share_must_stop(mm_share *share);
bool mm_share_has_ended(mm_share *share);

/* share_serve.c: the service's functions; `user` is the share. */
void mm_share_receive(void *user, int source, int tag, uint8_t *bytes, size_t size);
void mm_share_tick(void *user);

/* share_make.c: what the computing thread does, in this order: make images until there are none or the run is
 * halted; say that this rank has nothing in hand; wait for the end, whose status it returns. */
MM_RESULT_USED mm_status mm_share_make_images(mm_share *share, mm_error *err);
void mm_share_tell_idle(mm_share *share);
MM_RESULT_USED mm_status mm_share_wait_for_end(mm_share *share, mm_error *err);

#endif
