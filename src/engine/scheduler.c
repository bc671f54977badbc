#include "engine/scheduler.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "engine/pace.h"

/* Long enough that asking costs nothing, short enough that a rank that is told to stop has little in hand. With very
 * many ranks longer, so that rank 0 is asked at most 4000 times a second (docs/scaling.md). */
static const double batch_seconds = 4.0, batch_seconds_per_rank = 2.5e-4;

enum {
    /* A batch is at most 1/4 of a rank's fair share of what is left, so that sizes shrink towards the end and the ranks
     * finish together (guided self-scheduling, Polychronopoulos and Kuck 1987). */
    SHARE_DIVISOR = 4,
    /* A window has this many images a rank, in whole shards: enough that the last one ends with its smallest images in
     * batches of one. */
    WINDOW_PER_RANK = 16,
    /* How many images a rank the fit of times remembers. */
    MEMORY_PER_RANK = 100
};

typedef struct waiting {
    uint64_t image_id, cost;
} waiting;

/* What a rank was given and has not reported yet. */
typedef struct given {
    double images, cost;
    mm_rank_pace pace;
} given;

struct mm_scheduler {
    mm_scheduler_plan plan;
    uint64_t total;
    uint64_t beyond; /* to be handed out, outside of the window; no suspects */
    uint64_t next;   /* where the next window begins */
    uint64_t span;   /* of a window, in images; whole shards */

    waiting *window; /* [2 * span at most]: what is left of it is at .. count-1, costliest first */
    size_t at, count;
    double window_cost; /* of what is left of it */

    uint64_t *suspects; /* rising */
    size_t suspect_at, suspect_count;

    mm_pace pace;
    given of_rank[];
};

static int compare_ids(const void *a, const void *b)
{
    const uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

static int compare_costs(const void *a, const void *b)
{
    const waiting *x = a, *y = b;
    if (x->cost != y->cost)
        return x->cost < y->cost ? 1 : -1;
    return (x->image_id > y->image_id) - (x->image_id < y->image_id);
}

static bool is_suspect(const mm_scheduler *s, uint64_t image_id)
{
    return s->suspect_count > 0 && bsearch(&image_id, s->suspects, s->suspect_count, sizeof image_id, compare_ids);
}

static bool is_skipped(const mm_scheduler *s, uint64_t image_id)
{
    return s->plan.skip && s->plan.skip(s->plan.user, image_id);
}

/* Sorted, each once, none that is not to be made. */
static mm_status keep_suspects(mm_scheduler *s, mm_error *err)
{
    const mm_scheduler_plan *plan = &s->plan;
    s->suspects = calloc(plan->suspect_count + 1, sizeof *s->suspects);
    if (!s->suspects)
        return mm_fail_memory(err, "the images that an earlier run had in hand");
    for (size_t i = 0; i < plan->suspect_count; i++)
        s->suspects[i] = plan->suspects[i];
    qsort(s->suspects, plan->suspect_count, sizeof *s->suspects, compare_ids);
    for (size_t i = 0; i < plan->suspect_count; i++) {
        const uint64_t image_id = s->suspects[i];
        const bool again = s->suspect_count > 0 && s->suspects[s->suspect_count - 1] == image_id;
        if (!again && image_id >= plan->first && image_id < plan->end && !is_skipped(s, image_id))
            s->suspects[s->suspect_count++] = image_id;
    }
    return MM_OK;
}

static mm_status prepare(mm_scheduler *s, mm_error *err)
{
    const mm_scheduler_plan *plan = &s->plan;
    const uint64_t per_shard = plan->images_per_shard, wanted = WINDOW_PER_RANK * (uint64_t)plan->ranks;
    const uint64_t range = plan->end - plan->first;
    const double by_rank_count = batch_seconds_per_rank * (double)plan->ranks;
    if (!(plan->batch_seconds > 0))
        s->plan.batch_seconds = by_rank_count > batch_seconds ? by_rank_count : batch_seconds;
    s->span = (wanted + per_shard - 1) / per_shard * per_shard;
    s->next = plan->first;
    s->pace = mm_pace_new(MEMORY_PER_RANK * (double)plan->ranks);
    mm_status status = keep_suspects(s, err);
    if (status != MM_OK)
        return status;
    s->window = calloc(1 + (range < 2 * s->span ? range : 2 * s->span), sizeof *s->window);
    if (!s->window)
        return mm_fail_memory(err, "the scheduler's window");
    s->beyond = range;
    for (uint64_t id = plan->first; plan->skip && id < plan->end; id++)
        s->beyond -= is_skipped(s, id);
    s->total = s->beyond;
    s->beyond -= s->suspect_count;
    return MM_OK;
}

mm_status mm_scheduler_new(const mm_scheduler_plan *plan, mm_scheduler **scheduler, mm_error *err)
{
    if (plan->ranks < 1 || plan->images_per_shard == 0 || plan->end < plan->first)
        return mm_fail(err, MM_ERR_INTERNAL, "a scheduler for images %" PRIu64 " to %" PRIu64 " in shards of %" PRIu32
                       " on %d ranks", plan->first, plan->end, plan->images_per_shard, plan->ranks);
    mm_scheduler *made = calloc(1, sizeof *made + (size_t)plan->ranks * sizeof made->of_rank[0]);
    if (!made)
        return mm_fail_memory(err, "the scheduler");
    made->plan = *plan;
    const mm_status status = prepare(made, err);
    made->plan.suspects = NULL; /* the caller's */
    if (status != MM_OK) {
        mm_scheduler_free(made);
        return status;
    }
    *scheduler = made;
    return MM_OK;
}

void mm_scheduler_free(mm_scheduler *scheduler)
{
    if (!scheduler)
        return;
    free(scheduler->window);
    free(scheduler->suspects);
    free(scheduler);
}

uint64_t mm_scheduler_total(const mm_scheduler *scheduler)
{
    return scheduler->total;
}

void mm_scheduler_measured(mm_scheduler *scheduler, int rank, uint64_t images, double seconds)
{
    if (rank < 0 || rank >= scheduler->plan.ranks || images == 0 || !(seconds >= 0))
        return;
    given *mine = &scheduler->of_rank[rank];
    /* Of the two batches it may hold: neighbours in the window, so their mean cost will do. */
    const double finished = (double)images, share = mine->images > finished ? finished / mine->images : 1.0;
    const double cost = mine->cost * share;
    mine->images -= mine->images * share;
    mine->cost -= cost;
    mm_pace_add(&scheduler->pace, &mine->pace, finished, cost, seconds);
}

/* From s->next on: whole shards, costliest image first. The last window takes in a rest that would make none. */
static void fill_window(mm_scheduler *s)
{
    const uint64_t per_shard = s->plan.images_per_shard;
    uint64_t stop = s->next / per_shard * per_shard + s->span; /* s->next is within a shard at the start only */
    if (stop > s->plan.end || s->plan.end - stop < s->span)
        stop = s->plan.end;
    s->at = s->count = 0;
    s->window_cost = 0;
    for (uint64_t id = s->next; id < stop; id++) {
        if (is_skipped(s, id) || is_suspect(s, id))
            continue;
        const uint64_t cost = s->plan.cost ? s->plan.cost(s->plan.user, id) : 0;
        s->window[s->count++] = (waiting){id, cost};
        s->window_cost += (double)cost;
    }
    s->next = stop;
    s->beyond -= s->count;
    qsort(s->window, s->count, sizeof *s->window, compare_costs);
}

/* How much a batch for this rank may be, in seconds that a rank of ordinary speed would take. */
static double time_for_batch(const mm_scheduler *s, int rank)
{
    const double ranks = s->plan.ranks, in_window = (double)(s->count - s->at), beyond = (double)s->beyond;
    const double wanted = s->plan.batch_seconds;
    /* Beyond the window costs are not known yet; they are taken to be like the window's. */
    const double left = mm_pace_expect(&s->pace, in_window, s->window_cost) * (1 + beyond / in_window);
    const double share = left / (ranks * SHARE_DIVISOR);
    return (wanted < share ? wanted : share) / mm_rank_pace_slowness(&s->of_rank[rank].pace);
}

static void take_batch(mm_scheduler *s, int rank, mm_batch *batch)
{
    given *mine = &s->of_rank[rank];
    const bool known = mm_pace_known(&s->pace);
    const double time = known ? time_for_batch(s, rank) : 0;
    double used = 0;
    batch->count = 0;
    batch->suspect = false;
    while (s->at < s->count && batch->count < MM_BATCH_MAX) {
        const waiting *next = &s->window[s->at];
        used += known ? mm_pace_expect(&s->pace, 1, (double)next->cost) : 0;
        if (batch->count > 0 && !(known && used <= time))
            break;
        batch->image_ids[batch->count++] = next->image_id;
        s->window_cost -= (double)next->cost;
        mine->images += 1;
        mine->cost += (double)next->cost;
        s->at++;
    }
}

mm_turn mm_scheduler_next(mm_scheduler *scheduler, int rank, bool ahead, mm_batch *batch)
{
    mm_scheduler *s = scheduler;
    if (rank < 0 || rank >= s->plan.ranks)
        return MM_TURN_OVER;
    while (s->at == s->count && s->next < s->plan.end)
        fill_window(s);
    const uint64_t ordinary = s->count - s->at + s->beyond, suspects = s->suspect_count - s->suspect_at;
    if (ordinary + suspects == 0)
        return MM_TURN_OVER;
    if (ahead && (ordinary == 0 || ordinary + suspects <= (uint64_t)s->plan.ranks))
        return MM_TURN_LATER;
    if (ordinary > 0) {
        take_batch(s, rank, batch);
    } else {
        *batch = (mm_batch){.count = 1, .suspect = true, .image_ids = {s->suspects[s->suspect_at++]}};
        s->of_rank[rank].images += 1;
    }
    return MM_TURN_BATCH;
}
