/* Masks as run lengths: made from bitmaps, turned back, measured and moved, without a bitmap wherever one can do so. */
#include <stdlib.h>
#include <string.h>

#include "mask/runs.h"

void mm_rle_free(mm_rle *rle)
{
    free(rle->runs);
    *rle = (mm_rle){0};
}

/* Bitmaps are row-major and runs are not: columns are gathered this many at a time, so that each cache line of the
 * bitmap is read once. */
#define TILE_COLUMNS 64

static void append_pixels(mm_run_builder *builder, const uint8_t *pixels, size_t count)
{
    while (count > 0) {
        const uint8_t value = pixels[0];
        const uint8_t *end = memchr(pixels, !value, count);
        const size_t length = end ? (size_t)(end - pixels) : count;
        mm_runs_append(builder, value, (uint32_t)length);
        pixels += length;
        count -= length;
    }
}

mm_status mm_rle_from_bits(const uint8_t *bits, uint32_t height, uint32_t width, mm_rle *rle, mm_error *err)
{
    *rle = (mm_rle){0};
    mm_status status = mm_mask_check_size(height, width, err);
    if (status)
        return status;
    uint8_t *columns = malloc((size_t)height * TILE_COLUMNS + 1);
    if (!columns)
        return mm_fail_memory(err, "the columns of a mask");
    mm_run_builder builder;
    mm_runs_start(&builder, 0);
    for (uint32_t x0 = 0; x0 < width;) {
        const uint32_t count = width - x0 < TILE_COLUMNS ? width - x0 : TILE_COLUMNS;
        for (uint32_t y = 0; y < height; y++)
            for (uint32_t x = 0; x < count; x++)
                columns[(size_t)x * height + y] = bits[(size_t)y * width + x0 + x] != 0;
        append_pixels(&builder, columns, (size_t)count * height);
        x0 += count;
    }
    free(columns);
    return mm_runs_finish(&builder, height, width, rle, err);
}

void mm_rle_to_bits(const mm_rle *rle, uint8_t *bits)
{
    memset(bits, 0, (size_t)rle->height * rle->width);
    mm_rect rect;
    for (mm_rect_cursor ones = mm_rects_of(rle, true); mm_rects_next(&ones, &rect);)
        for (uint32_t y = rect.y0; y < rect.y1; y++)
            memset(bits + (size_t)y * rle->width + rect.x0, 1, rect.x1 - rect.x0);
}

uint64_t mm_rle_area(const mm_rle *rle)
{
    uint64_t area = 0;
    for (size_t i = 1; i < rle->count; i += 2)
        area += rle->runs[i];
    return area;
}

void mm_rle_box(const mm_rle *rle, uint32_t box[4])
{
    uint32_t x0 = UINT32_MAX, y0 = UINT32_MAX, x1 = 0, y1 = 0;
    mm_rect rect;
    for (mm_rect_cursor ones = mm_rects_of(rle, true); mm_rects_next(&ones, &rect);) {
        x0 = rect.x0 < x0 ? rect.x0 : x0;
        y0 = rect.y0 < y0 ? rect.y0 : y0;
        x1 = rect.x1 - 1 > x1 ? rect.x1 - 1 : x1;
        y1 = rect.y1 - 1 > y1 ? rect.y1 - 1 : y1;
    }
    const bool empty = x0 == UINT32_MAX;
    box[0] = empty ? 0 : x0;
    box[1] = empty ? 0 : y0;
    box[2] = x1;
    box[3] = y1;
}

/* `length` set pixels from `start` on, behind the *position pixels that are there. */
static void append_ones(mm_run_builder *builder, uint32_t start, uint32_t length, uint32_t *position)
{
    mm_runs_append(builder, false, start - *position);
    mm_runs_append(builder, true, length);
    *position = start + length;
}

mm_status mm_rle_place(const mm_rle *rle, uint32_t x0, uint32_t y0, uint32_t height, uint32_t width, mm_rle *out,
                       mm_error *err)
{
    *out = (mm_rle){0};
    mm_status status = mm_mask_check_size(height, width, err);
    if (status)
        return status;
    if ((uint64_t)x0 + rle->width > width || (uint64_t)y0 + rle->height > height)
        return mm_fail(err, MM_ERR_USAGE, "a mask of %u x %u pixels at (%u, %u) does not fit into %u x %u", rle->width,
                       rle->height, x0, y0, width, height);
    mm_run_builder builder;
    mm_runs_start(&builder, rle->count);
    uint32_t position = 0;
    mm_rect rect;
    for (mm_rect_cursor ones = mm_rects_of(rle, true); mm_rects_next(&ones, &rect);) {
        for (uint32_t x = rect.x0; x < rect.x1; x++)
            append_ones(&builder, (x0 + x) * height + y0 + rect.y0, rect.y1 - rect.y0, &position);
    }
    mm_runs_append(&builder, false, height * width - position);
    return mm_runs_finish(&builder, height, width, out, err);
}

/* What a mask has of a column: rows y0 <= y < y1. */
typedef struct piece {
    uint32_t x, y0, y1;
} piece;

/* Down the columns. pieces may be NULL, to count them. */
static size_t list_pieces(const mm_rle *rle, piece *pieces)
{
    size_t count = 0;
    mm_rect rect;
    for (mm_rect_cursor ones = mm_rects_of(rle, true); mm_rects_next(&ones, &rect);)
        for (uint32_t x = rect.x0; x < rect.x1; x++, count++)
            if (pieces)
                pieces[count] = (piece){x, rect.y0, rect.y1};
    return count;
}

mm_status mm_rle_mirror(const mm_rle *rle, mm_rle *out, mm_error *err)
{
    const size_t count = list_pieces(rle, NULL);
    piece *pieces = calloc(count + 1, sizeof *pieces);
    *out = (mm_rle){0};
    if (!pieces)
        return mm_fail_memory(err, "a mirrored mask");
    (void)list_pieces(rle, pieces); /* as many */
    mm_run_builder builder;
    mm_runs_start(&builder, rle->count);
    uint32_t position = 0;
    for (size_t end = count, first; end > 0; end = first) { /* columns from the last on, each from its top */
        for (first = end; first > 0 && pieces[first - 1].x == pieces[end - 1].x; first--)
            ;
        for (size_t i = first; i < end; i++)
            append_ones(&builder, (rle->width - 1 - pieces[i].x) * rle->height + pieces[i].y0,
                        pieces[i].y1 - pieces[i].y0, &position);
    }
    free(pieces);
    mm_runs_append(&builder, false, rle->height * rle->width - position);
    return mm_runs_finish(&builder, rle->height, rle->width, out, err);
}
