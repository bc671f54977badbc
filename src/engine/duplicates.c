#include "engine/duplicates.h"

#include <inttypes.h>
#include <stdio.h>
#include <time.h>

/* Every ten seconds a line: with millions of images this takes its time. */
static void tell_hashing(void *user, uint64_t done, uint64_t total)
{
    time_t *last = user;
    if (time(NULL) - *last < 10)
        return;
    *last = time(NULL);
    (void)fprintf(stderr, "looking for near-duplicates: %" PRIu64 "/%" PRIu64 " images\n", done, total);
}

mm_status mm_find_duplicates(mm_comm *comm, const mm_config *config, mm_manifest *manifest, bool quiet, mm_error *err)
{
    time_t told = time(NULL);
    const mm_hash_options options = {.progress = quiet ? NULL : tell_hashing,
                                     .user = &told,
                                     .ignore_orientation = config->image.ignore_orientation,
                                     .max_pixels = config->image.max_pixels,
                                     .max_bytes = config->image.max_bytes};
    if (config->corpus.duplicates == MM_DUPLICATES_KEEP)
        return MM_OK;
    uint32_t distance = 0;
    uint64_t duplicates = 0;
    bool known = manifest && mm_manifest_grouped(manifest, &distance) &&
                 distance == config->corpus.duplicate_distance;
    mm_status status = mm_comm_broadcast(comm, 0, &known, sizeof known, err);
    if (status != MM_OK || known)
        return status;
    status = mm_corpus_hash(comm, manifest, &options, err);
    return status == MM_OK
               ? mm_corpus_group(comm, manifest, config->corpus.duplicate_distance, &duplicates, err)
               : status;
}
