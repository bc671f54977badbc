/* Non-maximum suppression of boxes, with the arithmetic of torchvision's CPU kernel. */
#include <math.h>
#include <stdlib.h>

#include "maskmill/mask.h"

typedef struct ranked {
    float score;
    size_t index;
} ranked;

/* torch.sort(descending=True, stable=True): NaN counts as the largest. */
static int by_falling_score(const void *left, const void *right)
{
    const ranked *a = left, *b = right;
    const bool a_nan = isnan(a->score), b_nan = isnan(b->score);
    if (a_nan != b_nan)
        return a_nan ? -1 : 1;
    if (!a_nan && a->score != b->score)
        return a->score > b->score ? -1 : 1;
    return a->index < b->index ? -1 : a->index > b->index;
}

static float box_area(const float box[4])
{
    return (box[2] - box[0]) * (box[3] - box[1]);
}

static float box_iou(const float a[4], const float b[4])
{
    const float width = fminf(a[2], b[2]) - fmaxf(a[0], b[0]);
    const float height = fminf(a[3], b[3]) - fmaxf(a[1], b[1]);
    const float inter = (width > 0 ? width : 0) * (height > 0 ? height : 0);
    return inter / (box_area(a) + box_area(b) - inter);
}

mm_status mm_mask_nms(const float (*boxes)[4], const float *scores, size_t count, double threshold, size_t *keep,
                      size_t *kept, mm_error *err)
{
    *kept = 0;
    ranked *order = reallocarray(NULL, count ? count : 1, sizeof *order);
    if (!order)
        return mm_fail_memory(err, "the order of boxes in NMS");
    for (size_t i = 0; i < count; i++)
        order[i] = (ranked){scores[i], i};
    qsort(order, count, sizeof *order, by_falling_score);
    for (size_t i = 0; i < count; i++) {
        const float *box = boxes[order[i].index];
        bool suppressed = false;
        for (size_t k = 0; k < *kept && !suppressed; k++)
            suppressed = (double)box_iou(boxes[keep[k]], box) > threshold;
        if (!suppressed)
            keep[(*kept)++] = order[i].index;
    }
    free(order);
    return MM_OK;
}
