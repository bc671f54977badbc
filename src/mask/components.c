/* Small regions: 8-connected pieces of a mask or of its background, found on pieces of runs with union-find. */
#include <stdlib.h>

#include "mask/runs.h"

/* A stretch of one column, y0 <= y < y1. As the root of a piece it also carries what is known of the piece. */
typedef struct segment {
    uint32_t x, y0, y1;
    uint32_t parent;
    uint32_t area;
    uint64_t order; /* rank of the piece in OpenCV's numbering: see first_block */
} segment;

typedef struct segments {
    segment *items;
    size_t count;
} segments;

/* OpenCV scans blocks of 2 x 2 pixels row by row and numbers a piece when it meets its first block. (A block belongs
 * to one piece only: its pixels are neighbours.) The order decides which of several largest pieces is kept. */
static uint64_t first_block(const segment *s)
{
    return (uint64_t)(s->y0 / 2) << 32 | s->x / 2;
}

static uint32_t find_root(segment *items, uint32_t i)
{
    while (items[i].parent != i) {
        items[i].parent = items[items[i].parent].parent;
        i = items[i].parent;
    }
    return i;
}

static void join(segment *items, uint32_t a, uint32_t b)
{
    a = find_root(items, a);
    b = find_root(items, b);
    if (a == b)
        return;
    const uint32_t root = items[a].area >= items[b].area ? a : b, child = root == a ? b : a;
    items[child].parent = root;
    items[root].area += items[child].area;
    if (items[child].order < items[root].order)
        items[root].order = items[child].order;
}

/* The runs of `value`, cut at the ends of columns, in column-major order. */
static mm_status collect_segments(const mm_rle *rle, bool value, segments *out, mm_error *err)
{
    size_t count = 0;
    mm_rect rect;
    for (mm_rect_cursor c = mm_rects_of(rle, value); mm_rects_next(&c, &rect);)
        count += rect.x1 - rect.x0;
    *out = (segments){reallocarray(NULL, count + 1, sizeof *out->items), 0};
    if (!out->items)
        return mm_fail_memory(err, "the pieces of a mask");
    for (mm_rect_cursor c = mm_rects_of(rle, value); mm_rects_next(&c, &rect);) {
        for (uint32_t x = rect.x0; x < rect.x1; x++) {
            segment *s = &out->items[out->count];
            *s = (segment){x, rect.y0, rect.y1, (uint32_t)out->count, rect.y1 - rect.y0, 0};
            s->order = first_block(s);
            out->count++;
        }
    }
    return MM_OK;
}

/* Join what touches between neighbouring columns, corners included. */
static void connect_segments(segments *all)
{
    segment *items = all->items;
    size_t left = 0;
    for (size_t right = 0; right < all->count; right++) {
        const segment *s = &items[right];
        while (left < right && (items[left].x + 1 < s->x || (items[left].x + 1 == s->x && items[left].y1 < s->y0)))
            left++;
        for (size_t i = left; items[i].x + 1 == s->x && items[i].y0 <= s->y1; i++)
            join(items, (uint32_t)i, (uint32_t)right);
    }
}

static mm_status label(const mm_rle *rle, bool value, segments *out, mm_error *err)
{
    mm_status status = collect_segments(rle, value, out, err);
    if (!status)
        connect_segments(out);
    return status;
}

/* Root of the largest piece, the first in OpenCV's order among equals; all->count if there is none. */
static size_t largest_piece(const segments *all)
{
    size_t best = all->count;
    for (size_t i = 0; i < all->count; i++) {
        const segment *s = &all->items[i];
        if (s->parent != i)
            continue;
        if (best == all->count || s->area > all->items[best].area ||
            (s->area == all->items[best].area && s->order < all->items[best].order))
            best = i;
    }
    return best;
}

static bool has_small_piece(const segments *all, uint32_t min_area)
{
    for (size_t i = 0; i < all->count; i++)
        if (all->items[i].parent == i && all->items[i].area < min_area)
            return true;
    return false;
}

/* Turn the pieces of `value` that are smaller than min_area, except `spared`, into the other value. */
static mm_status flip_small_pieces(mm_rle *rle, bool value, segments *all, uint32_t min_area, size_t spared,
                                   mm_error *err)
{
    mm_run_builder builder;
    mm_runs_start(&builder, rle->count);
    const segment *s = all->items;
    for (size_t run = 0; run < rle->count; run++) {
        if ((run & 1) != (size_t)value) {
            mm_runs_append(&builder, !value, rle->runs[run]);
            continue;
        }
        for (uint32_t left = rle->runs[run]; left > 0; s++) {
            const uint32_t root = find_root(all->items, (uint32_t)(s - all->items)), length = s->y1 - s->y0;
            const bool flip = all->items[root].area < min_area && root != spared;
            mm_runs_append(&builder, value != flip, length);
            left -= length;
        }
    }
    mm_rle flipped;
    mm_status status = mm_runs_finish(&builder, rle->height, rle->width, &flipped, err);
    if (status)
        return status;
    mm_rle_free(rle);
    *rle = flipped;
    return MM_OK;
}

static mm_status fill_holes(mm_rle *rle, uint32_t min_area, bool *changed, mm_error *err)
{
    segments background;
    mm_status status = label(rle, false, &background, err);
    if (!status && has_small_piece(&background, min_area)) {
        *changed = true;
        status = flip_small_pieces(rle, false, &background, min_area, background.count, err);
    }
    free(background.items);
    return status;
}

static mm_status drop_islands(mm_rle *rle, uint32_t min_area, bool *changed, uint32_t *largest, mm_error *err)
{
    segments pieces;
    mm_status status = label(rle, true, &pieces, err);
    if (!status) {
        const size_t best = largest_piece(&pieces);
        if (largest)
            *largest = best < pieces.count ? pieces.items[best].area : 0;
        if (has_small_piece(&pieces, min_area)) {
            *changed = true;
            status = flip_small_pieces(rle, true, &pieces, min_area, best, err);
        }
    }
    free(pieces.items);
    return status;
}

mm_status mm_mask_remove_small(mm_rle *rle, uint32_t min_area, bool *changed, uint32_t *largest, mm_error *err)
{
    *changed = false;
    mm_status status = fill_holes(rle, min_area, changed, err);
    return status ? status : drop_islands(rle, min_area, changed, largest, err);
}
