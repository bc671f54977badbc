#include "engine/range.h"

void mm_range_of(const mm_run_options *options, uint64_t images, uint32_t images_per_shard, mm_range *range)
{
    const uint64_t all = images / images_per_shard + (images % images_per_shard != 0);
    *range = (mm_range){.end = images, .shards = all};
    if (!options->only_shards)
        return;
    if (options->first_shard >= all) {
        *range = (mm_range){.first = images, .end = images, .first_shard = all};
        return;
    }
    const uint64_t last = options->last_shard < all ? options->last_shard : all - 1;
    range->first_shard = options->first_shard;
    range->shards = last - options->first_shard + 1;
    range->first = options->first_shard * images_per_shard;
    if (last < all - 1)
        range->end = (last + 1) * images_per_shard;
}
