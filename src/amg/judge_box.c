/* The box of a mask that is certain to be stable, searched for from outside, and the logits of those that wait for NMS. */
#include "amg/judge_internal.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* As the scan computes it. */
static float pixel(const mm_judge *j, const float *logits, uint32_t x, uint32_t y)
{
    const mm_taps *columns = &j->x.taps[x], *rows = &j->y.taps[y];
    float v = 0;
    for (uint32_t i = 0; i < columns->count; i++) {
        const float *sample = logits + columns->index[i];
        float resized = sample[(size_t)rows->index[0] * j->low] * rows->weight[0];
        for (uint32_t k = 1; k < rows->count; k++)
            resized += sample[(size_t)rows->index[k] * j->low] * rows->weight[k];
        v = i ? v + resized * columns->weight[i] : resized * columns->weight[i];
    }
    return v;
}

/* One side of the box. */
typedef struct search {
    const mm_judge *judge;
    const float *logits;
    bool along_x;         /* the side is a column of pixels, looked for from left to right or back */
    uint32_t from, until; /* samples of the other axis that are above 0 somewhere */
    float slack;          /* more than all roundings of a pixel */
    float *line;
} search;

/* Whether a column (row) of pixels has one above 0. Where the mean of its samples, over its own taps, is below 0 in the middle of
 * all samples that a pixel is made of, the pixel is not. */
static bool has_pixel(const search *s, uint32_t at)
{
    const mm_judge *j = s->judge;
    const mm_taps *taps = s->along_x ? &j->x.taps[at] : &j->y.taps[at];
    const mm_judge_axis *other = s->along_x ? &j->y : &j->x;
    const size_t step = s->along_x ? j->low : 1, across = s->along_x ? 1 : j->low;
    for (uint32_t i = s->from; i < s->until; i++) {
        float sum = 0;
        for (uint32_t k = 0; k < taps->count; k++)
            sum += s->logits[i * step + taps->index[k] * across] * taps->weight[k];
        s->line[i] = sum;
    }
    uint32_t next = 0; /* pixels before it have been looked at */
    for (uint32_t i = s->from; i < s->until; i++) {
        if (!(s->line[i] > -s->slack))
            continue;
        for (uint32_t q = other->first[i] > next ? other->first[i] : next; q <= other->last[i]; q++)
            if ((s->along_x ? pixel(j, s->logits, at, q) : pixel(j, s->logits, q, at)) > 0)
                return true;
        next = other->last[i] + 1;
    }
    return false;
}

/* The first and the last column (row) of pixels with one above 0, of those that samples first .. end - 1 are part of. */
static bool find_sides(const search *s, uint32_t first, uint32_t end, uint32_t *low, uint32_t *high)
{
    const mm_judge_axis *a = s->along_x ? &s->judge->x : &s->judge->y;
    const uint32_t last = a->last[end - 1];
    uint32_t at = a->first[first];
    while (at <= last && !has_pixel(s, at))
        at++;
    *low = at;
    if (at > last)
        return false;
    at = last;
    while (at > *low && !has_pixel(s, at))
        at--;
    *high = at;
    return true;
}

bool mm_judge_is_stable(const mm_judge *j, const float *logits, float offset, float min_stability, void *scratch,
                        uint32_t box[4], mm_low_window *window)
{
    if (!(offset >= 0 && offset < MM_JUDGE_LARGEST) || !(min_stability > 0) || j->y.size > UINT16_MAX || j->x.size > UINT16_MAX)
        return false;
    const mm_judge_workspace w = mm_judge_lay_out(j, scratch);
    mm_judge_verdict v;
    j->decide(j, logits, offset, min_stability, &w, &v);
    if (!v.stable)
        return false;
    const mm_low_window above = v.above, *possible = &v.possible;
    const float slack = 1e-5f * v.largest + 1e-30f;
    const search x = {j, logits, true, above.y0, above.y1, slack, w.line};
    const search y = {j, logits, false, above.x0, above.x1, slack, w.line};
    if (!find_sides(&x, above.x0, above.x1, &box[0], &box[2]) || !find_sides(&y, above.y0, above.y1, &box[1], &box[3]))
        return false;
    *window = (mm_low_window){mm_judge_start_of(possible->x0, &j->x), mm_judge_start_of(possible->y0, &j->y),
                              mm_judge_end_of(possible->x1, &j->x), mm_judge_end_of(possible->y1, &j->y)};
    return true;
}

size_t mm_parked_size(const mm_low_window *window)
{
    return sizeof(mm_parked) + (size_t)(window->y1 - window->y0) * (window->x1 - window->x0) * sizeof(float);
}

mm_parked *mm_judge_park(const mm_judge *j, const float *logits, const mm_low_window *window)
{
    mm_parked *parked = malloc(mm_parked_size(window));
    if (!parked)
        return NULL;
    parked->window = *window;
    const size_t columns = window->x1 - window->x0;
    float *to = parked->samples;
    for (uint32_t y = window->y0; y < window->y1; y++, to += columns)
        memcpy(to, logits + (size_t)y * j->low + window->x0, columns * sizeof *to);
    return parked;
}

void mm_judge_unpark(const mm_judge *j, const mm_parked *parked, float *logits)
{
    const mm_low_window *window = &parked->window;
    const size_t columns = window->x1 - window->x0;
    for (size_t i = 0; i < (size_t)j->low * j->low; i++)
        logits[i] = -INFINITY;
    const float *from = parked->samples;
    for (uint32_t y = window->y0; y < window->y1; y++, from += columns)
        memcpy(logits + (size_t)y * j->low + window->x0, from, columns * sizeof *from);
}
