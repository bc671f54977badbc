/* What ranks say to each other while images are made. All ranks run the same build on the same kind of machine (checked
 * at start), so values travel as they lie in memory; the receiver checks the size before it looks.
 *
 *   ask       any -> 0      mm_ask        give me images; this is how fast the last ones were
 *   turn      0 -> any      mm_turn_reply the answer to ask
 *   record    any -> owner  bytes of mm_record_pack, then image_id u64
 *   finished  any -> 0      mm_finished   an image is done or set aside, for progress and quarantine.tsv
 *   written   owner -> 0    u64           this shard is on disk under its name
 *   fault     any -> 0      mm_verdict    something failed that stops the run
 *   end       0 -> all      mm_verdict    all shards are written, or the first fault */
#ifndef MM_ENGINE_MESSAGES_H
#define MM_ENGINE_MESSAGES_H

#include "engine/scheduler.h"

enum { MM_TAG_ASK = 1, MM_TAG_TURN, MM_TAG_RECORD, MM_TAG_FINISHED, MM_TAG_WRITTEN, MM_TAG_FAULT, MM_TAG_END };

typedef struct mm_ask {
    uint64_t images; /* made since the last ask ... */
    double seconds;  /* ... in this time */
    bool ahead;      /* there are still images in hand */
} mm_ask;

typedef struct mm_turn_reply {
    mm_turn turn;
    mm_batch batch; /* for MM_TURN_BATCH */
} mm_turn_reply;

typedef struct mm_finished {
    uint64_t image_id, masks;
    mm_status status; /* MM_OK, or why it was set aside */
    int rank;         /* whose it was; filled in by the receiver */
    char reason[MM_ERROR_TEXT];
} mm_finished;

typedef struct mm_verdict {
    mm_status status;
    char text[MM_ERROR_TEXT];
} mm_verdict;

#endif
