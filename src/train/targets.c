#include "train/targets.h"

#include <math.h>

static const double centre_radius = 1.5, range = 6.0; /* strides */

static double largest(double a, double b, double c, double d)
{
    return fmax(fmax(a, b), fmax(c, d));
}

/* Cells of one level for one box; area[] is that of the box that a cell has so far. */
static void assign_level(const mm_head *head, size_t level, double stride, const double box[4], int32_t index,
                         const float (*boxes)[4], double rx, double ry, int32_t *target)
{
    const size_t side = head->side[level];
    const double low = level == 0 ? 0 : range / 2 * stride;
    const double high = level + 1 == MM_HEAD_LEVELS ? INFINITY : range * stride;
    const double cx = (box[0] + box[2]) / 2, cy = (box[1] + box[3]) / 2, reach = centre_radius * stride;
    const double area = (box[2] - box[0]) * (box[3] - box[1]);
    /* The first cells whose centres are beyond the reach's begin; the loops end with it. */
    const double first_x = fmax(ceil((cx - reach) / stride - 0.5), 0);
    const double first_y = fmax(ceil((cy - reach) / stride - 0.5), 0);
    for (size_t y = (size_t)first_y; y < side && ((double)y + 0.5) * stride <= cy + reach; y++)
        for (size_t x = (size_t)first_x; x < side && ((double)x + 0.5) * stride <= cx + reach; x++) {
            const double px = ((double)x + 0.5) * stride, py = ((double)y + 0.5) * stride;
            const double l = px - box[0], t = py - box[1], r = box[2] - px, b = box[3] - py;
            int32_t *cell = &target[head->first[level] + y * side + x];
            const double most = largest(l, t, r, b);
            if (*cell == MM_TARGET_IGNORED || !(l > 0 && t > 0 && r > 0 && b > 0 && most > low && most <= high))
                continue;
            if (*cell >= 0) {
                const float *other = boxes[*cell];
                if ((double)(other[2] - other[0]) * rx * ((double)(other[3] - other[1]) * ry) <= area)
                    continue;
            }
            *cell = index;
        }
}

size_t mm_targets_assign(const mm_head *head, const mm_frame *frame, const float (*boxes)[4], size_t count,
                         int32_t *target)
{
    const double rx = (double)frame->input_width / frame->width, ry = (double)frame->input_height / frame->height;
    for (size_t level = 0; level < MM_HEAD_LEVELS; level++) {
        const double stride = mm_head_stride(head, level, frame->image_size);
        for (size_t i = 0; i < head->side[level] * head->side[level]; i++) {
            const size_t x = i % head->side[level], y = i / head->side[level];
            const bool inside = ((double)x + 0.5) * stride < frame->input_width &&
                                ((double)y + 0.5) * stride < frame->input_height;
            target[head->first[level] + i] = inside ? MM_TARGET_NONE : MM_TARGET_IGNORED;
        }
        for (size_t i = 0; i < count; i++) {
            const double box[4] = {(double)boxes[i][0] * rx, (double)boxes[i][1] * ry, (double)boxes[i][2] * rx,
                                   (double)boxes[i][3] * ry};
            assign_level(head, level, stride, box, (int32_t)i, boxes, rx, ry, target);
        }
    }
    size_t positive = 0;
    for (size_t cell = 0; cell < head->cells; cell++)
        positive += target[cell] >= 0;
    return positive;
}
