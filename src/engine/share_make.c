/* The computing thread of a rank while images are shared. */
#include "engine/share_state.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"

/* How many images a rank may have made whose records are not known to be in a journal. More wait; so what a crash
 * costs is bounded, and so is what waits in an owner's memory. */
enum { MOST_UNKEPT = 4 };

static void send_set_aside(mm_share *s, const mm_record *record, mm_status why)
{
    mm_set_aside image = {.image_id = record->image_id, .status = why};
    if (record->reason)
        (void)strncpy(image.reason, record->reason, sizeof image.reason - 1);
    mm_share_give(s, 0, MM_TAG_SET_ASIDE, &image, sizeof image);
}

static mm_status send_record(mm_share *s, const mm_record *record, mm_error *err)
{
    uint8_t *packed = NULL;
    size_t size = 0;
    const mm_status status = mm_record_pack(record, &packed, &size, err);
    if (status != MM_OK)
        return status;
    uint8_t *bytes = realloc(packed, size + sizeof record->image_id);
    if (!bytes) {
        free(packed);
        return mm_fail_memory(err, "a record");
    }
    memcpy(bytes + size, &record->image_id, sizeof record->image_id);
    pthread_mutex_lock(&s->lock);
    s->unkept++;
    pthread_mutex_unlock(&s->lock);
    const int owner = mm_owner_rank(record->image_id, s->plan.images_per_shard, mm_comm_size(s->comm));
    return mm_service_send(s->service, owner, MM_TAG_RECORD, bytes, size + sizeof record->image_id, err);
}

/* Wait until at most so many records are unanswered for, or the run ends; *unkept is how many are then. False if it was
 * halted meanwhile. */
static bool wait_for_room(mm_share *s, unsigned most, unsigned *unkept)
{
    pthread_mutex_lock(&s->lock);
    while (s->unkept > most && !s->ended)
        pthread_cond_wait(&s->news, &s->lock);
    const bool goes_on = !s->halted && !s->ended;
    *unkept = s->unkept;
    pthread_mutex_unlock(&s->lock);
    return goes_on;
}

static mm_status make_image(mm_share *s, uint64_t image_id, bool suspect, mm_made *made, mm_error *err)
{
    const double start = mm_seconds_now();
    mm_record record = {0};
    mm_status why = MM_OK, status = MM_OK;
    unsigned unkept = 0;
    if (!wait_for_room(s, MOST_UNKEPT - 1, &unkept))
        return MM_OK;
    if (s->plan.hand)
        status = mm_hand_begin(s->plan.hand, image_id, unkept, err);
    if (status == MM_OK)
        status = s->plan.make(s->plan.user, image_id, suspect, &record, &why, err);
    if (status != MM_OK)
        return status;
    status = send_record(s, &record, err);
    if (status == MM_OK && why != MM_OK)
        send_set_aside(s, &record, why);
    made->done += why == MM_OK;
    made->set_aside += why != MM_OK;
    made->masks += record.mask_count;
    made->seconds += mm_seconds_now() - start;
    mm_record_free(&record);
    return status;
}

static mm_status make_batch(mm_share *s, const mm_batch *batch, mm_made *made, mm_error *err)
{
    mm_status status = MM_OK;
    for (uint32_t i = 0; status == MM_OK && i < batch->count && i < MM_BATCH_MAX && !mm_share_must_stop(s); i++)
        status = make_image(s, batch->image_ids[i], batch->suspect, made, err);
    return status;
}

/* The answer to the last ask; MM_TURN_OVER when the run was halted or has ended meanwhile. */
static mm_turn_reply take_turn(mm_share *s)
{
    pthread_mutex_lock(&s->lock);
    while (!s->has_turn && !s->halted && !s->ended)
        pthread_cond_wait(&s->news, &s->lock);
    const mm_turn_reply turn = s->halted || s->ended ? (mm_turn_reply){.turn = MM_TURN_OVER} : s->turn;
    s->has_turn = false;
    pthread_mutex_unlock(&s->lock);
    return turn;
}

static void ask(mm_share *s, mm_made *made, mm_want want)
{
    const mm_ask ask = {*made, want};
    mm_share_give(s, 0, MM_TAG_ASK, &ask, sizeof ask);
    *made = (mm_made){0};
}

mm_status mm_share_make_images(mm_share *s, mm_error *err)
{
    mm_made made = {0};
    ask(s, &made, MM_WANT_NOW);
    for (;;) {
        const mm_turn_reply turn = take_turn(s);
        switch (turn.turn) {
        case MM_TURN_BATCH:
            ask(s, &made, MM_WANT_AHEAD);
            const mm_status status = make_batch(s, &turn.batch, &made, err);
            if (status != MM_OK)
                return status;
            break;
        case MM_TURN_LATER:
            ask(s, &made, MM_WANT_NOW);
            break;
        case MM_TURN_OVER:
            ask(s, &made, MM_WANT_NOTHING);
            return MM_OK;
        }
    }
}

/* All that this rank made is kept, and it makes no more. */
void mm_share_tell_idle(mm_share *s)
{
    unsigned unkept = 0;
    (void)wait_for_room(s, 0, &unkept); /* halted or not */
    pthread_mutex_lock(&s->lock);
    const uint64_t lost = s->lost;
    pthread_mutex_unlock(&s->lock);
    if (s->plan.hand)
        mm_hand_put_down(s->plan.hand, lost);
    mm_share_give(s, 0, MM_TAG_IDLE, &(uint8_t){0}, 1);
}

mm_status mm_share_wait_for_end(mm_share *s, mm_error *err)
{
    pthread_mutex_lock(&s->lock);
    while (!s->ended)
        pthread_cond_wait(&s->news, &s->lock);
    const mm_verdict verdict = s->verdict;
    pthread_mutex_unlock(&s->lock);
    return verdict.status == MM_OK ? MM_OK : mm_fail(err, verdict.status, "%s", verdict.text);
}
