#include "engine/share.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "engine/halt.h"
#include "engine/keeper.h"
#include "engine/writer.h"

/* How many images a rank may have made whose records are not known to be in a journal. More wait; so what a crash costs is
 * bounded, and so is what waits in an owner's memory. */
enum { MOST_UNKEPT = 4 };

typedef struct share {
    mm_comm *comm;
    mm_share_plan plan;
    mm_service *service;
    mm_keeper *keeper;
    mm_writer *writer;
    mm_journal **whole; /* [whole_count]: until the writer gets them */
    size_t whole_count;

    /* The service thread's own. */
    mm_halt halt;
    bool watch_failed;
    mm_scheduler *scheduler; /* rank 0 */
    uint64_t images_left, shards_left; /* rank 0: not yet reported as finished, as written */
    bool end_sent;                     /* rank 0 */

    pthread_mutex_t lock; /* guards what follows: what the service tells the computing thread */
    pthread_cond_t news;
    bool has_turn, halted, ended;
    unsigned unkept; /* records sent and not answered for */
    mm_turn_reply turn;
    mm_verdict verdict; /* once ended */
} share;

double mm_seconds_now(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now); /* cannot fail for this clock */
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

/* --- Sending. A message that cannot even be queued leaves no way to stop together. --- */

static void give_bytes(share *s, int rank, int tag, uint8_t *bytes, size_t size)
{
    mm_error err;
    if (mm_service_send(s->service, rank, tag, bytes, size, &err) != MM_OK)
        mm_comm_abort(s->comm, err.text);
}

static void give(share *s, int rank, int tag, const void *value, size_t size)
{
    uint8_t *bytes = malloc(size);
    if (!bytes)
        mm_comm_abort(s->comm, "out of memory for a message; use fewer ranks on this machine");
    memcpy(bytes, value, size);
    give_bytes(s, rank, tag, bytes, size);
}

static void give_fault(share *s, mm_status status, const mm_error *err)
{
    mm_error named = *err;
    named.status = status;
    if (mm_comm_rank(s->comm) != 0)
        (void)mm_error_prefix(&named, "%s (rank %d)", mm_comm_host(s->comm), mm_comm_rank(s->comm)); /* same status */
    mm_verdict verdict = {.status = status};
    memcpy(verdict.text, named.text, sizeof verdict.text);
    give(s, 0, MM_TAG_FAULT, &verdict, sizeof verdict);
}

/* --- The service thread: what to do on each message. --- */

static void send_end(share *s, const mm_verdict *verdict)
{
    if (s->end_sent)
        return;
    s->end_sent = true;
    for (int rank = 0; rank < mm_comm_size(s->comm); rank++)
        give(s, rank, MM_TAG_END, verdict, sizeof *verdict);
}

/* The run is to end early: no one begins another image, and when all are idle, it ends. */
static void halt(share *s, mm_stop how, const mm_verdict *why)
{
    if (mm_halt_order(&s->halt, how, why))
        for (int rank = 0; rank < mm_comm_size(s->comm); rank++)
            give(s, rank, MM_TAG_HALT, &how, sizeof how);
    if (mm_halt_is_over(&s->halt))
        send_end(s, &s->halt.verdict);
}

/* Both are counted, since messages of different ranks may overtake each other. */
static void end_if_complete(share *s)
{
    if (s->images_left == 0 && s->shards_left == 0)
        send_end(s, &(mm_verdict){.status = MM_OK});
}

static void on_ask(share *s, int source, const void *bytes)
{
    mm_ask ask;
    memcpy(&ask, bytes, sizeof ask);
    const uint64_t images = ask.made.done + ask.made.set_aside;
    mm_scheduler_measured(s->scheduler, source, images, ask.made.seconds);
    if (ask.want != MM_WANT_NOTHING) {
        mm_turn_reply reply = {0};
        reply.turn = mm_scheduler_next(s->scheduler, source, ask.want == MM_WANT_AHEAD, &reply.batch);
        give(s, source, MM_TAG_TURN, &reply, sizeof reply);
    }
    if (images > 0 && s->plan.made)
        s->plan.made(s->plan.user, source, &ask.made);
    s->images_left -= images;
    end_if_complete(s);
}

static void on_turn(share *s, int source, const void *bytes)
{
    (void)source;
    pthread_mutex_lock(&s->lock);
    memcpy(&s->turn, bytes, sizeof s->turn);
    s->has_turn = true;
    pthread_cond_signal(&s->news);
    pthread_mutex_unlock(&s->lock);
}

static void on_set_aside(share *s, int source, const void *bytes)
{
    (void)source;
    mm_set_aside image;
    memcpy(&image, bytes, sizeof image);
    image.reason[sizeof image.reason - 1] = '\0';
    mm_error err = {0};
    const mm_status status = s->plan.set_aside(s->plan.user, &image, &err);
    if (status != MM_OK)
        give_fault(s, status, &err);
}

static void on_written(share *s, int source, const void *bytes)
{
    (void)source;
    (void)bytes; /* which shard does not matter: owners announce each of theirs once */
    s->shards_left--;
    end_if_complete(s);
}

static void on_fault(share *s, int source, const void *bytes)
{
    (void)source;
    mm_verdict verdict;
    memcpy(&verdict, bytes, sizeof verdict);
    halt(s, MM_STOP_SOON, &verdict);
}

static void on_stop(share *s, int source, const void *bytes)
{
    (void)source;
    mm_stop_wish wish;
    memcpy(&wish, bytes, sizeof wish);
    const mm_verdict verdict = mm_halt_verdict_of(wish.signal);
    halt(s, wish.stop, &verdict);
}

static void on_idle(share *s, int source, const void *bytes)
{
    (void)source;
    (void)bytes;
    s->halt.idle++;
    if (mm_halt_is_over(&s->halt))
        send_end(s, &s->halt.verdict);
}

static void on_through(share *s, int source, const void *bytes)
{
    (void)source;
    (void)bytes;
    s->halt.through++;
}

static void on_halt(share *s, int source, const void *bytes)
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

static void on_kept(share *s, int source, const void *bytes)
{
    (void)source;
    (void)bytes; /* which image does not matter: owners answer once for each */
    pthread_mutex_lock(&s->lock);
    if (s->unkept > 0)
        s->unkept--;
    pthread_cond_signal(&s->news);
    pthread_mutex_unlock(&s->lock);
}

static void on_end(share *s, int source, const void *bytes)
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
static void on_record(share *s, int source, uint8_t *bytes, size_t size)
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
    give_fault(s, status, &err);
    give(s, source, MM_TAG_KEPT, &image_id, sizeof image_id);
}

static bool has_ended(share *s)
{
    pthread_mutex_lock(&s->lock);
    const bool ended = s->ended;
    pthread_mutex_unlock(&s->lock);
    return ended;
}

static bool must_stop(share *s)
{
    pthread_mutex_lock(&s->lock);
    const bool stop = s->halted || s->ended;
    pthread_mutex_unlock(&s->lock);
    return stop;
}

static void receive(void *user, int source, int tag, uint8_t *bytes, size_t size)
{
    static const struct {
        void (*act)(share *s, int source, const void *bytes);
        size_t size;
        bool rank_0_only;
    } kinds[] = {
        [MM_TAG_ASK] = {on_ask, sizeof(mm_ask), true},
        [MM_TAG_TURN] = {on_turn, sizeof(mm_turn_reply), false},
        [MM_TAG_SET_ASIDE] = {on_set_aside, sizeof(mm_set_aside), true},
        [MM_TAG_KEPT] = {on_kept, sizeof(uint64_t), false},
        [MM_TAG_WRITTEN] = {on_written, sizeof(uint64_t), true},
        [MM_TAG_FAULT] = {on_fault, sizeof(mm_verdict), true},
        [MM_TAG_STOP] = {on_stop, sizeof(mm_stop_wish), true},
        [MM_TAG_HALT] = {on_halt, sizeof(mm_stop), false},
        [MM_TAG_IDLE] = {on_idle, 1, true},
        [MM_TAG_THROUGH] = {on_through, 1, true},
        [MM_TAG_END] = {on_end, sizeof(mm_verdict), false},
    };
    share *s = user;
    if (has_ended(s)) { /* what was under way when the run was stopped */
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
        give_fault(s, mm_fail(&err, MM_ERR_INTERNAL, "a message of kind %d and %zu bytes from rank %d makes no sense",
                              tag, size, source), &err);
    }
    free(bytes);
}

static void watch(share *s)
{
    mm_stop_wish wish = {MM_STOP_NONE, 0};
    mm_error err = {0};
    if (!s->plan.watch || s->watch_failed)
        return;
    const mm_status status = s->plan.watch(s->plan.user, &wish.stop, &wish.signal, &err);
    s->watch_failed = status != MM_OK;
    if (s->watch_failed)
        give_fault(s, status, &err);
    if (mm_halt_is_news(&s->halt, wish.stop))
        give(s, 0, MM_TAG_STOP, &wish, sizeof wish);
}

/* MM_STOP_NOW: mpirun kills in a second, and the computing thread may be in an image for much longer. */
static void hurry_out(share *s)
{
    const bool through = mm_keeper_is_through(s->keeper);
    if (through && !s->halt.through_told) {
        s->halt.through_told = true;
        if (s->plan.hand)
            mm_hand_put_down(s->plan.hand, true);
        give(s, 0, MM_TAG_THROUGH, &(uint8_t){0}, 1);
    }
    if (mm_halt_is_time_to_leave(&s->halt, mm_comm_rank(s->comm), through, mm_seconds_now()))
        s->plan.leave(s->plan.user, &s->halt.verdict);
}

static void tick(void *user)
{
    share *s = user;
    if (mm_comm_rank(s->comm) == 0 && s->plan.tick)
        s->plan.tick(s->plan.user);
    watch(s);
    if (s->halt.how == MM_STOP_NOW && s->plan.leave && !has_ended(s))
        hurry_out(s);
}

/* --- The keeper's thread. --- */

static void kept(void *user, int maker, uint64_t image_id)
{
    give(user, maker, MM_TAG_KEPT, &image_id, sizeof image_id);
}

static void whole(void *user, mm_journal *journal)
{
    share *s = user;
    mm_writer_give(s->writer, journal);
}

static void keeper_failed(void *user, mm_status status, const mm_error *err)
{
    give_fault(user, status, err);
}

/* --- The writer's thread. --- */

static mm_status commit(void *user, uint64_t shard, uint64_t first_image, const mm_record *records, size_t count,
                        mm_error *err)
{
    share *s = user;
    return s->plan.commit(s->plan.user, shard, first_image, records, count, err);
}

static void outcome(void *user, uint64_t shard, mm_status status, const mm_error *err)
{
    share *s = user;
    if (status == MM_OK)
        give(s, 0, MM_TAG_WRITTEN, &shard, sizeof shard);
    else
        give_fault(s, status, err);
}

/* --- The computing thread. --- */

static void send_set_aside(share *s, const mm_record *record, mm_status why)
{
    mm_set_aside image = {.image_id = record->image_id, .status = why};
    if (record->reason)
        (void)strncpy(image.reason, record->reason, sizeof image.reason - 1);
    give(s, 0, MM_TAG_SET_ASIDE, &image, sizeof image);
}

static mm_status send_record(share *s, const mm_record *record, mm_error *err)
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
static bool wait_for_room(share *s, unsigned most, unsigned *unkept)
{
    pthread_mutex_lock(&s->lock);
    while (s->unkept > most && !s->ended)
        pthread_cond_wait(&s->news, &s->lock);
    const bool goes_on = !s->halted && !s->ended;
    *unkept = s->unkept;
    pthread_mutex_unlock(&s->lock);
    return goes_on;
}

static mm_status make_image(share *s, uint64_t image_id, bool suspect, mm_made *made, mm_error *err)
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

static mm_status make_batch(share *s, const mm_batch *batch, mm_made *made, mm_error *err)
{
    mm_status status = MM_OK;
    for (uint32_t i = 0; status == MM_OK && i < batch->count && i < MM_BATCH_MAX && !must_stop(s); i++)
        status = make_image(s, batch->image_ids[i], batch->suspect, made, err);
    return status;
}

/* The answer to the last ask; MM_TURN_OVER when the run was halted or has ended meanwhile. */
static mm_turn_reply take_turn(share *s)
{
    pthread_mutex_lock(&s->lock);
    while (!s->has_turn && !s->halted && !s->ended)
        pthread_cond_wait(&s->news, &s->lock);
    const mm_turn_reply turn = s->halted || s->ended ? (mm_turn_reply){.turn = MM_TURN_OVER} : s->turn;
    s->has_turn = false;
    pthread_mutex_unlock(&s->lock);
    return turn;
}

static void ask(share *s, mm_made *made, mm_want want)
{
    const mm_ask ask = {*made, want};
    give(s, 0, MM_TAG_ASK, &ask, sizeof ask);
    *made = (mm_made){0};
}

static mm_status make_images(share *s, mm_error *err)
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
static void tell_idle(share *s)
{
    unsigned unkept = 0;
    (void)wait_for_room(s, 0, &unkept); /* halted or not */
    if (s->plan.hand)
        mm_hand_put_down(s->plan.hand, false);
    give(s, 0, MM_TAG_IDLE, &(uint8_t){0}, 1);
}

static mm_status wait_for_end(share *s, mm_error *err)
{
    pthread_mutex_lock(&s->lock);
    while (!s->ended)
        pthread_cond_wait(&s->news, &s->lock);
    const mm_verdict verdict = s->verdict;
    pthread_mutex_unlock(&s->lock);
    return verdict.status == MM_OK ? MM_OK : mm_fail(err, verdict.status, "%s", verdict.text);
}

/* --- Start and end. --- */

static mm_status prepare_scheduler(share *s, mm_error *err)
{
    const mm_share_plan *plan = &s->plan;
    const mm_scheduler_plan scheduler = {.first = plan->first,
                                         .end = plan->end,
                                         .images_per_shard = plan->images_per_shard,
                                         .ranks = mm_comm_size(s->comm),
                                         .user = plan->user,
                                         .skip = plan->skip,
                                         .cost = plan->cost,
                                         .suspects = plan->suspects,
                                         .suspect_count = plan->suspect_count};
    const mm_status status = mm_scheduler_new(&scheduler, &s->scheduler, err);
    if (status != MM_OK)
        return status;
    s->images_left = mm_scheduler_total(s->scheduler);
    s->shards_left = mm_shard_total(plan->end, plan->images_per_shard) - plan->first / plan->images_per_shard -
                     plan->shards_there;
    return MM_OK;
}

/* Shards whose records an earlier attempt had all, and did not come to write. Taken before the keeper has the owner. */
static mm_status take_whole_journals(share *s, mm_error *err)
{
    mm_owner *owner = s->plan.owner;
    s->whole = calloc(mm_owner_count(owner) + 1, sizeof(mm_journal *));
    if (!s->whole)
        return mm_fail_memory(err, "the journals of shards");
    for (size_t i = 0; i < mm_owner_count(owner); i++) {
        const uint64_t shard = mm_owner_shard(owner, i);
        if (mm_owner_has_all(owner, shard))
            s->whole[s->whole_count++] = mm_owner_release(owner, shard);
    }
    return MM_OK;
}

static void give_whole_journals(share *s)
{
    while (s->whole_count > 0)
        mm_writer_give(s->writer, s->whole[--s->whole_count]);
}

static mm_status prepare(share *s, mm_error *err)
{
    if (pthread_mutex_init(&s->lock, NULL) != 0 || pthread_cond_init(&s->news, NULL) != 0)
        return mm_fail_memory(err, "locks");
    s->halt = (mm_halt){.ranks = mm_comm_size(s->comm)};
    mm_status status = take_whole_journals(s, err);
    if (status == MM_OK && mm_comm_rank(s->comm) == 0)
        status = prepare_scheduler(s, err);
    const mm_writer_options writer = {.user = s, .commit = commit, .outcome = outcome};
    if (status == MM_OK)
        status = mm_writer_start(&writer, &s->writer, err);
    const mm_keeper_options keeper = {.owner = s->plan.owner, .sync_seconds = s->plan.sync_seconds, .user = s,
                                      .kept = kept, .whole = whole, .failed = keeper_failed};
    return status == MM_OK ? mm_keeper_start(&keeper, &s->keeper, err) : status;
}

static void clear(share *s)
{
    mm_keeper_stop(s->keeper);
    mm_writer_stop(s->writer);
    while (s->whole_count > 0)
        mm_journal_close(s->whole[--s->whole_count]);
    free(s->whole);
    mm_scheduler_free(s->scheduler);
    (void)pthread_cond_destroy(&s->news);
    (void)pthread_mutex_destroy(&s->lock);
}

static mm_status run(share *s, mm_error *err)
{
    const mm_service_options options = {.user = s, .receive = receive, .tick = tick};
    mm_status status = mm_service_start(s->comm, &options, &s->service, err);
    if (status != MM_OK)
        return status;
    give_whole_journals(s);
    mm_error fault = {0};
    status = make_images(s, &fault);
    if (status != MM_OK)
        give_fault(s, status, &fault);
    tell_idle(s);
    status = wait_for_end(s, err);
    mm_keeper_stop(s->keeper); /* before the writer, to which it gives, and the service, through which both speak */
    s->keeper = NULL;
    mm_writer_stop(s->writer);
    s->writer = NULL;
    mm_service_stop(s->service);
    return status;
}

mm_status mm_share_images(mm_comm *comm, const mm_share_plan *plan, mm_error *err)
{
    share s = {.comm = comm, .plan = *plan};
    mm_status status = prepare(&s, err);
    status = mm_comm_agree(comm, status, err);
    if (status == MM_OK)
        status = run(&s, err);
    clear(&s);
    return status;
}
