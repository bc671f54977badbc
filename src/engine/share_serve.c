/* The service thread of a rank while images are shared: what to do on each message, and every few milliseconds. */
#include "engine/share_state.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"

/* --- Sending. A message that cannot even be queued leaves no way to stop together. --- */

void mm_share_give_bytes(mm_share *s, int rank, int tag, uint8_t *bytes, size_t size)
{
    mm_error err;
    if (mm_service_send(s->service, rank, tag, bytes, size, &err) != MM_OK)
        mm_comm_abort(s->comm, err.text);
}

void mm_share_give(mm_share *s, int rank, int tag, const void *value, size_t size)
{
    uint8_t *bytes = malloc(size);
    if (!bytes)
        mm_comm_abort(s->comm, "out of memory for a message; use fewer ranks on this machine");
    memcpy(bytes, value, size);
    mm_share_give_bytes(s, rank, tag, bytes, size);
}

void mm_share_give_fault(mm_share *s, mm_status status, const mm_error *err)
{
    mm_error named = *err;
    named.status = status;
    if (mm_comm_rank(s->comm) != 0)
        (void)mm_error_prefix(&named, "%s (rank %d)", mm_comm_host(s->comm), mm_comm_rank(s->comm)); /* same status */
    mm_verdict verdict = {.status = status};
    memcpy(verdict.text, named.text, sizeof verdict.text);
    mm_share_give(s, 0, MM_TAG_FAULT, &verdict, sizeof verdict);
}

/* --- The service thread: what to do on each message. --- */

static void send_end(mm_share *s, const mm_verdict *verdict)
{
    if (s->end_sent)
        return;
    s->end_sent = true;
    for (int rank = 0; rank < mm_comm_size(s->comm); rank++)
        mm_share_give(s, rank, MM_TAG_END, verdict, sizeof *verdict);
}

/* The run is to end early: no one begins another image, and when all are idle, it ends. */
static void halt(mm_share *s, mm_stop how, const mm_verdict *why)
{
    if (mm_halt_order(&s->halt, how, why))
        for (int rank = 0; rank < mm_comm_size(s->comm); rank++)
            mm_share_give(s, rank, MM_TAG_HALT, &how, sizeof how);
    if (mm_halt_is_over(&s->halt))
        send_end(s, &s->halt.verdict);
}

/* Both are counted, since messages of different ranks may overtake each other. */
static void end_if_complete(mm_share *s)
{
    if (s->images_left == 0 && s->shards_left == 0)
        send_end(s, &(mm_verdict){.status = MM_OK});
}

static void on_ask(mm_share *s, int source, const void *bytes)
{
    mm_ask ask;
    memcpy(&ask, bytes, sizeof ask);
    const uint64_t images = ask.made.done + ask.made.set_aside;
    mm_scheduler_measured(s->scheduler, source, images, ask.made.seconds);
    if (ask.want != MM_WANT_NOTHING) {
        mm_turn_reply reply = {0};
        reply.turn = mm_scheduler_next(s->scheduler, source, ask.want == MM_WANT_AHEAD, &reply.batch);
        mm_share_give(s, source, MM_TAG_TURN, &reply, sizeof reply);
    }
    if (images > 0 && s->plan.made)
        s->plan.made(s->plan.user, source, &ask.made);
    s->images_left -= images;
    end_if_complete(s);
}

static void on_turn(mm_share *s, int source, const void *bytes)
{
    (void)source;
    pthread_mutex_lock(&s->lock);
    memcpy(&s->turn, bytes, sizeof s->turn);
    s->has_turn = true;
    pthread_cond_signal(&s->news);
    pthread_mutex_unlock(&s->lock);
}

static void on_set_aside(mm_share *s, int source, const void *bytes)
{
    (void)source;
    mm_set_aside image;
    memcpy(&image, bytes, sizeof image);
    image.reason[sizeof image.reason - 1] = '\0';
    mm_error err = {0};
    const mm_status status = s->plan.set_aside(s->plan.user, &image, &err);
    if (status != MM_OK)
        mm_share_give_fault(s, status, &err);
}

static void on_written(mm_share *s, int source, const void *bytes)
{
    (void)source;
    (void)bytes; /* which shard does not matter: owners announce each of theirs once */
    s->shards_left--;
    end_if_complete(s);
}

static void on_fault(mm_share *s, int source, const void *bytes)
{
    (void)source;
    mm_verdict verdict;
    memcpy(&verdict, bytes, sizeof verdict);
    halt(s, MM_STOP_SOON, &verdict);
}

static void on_stop(mm_share *s, int source, const void *bytes)
{
    (void)source;
    mm_stop_wish wish;
    memcpy(&wish, bytes, sizeof wish);
    const mm_verdict verdict = mm_halt_verdict_of(wish.signal);
    halt(s, wish.stop, &verdict);
}

static void on_idle(mm_share *s, int source, const void *bytes)
{
    (void)source;
    (void)bytes;
    s->halt.idle++;
    if (mm_halt_is_over(&s->halt))
        send_end(s, &s->halt.verdict);
}

static void on_through(mm_share *s, int source, const void *bytes)
{
    (void)source;
    (void)bytes;
    s->halt.through++;
}

static void on_halt(mm_share *s, int source, const void *bytes)
{
    (void)source;
    mm_stop how;
    memcpy(&how, bytes, sizeof how);
    mm_halt_begin(&s->halt, how, mm_seconds_now());
    if (how == MM_STOP_NOW)
        mm_keeper_hurry(s->keeper);
    pthread_mutex_lock(&s->lock);
    s->halted = true;
    pthread_cond_signal(&s->news);
    pthread_mutex_unlock(&s->lock);
}

static void on_kept(mm_share *s, int source, const void *bytes)
{
    (void)source;
    mm_kept kept; /* which image does not matter: owners answer once for each */
    memcpy(&kept, bytes, sizeof kept);
    pthread_mutex_lock(&s->lock);
    if (s->unkept > 0)
        s->unkept--;
    s->lost += kept.lost;
    pthread_cond_signal(&s->news);
    pthread_mutex_unlock(&s->lock);
}

static void on_end(mm_share *s, int source, const void *bytes)
{
    (void)source;
    pthread_mutex_lock(&s->lock);
    memcpy(&s->verdict, bytes, sizeof s->verdict);
    s->verdict.text[sizeof s->verdict.text - 1] = '\0';
    s->ended = true;
    pthread_cond_signal(&s->news);
    pthread_mutex_unlock(&s->lock);
}

/* Into its journal. Whatever becomes of it, the maker gets an answer, for it waits for one. */
static void on_record(mm_share *s, int source, uint8_t *bytes, size_t size)
{
    uint64_t image_id = 0;
    mm_error err = {0};
    mm_status status;
    if (size <= sizeof image_id) {
        free(bytes);
        status = mm_fail(&err, MM_ERR_INTERNAL, "a record of %zu bytes came from rank %d", size, source);
    } else {
        memcpy(&image_id, bytes + size - sizeof image_id, sizeof image_id);
        status = mm_keeper_give(s->keeper, source, image_id, bytes, size - sizeof image_id, &err);
    }
    if (status == MM_OK)
        return;
    mm_share_give_fault(s, status, &err);
    mm_share_give(s, source, MM_TAG_KEPT, &(mm_kept){image_id, 1}, sizeof(mm_kept));
}

bool mm_share_has_ended(mm_share *s)
{
    pthread_mutex_lock(&s->lock);
    const bool ended = s->ended;
    pthread_mutex_unlock(&s->lock);
    return ended;
}

bool mm_share_must_stop(mm_share *s)
{
    pthread_mutex_lock(&s->lock);
    const bool stop = s->halted || s->ended;
    pthread_mutex_unlock(&s->lock);
    return stop;
}

void mm_share_receive(void *user, int source, int tag, uint8_t *bytes, size_t size)
{
    static const struct {
        void (*act)(mm_share *s, int source, const void *bytes);
        size_t size;
        bool rank_0_only;
    } kinds[] = {
        [MM_TAG_ASK] = {on_ask, sizeof(mm_ask), true},
        [MM_TAG_TURN] = {on_turn, sizeof(mm_turn_reply), false},
        [MM_TAG_SET_ASIDE] = {on_set_aside, sizeof(mm_set_aside), true},
        [MM_TAG_KEPT] = {on_kept, sizeof(mm_kept), false},
        [MM_TAG_WRITTEN] = {on_written, sizeof(uint64_t), true},
        [MM_TAG_FAULT] = {on_fault, sizeof(mm_verdict), true},
        [MM_TAG_STOP] = {on_stop, sizeof(mm_stop_wish), true},
        [MM_TAG_HALT] = {on_halt, sizeof(mm_stop), false},
        [MM_TAG_IDLE] = {on_idle, 1, true},
        [MM_TAG_THROUGH] = {on_through, 1, true},
        [MM_TAG_END] = {on_end, sizeof(mm_verdict), false},
    };
    mm_share *s = user;
    if (mm_share_has_ended(s)) { /* what was under way when the run was stopped */
        free(bytes);
        return;
    }
    if (tag == MM_TAG_RECORD) {
        on_record(s, source, bytes, size);
        return;
    }
    const bool known = tag > 0 && (size_t)tag < sizeof kinds / sizeof kinds[0] && kinds[tag].act &&
                       kinds[tag].size == size && (!kinds[tag].rank_0_only || mm_comm_rank(s->comm) == 0);
    if (known) {
        kinds[tag].act(s, source, bytes);
    } else {
        mm_error err = {0};
        mm_share_give_fault(s, mm_fail(&err, MM_ERR_INTERNAL, "a message of kind %d and %zu bytes from rank %d makes no sense",
                              tag, size, source), &err);
    }
    free(bytes);
}

static void watch(mm_share *s)
{
    mm_stop_wish wish = {MM_STOP_NONE, 0};
    mm_error err = {0};
    if (!s->plan.watch || s->watch_failed)
        return;
    const mm_status status = s->plan.watch(s->plan.user, &wish.stop, &wish.signal, &err);
    s->watch_failed = status != MM_OK;
    if (s->watch_failed)
        mm_share_give_fault(s, status, &err);
    if (mm_halt_is_news(&s->halt, wish.stop))
        mm_share_give(s, 0, MM_TAG_STOP, &wish, sizeof wish);
}

/* MM_STOP_NOW: mpirun kills in a second, and the computing thread may be in an image for much longer. */
static void hurry_out(mm_share *s)
{
    const bool through = mm_keeper_is_through(s->keeper);
    if (through && !s->halt.through_told) {
        s->halt.through_told = true;
        if (s->plan.hand)
            mm_hand_give_up(s->plan.hand);
        mm_share_give(s, 0, MM_TAG_THROUGH, &(uint8_t){0}, 1);
    }
    if (mm_halt_is_time_to_leave(&s->halt, mm_comm_rank(s->comm), through, mm_seconds_now()))
        s->plan.leave(s->plan.user, &s->halt.verdict);
}

void mm_share_tick(void *user)
{
    mm_share *s = user;
    if (mm_comm_rank(s->comm) == 0 && s->plan.tick)
        s->plan.tick(s->plan.user);
    watch(s);
    if (s->halt.how == MM_STOP_NOW && s->plan.leave && !mm_share_has_ended(s))
        hurry_out(s);
}
