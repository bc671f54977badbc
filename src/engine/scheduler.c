#include "engine/scheduler.h"

#include <stdlib.h>

/* Long enough that asking costs nothing, short enough that a rank that is told to stop has little in hand. */
static const double batch_seconds = 4.0;
/* A batch is at most 1/4 of a rank's fair share of what is left, so that sizes shrink towards the end and the ranks
 * finish together (guided self-scheduling, Polychronopoulos and Kuck 1987). */
enum { SHARE_DIVISOR = 4 };

typedef struct pace {
    uint64_t images;
    double seconds;
} pace;

struct mm_scheduler {
    uint64_t next, end;
    int ranks;
    pace all;
    pace of_rank[];
};

mm_status mm_scheduler_new(uint64_t images, int ranks, mm_scheduler **scheduler, mm_error *err)
{
    if (ranks < 1)
        return mm_fail(err, MM_ERR_INTERNAL, "a scheduler for %d ranks", ranks);
    mm_scheduler *made = calloc(1, sizeof *made + (size_t)ranks * sizeof made->of_rank[0]);
    if (!made)
        return mm_fail_memory(err, "the scheduler");
    made->end = images;
    made->ranks = ranks;
    *scheduler = made;
    return MM_OK;
}

void mm_scheduler_free(mm_scheduler *scheduler)
{
    free(scheduler);
}

static void add_pace(pace *to, uint64_t images, double seconds)
{
    to->images += images;
    to->seconds += seconds;
}

void mm_scheduler_measured(mm_scheduler *scheduler, int rank, uint64_t images, double seconds)
{
    if (rank < 0 || rank >= scheduler->ranks || images == 0 || !(seconds >= 0))
        return;
    add_pace(&scheduler->all, images, seconds);
    add_pace(&scheduler->of_rank[rank], images, seconds);
}

/* How many images fill batch_seconds on this rank; 1 as long as nothing is known. */
static uint64_t images_for_time(const mm_scheduler *scheduler, int rank)
{
    const pace *known = scheduler->of_rank[rank].images ? &scheduler->of_rank[rank] : &scheduler->all;
    if (known->images == 0)
        return 1;
    const double images = batch_seconds * (double)known->images / (known->seconds + 1e-9);
    return images < 1 ? 1 : images < 1e9 ? (uint64_t)images : 1000000000;
}

mm_turn mm_scheduler_next(mm_scheduler *scheduler, int rank, bool ahead, mm_batch *batch)
{
    const uint64_t left = scheduler->end - scheduler->next;
    if (left == 0 || rank < 0 || rank >= scheduler->ranks)
        return MM_TURN_OVER;
    if (ahead && left <= (uint64_t)scheduler->ranks)
        return MM_TURN_LATER;
    uint64_t count = images_for_time(scheduler, rank);
    const uint64_t share = left / ((uint64_t)scheduler->ranks * SHARE_DIVISOR);
    if (count > share)
        count = share > 0 ? share : 1;
    *batch = (mm_batch){scheduler->next, count};
    scheduler->next += count;
    return MM_TURN_BATCH;
}
