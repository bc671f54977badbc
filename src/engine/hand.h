/* What a rank has in hand, in a small file beside the journals (OUT/journal/hand_000000), written over at each
 * image: the image that is being made, how many this attempt has begun, and how many of those are made but not yet
 * known to be in a journal. After a crash the first is a suspect, and the last says how much may have to be made
 * again. */
#ifndef MM_ENGINE_HAND_H
#define MM_ENGINE_HAND_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "maskmill/status.h"

typedef struct mm_hand mm_hand;

/* `folder` is OUT/journal. */
MM_RESULT_USED mm_status mm_hand_open(const char *folder, int rank, mm_hand **hand, mm_error *err);
/* One image more is begun; `waiting` of the earlier ones are not yet known to be kept. Not synced: the note
 * outlives the process, and that of a machine that dies may be lost. */
MM_RESULT_USED mm_status mm_hand_begin(mm_hand *hand, uint64_t image_id, uint64_t waiting, mm_error *err);
/* Nothing is in hand any more, and no note is taken after this. `lost`: how many of those that were begun are in no
 * journal, after a fault. */
void mm_hand_put_down(mm_hand *hand, uint64_t lost);
/* The same in the middle of an image, from another thread: what is in hand will not be finished, and is no suspect. */
void mm_hand_give_up(mm_hand *hand);
/* How many images were begun. */
uint64_t mm_hand_begun(const mm_hand *hand);
/* NULL is fine. The note stays. */
void mm_hand_close(mm_hand *hand);

/* What the ranks of an attempt that died had in hand. */
typedef struct mm_hands {
    uint64_t *images; /* [count], in no order; the caller frees them */
    size_t count;
    uint64_t begun, in_hand; /* images begun; and those of them that may not be in a journal */
} mm_hands;

/* Read all notes in `folder`; those that make no sense are passed over. */
MM_RESULT_USED mm_status mm_hands_read(const char *folder, mm_hands *hands, mm_error *err);
MM_RESULT_USED mm_status mm_hands_remove(const char *folder, mm_error *err);

#endif
