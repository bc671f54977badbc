#include "engine/pace.h"

/* A rank's own history fades within about a minute of work: neighbours on its machine come and go. */
static const double rank_memory_seconds = 60.0;
/* Costs that are nearly proportional to the number of images tell nothing about a and b apart. */
static const double least_spread = 1e-3;
/* A rank that had nothing but broken images looks very fast; it must not be given more than its share at the end. */
static const double least_slowness = 0.5;
/* No image takes no time: a batch of very fast ones stays finite. */
static const double least_seconds = 1e-9;

mm_pace mm_pace_new(double memory)
{
    return (mm_pace){.memory = memory};
}

bool mm_pace_known(const mm_pace *pace)
{
    return pace->n > 0;
}

double mm_pace_expect(const mm_pace *pace, double images, double cost)
{
    return pace->per_image * images + pace->per_cost * cost + least_seconds * images;
}

double mm_rank_pace_slowness(const mm_rank_pace *rank)
{
    const double slowness = rank->expected > 0 ? rank->took / rank->expected : 1.0;
    return slowness > least_slowness ? slowness : least_slowness;
}

static void fade(mm_pace *pace, double images)
{
    const double keep = images < pace->memory ? 1.0 - images / pace->memory : 0.0;
    pace->n *= keep;
    pace->p *= keep;
    pace->pp *= keep;
    pace->t *= keep;
    pace->pt *= keep;
}

/* Neither part may be negative: a larger image is not faster. */
static void fit(mm_pace *pace)
{
    const double spread = pace->n * pace->pp - pace->p * pace->p;
    pace->per_image = pace->t / pace->n;
    pace->per_cost = 0;
    if (!(spread > least_spread * pace->n * pace->pp))
        return;
    const double a = (pace->t * pace->pp - pace->pt * pace->p) / spread;
    const double b = (pace->n * pace->pt - pace->p * pace->t) / spread;
    if (b <= 0)
        return;
    pace->per_image = a > 0 ? a : 0;
    pace->per_cost = a > 0 ? b : pace->pt / pace->pp;
}

void mm_pace_add(mm_pace *pace, mm_rank_pace *rank, double images, double cost, double seconds)
{
    fade(pace, images);
    pace->n += images;
    pace->p += cost;
    pace->pp += cost * cost / images;
    pace->t += seconds;
    pace->pt += cost * seconds / images;
    fit(pace);
    const double keep = seconds < rank_memory_seconds ? 1.0 - seconds / rank_memory_seconds : 0.0;
    rank->took = rank->took * keep + seconds;
    rank->expected = rank->expected * keep + mm_pace_expect(pace, images, cost);
}
