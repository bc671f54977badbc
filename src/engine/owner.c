#include "engine/owner.h"

#include <inttypes.h>
#include <stdbool.h>
#include <stdlib.h>

struct mm_owner {
    uint64_t images;
    uint32_t images_per_shard;
    int rank, ranks;
    mm_gathering *open; /* few at a time, since images are handed out in order */
    bool *whole;        /* [own shards]: shard rank + i * ranks has been given away */
};

void mm_gathering_free(mm_gathering *gathering)
{
    if (!gathering)
        return;
    for (size_t i = 0; i < gathering->count; i++)
        free(gathering->records[i].bytes);
    free(gathering);
}

uint64_t mm_shard_total(uint64_t images, uint32_t images_per_shard)
{
    return images / images_per_shard + (images % images_per_shard != 0);
}

int mm_owner_rank(uint64_t image_id, uint32_t images_per_shard, int ranks)
{
    return (int)(image_id / images_per_shard % (uint64_t)ranks);
}

mm_status mm_owner_new(uint64_t images, uint32_t images_per_shard, int rank, int ranks, mm_owner **owner,
                       mm_error *err)
{
    if (images_per_shard == 0 || ranks < 1 || rank < 0 || rank >= ranks)
        return mm_fail(err, MM_ERR_INTERNAL, "an owner %d of %d ranks with %" PRIu32 " images a shard", rank, ranks,
                       images_per_shard);
    mm_owner *made = calloc(1, sizeof *made);
    if (!made)
        return mm_fail_memory(err, "the records of shards");
    const uint64_t own = mm_shard_total(images, images_per_shard) / (uint64_t)ranks + 1;
    *made = (mm_owner){images, images_per_shard, rank, ranks, NULL, calloc(own, sizeof *made->whole)};
    if (!made->whole) {
        free(made);
        return mm_fail_memory(err, "the records of shards");
    }
    *owner = made;
    return MM_OK;
}

void mm_owner_free(mm_owner *owner)
{
    if (!owner)
        return;
    while (owner->open) {
        mm_gathering *gathering = owner->open;
        owner->open = gathering->next;
        mm_gathering_free(gathering);
    }
    free(owner->whole);
    free(owner);
}

/* The link that points at the shard's gathering, or at the NULL where it would go. */
static mm_gathering **find(mm_owner *owner, uint64_t shard)
{
    mm_gathering **link = &owner->open;
    while (*link && (*link)->shard != shard)
        link = &(*link)->next;
    return link;
}

static mm_gathering *new_gathering(const mm_owner *owner, uint64_t shard)
{
    const uint64_t first = shard * owner->images_per_shard, rest = owner->images - first;
    const size_t count = rest < owner->images_per_shard ? (size_t)rest : owner->images_per_shard;
    mm_gathering *gathering = calloc(1, sizeof *gathering + count * sizeof gathering->records[0]);
    if (gathering) {
        gathering->shard = shard;
        gathering->first_image = first;
        gathering->count = count;
    }
    return gathering;
}

static mm_status put(mm_owner *owner, uint64_t image_id, mm_packed record, mm_gathering **whole, mm_error *err)
{
    if (image_id >= owner->images || mm_owner_rank(image_id, owner->images_per_shard, owner->ranks) != owner->rank)
        return mm_fail(err, MM_ERR_INTERNAL, "image %" PRIu64 " was sent to rank %d, which does not own its shard",
                       image_id, owner->rank);
    const uint64_t shard = image_id / owner->images_per_shard;
    mm_gathering **link = find(owner, shard);
    if (!*link && !owner->whole[shard / (uint64_t)owner->ranks]) {
        *link = new_gathering(owner, shard);
        if (!*link)
            return mm_fail_memory(err, "the records of a shard");
    }
    mm_gathering *gathering = *link;
    if (!gathering || gathering->records[image_id - gathering->first_image].bytes)
        return mm_fail(err, MM_ERR_INTERNAL, "image %" PRIu64 " was made twice", image_id);
    gathering->records[image_id - gathering->first_image] = record;
    if (++gathering->received == gathering->count) {
        *link = gathering->next;
        gathering->next = NULL;
        owner->whole[shard / (uint64_t)owner->ranks] = true;
        *whole = gathering;
    }
    return MM_OK;
}

mm_status mm_owner_put(mm_owner *owner, uint64_t image_id, uint8_t *bytes, size_t size, mm_gathering **whole,
                       mm_error *err)
{
    *whole = NULL;
    const mm_status status = bytes ? put(owner, image_id, (mm_packed){bytes, size}, whole, err)
                                   : mm_fail(err, MM_ERR_INTERNAL, "image %" PRIu64 " came without a record", image_id);
    if (status != MM_OK)
        free(bytes);
    return status;
}
