/* Which image is with whom. An image is lent to one page at a time, for some time; a page that asks for anything about
 * its image keeps it, one that was closed or lost its connection does not. Pages are known by a random number that they
 * make (a session). Nothing of this outlives the process: after a start whoever comes first has the image.
 *
 * Not thread-safe; times are seconds of mm_seconds_now. */
#ifndef MM_ANNOTATE_LEASE_H
#define MM_ANNOTATE_LEASE_H

#include "annotate/guard.h"

typedef enum mm_task_state { MM_TASK_OPEN = 0, MM_TASK_DONE, MM_TASK_SKIPPED, MM_TASK_UNUSABLE } mm_task_state;

typedef struct mm_task_counts {
    uint64_t all, done, skipped, unusable;
    uint32_t people; /* sessions that are not silent */
} mm_task_counts;

enum { MM_SESSION = 32, MM_SESSIONS = 256 };

typedef struct mm_leases mm_leases;

/* For images 0 .. count - 1. */
MM_RESULT_USED mm_status mm_leases_new(uint64_t count, double seconds, mm_leases **leases, mm_error *err);
void mm_leases_free(mm_leases *leases);

/* The number of a session, known or new: 32 hex digits. MM_ERR_USAGE if it is none, MM_ERR_LIMIT if there are too many:
 * those that were silent for longer than a lease make room. */
MM_RESULT_USED mm_status mm_session_find(mm_leases *leases, const char *session, double now, uint32_t *number,
                                         mm_error *err);
mm_bucket *mm_session_bucket(mm_leases *leases, uint32_t session);
uint32_t mm_sessions_count(const mm_leases *leases, double now); /* not silent */

/* Lend the first image from `from` on that is open and with nobody else; going round to the first once. False if there
 * is none. */
bool mm_lease_next(mm_leases *leases, uint32_t session, uint64_t from, double now, uint64_t *image);
/* The open images, with nobody else, that mm_lease_next would give after `after`, up to `most`, without lending
 * them. */
size_t mm_lease_peek(const mm_leases *leases, uint32_t session, uint64_t after, double now, uint64_t *images,
                     size_t most);
/* Lend this image, whatever its state, or lengthen the time. False if it is with somebody else. */
bool mm_lease_take(mm_leases *leases, uint32_t session, uint64_t image, double now);
void mm_lease_give_back(mm_leases *leases, uint32_t session, uint64_t image);

mm_task_state mm_task_get(const mm_leases *leases, uint64_t image);
void mm_task_set(mm_leases *leases, uint64_t image, mm_task_state state);
mm_task_counts mm_tasks_count(const mm_leases *leases, double now);

#endif
