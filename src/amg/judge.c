/* Stability and boxes from low-res logits. All weights are positive: a pixel whose samples are all above a threshold is above it,
 * and one is above 0 only if one of its samples is. Pixels are counted by classes, those whose taps begin at the same sample.
 * The ends of the box are searched for from outside, a row or column of pixels at a time. */
#include "amg/judge_internal.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "tensor/vector.h"

static mm_status lay_axis(const mm_frame *frame, uint32_t input, uint32_t size, mm_judge_axis *a, mm_error *err)
{
    const uint32_t low = frame->low_res;
    a->size = size;
    mm_status status = mm_taps_compose(low, frame->image_size, input, size, &a->taps, err);
    if (status)
        return status;
    a->count = calloc(low, sizeof *a->count);
    a->first = calloc(low, sizeof *a->first);
    a->last = calloc(low, sizeof *a->last);
    if (!a->count || !a->first || !a->last)
        return mm_fail_memory(err, "the classes of pixels");
    for (uint32_t i = 0; i < low; i++)
        a->first[i] = size;
    for (uint32_t i = 0; i < size; i++) {
        const uint32_t *index = a->taps[i].index, begin = index[0], end = index[MM_MAX_TAPS - 1];
        a->count[begin]++;
        a->spread = end - begin > a->spread ? end - begin : a->spread;
        a->samples = end >= a->samples ? end + 1 : a->samples;
        for (uint32_t s = begin; s <= end; s++) {
            a->first[s] = i < a->first[s] ? i : a->first[s];
            a->last[s] = i;
        }
    }
    /* Of images smaller than the logits, some samples are part of no pixel: theirs are their neighbours'. */
    for (uint32_t s = low - 1; s > 0; s--)
        a->first[s - 1] = a->first[s - 1] < a->first[s] ? a->first[s - 1] : a->first[s];
    for (uint32_t s = 1; s < low; s++)
        a->last[s] = a->last[s] > a->last[s - 1] ? a->last[s] : a->last[s - 1];
    return MM_OK;
}

static void free_axis(mm_judge_axis *a)
{
    free(a->taps);
    free(a->count);
    free(a->first);
    free(a->last);
}

void mm_judge_free(mm_judge *judge)
{
    if (!judge)
        return;
    free_axis(&judge->x);
    free_axis(&judge->y);
    free(judge);
}

size_t mm_judge_low_res(const mm_judge *judge)
{
    return judge->low;
}

/* The loops over all samples are compiled for each instruction set. */
#define INLINE static inline __attribute__((always_inline))

static void take(mm_judge_flags *f, uint16_t **memory, size_t count)
{
    *f = (mm_judge_flags){*memory, *memory + count};
    *memory += 2 * count;
}

size_t mm_judge_scratch(const mm_judge *judge)
{
    const size_t low = judge->low;
    return 2 * ((size_t)judge->y.samples * low + low + MM_MAX_TAPS + low) * sizeof(uint16_t) + 2 * low * sizeof(float);
}

mm_judge_workspace mm_judge_lay_out(const mm_judge *j, void *memory)
{
    mm_judge_workspace w = {.line = memory};
    w.sizes = w.line + j->low;
    uint16_t *at = (uint16_t *)(w.sizes + j->low);
    take(&w.samples, &at, (size_t)j->y.samples * j->low);
    take(&w.rows, &at, (size_t)j->low + MM_MAX_TAPS);
    take(&w.sums, &at, j->low);
    return w;
}

static void include_row(mm_low_window *window, uint32_t y)
{
    window->y0 = window->y1 ? window->y0 : y;
    window->y1 = y + 1;
}

static void include_columns(mm_low_window *window, const float *most, uint32_t columns, float above)
{
    for (uint32_t x = 0; x < columns; x++)
        if (most[x] > above) {
            window->x0 = window->x1 ? window->x0 : x;
            window->x1 = x + 1;
        }
}

/* The flags of all samples; the windows of those above 0, and of those perhaps above the low threshold. Returns the largest
 * absolute value, or infinity. */
INLINE float look(const mm_judge *j, const float *logits, float offset, const mm_judge_workspace *w,
                  mm_low_window *above, mm_low_window *possible)
{
    /* As in cells.c: roundings of the weighted sums. */
    const float slack = 2e-6f * offset + 1e-30f, sure = offset + slack, low = -offset - slack;
    const uint32_t columns = j->x.samples;
    float largest = 0;
    bool odd = false;
    for (uint32_t x = 0; x < columns; x++) {
        w->line[x] = -MM_JUDGE_LARGEST;
        w->sizes[x] = 0;
    }
    for (uint32_t y = 0; y < j->y.samples; y++) {
        const float *restrict row = logits + (size_t)y * j->low;
        uint16_t *restrict row_high = w->samples.high + (size_t)y * j->low;
        uint16_t *restrict row_low = w->samples.low + (size_t)y * j->low;
        float *restrict most = w->line, *restrict sizes = w->sizes;
        int32_t any_above = 0, any_low = 0, any_odd = 0;
        for (uint32_t x = 0; x < columns; x++) {
            const float v = row[x], size = fabsf(v);
            sizes[x] = size > sizes[x] ? size : sizes[x];
            most[x] = v > most[x] ? v : most[x];
            any_above |= -(v > 0);
            any_low |= -(v > low);
            any_odd |= -!(size < MM_JUDGE_LARGEST);
            row_high[x] = (uint16_t)-(v > sure);
            row_low[x] = (uint16_t)-(v > low);
        }
        odd = odd || any_odd;
        if (any_above)
            include_row(above, y);
        if (any_low)
            include_row(possible, y);
    }
    include_columns(above, w->line, columns, 0);
    include_columns(possible, w->line, columns, low);
    for (uint32_t x = 0; x < columns; x++)
        largest = w->sizes[x] > largest ? w->sizes[x] : largest;
    return odd ? INFINITY : largest;
}

/* The flags of a class of rows: high where it holds of all of them, low where it holds of one. */
INLINE void merge_rows(const mm_judge *j, const mm_judge_workspace *w, uint32_t y, uint32_t x0, uint32_t x1)
{
    const size_t low = j->low;
    uint16_t *restrict all = w->rows.high, *restrict one = w->rows.low;
    memcpy(all + x0, w->samples.high + y * low + x0, (x1 - x0) * sizeof *all);
    memcpy(one + x0, w->samples.low + y * low + x0, (x1 - x0) * sizeof *one);
    for (uint32_t row = y + 1; row <= y + j->y.spread && row < j->y.samples; row++) {
        const uint16_t *restrict high = w->samples.high + row * low, *restrict perhaps = w->samples.low + row * low;
        for (uint32_t x = x0; x < x1; x++) {
            all[x] &= high[x];
            one[x] |= perhaps[x];
        }
    }
    for (uint32_t x = x1; x < x1 + j->x.spread; x++) {
        all[x] = UINT16_MAX;
        one[x] = 0;
    }
}

/* The same for classes of columns, added up in pixels. */
INLINE void add_rows(const mm_judge *j, const mm_judge_workspace *w, uint32_t x0, uint32_t x1, uint16_t count)
{
    const uint16_t *restrict high = w->rows.high, *restrict low = w->rows.low;
    uint16_t *restrict sum_high = w->sums.high, *restrict sum_low = w->sums.low;
    if (j->x.spread == 2) {
        for (size_t x = x0; x < (size_t)x1; x++) { /* in 32 bits x + 2 could wrap, and compilers leave vectors */
            sum_high[x] = (uint16_t)(sum_high[x] + (high[x] & high[x + 1] & high[x + 2] & count));
            sum_low[x] = (uint16_t)(sum_low[x] + ((low[x] | low[x + 1] | low[x + 2]) & count));
        }
        return;
    }
    for (uint32_t x = x0; x < x1; x++) {
        uint16_t all = high[x], one = low[x];
        for (uint32_t k = 1; k <= j->x.spread; k++) {
            all &= high[x + k];
            one |= low[x + k];
        }
        sum_high[x] = (uint16_t)(sum_high[x] + (all & count));
        sum_low[x] = (uint16_t)(sum_low[x] + (one & count));
    }
}

/* Whether certainly enough of the pixels that may be above the low threshold are above the high one. */
INLINE bool is_stable(const mm_judge *j, const mm_low_window *possible, const mm_judge_workspace *w, float min_stability)
{
    const uint32_t x0 = mm_judge_start_of(possible->x0, &j->x), x1 = mm_judge_end_of(possible->x1, &j->x);
    memset(w->sums.high, 0, j->low * sizeof *w->sums.high);
    memset(w->sums.low, 0, j->low * sizeof *w->sums.low);
    for (uint32_t y = mm_judge_start_of(possible->y0, &j->y); y < possible->y1; y++)
        if (j->y.count[y]) {
            merge_rows(j, w, y, x0, x1);
            add_rows(j, w, x0, x1, j->y.count[y]);
        }
    uint64_t high = 0, low = 0;
    for (uint32_t x = x0; x < x1; x++) {
        high += (uint64_t)w->sums.high[x] * j->x.count[x];
        low += (uint64_t)w->sums.low[x] * j->x.count[x];
    }
    return (double)high >= (double)min_stability * (1 + 1e-6) * (double)low && high > 0;
}

#define DECIDE(name, target)                                                                                          \
    target static void name(const mm_judge *j, const float *logits, float offset, float min_stability,                \
                            const mm_judge_workspace *w, mm_judge_verdict *v)                                         \
    {                                                                                                                 \
        *v = (mm_judge_verdict){0};                                                                                   \
        v->largest = look(j, logits, offset, w, &v->above, &v->possible);                                             \
        v->stable = v->largest < MM_JUDGE_LARGEST && v->above.y1 && is_stable(j, &v->possible, w, min_stability);     \
    }

DECIDE(decide, )
#ifdef __x86_64__
DECIDE(decide_avx2, __attribute__((target("avx2"))))
DECIDE(decide_avx512, __attribute__((target("avx512f,avx512bw,avx512dq,avx512vl"))))
#endif

mm_status mm_judge_new_for(const mm_frame *frame, mm_isa isa, mm_judge **judge, mm_error *err)
{
    mm_judge *j = *judge = calloc(1, sizeof *j);
    if (!j)
        return mm_fail_memory(err, "a judge of masks");
    j->low = frame->low_res;
    j->decide = decide;
#ifdef __x86_64__
    if (isa != MM_ISA_PORTABLE)
        j->decide = isa == MM_ISA_AVX512 ? decide_avx512 : decide_avx2;
#else
    (void)isa;
#endif
    mm_status status = lay_axis(frame, frame->input_width, frame->width, &j->x, err);
    if (!status)
        status = lay_axis(frame, frame->input_height, frame->height, &j->y, err);
    if (status) {
        mm_judge_free(j);
        *judge = NULL;
    }
    return status;
}

mm_status mm_judge_new(const mm_frame *frame, mm_judge **judge, mm_error *err)
{
    return mm_judge_new_for(frame, mm_vector_best(), judge, err);
}
