/* The attempts that a run took, in OUT/journal/attempts.json while it is not complete, and in run.json then; and
 * OUT/journal/suspects, the images that were in hand when one of them died. Rank 0's. */
#ifndef MM_ENGINE_ATTEMPTS_H
#define MM_ENGINE_ATTEMPTS_H

#include <jansson.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

#include "engine/recover.h"

typedef struct mm_attempts mm_attempts;

/* One more begins: what the last one left in hand is added to the suspects, its counts are noted, and its notes are
 * removed. `out` has a folder `journal`. */
MM_RESULT_USED mm_status mm_attempts_begin(const char *out, const char *host, int ranks, time_t started,
                                           const mm_recovered *recovered, mm_attempts **attempts, mm_error *err);
void mm_attempts_free(mm_attempts *attempts);

/* Of all attempts but this one, in no order; not all may be undone. */
const uint64_t *mm_attempts_suspects(const mm_attempts *attempts, size_t *count);

/* This attempt has begun so many images: for run.json. */
MM_RESULT_USED mm_status mm_attempts_end(mm_attempts *attempts, uint64_t begun, mm_error *err);
/* A JSON array, one object an attempt: started, host, ranks, images_kept (found at its start), suspects, bytes_cut,
 * images_begun, and in_hand where it died. The caller gets a reference of its own, NULL without memory. */
json_t *mm_attempts_json(const mm_attempts *attempts);

#endif
