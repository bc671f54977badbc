#include "engine/range.h"

#include <inttypes.h>

mm_status mm_range_of(const mm_run_options *options, uint64_t images, uint32_t images_per_shard, mm_range *range,
                      mm_error *err)
{
    const uint64_t all = images / images_per_shard + (images % images_per_shard != 0);
    *range = (mm_range){.end = images, .shards = all};
    if (!options->only_shards)
        return MM_OK;
    if (options->first_shard >= all)
        return mm_fail(err, MM_ERR_USAGE,
                       "--shards %" PRIu64 "-%" PRIu64 ": the corpus has %" PRIu64 " images, %" PRIu32
                       " a shard (output.images_per_shard), so its shards are 0-%" PRIu64,
                       options->first_shard, options->last_shard, images, images_per_shard, all - 1);
    const uint64_t last = options->last_shard < all ? options->last_shard : all - 1;
    range->first_shard = options->first_shard;
    range->shards = last - options->first_shard + 1;
    range->first = options->first_shard * images_per_shard;
    if (last < all - 1)
        range->end = (last + 1) * images_per_shard;
    return MM_OK;
}
