/* The folders that a walk has come through, by what they are and not by name. */
#ifndef MM_CORPUS_SEEN_H
#define MM_CORPUS_SEEN_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/stat.h>

#include "maskmill/status.h"

typedef struct mm_seen {
    struct mm_seen_folder *table; /* open addressing, a power of two */
    size_t count, room;
} mm_seen;

/* Notes a folder of a source; *again says that it was there already. */
MM_RESULT_USED mm_status mm_seen_note(mm_seen *seen, size_t source, const struct stat *info, bool *again,
                                      mm_error *err);
void mm_seen_free(mm_seen *seen);

#endif
