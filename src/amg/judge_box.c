/* The verdict on a mask, and the box of one that is stable: its sides are searched for from outside, a row or column of pixels
 * at a time. */
#include "amg/judge_internal.h"

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

/* The largest absolute value of the samples that pixels are made of, as the bits of a float. NaN is larger than infinity. */
static uint32_t largest_bits(const mm_judge *j, const float *logits)
{
    uint32_t largest = 0;
    for (uint32_t y = 0; y < j->y.samples; y++) {
        const float *row = logits + (size_t)y * j->low;
        for (uint32_t x = 0; x < j->x.samples; x++) {
            uint32_t bits;
            memcpy(&bits, row + x, sizeof bits);
            bits &= 0x7fffffff;
            largest = bits > largest ? bits : largest;
        }
    }
    return largest;
}

mm_judge_verdict mm_judge_mask(const mm_judge *j, const float *logits, float offset, float min_stability, void *scratch,
                               uint32_t box[4], mm_low_window *window)
{
    if (!(offset >= 0 && offset < MM_JUDGE_LARGEST) || !(min_stability > 0) || j->y.size > UINT16_MAX || j->x.size > UINT16_MAX)
        return MM_JUDGE_OPEN;
    const mm_judge_workspace w = mm_judge_lay_out(j, scratch);
    const mm_state_bounds bounds = mm_bounds_about(offset);
    mm_classify_samples(j->loops, logits, j->low, j->x.samples, j->y.samples, &bounds, w.states);
    mm_low_window above = {0}, possible = {0};
    const mm_judge_verdict verdict = j->decide(j, min_stability, &w, &above, &possible);
    if (verdict != MM_JUDGE_STABLE)
        return verdict;
    const uint32_t bits = largest_bits(j, logits);
    float largest;
    memcpy(&largest, &bits, sizeof largest);
    if (!(largest < MM_JUDGE_LARGEST))
        return MM_JUDGE_OPEN;
    const float slack = 1e-5f * largest + 1e-30f;
    const search x = {j, logits, true, above.y0, above.y1, slack, w.line};
    const search y = {j, logits, false, above.x0, above.x1, slack, w.line};
    if (!find_sides(&x, above.x0, above.x1, &box[0], &box[2]) || !find_sides(&y, above.y0, above.y1, &box[1], &box[3]))
        return MM_JUDGE_OPEN;
    *window = (mm_low_window){mm_judge_start_of(possible.x0, &j->x), mm_judge_start_of(possible.y0, &j->y),
                              mm_judge_end_of(possible.x1, &j->x), mm_judge_end_of(possible.y1, &j->y)};
    return MM_JUDGE_STABLE;
}
