/* A folder under way, NAME.part, that becomes NAME in one step. One process at a time works in it. */
#ifndef MM_QUEUE_PART_H
#define MM_QUEUE_PART_H

#include <limits.h>

#include "engine/lock.h"

typedef struct mm_part_folder {
    const char *name;    /* the caller's */
    char path[PATH_MAX]; /* NAME.part */
    mm_lock *lock;       /* held from mm_part_begin on */
} mm_part_folder;

/* Fill in name and path; nothing is made. */
MM_RESULT_USED mm_status mm_part_name(mm_part_folder *part, const char *name, mm_error *err);
/* MM_ERR_USAGE if NAME is there, or if a live process is in NAME.part. Makes the folder; what is in it stays. `what` is
 * a word for messages. */
MM_RESULT_USED mm_status mm_part_begin(mm_part_folder *part, const char *what, mm_error *err);
/* Rename, and fsync of the folder above. */
MM_RESULT_USED mm_status mm_part_finish(mm_part_folder *part, mm_error *err);
/* Give the lock back, if it is held; the folder stays. */
void mm_part_leave(mm_part_folder *part);

#endif
