/* Soft non-maximum suppression: what overlaps a better box is not dropped but believed less. */
#include <math.h>
#include <stdlib.h>

#include "mask/box.h"
#include "maskmill/mask.h"

static bool is_better(const float *scores, size_t a, size_t b)
{
    return scores[a] != scores[b] ? scores[a] > scores[b] : a < b;
}

/* What is left of the score of a box that overlaps a better one. */
static float decayed(const mm_soft_nms *how, float score, float iou)
{
    const double beyond = (double)iou - how->from;
    if (!(beyond > 0)) /* also where the IoU is NaN */
        return score;
    return how->sigma > 0 ? (float)((double)score * exp(-beyond * beyond / how->sigma)) : -1;
}

mm_status mm_mask_soft_nms(const float (*boxes)[4], float *scores, size_t count, const mm_soft_nms *how, size_t *keep,
                           size_t *kept, mm_error *err)
{
    *kept = 0;
    size_t *left = malloc((count ? count : 1) * sizeof *left), left_count = 0;
    if (!left)
        return mm_fail_memory(err, "the boxes of NMS");
    for (size_t i = 0; i < count; i++)
        if (scores[i] >= how->least) /* false for NaN */
            left[left_count++] = i;
    while (left_count && *kept < how->most) {
        size_t best = 0;
        for (size_t i = 1; i < left_count; i++)
            if (is_better(scores, left[i], left[best]))
                best = i;
        const size_t taken = keep[(*kept)++] = left[best];
        left[best] = left[--left_count];
        size_t stay = 0;
        for (size_t i = 0; i < left_count; i++) {
            const size_t box = left[i];
            scores[box] = decayed(how, scores[box], mm_box_iou(boxes[taken], boxes[box]));
            if (scores[box] >= how->least)
                left[stay++] = box;
        }
        left_count = stay;
    }
    free(left);
    return MM_OK;
}
