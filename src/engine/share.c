#include "engine/share_state.h"

#include <stdlib.h>

/* --- The keeper's thread. --- */

static void kept(void *user, int maker, uint64_t image_id, bool lost)
{
    mm_share_give(user, maker, MM_TAG_KEPT, &(mm_kept){image_id, lost}, sizeof(mm_kept));
}

static void whole(void *user, mm_journal *journal)
{
    mm_share *s = user;
    mm_writer_give(s->writer, journal);
}

static void keeper_failed(void *user, mm_status status, const mm_error *err)
{
    mm_share_give_fault(user, status, err);
}

/* --- The writer's thread. --- */

static mm_status commit(void *user, uint64_t shard, uint64_t first_image, const mm_record *records, size_t count,
                        mm_error *err)
{
    mm_share *s = user;
    return s->plan.commit(s->plan.user, shard, first_image, records, count, err);
}

static void outcome(void *user, uint64_t shard, mm_status status, const mm_error *err)
{
    mm_share *s = user;
    if (status == MM_OK)
        mm_share_give(s, 0, MM_TAG_WRITTEN, &shard, sizeof shard);
    else
        mm_share_give_fault(s, status, err);
}

/* --- Start and end. --- */

static mm_status prepare_scheduler(mm_share *s, mm_error *err)
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
static mm_status take_whole_journals(mm_share *s, mm_error *err)
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

static void give_whole_journals(mm_share *s)
{
    while (s->whole_count > 0)
        mm_writer_give(s->writer, s->whole[--s->whole_count]);
}

static mm_status prepare(mm_share *s, mm_error *err)
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

static void clear(mm_share *s)
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

static mm_status run(mm_share *s, mm_error *err)
{
    const mm_service_options options = {.user = s, .receive = mm_share_receive, .tick = mm_share_tick};
    mm_status status = mm_service_start(s->comm, &options, &s->service, err);
    if (status != MM_OK)
        return status;
    give_whole_journals(s);
    mm_error fault = {0};
    status = mm_share_make_images(s, &fault);
    if (status != MM_OK)
        mm_share_give_fault(s, status, &fault);
    mm_share_tell_idle(s);
    status = mm_share_wait_for_end(s, err);
    mm_keeper_stop(s->keeper); /* before the writer, to which it gives, and the service, through which both speak */
    s->keeper = NULL;
    mm_writer_stop(s->writer);
    s->writer = NULL;
    mm_service_stop(s->service);
    return status;
}

mm_status mm_share_images(mm_comm *comm, const mm_share_plan *plan, mm_error *err)
{
    mm_share s = {.comm = comm, .plan = *plan};
    mm_status status = prepare(&s, err);
    status = mm_comm_agree(comm, status, err);
    if (status == MM_OK)
        status = run(&s, err);
    clear(&s);
    return status;
}
