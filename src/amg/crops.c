/* Step 1: windows and grids. The arithmetic is that of Python's floats. */
#include <math.h>
#include <stdlib.h>

#include "amg/steps.h"

/* 4^10 windows; the windows of layer 10 of a 16-megapixel photograph are smaller than a patch of the encoder. */
#define MAX_LAYERS 10

void mm_amg_frame_size(uint32_t width, uint32_t height, uint32_t short_side, uint32_t *frame_width,
                       uint32_t *frame_height)
{
    const uint32_t shorter = width < height ? width : height;
    *frame_width = width;
    *frame_height = height;
    if (short_side == 0 || short_side >= shorter)
        return;
    const double scale = (double)short_side / shorter;
    *frame_width = (uint32_t)(width * scale + 0.5);
    *frame_height = (uint32_t)(height * scale + 0.5);
}

void mm_amg_source_window(const uint32_t window[4], uint32_t frame_width, uint32_t frame_height, uint32_t width,
                          uint32_t height, uint32_t source[4])
{
    const uint64_t sides[2] = {width, height}, frame[2] = {frame_width, frame_height};
    for (int axis = 0; axis < 2; axis++) {
        const uint64_t end = (window[2 + axis] * sides[axis] + frame[axis] - 1) / frame[axis];
        source[axis] = (uint32_t)(window[axis] * sides[axis] / frame[axis]);
        source[2 + axis] = (uint32_t)(end < sides[axis] ? end : sides[axis]);
    }
}

typedef struct crop_axis {
    uint32_t side, length, overlap, windows;
} crop_axis;

static crop_axis lay_windows(uint32_t side, uint32_t overlap, uint32_t windows)
{
    const double shared = (double)((uint64_t)overlap * (windows - 1) + side);
    return (crop_axis){side, (uint32_t)ceil(shared / windows), overlap, windows};
}

/* Window k: false if it lies beyond the image. */
static bool window_at(const crop_axis *axis, uint32_t k, uint32_t *start, uint32_t *end)
{
    const uint64_t first = (uint64_t)(axis->length - axis->overlap) * k, last = first + axis->length;
    if (first >= axis->side)
        return false;
    *start = (uint32_t)first;
    *end = last < axis->side ? (uint32_t)last : axis->side;
    return true;
}

mm_status mm_amg_crops(uint32_t width, uint32_t height, uint32_t layers, double overlap_ratio, mm_crop **crops,
                       size_t *count, mm_error *err)
{
    *crops = NULL;
    *count = 0;
    if (layers > MAX_LAYERS)
        return mm_fail(err, MM_ERR_USAGE, "amg.crop_n_layers: %u is more than %d", layers, MAX_LAYERS);
    if (!(overlap_ratio >= 0 && overlap_ratio <= 1))
        return mm_fail(err, MM_ERR_USAGE, "amg.crop_overlap_ratio: %g is not between 0 and 1", overlap_ratio);
    size_t total = 0;
    for (uint32_t layer = 0; layer <= layers; layer++)
        total += (size_t)1 << 2 * layer;
    mm_crop *all = reallocarray(NULL, total, sizeof *all);
    if (!all)
        return mm_fail_memory(err, "the crops of an image");
    size_t found = 0;
    all[found++] = (mm_crop){{0, 0, width, height}, 0};
    const uint32_t short_side = width < height ? width : height;
    for (uint32_t layer = 1; layer <= layers; layer++) {
        const uint32_t windows = 1u << layer;
        const uint32_t overlap = (uint32_t)(overlap_ratio * short_side * (2.0 / windows));
        const crop_axis across = lay_windows(width, overlap, windows), down = lay_windows(height, overlap, windows);
        for (uint32_t i = 0; i < windows; i++) {
            for (uint32_t j = 0; j < windows; j++) {
                mm_crop *crop = &all[found];
                crop->layer = layer;
                if (window_at(&across, i, &crop->box[0], &crop->box[2]) &&
                    window_at(&down, j, &crop->box[1], &crop->box[3]))
                    found++;
            }
        }
    }
    *crops = all;
    *count = found;
    return MM_OK;
}

mm_status mm_amg_grid_side(const mm_amg_params *params, uint32_t layer, uint32_t *side, mm_error *err)
{
    if (params->crop_n_points_downscale_factor == 0)
        return mm_fail(err, MM_ERR_USAGE, "amg.crop_n_points_downscale_factor: 0 is not allowed");
    uint32_t points = params->points_per_side;
    for (uint32_t i = 0; i < layer; i++)
        points /= params->crop_n_points_downscale_factor;
    if (points == 0)
        return mm_fail(err, MM_ERR_USAGE, "amg.points_per_side: %u leaves no point on a crop of layer %u",
                       params->points_per_side, layer);
    *side = points;
    return MM_OK;
}

double mm_amg_grid_coordinate(uint32_t n, uint32_t i)
{
    const double first = 1.0 / (2.0 * n), last = 1.0 - first;
    if (n == 1)
        return first;
    return i == n - 1 ? last : i * ((last - first) / (n - 1)) + first;
}
