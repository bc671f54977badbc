/* Images that were in hand when an earlier attempt died: each is made in a process of its own, so that one that
 * kills it again kills nothing else. Both ends are here.
 *
 * The child is this program executed anew (posix_spawn), not a fork that goes on: the threads, locks and network
 * memory of MPI, OpenMP and HDF5 do not survive a fork, and a child of a rank must not speak to the other ranks. It
 * calls no MPI. */
#ifndef MM_ENGINE_SUSPECT_H
#define MM_ENGINE_SUSPECT_H

#include "engine/setup.h"
#include "maskmill/journal.h"

typedef struct mm_suspect_job {
    const char *program, *out;
    const mm_setup *setup;
    void *user;
    bool (*give_up)(void *user); /* asked now and then: the child is killed if so */
} mm_suspect_job;

/* The image's record, set aside if the child died; *why as in mm_share_plan.make. MM_ERR_STOPPED if it was given
 * up, any other failure if the child could not be started or failed in a way that is not the image's. */
MM_RESULT_USED mm_status mm_suspect_make(const mm_suspect_job *job, uint64_t image_id, mm_record *record,
                                         mm_status *why, mm_error *err);

#endif
