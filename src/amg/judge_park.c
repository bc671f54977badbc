/* The logits of masks that wait for NMS. Of a sample nothing is kept but on which side it lies where all pixels that it is part of,
 * and those of its neighbours, are decided; so that what waits is little more than a mask's border. */
#include "amg/judge_internal.h"

#include <stdlib.h>
#include <string.h>

struct mm_parked {
    mm_low_window window;
    size_t kept;         /* octets */
    uint32_t first, end; /* octets of a row */
    float samples[];     /* [kept][MM_OCTET], row by row; behind them codes[rows of the window][end - first] */
};

/* A pixel's samples lie within `spread` of each of them. Neighbours count in any case: an octet that is not kept has one code. */
static uint32_t reach(const mm_judge_axis *a)
{
    return a->spread > 1 ? a->spread : 1;
}

/* The states of all that is within reach of each sample of a row. */
MM_JUDGE_INLINE void merge_reach(const mm_judge *j, uint32_t y, const mm_judge_workspace *w)
{
    const uint32_t across = reach(&j->y), low = j->low;
    const size_t along = reach(&j->x);
    uint8_t *restrict row = w->row, *restrict merged = w->merged;
    memset(row, 0, low);
    for (uint32_t from = y > across ? y - across : 0; from <= y + across && from < j->y.samples; from++) {
        const uint8_t *restrict more = w->states + (size_t)from * low;
        for (uint32_t x = 0; x < low; x++)
            row[x] |= more[x];
    }
    memset(merged, 0, low);
    for (size_t shift = 0; shift <= 2 * along; shift++) {
        const uint8_t *restrict more = row + shift - along;
        for (size_t x = 0; x < low; x++)
            merged[x] |= more[x];
    }
}

/* The codes of a window's rows; returns how many octets are kept. */
MM_JUDGE_INLINE size_t code_inline(const mm_judge *j, const mm_low_window *window, const mm_judge_workspace *w)
{
    const uint32_t octets = mm_judge_octets(j), low = j->low;
    const size_t along = reach(&j->x);
    size_t kept = 0;
    memset(w->row - along, 0, along);
    memset(w->row + low, 0, along);
    memset(w->merged + low, 0, MM_OCTET - 1);
    for (uint32_t y = window->y0; y < window->y1; y++) {
        merge_reach(j, y, w);
        const uint8_t *restrict near = w->merged, *restrict states = w->states + (size_t)y * low;
        uint8_t *restrict codes = w->codes + (size_t)y * octets;
        for (uint32_t o = 0; o < octets; o++) {
            uint64_t eight;
            memcpy(&eight, near + (size_t)o * MM_OCTET, sizeof eight);
            const bool open = UINT64_C(0x0101010101010101) & eight & eight >> 5; /* some above low, and some not above high */
            codes[o] = open ? MM_CODE_KEPT : states[o * MM_OCTET] & MM_SOME_ABOVE_LOW;
        }
        for (uint32_t o = 0; o < octets; o++)
            kept += codes[o] == MM_CODE_KEPT;
    }
    return kept;
}

MM_JUDGE_VARIANTS(mm_judge_code_rows, mm_judge_code_for, size_t, code,
                  (const mm_judge *j, const mm_low_window *window, const mm_judge_workspace *w), (j, window, w))

/* Samples of an octet: fewer at the end of a row whose length is no multiple. */
static size_t octet_size(const mm_judge *j, uint32_t octet)
{
    const uint32_t left = j->low - octet * MM_OCTET;
    return left < MM_OCTET ? left : MM_OCTET;
}

mm_parked *mm_judge_park(const mm_judge *j, const float *logits, const mm_low_window *window, void *scratch, size_t *size)
{
    const mm_judge_workspace w = mm_judge_lay_out(j, scratch);
    const uint32_t octets = mm_judge_octets(j);
    const size_t kept = j->code(j, window, &w);
    mm_parked head = {.window = *window, .kept = kept, .first = window->x0 / MM_OCTET, .end = (window->x1 - 1) / MM_OCTET + 1};
    const size_t columns = head.end - head.first;
    *size = sizeof head + kept * MM_OCTET * sizeof(float) + (window->y1 - window->y0) * columns;
    mm_parked *parked = malloc(*size);
    if (!parked)
        return NULL;
    *parked = head;
    float *to = parked->samples;
    uint8_t *codes = (uint8_t *)(to + kept * MM_OCTET);
    for (uint32_t y = window->y0; y < window->y1; y++, codes += columns) {
        memcpy(codes, w.codes + (size_t)y * octets + head.first, columns);
        for (uint32_t o = head.first; o < head.end; o++)
            if (codes[o - head.first] == MM_CODE_KEPT) {
                memcpy(to, logits + (size_t)y * j->low + o * MM_OCTET, octet_size(j, o) * sizeof *to);
                to += MM_OCTET;
            }
    }
    return parked;
}

void mm_judge_unpark(const mm_judge *j, const mm_parked *parked, float *logits)
{
    const mm_low_window *window = &parked->window;
    for (size_t i = 0; i < (size_t)j->low * j->low; i++)
        logits[i] = -MM_JUDGE_LARGEST;
    const float *from = parked->samples;
    const uint8_t *codes = (const uint8_t *)(from + parked->kept * MM_OCTET);
    for (uint32_t y = window->y0; y < window->y1; y++)
        for (uint32_t o = parked->first; o < parked->end; o++) {
            float *to = logits + (size_t)y * j->low + o * MM_OCTET;
            const mm_judge_code is = *codes++;
            if (is == MM_CODE_KEPT) {
                memcpy(to, from, octet_size(j, o) * sizeof *to);
                from += MM_OCTET;
            }
            for (size_t i = 0; is == MM_CODE_ABOVE && i < octet_size(j, o); i++)
                to[i] = MM_JUDGE_LARGEST; /* as far above as nothing is below: no weight makes it no number */
        }
}
