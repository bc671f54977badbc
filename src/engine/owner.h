/* Whose shard an image belongs to, and the records that wait until their shard is whole.
 *
 * Shard k holds images k*S .. (k+1)*S-1 and belongs to rank k mod ranks. Records rest in their packed form, as they
 * came. The service thread is the only caller. */
#ifndef MM_ENGINE_OWNER_H
#define MM_ENGINE_OWNER_H

#include <stddef.h>
#include <stdint.h>

#include "maskmill/status.h"

typedef struct mm_packed {
    uint8_t *bytes; /* as mm_record_pack made them; NULL until the record is in */
    size_t size;
} mm_packed;

/* A shard's records on their way to the file. */
typedef struct mm_gathering {
    struct mm_gathering *next;
    uint64_t shard, first_image;
    size_t count, received;
    mm_packed records[]; /* [count]; records[i] is image first_image + i */
} mm_gathering;

void mm_gathering_free(mm_gathering *gathering);

uint64_t mm_shard_total(uint64_t images, uint32_t images_per_shard);
int mm_owner_rank(uint64_t image_id, uint32_t images_per_shard, int ranks);

typedef struct mm_owner mm_owner;

MM_RESULT_USED mm_status mm_owner_new(uint64_t images, uint32_t images_per_shard, int rank, int ranks,
                                      mm_owner **owner, mm_error *err);
void mm_owner_free(mm_owner *owner);

/* Take the packed record of an image; `bytes` belongs to the owner from now on, also on failure. With the last record
 * of a shard *whole gets all of them, for the caller to free; else NULL. MM_ERR_INTERNAL for an image of another rank's
 * shard, one that does not exist, or one that is already there. */
MM_RESULT_USED mm_status mm_owner_put(mm_owner *owner, uint64_t image_id, uint8_t *bytes, size_t size,
                                      mm_gathering **whole, mm_error *err);

#endif
