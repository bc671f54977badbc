/* Whose shard an image belongs to, and what an owner has of its shards: journals, until each shard is in its place.
 *
 * Shard k holds images k*S .. (k+1)*S-1 and belongs to rank k mod ranks. One thread at a time calls these: the main
 * thread before sharing begins, then the keeper's. */
#ifndef MM_ENGINE_OWNER_H
#define MM_ENGINE_OWNER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "maskmill/journal.h"

uint64_t mm_shard_total(uint64_t images, uint32_t images_per_shard);
int mm_owner_rank(uint64_t image_id, uint32_t images_per_shard, int ranks);

typedef struct mm_owner_plan {
    uint64_t first, end;       /* images first .. end-1; first begins a shard */
    uint32_t images_per_shard; /* at least 1 */
    int rank, ranks;
    const char *folder;        /* for journals; it is there. Copied */
    uint8_t run[16];           /* see mm_journal_origin */
} mm_owner_plan;

typedef struct mm_owner mm_owner;

MM_RESULT_USED mm_status mm_owner_new(const mm_owner_plan *plan, mm_owner **owner, mm_error *err);
/* NULL is fine. Closes journals without syncing. */
void mm_owner_free(mm_owner *owner);

/* This rank's shards are those for i = 0 .. count-1. */
size_t mm_owner_count(const mm_owner *owner);
uint64_t mm_owner_shard(const mm_owner *owner, size_t i);
mm_journal_origin mm_owner_origin(const mm_owner *owner, uint64_t shard);
/* Where the shard's journal is, into path[size]. */
MM_RESULT_USED mm_status mm_owner_path(const mm_owner *owner, uint64_t shard, char *path, size_t size, mm_error *err);

/* Take over a journal that was opened elsewhere; it now belongs to the owner. */
void mm_owner_adopt(mm_owner *owner, mm_journal *journal);
/* The shard needs no journal any more; it is in its place or on its way. */
void mm_owner_finish(mm_owner *owner, uint64_t shard);
/* Whether the shard's journal has a record of each image. */
bool mm_owner_has_all(const mm_owner *owner, uint64_t shard);
/* The shard's journal if there is one, for the caller to close; the shard counts as finished. NULL if there is none. */
mm_journal *mm_owner_release(mm_owner *owner, uint64_t shard);

/* The journal that the image's record goes to, made if need be. Only so many keep their files open. MM_ERR_INTERNAL if
 * the image is not of a shard of this rank, or the shard is finished. */
MM_RESULT_USED mm_status mm_owner_journal(mm_owner *owner, uint64_t image_id, mm_journal **journal, mm_error *err);
/* All journals to the disk. */
MM_RESULT_USED mm_status mm_owner_sync(mm_owner *owner, mm_error *err);

#endif
