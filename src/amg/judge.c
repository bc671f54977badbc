/* Whether masks are stable, from low-res logits. All weights are positive: a pixel whose samples are all above a threshold is above
 * it, and one is above it only if one of its samples is. This bounds how many pixels are above the high threshold and above the
 * low one, from both sides. */
#include "amg/judge.h"

#include <stdlib.h>
#include <string.h>

#include "amg/judge_internal.h"
#include "tensor/vector.h"

static mm_status lay_axis(const mm_frame *frame, uint32_t input, uint32_t size, mm_judge_axis *a, mm_error *err)
{
    const uint32_t low = frame->low_res;
    a->size = size;
    mm_status status = mm_taps_compose(low, frame->image_size, input, size, &a->taps, err);
    if (status)
        return status;
    a->near = calloc(low, sizeof *a->near);
    a->far = calloc(low, sizeof *a->far);
    a->first = calloc(low, sizeof *a->first);
    a->last = calloc(low, sizeof *a->last);
    if (!a->near || !a->far || !a->first || !a->last)
        return mm_fail_memory(err, "the classes of pixels");
    for (uint32_t i = 0; i < low; i++)
        a->first[i] = size;
    for (uint32_t i = 0; i < size; i++) {
        const uint32_t *index = a->taps[i].index, begin = index[0], end = index[MM_MAX_TAPS - 1];
        a->spread = end - begin > a->spread ? end - begin : a->spread;
        a->samples = end >= a->samples ? end + 1 : a->samples;
        for (uint32_t s = begin; s <= end; s++) {
            a->first[s] = i < a->first[s] ? i : a->first[s];
            a->last[s] = i;
        }
    }
    for (uint32_t i = 0; i < size; i++) {
        const uint32_t *index = a->taps[i].index;
        (index[MM_MAX_TAPS - 1] - index[0] < a->spread ? a->near : a->far)[index[0]]++;
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
    free(a->near);
    free(a->far);
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

mm_status mm_judge_new_for(const mm_frame *frame, mm_isa isa, mm_judge **judge, mm_error *err)
{
    mm_judge *j = *judge = calloc(1, sizeof *j);
    if (!j)
        return mm_fail_memory(err, "a judge of masks");
    j->low = frame->low_res;
    j->loops = mm_column_loops_for(isa);
    j->decide = mm_judge_decide_for(isa);
    j->code = mm_judge_code_for(isa);
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

size_t mm_judge_low_res(const mm_judge *judge)
{
    return judge->low;
}

/* --- working memory --- */

/* The next part of it; NULL if only the size is asked for. Sizes are rounded up, so that all parts are aligned. */
static void *take(char *memory, size_t *used, size_t size)
{
    void *part = memory ? memory + *used : NULL;
    *used += (size + 15) / 16 * 16;
    return part;
}

static size_t lay_out(const mm_judge *j, char *memory, mm_judge_workspace *w)
{
    const size_t low = j->low, rows = j->y.samples, margin = (size_t)j->x.spread + MM_OCTET;
    size_t used = 0;
    w->states = take(memory, &used, rows * low);
    w->row = take(memory, &used, low + 2 * margin);
    w->merged = take(memory, &used, low + 2 * margin);
    w->codes = take(memory, &used, rows * mm_judge_octets(j));
    for (int i = 0; i < MM_JUDGE_SUMS; i++)
        w->sums[i] = take(memory, &used, low * sizeof *w->sums[i]);
    w->line = take(memory, &used, low * sizeof *w->line);
    if (memory) {
        w->row += margin;
        w->merged += margin;
    }
    return used;
}

size_t mm_judge_scratch(const mm_judge *judge)
{
    mm_judge_workspace unused;
    return lay_out(judge, NULL, &unused);
}

mm_judge_workspace mm_judge_lay_out(const mm_judge *j, void *memory)
{
    mm_judge_workspace w;
    (void)lay_out(j, memory, &w);
    return w;
}

/* --- counting --- */

static void include_row(mm_low_window *window, uint32_t y)
{
    window->y0 = window->y1 ? window->y0 : y;
    window->y1 = y + 1;
}

static void include_columns(mm_low_window *window, const uint8_t *states, uint32_t columns, uint8_t bit)
{
    for (uint32_t x = 0; x < columns; x++)
        if (states[x] & bit) {
            window->x0 = window->x1 ? window->x0 : x;
            window->x1 = x + 1;
        }
}

/* The windows of samples that are perhaps above 0, and above the low threshold. */
MM_JUDGE_INLINE void find_windows(const mm_judge *j, const mm_judge_workspace *w, mm_low_window *above, mm_low_window *possible)
{
    const uint32_t columns = j->x.samples;
    uint8_t *restrict all = w->merged;
    memset(all, 0, columns);
    for (uint32_t y = 0; y < j->y.samples; y++) {
        const uint8_t *restrict row = w->states + (size_t)y * j->low;
        uint8_t some = 0;
        for (uint32_t x = 0; x < columns; x++) {
            all[x] |= row[x];
            some |= row[x];
        }
        if (some & MM_SOME_ABOVE_ZERO)
            include_row(above, y);
        if (some & MM_SOME_ABOVE_LOW)
            include_row(possible, y);
    }
    include_columns(above, all, columns, MM_SOME_ABOVE_ZERO);
    include_columns(possible, all, columns, MM_SOME_ABOVE_LOW);
}

/* Counts rows of pixels with one sample above a threshold (`some`), and with one that is not above another (`not`). */
MM_JUDGE_INLINE void add_class(const mm_judge_workspace *w, uint32_t x0, uint32_t x1, uint32_t spread, uint8_t some,
                               uint8_t not, uint16_t rows)
{
    const uint8_t *restrict states = w->row;
    uint16_t *restrict some_near = w->sums[MM_JUDGE_SOME_NEAR], *restrict some_far = w->sums[MM_JUDGE_SOME_FAR];
    uint16_t *restrict not_near = w->sums[MM_JUDGE_NOT_NEAR], *restrict not_far = w->sums[MM_JUDGE_NOT_FAR];
    for (size_t x = x0; x < (size_t)x1; x++) { /* in 32 bits x + k could wrap, and compilers leave vectors */
        uint8_t near = 0;
        for (size_t k = 0; k < spread; k++)
            near |= states[x + k];
        const uint8_t far = near | states[x + spread];
        some_near[x] = (uint16_t)(some_near[x] + (near & some ? rows : 0));
        some_far[x] = (uint16_t)(some_far[x] + (far & some ? rows : 0));
        not_near[x] = (uint16_t)(not_near[x] + (near & not ? rows : 0));
        not_far[x] = (uint16_t)(not_far[x] + (far & not ? rows : 0));
    }
}

MM_JUDGE_INLINE void add_rows(const mm_judge *j, const mm_judge_workspace *w, uint32_t x0, uint32_t x1, uint8_t some,
                              uint8_t not, uint16_t rows)
{
    if (!rows)
        return;
    if (j->x.spread == 2) /* what enlarging to photographs gives; the loop is one of constants then */
        add_class(w, x0, x1, 2, some, not, rows);
    else
        add_class(w, x0, x1, j->x.spread, some, not, rows);
}

MM_JUDGE_INLINE void merge_row(const mm_judge *j, const mm_judge_workspace *w, uint32_t y, uint32_t x0, uint32_t x1)
{
    if (y >= j->y.samples)
        return;
    const uint8_t *restrict more = w->states + (size_t)y * j->low;
    uint8_t *restrict row = w->row;
    for (uint32_t x = x0; x < x1; x++)
        row[x] |= more[x];
}

typedef struct pixel_bounds {
    uint64_t some; /* pixels with a sample above the one threshold */
    uint64_t all;  /* pixels with none that is not above the other */
} pixel_bounds;

MM_JUDGE_INLINE pixel_bounds count_pixels(const mm_judge *j, const mm_low_window *possible, const mm_judge_workspace *w,
                                          uint8_t some, uint8_t not)
{
    const uint32_t x0 = mm_judge_start_of(possible->x0, &j->x), x1 = mm_judge_end_of(possible->x1, &j->x);
    const mm_judge_axis *ax = &j->x, *ay = &j->y;
    uint64_t rows = 0;
    for (int i = 0; i < MM_JUDGE_SUMS; i++)
        memset(w->sums[i] + x0, 0, (x1 - x0) * sizeof *w->sums[i]);
    memset(w->row + x1, 0, ax->spread);
    for (uint32_t y = mm_judge_start_of(possible->y0, ay); y < possible->y1; y++) {
        if (!ay->near[y] && !ay->far[y])
            continue;
        memset(w->row + x0, 0, x1 - x0);
        for (uint32_t k = 0; k < ay->spread; k++)
            merge_row(j, w, y + k, x0, x1);
        add_rows(j, w, x0, x1, some, not, ay->near[y]);
        merge_row(j, w, y + ay->spread, x0, x1);
        add_rows(j, w, x0, x1, some, not, ay->far[y]);
        rows += (uint64_t)ay->near[y] + ay->far[y];
    }
    pixel_bounds b = {0};
    for (uint32_t x = x0; x < x1; x++) {
        b.some += (uint64_t)w->sums[MM_JUDGE_SOME_NEAR][x] * ax->near[x] + (uint64_t)w->sums[MM_JUDGE_SOME_FAR][x] * ax->far[x];
        b.all += (rows - w->sums[MM_JUDGE_NOT_NEAR][x]) * ax->near[x] + (rows - w->sums[MM_JUDGE_NOT_FAR][x]) * ax->far[x];
    }
    return b;
}

/* The score is rounded to float before it is compared. */
#define SCORE_SLACK 1e-6

MM_JUDGE_INLINE mm_judge_verdict decide_inline(const mm_judge *j, float min_stability, const mm_judge_workspace *w,
                                               mm_low_window *above, mm_low_window *possible)
{
    find_windows(j, w, above, possible);
    if (!possible->y1)
        return MM_JUDGE_UNSTABLE; /* nothing above the low threshold: its score is no number */
    const pixel_bounds sure = count_pixels(j, possible, w, MM_SOME_ABOVE_LOW, MM_SOME_NOT_ABOVE_HIGH);
    if (sure.all > 0 && (double)sure.all >= (double)min_stability * (1 + SCORE_SLACK) * (double)sure.some)
        return MM_JUDGE_STABLE;
    const pixel_bounds hope = count_pixels(j, possible, w, MM_SOME_ABOVE_HIGH, MM_SOME_NOT_ABOVE_LOW);
    if ((double)hope.some < (double)min_stability * (1 - SCORE_SLACK) * (double)hope.all)
        return MM_JUDGE_UNSTABLE;
    return MM_JUDGE_OPEN;
}

MM_JUDGE_VARIANTS(mm_judge_decide, mm_judge_decide_for, mm_judge_verdict, decide,
                  (const mm_judge *j, float min_stability, const mm_judge_workspace *w, mm_low_window *above,
                   mm_low_window *possible),
                  (j, min_stability, w, above, possible))
