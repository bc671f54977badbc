/* What earlier attempts of a run have left: shards in their places, journals, and images in hand. Each rank looks
 * at its own shards and tells rank 0, so that the time this takes is shared, too. */
#ifndef MM_ENGINE_RECOVER_H
#define MM_ENGINE_RECOVER_H

#include "engine/owner.h"
#include "engine/quarantine.h"
#include "maskmill/comm.h"
#include "maskmill/shard.h"

typedef struct mm_recovered {
    uint64_t first, end;       /* the range that was looked at */
    uint8_t *kept;             /* bit i: image first + i is in a shard or a journal */
    uint64_t shards;           /* in their places */
    uint64_t images_done, images_set_aside, masks;
    uint64_t cut;              /* bytes of torn ends of journals */
} mm_recovered;

typedef struct mm_recover_plan {
    const char *out;
    uint64_t first, end;
    uint32_t images_per_shard;
    mm_shard_origin origin;
    mm_owner *owner;
} mm_recover_plan;

/* Collective. Fills `owner` on each rank: shards in their places are finished, journals with records adopted. On rank 0
 * fills *recovered, and adds what was set aside to `quarantine`; a damaged shard is told on stderr and counts as not
 * there. The caller frees *recovered, also after a failure. */
MM_RESULT_USED mm_status mm_recover(mm_comm *comm, const mm_recover_plan *plan, mm_quarantine *quarantine,
                                    mm_recovered *recovered, mm_error *err);
void mm_recovered_free(mm_recovered *recovered);
bool mm_recovered_has(const mm_recovered *recovered, uint64_t image_id);

#endif
