/* quarantine.tsv: the images that were set aside, and why. Header line, then image_id, path, status, reason, sorted by
 * image_id, separated by tabs; tabs, line ends and backslashes in a path are written as \t, \n, \r and \\. */
#ifndef MM_ENGINE_QUARANTINE_H
#define MM_ENGINE_QUARANTINE_H

#include <stddef.h>
#include <stdint.h>

#include "maskmill/corpus.h"

typedef struct mm_quarantined {
    uint64_t image_id;
    mm_status status;
    char *reason;
} mm_quarantined;

typedef struct mm_quarantine {
    mm_quarantined *items;
    size_t count, room;
} mm_quarantine;

MM_RESULT_USED mm_status mm_quarantine_add(mm_quarantine *quarantine, uint64_t image_id, mm_status status,
                                           const char *reason, mm_error *err);
/* Sorts, and writes OUT/quarantine.tsv; nothing if there are none. */
MM_RESULT_USED mm_status mm_quarantine_write(mm_quarantine *quarantine, const mm_manifest *manifest, const char *out,
                                             mm_error *err);
void mm_quarantine_free(mm_quarantine *quarantine);

#endif
