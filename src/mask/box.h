/* Boxes as NMS sees them: x0, y0, x1, y1, with the arithmetic of torchvision's CPU kernel. */
#ifndef MM_MASK_BOX_H
#define MM_MASK_BOX_H

#include <math.h>

static inline float mm_box_area(const float box[4])
{
    return (box[2] - box[0]) * (box[3] - box[1]);
}

/* NaN for two boxes without area. */
static inline float mm_box_iou(const float a[4], const float b[4])
{
    const float width = fminf(a[2], b[2]) - fmaxf(a[0], b[0]);
    const float height = fminf(a[3], b[3]) - fmaxf(a[1], b[1]);
    const float inter = (width > 0 ? width : 0) * (height > 0 ? height : 0);
    return inter / (mm_box_area(a) + mm_box_area(b) - inter);
}

#endif
