/* OUT/lock: who writes into this folder. It keeps a second run out, and tells a stale lock from a live one.
 *
 * Text, a key and a value a line: host, boot (the machine's boot id), space (its pid namespace), pid, start (the
 * process's start time, for pids are used again), job (a scheduler's job id and how often that was restarted),
 * token, beats. It comes into being by link(2), which is atomic on network file systems, too, where flock is not to
 * be relied on. Its time of change is the heartbeat: refreshed every 10 seconds, and compared with that of a file
 * made in the same folder just now, so that one clock, the file server's, tells both. A lock is stale if its
 * process was on this machine and is no more, if it is of an earlier start of the same job, or if its heart has not
 * beaten for two minutes. */
#ifndef MM_ENGINE_LOCK_H
#define MM_ENGINE_LOCK_H

#include <stdbool.h>
#include <stddef.h>

#include "maskmill/status.h"

typedef struct mm_lock mm_lock;

/* Is there a live run in `out`? MM_ERR_USAGE with its host, process and job if so. Changes nothing that stays. */
MM_RESULT_USED mm_status mm_lock_inspect(const char *out, mm_error *err);
/* Take the lock of a folder that is there; if a stale one was in the way, note[size] says whose (else it is empty). A
 * thread refreshes it from now on. */
MM_RESULT_USED mm_status mm_lock_take(const char *out, mm_lock **lock, char *note, size_t size, mm_error *err);
/* False once the lock was found to be somebody else's: this process slept too long, and another took it for dead. */
bool mm_lock_is_held(mm_lock *lock);
/* Remove the file if it is still ours, end the thread. NULL is fine. */
void mm_lock_release(mm_lock *lock);
/* For the last moment of a process: remove the file, leave everything else. Other threads may go on. NULL is fine. */
void mm_lock_drop(mm_lock *lock);

#endif
