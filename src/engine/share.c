#include "engine/share.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "engine/owner.h"
#include "engine/writer.h"

typedef struct share {
    mm_comm *comm;
    mm_share_plan plan;
    mm_service *service;
    mm_writer *writer;

    /* The service thread's own. */
    mm_owner *owner;
    mm_scheduler *scheduler; /* rank 0 */
    uint64_t images_left, shards_left; /* rank 0: not yet reported as finished, as written */
    bool end_sent;                     /* rank 0 */

    pthread_mutex_t lock; /* guards what follows: what the service tells the computing thread */
    pthread_cond_t news;
    bool has_turn, ended;
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
    mm_scheduler_measured(s->scheduler, source, ask.images, ask.seconds);
    mm_turn_reply reply = {0};
    reply.turn = mm_scheduler_next(s->scheduler, source, ask.ahead, &reply.batch);
    give(s, source, MM_TAG_TURN, &reply, sizeof reply);
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

static void on_finished(share *s, int source, const void *bytes)
{
    mm_finished finished;
    memcpy(&finished, bytes, sizeof finished);
    finished.rank = source;
    finished.reason[sizeof finished.reason - 1] = '\0';
    mm_error err = {0};
    const mm_status status = s->plan.finished(s->plan.user, &finished, &err);
    if (status != MM_OK) {
        give_fault(s, status, &err);
        return;
    }
    s->images_left--;
    end_if_complete(s);
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
    send_end(s, &verdict);
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

static void on_record(share *s, uint8_t *bytes, size_t size)
{
    uint64_t image_id;
    mm_error err = {0};
    if (size <= sizeof image_id) {
        free(bytes);
        give_fault(s, mm_fail(&err, MM_ERR_INTERNAL, "a record of %zu bytes came from another rank", size), &err);
        return;
    }
    memcpy(&image_id, bytes + size - sizeof image_id, sizeof image_id);
    mm_gathering *whole = NULL;
    const mm_status status = mm_owner_put(s->owner, image_id, bytes, size - sizeof image_id, &whole, &err);
    if (status != MM_OK)
        give_fault(s, status, &err);
    else if (whole)
        mm_writer_give(s->writer, whole);
}

static bool has_ended(share *s)
{
    pthread_mutex_lock(&s->lock);
    const bool ended = s->ended;
    pthread_mutex_unlock(&s->lock);
    return ended;
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
        [MM_TAG_FINISHED] = {on_finished, sizeof(mm_finished), true},
        [MM_TAG_WRITTEN] = {on_written, sizeof(uint64_t), true},
        [MM_TAG_FAULT] = {on_fault, sizeof(mm_verdict), true},
        [MM_TAG_END] = {on_end, sizeof(mm_verdict), false},
    };
    share *s = user;
    if (has_ended(s)) { /* what was under way when the run was stopped */
        free(bytes);
        return;
    }
    if (tag == MM_TAG_RECORD) {
        on_record(s, bytes, size);
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

static void tick(void *user)
{
    share *s = user;
    if (mm_comm_rank(s->comm) == 0 && s->plan.tick)
        s->plan.tick(s->plan.user);
}

/* --- The writer thread. --- */

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

static void send_finished(share *s, const mm_record *record, mm_status why)
{
    mm_finished finished = {.image_id = record->image_id, .masks = record->mask_count, .status = why};
    if (record->reason)
        (void)strncpy(finished.reason, record->reason, sizeof finished.reason - 1);
    give(s, 0, MM_TAG_FINISHED, &finished, sizeof finished);
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
    const int owner = mm_owner_rank(record->image_id, s->plan.images_per_shard, mm_comm_size(s->comm));
    return mm_service_send(s->service, owner, MM_TAG_RECORD, bytes, size + sizeof record->image_id, err);
}

static mm_status make_image(share *s, uint64_t image_id, mm_error *err)
{
    mm_record record = {0};
    mm_status why = MM_OK;
    mm_status status = s->plan.make(s->plan.user, image_id, &record, &why, err);
    if (status != MM_OK)
        return status;
    status = send_record(s, &record, err);
    if (status == MM_OK)
        send_finished(s, &record, why);
    mm_record_free(&record);
    return status;
}

/* The answer to the last ask; MM_TURN_OVER when the run has ended meanwhile. */
static mm_turn_reply take_turn(share *s)
{
    pthread_mutex_lock(&s->lock);
    while (!s->has_turn && !s->ended)
        pthread_cond_wait(&s->news, &s->lock);
    const mm_turn_reply turn = s->ended ? (mm_turn_reply){.turn = MM_TURN_OVER} : s->turn;
    s->has_turn = false;
    pthread_mutex_unlock(&s->lock);
    return turn;
}

static void ask(share *s, mm_ask *made, bool ahead)
{
    made->ahead = ahead;
    give(s, 0, MM_TAG_ASK, made, sizeof *made);
    *made = (mm_ask){0};
}

static mm_status make_images(share *s, mm_error *err)
{
    mm_ask made = {0};
    ask(s, &made, false);
    for (;;) {
        const mm_turn_reply turn = take_turn(s);
        if (turn.turn == MM_TURN_OVER)
            return MM_OK;
        ask(s, &made, turn.turn == MM_TURN_BATCH);
        if (turn.turn == MM_TURN_LATER)
            continue;
        for (uint64_t i = 0; i < turn.batch.count && !has_ended(s); i++) {
            const double start = mm_seconds_now();
            const mm_status status = make_image(s, turn.batch.first + i, err);
            if (status != MM_OK)
                return status;
            made.images++;
            made.seconds += mm_seconds_now() - start;
        }
    }
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

static mm_status prepare(share *s, mm_error *err)
{
    const int rank = mm_comm_rank(s->comm), ranks = mm_comm_size(s->comm);
    const mm_share_plan *plan = &s->plan;
    if (pthread_mutex_init(&s->lock, NULL) != 0 || pthread_cond_init(&s->news, NULL) != 0)
        return mm_fail_memory(err, "locks");
    mm_status status = mm_owner_new(plan->images, plan->images_per_shard, rank, ranks, &s->owner, err);
    if (status == MM_OK && rank == 0) {
        s->images_left = plan->images;
        s->shards_left = mm_shard_total(plan->images, plan->images_per_shard);
        status = mm_scheduler_new(plan->images, ranks, &s->scheduler, err);
    }
    const mm_writer_options writer = {.user = s, .commit = commit, .outcome = outcome};
    return status == MM_OK ? mm_writer_start(&writer, &s->writer, err) : status;
}

static void clear(share *s)
{
    mm_writer_stop(s->writer);
    mm_scheduler_free(s->scheduler);
    mm_owner_free(s->owner);
    (void)pthread_cond_destroy(&s->news);
    (void)pthread_mutex_destroy(&s->lock);
}

static mm_status run(share *s, mm_error *err)
{
    const mm_service_options options = {.user = s, .receive = receive, .tick = tick};
    mm_status status = mm_service_start(s->comm, &options, &s->service, err);
    if (status != MM_OK)
        return status;
    mm_error fault = {0};
    status = make_images(s, &fault);
    if (status != MM_OK)
        give_fault(s, status, &fault);
    status = wait_for_end(s, err);
    mm_writer_stop(s->writer); /* before the service, through which it speaks */
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
