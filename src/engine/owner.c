#include "engine/owner.h"

#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Journals with an open file. Images come nearly in order, so few are in use; the others open again when needed. */
enum { OPEN_FILES = 32 };

typedef struct own_shard {
    mm_journal *journal;
    bool finished;
} own_shard;

struct mm_owner {
    mm_owner_plan plan;
    char *folder;
    uint64_t first_shard; /* the first of this rank's */
    size_t count;
    own_shard *shards;
    mm_journal *open[OPEN_FILES]; /* most recently used first */
};

uint64_t mm_shard_total(uint64_t images, uint32_t images_per_shard)
{
    return images / images_per_shard + (images % images_per_shard != 0);
}

int mm_owner_rank(uint64_t image_id, uint32_t images_per_shard, int ranks)
{
    return (int)(image_id / images_per_shard % (uint64_t)ranks);
}

/* Of the shards that the images first .. end-1 are in, those that are rank's modulo ranks. */
static void find_own(mm_owner *owner)
{
    const mm_owner_plan *plan = &owner->plan;
    const uint64_t ranks = (uint64_t)plan->ranks, rank = (uint64_t)plan->rank;
    const uint64_t start = plan->first / plan->images_per_shard;
    const uint64_t stop = mm_shard_total(plan->end, plan->images_per_shard);
    owner->first_shard = start + (rank + ranks - start % ranks) % ranks;
    owner->count = owner->first_shard < stop ? (size_t)((stop - owner->first_shard - 1) / ranks + 1) : 0;
}

mm_status mm_owner_new(const mm_owner_plan *plan, mm_owner **owner, mm_error *err)
{
    if (plan->images_per_shard == 0 || plan->ranks < 1 || plan->rank < 0 || plan->rank >= plan->ranks ||
        plan->end < plan->first || plan->first % plan->images_per_shard != 0)
        return mm_fail(err, MM_ERR_INTERNAL,
                       "an owner %d of %d ranks for images %" PRIu64 " to %" PRIu64 " with %" PRIu32 " a shard",
                       plan->rank, plan->ranks, plan->first, plan->end, plan->images_per_shard);
    mm_owner *made = calloc(1, sizeof *made);
    if (!made)
        return mm_fail_memory(err, "the journals of shards");
    made->plan = *plan;
    find_own(made);
    made->folder = strdup(plan->folder);
    made->shards = calloc(made->count + 1, sizeof *made->shards);
    if (!made->folder || !made->shards) {
        mm_owner_free(made);
        return mm_fail_memory(err, "the journals of shards");
    }
    *owner = made;
    return MM_OK;
}

void mm_owner_free(mm_owner *owner)
{
    if (!owner)
        return;
    for (size_t i = 0; owner->shards && i < owner->count; i++)
        mm_journal_close(owner->shards[i].journal);
    free(owner->shards);
    free(owner->folder);
    free(owner);
}

size_t mm_owner_count(const mm_owner *owner)
{
    return owner->count;
}

uint64_t mm_owner_shard(const mm_owner *owner, size_t i)
{
    return owner->first_shard + (uint64_t)i * (uint64_t)owner->plan.ranks;
}

mm_journal_origin mm_owner_origin(const mm_owner *owner, uint64_t shard)
{
    const mm_owner_plan *plan = &owner->plan;
    mm_journal_origin origin = {.shard = shard, .first_image = shard * plan->images_per_shard};
    const uint64_t rest = plan->end - origin.first_image;
    origin.images = rest < plan->images_per_shard ? rest : plan->images_per_shard;
    memcpy(origin.run, plan->run, sizeof origin.run);
    return origin;
}

mm_status mm_owner_path(const mm_owner *owner, uint64_t shard, char *path, size_t size, mm_error *err)
{
    const int length = snprintf(path, size, "%s/sa_%06" PRIu64 ".mmj", owner->folder, shard);
    return length > 0 && (size_t)length < size
               ? MM_OK
               : mm_fail(err, MM_ERR_LIMIT, "the path of the output folder %.100s... is too long", owner->folder);
}

static own_shard *find(const mm_owner *owner, uint64_t shard)
{
    const uint64_t ranks = (uint64_t)owner->plan.ranks;
    if (shard < owner->first_shard || (shard - owner->first_shard) % ranks != 0)
        return NULL;
    const uint64_t i = (shard - owner->first_shard) / ranks;
    return i < owner->count ? &owner->shards[i] : NULL;
}

void mm_owner_adopt(mm_owner *owner, mm_journal *journal)
{
    find(owner, mm_journal_origin_of(journal)->shard)->journal = journal;
}

void mm_owner_finish(mm_owner *owner, uint64_t shard)
{
    find(owner, shard)->finished = true;
}

bool mm_owner_has_all(const mm_owner *owner, uint64_t shard)
{
    const mm_journal *journal = find(owner, shard)->journal;
    return journal && mm_journal_records(journal) == mm_journal_origin_of(journal)->images;
}

mm_journal *mm_owner_release(mm_owner *owner, uint64_t shard)
{
    own_shard *own = find(owner, shard);
    mm_journal *journal = own->journal;
    *own = (own_shard){.finished = true};
    for (size_t i = 0; journal && i < OPEN_FILES; i++)
        if (owner->open[i] == journal) {
            memmove(&owner->open[i], &owner->open[i + 1], (OPEN_FILES - i - 1) * sizeof owner->open[0]);
            owner->open[OPEN_FILES - 1] = NULL;
            break;
        }
    return journal;
}

/* To the front of the list; who falls off its end rests. */
static mm_status note_use(mm_owner *owner, mm_journal *journal, mm_error *err)
{
    size_t at = 0;
    while (at < OPEN_FILES - 1 && owner->open[at] && owner->open[at] != journal)
        at++;
    mm_journal *least = owner->open[at];
    memmove(&owner->open[1], &owner->open[0], at * sizeof owner->open[0]);
    owner->open[0] = journal;
    return least && least != journal ? mm_journal_rest(least, err) : MM_OK;
}

mm_status mm_owner_journal(mm_owner *owner, uint64_t image_id, mm_journal **journal, mm_error *err)
{
    const uint64_t shard = image_id / owner->plan.images_per_shard;
    own_shard *own = image_id >= owner->plan.first && image_id < owner->plan.end ? find(owner, shard) : NULL;
    if (!own)
        return mm_fail(err, MM_ERR_INTERNAL, "image %" PRIu64 " was sent to rank %d, which does not own its shard",
                       image_id, owner->plan.rank);
    if (own->finished)
        return mm_fail(err, MM_ERR_INTERNAL, "image %" PRIu64 " was made twice", image_id);
    if (!own->journal) {
        char path[PATH_MAX];
        uint64_t cut = 0;
        mm_status status = mm_owner_path(owner, shard, path, sizeof path, err);
        const mm_journal_origin origin = mm_owner_origin(owner, shard);
        if (status == MM_OK)
            status = mm_journal_open(path, &origin, NULL, &own->journal, &cut, err);
        if (status != MM_OK)
            return status;
    }
    *journal = own->journal;
    return note_use(owner, own->journal, err);
}

mm_status mm_owner_sync(mm_owner *owner, mm_error *err)
{
    mm_status status = MM_OK;
    for (size_t i = 0; status == MM_OK && i < OPEN_FILES && owner->open[i]; i++)
        status = mm_journal_sync(owner->open[i], err);
    return status;
}
