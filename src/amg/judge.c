/* Stability and boxes from low-res logits. All weights are positive: a pixel whose samples are all above a threshold is above it,
 * and one is above 0 only if one of its samples is. Pixels are counted by classes, those whose taps begin at the same sample.
 * The ends of the box are searched for from outside, a row or column of pixels at a time. */
#include "amg/judge.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "amg/taps.h"
#include "tensor/vector.h"

/* One axis of the mask. */
typedef struct axis {
    mm_taps *taps;    /* [size] */
    uint32_t size;    /* pixels */
    uint32_t samples; /* that they are made of, from the first on */
    uint32_t spread;  /* the most samples that a pixel has beyond its first */
    uint16_t *count;  /* [samples]: pixels whose first sample this is */
    uint32_t *first, *last; /* [samples]: pixels that this sample is a part of */
} axis;

/* What the flags of all samples decide. */
typedef struct verdict {
    mm_low_window above, possible; /* samples above 0, and perhaps above the low threshold */
    float largest;                 /* absolute value, or infinity */
    bool stable;
} verdict;

typedef struct workspace workspace;

struct mm_judge {
    uint32_t low;
    axis x, y;
    void (*decide)(const mm_judge *judge, const float *logits, float offset, float min_stability, const workspace *w,
                   verdict *v);
};

static mm_status lay_axis(const mm_frame *frame, uint32_t input, uint32_t size, axis *a, mm_error *err)
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
    return MM_OK;
}

static void free_axis(axis *a)
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

/* What is said of samples, all bits or none: that they are above the high threshold for certain, or perhaps above the low one. */
typedef struct flags {
    uint16_t *high, *low;
} flags;

struct workspace {
    flags samples; /* [y.samples][L] */
    flags rows;    /* [L + MM_MAX_TAPS]: those of a class of rows together; what lies beyond the samples changes nothing */
    flags sums;    /* [L]: rows of pixels of which it holds */
    float *line;   /* [L]: a row or column of pixels at the samples of the other axis; the greatest of each column */
    float *sizes;  /* [L]: the greatest absolute value of each column */
};

/* The loops over all samples are compiled for each instruction set. */
#define INLINE static inline __attribute__((always_inline))

static void take(flags *f, uint16_t **memory, size_t count)
{
    *f = (flags){*memory, *memory + count};
    *memory += 2 * count;
}

size_t mm_judge_scratch(const mm_judge *judge)
{
    const size_t low = judge->low;
    return 2 * ((size_t)judge->y.samples * low + low + MM_MAX_TAPS + low) * sizeof(uint16_t) + 2 * low * sizeof(float);
}

static workspace lay_out(const mm_judge *j, void *memory)
{
    workspace w = {.line = memory};
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

/* Of these samples nothing is computed that could overflow. */
#define LARGEST 1e30f

/* The flags of all samples; the windows of those above 0, and of those perhaps above the low threshold. Returns the largest
 * absolute value, or infinity. */
INLINE float look(const mm_judge *j, const float *logits, float offset, const workspace *w, mm_low_window *above,
                  mm_low_window *possible)
{
    /* As in cells.c: roundings of the weighted sums. */
    const float slack = 2e-6f * offset + 1e-30f, sure = offset + slack, low = -offset - slack;
    const uint32_t columns = j->x.samples;
    float largest = 0;
    bool odd = false;
    for (uint32_t x = 0; x < columns; x++) {
        w->line[x] = -LARGEST;
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
            any_odd |= -!(size < LARGEST);
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
INLINE void merge_rows(const mm_judge *j, const workspace *w, uint32_t y, uint32_t x0, uint32_t x1)
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
INLINE void add_rows(const mm_judge *j, const workspace *w, uint32_t x0, uint32_t x1, uint16_t count)
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

/* Samples from `start` on are the first of all pixels that a window's samples are a part of. */
static uint32_t start_of(uint32_t start, const axis *a)
{
    return start > a->spread ? start - a->spread : 0;
}

static uint32_t end_of(uint32_t end, const axis *a)
{
    return a->samples - end > a->spread ? end + a->spread : a->samples;
}

/* Whether certainly enough of the pixels that may be above the low threshold are above the high one. */
INLINE bool is_stable(const mm_judge *j, const mm_low_window *possible, const workspace *w, float min_stability)
{
    const uint32_t x0 = start_of(possible->x0, &j->x), x1 = end_of(possible->x1, &j->x);
    memset(w->sums.high, 0, j->low * sizeof *w->sums.high);
    memset(w->sums.low, 0, j->low * sizeof *w->sums.low);
    for (uint32_t y = start_of(possible->y0, &j->y); y < possible->y1; y++)
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

#define DECIDE(name, target)                                                                                           \
    target static void name(const mm_judge *j, const float *logits, float offset, float min_stability,                 \
                            const workspace *w, verdict *v)                                                            \
    {                                                                                                                  \
        *v = (verdict){0};                                                                                             \
        v->largest = look(j, logits, offset, w, &v->above, &v->possible);                                              \
        v->stable = v->largest < LARGEST && v->above.y1 && is_stable(j, &v->possible, w, min_stability);               \
    }

DECIDE(decide, )
#ifdef __x86_64__
DECIDE(decide_avx2, __attribute__((target("avx2"))))
DECIDE(decide_avx512, __attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,prefer-vector-width=512"))))
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
    const axis *other = s->along_x ? &j->y : &j->x;
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
    const axis *a = s->along_x ? &s->judge->x : &s->judge->y;
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
    if (!(offset >= 0 && offset < LARGEST) || !(min_stability > 0) || j->y.size > UINT16_MAX || j->x.size > UINT16_MAX)
        return false;
    const workspace w = lay_out(j, scratch);
    verdict v;
    j->decide(j, logits, offset, min_stability, &w, &v);
    if (!v.stable)
        return false;
    const mm_low_window above = v.above, *possible = &v.possible;
    const float slack = 1e-5f * v.largest;
    const search x = {j, logits, true, above.y0, above.y1, slack, w.line};
    const search y = {j, logits, false, above.x0, above.x1, slack, w.line};
    if (!find_sides(&x, above.x0, above.x1, &box[0], &box[2]) || !find_sides(&y, above.y0, above.y1, &box[1], &box[3]))
        return false;
    *window = (mm_low_window){start_of(possible->x0, &j->x), start_of(possible->y0, &j->y),
                              end_of(possible->x1, &j->x), end_of(possible->y1, &j->y)};
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
