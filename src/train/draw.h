/* Random numbers that follow from a seed and from how many were drawn. */
#ifndef MM_TRAIN_DRAW_H
#define MM_TRAIN_DRAW_H

#include <math.h>

#include "train/samples.h"

typedef struct mm_draw {
    uint64_t seed, drawn;
} mm_draw;

/* 0 <= x < 1 */
static inline double mm_draw_share(mm_draw *draw)
{
    return ldexp((double)(mm_mix(draw->seed, draw->drawn++) >> 11), -53);
}

/* 0 .. count - 1 */
static inline uint64_t mm_draw_below(mm_draw *draw, uint64_t count)
{
    const uint64_t drawn = (uint64_t)(mm_draw_share(draw) * (double)count);
    return drawn < count ? drawn : count - 1;
}

/* Normal, of mean 0 and variance 1 (Box and Muller). */
static inline double mm_draw_normal(mm_draw *draw)
{
    const double pi = 3.14159265358979323846, u = 1 - mm_draw_share(draw), v = mm_draw_share(draw);
    return sqrt(-2 * log(u)) * cos(2 * pi * v);
}

#endif
