#include "train/mask_targets.h"

#include <math.h>
#include <string.h>

#include "train/upscaling.h"

/* A run of a mask's column covers the low-res pixels [x0, x1) x [y0, y1), counted in low-res pixels: added to the grid
 * by the areas of its parts. */
static void add_rectangle(float *grid, size_t side, double x0, double x1, double y0, double y1)
{
    const double end = (double)side;
    x1 = x1 < end ? x1 : end;
    y1 = y1 < end ? y1 : end;
    for (size_t y = (size_t)y0; (double)y < y1 && y < side; y++) {
        const double height = fmin(y1, (double)(y + 1)) - fmax(y0, (double)y);
        for (size_t x = (size_t)x0; (double)x < x1 && x < side; x++)
            grid[y * side + x] += (float)(height * (fmin(x1, (double)(x + 1)) - fmax(x0, (double)x)));
    }
}

/* Low-res pixels from the first whose centre is in the padding on. */
static void mark_padding(float *grid, size_t side, double width, double height)
{
    for (size_t y = 0; y < side; y++)
        for (size_t x = 0; x < side; x++)
            if ((double)x + 0.5 > width || (double)y + 0.5 > height)
                grid[y * side + x] = -1;
            else if (grid[y * side + x] > 1)
                grid[y * side + x] = 1;
}

mm_status mm_mask_target(const mm_rle *rle, const mm_frame *frame, size_t side, float *target, float *scratch,
                         mm_error *err)
{
    if (!rle->width || !rle->height || !frame->input_width || !frame->input_height)
        return mm_fail(err, MM_ERR_FORMAT, "a mask of %ux%u pixels has no target", rle->width, rle->height);
    const size_t low = 4 * side;
    const double width = (double)frame->input_width * (double)low / frame->image_size;
    const double height = (double)frame->input_height * (double)low / frame->image_size;
    const double step_x = width / rle->width, step_y = height / rle->height;
    memset(scratch, 0, low * low * sizeof *scratch);
    uint64_t at = 0;
    for (size_t i = 0; i < rle->count; at += rle->runs[i++]) {
        if (i % 2 == 0)
            continue;
        uint64_t from = at, end = at + rle->runs[i];
        while (from < end) { /* column by column */
            const uint64_t column = from / rle->height, bottom = (column + 1) * rle->height;
            const uint64_t stop = end < bottom ? end : bottom, top = from - column * rle->height;
            add_rectangle(scratch, low, step_x * (double)column, step_x * (double)(column + 1), step_y * (double)top,
                          step_y * (double)(top + stop - from));
            from = stop;
        }
    }
    mark_padding(scratch, low, width, height);
    mm_grid_to_cells(scratch, side, target);
    return MM_OK;
}

void mm_mask_pixel(const mm_rle *rle, uint64_t index, uint32_t *x, uint32_t *y)
{
    uint64_t at = 0;
    *x = *y = 0;
    for (size_t i = 0; i < rle->count; at += rle->runs[i++]) {
        if (i % 2 == 0)
            continue;
        if (index < rle->runs[i]) {
            *x = (uint32_t)((at + index) / rle->height);
            *y = (uint32_t)((at + index) % rle->height);
            return;
        }
        index -= rle->runs[i];
    }
}

bool mm_mask_has(const mm_rle *rle, uint32_t x, uint32_t y)
{
    const uint64_t pixel = (uint64_t)x * rle->height + y;
    uint64_t end = 0;
    for (size_t i = 0; i < rle->count; i++) {
        end += rle->runs[i];
        if (pixel < end)
            return i % 2 == 1;
    }
    return false;
}
