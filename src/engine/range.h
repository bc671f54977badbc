/* Which shards a run is to make: all, or those that --shards names. */
#ifndef MM_ENGINE_RANGE_H
#define MM_ENGINE_RANGE_H

#include "maskmill/engine.h"

typedef struct mm_range {
    uint64_t first, end;             /* images first .. end-1; first begins a shard */
    uint64_t first_shard, shards;
} mm_range;

/* Of a corpus of `images`, at least one. A range that reaches beyond the last shard ends with it; one that begins
 * beyond it has no shards. */
void mm_range_of(const mm_run_options *options, uint64_t images, uint32_t images_per_shard, mm_range *range);

#endif
