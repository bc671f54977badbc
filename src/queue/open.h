/* Where a queue's files are, and what they say of its dataset. */
#ifndef MM_QUEUE_OPEN_H
#define MM_QUEUE_OPEN_H

#include <limits.h>

#include "queue/queue.h"

/* "folder/name". */
MM_RESULT_USED mm_status mm_queue_path(const char *folder, const char *name, char path[PATH_MAX], mm_error *err);
/* FOLDER/queue.json: where the dataset is, seen from the folder, so that both can be moved together. */
MM_RESULT_USED mm_status mm_queue_reference_write(const char *folder, const char *dataset, mm_error *err);

#endif
