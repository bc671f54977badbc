/* What ranks say to each other while images are made. All ranks run the same build on the same kind of machine (checked
 * at start), so values travel as they lie in memory; the receiver checks the size before it looks.
 *
 *   ask       any -> 0      mm_ask        what I made since the last ask; give me more
 *   turn      0 -> any      mm_turn_reply the answer to an ask that wants one
 *   record    any -> owner  bytes of mm_record_pack, then image_id u64
 *   set aside any -> 0      mm_set_aside  for quarantine.tsv; before the ask that counts the image
 *   kept      owner -> any  mm_kept       the record of this image is in its journal, or was dropped as that has failed
 *   written   owner -> 0    u64           this shard is on disk under its name
 *   fault     any -> 0      mm_verdict    something failed that stops the run
 *   stop      any -> 0      mm_stop_wish  a signal asks the run to stop
 *   halt      0 -> all      mm_stop       begin no image any more
 *   idle      any -> 0      (a byte)      I make nothing any more, and all that I made is kept
 *   through   any -> 0      (a byte)      after a halt at once: all that came to me is on the disk
 *   end       0 -> all      mm_verdict    all shards are written; or, when all are idle, why the run was halted */
#ifndef MM_ENGINE_MESSAGES_H
#define MM_ENGINE_MESSAGES_H

#include "engine/scheduler.h"
#include "engine/signals.h"

enum {
    MM_TAG_ASK = 1, MM_TAG_TURN, MM_TAG_RECORD, MM_TAG_SET_ASIDE, MM_TAG_KEPT, MM_TAG_WRITTEN, MM_TAG_FAULT,
    MM_TAG_STOP, MM_TAG_HALT, MM_TAG_IDLE, MM_TAG_THROUGH, MM_TAG_END
};

/* What a rank has made. Told once a batch, not once an image: rank 0 hears from thousands. */
typedef struct mm_made {
    uint64_t done, set_aside; /* images */
    uint64_t masks;
    double seconds;
} mm_made;

typedef enum mm_want {
    MM_WANT_AHEAD = 0, /* a batch, while there are still images in hand */
    MM_WANT_NOW,       /* a batch, with nothing in hand */
    MM_WANT_NOTHING    /* no answer: the last report */
} mm_want;

typedef struct mm_ask {
    mm_made made;
    mm_want want;
} mm_ask;

typedef struct mm_turn_reply {
    mm_turn turn;
    mm_batch batch; /* for MM_TURN_BATCH */
} mm_turn_reply;

typedef struct mm_set_aside {
    uint64_t image_id;
    mm_status status; /* why */
    char reason[MM_ERROR_TEXT];
} mm_set_aside;

typedef struct mm_kept {
    uint64_t image_id, lost; /* lost: 0 or 1 */
} mm_kept;

typedef struct mm_stop_wish {
    mm_stop stop;
    int signal;
} mm_stop_wish;

typedef struct mm_verdict {
    mm_status status;
    char text[MM_ERROR_TEXT];
} mm_verdict;

#endif
