/* OUT/progress.json, written by a thread of its own: every few seconds, whether there is news or not, so that its time
 * is a sign of life. A file that cannot be written is tried again and never an error. */
#ifndef MM_ENGINE_PROGRESS_FILE_H
#define MM_ENGINE_PROGRESS_FILE_H

#include "maskmill/progress.h"

typedef struct mm_progress_file mm_progress_file;

/* Begins to write `first`, with host, process, job and moments filled in. */
MM_RESULT_USED mm_status mm_progress_file_start(const char *out, const mm_run_progress *first,
                                                mm_progress_file **file, mm_error *err);
/* From now on this; never waits for the file system. */
void mm_progress_file_put(mm_progress_file *file, const mm_run_progress *progress);
/* Write `last`, which stays, and free. Waits. NULL is fine. */
void mm_progress_file_stop(mm_progress_file *file, const mm_run_progress *last);

#endif
