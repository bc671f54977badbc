/* How long images take: seconds = a + b * cost, a and b fitted to what ranks have reported, times how slow a rank is.
 * Plain values; the scheduler is the only caller. */
#ifndef MM_ENGINE_PACE_H
#define MM_ENGINE_PACE_H

#include <stdbool.h>
#include <stdint.h>

/* Sums of a least-squares fit over batches of n images, cost p and time t, each weighted by 1 / n, since the spread of
 * a sum of n times grows like n. */
typedef struct mm_pace {
    double n, p, pp, t, pt;
    double memory;               /* images: older reports fade */
    double per_image, per_cost;  /* a and b, of the sums above */
} mm_pace;

typedef struct mm_rank_pace {
    double took, expected; /* seconds, fading */
} mm_rank_pace;

/* `memory`: after how many images a report counts for little. */
mm_pace mm_pace_new(double memory);
bool mm_pace_known(const mm_pace *pace);
/* Seconds of images with this cost in sum, on a rank of ordinary speed. */
double mm_pace_expect(const mm_pace *pace, double images, double cost);
/* How many times as long as ordinary this rank takes, at least 0.5; 1 as long as nothing is known of it. */
double mm_rank_pace_slowness(const mm_rank_pace *rank);
/* A rank took so many seconds for such images. */
void mm_pace_add(mm_pace *pace, mm_rank_pace *rank, double images, double cost, double seconds);

#endif
