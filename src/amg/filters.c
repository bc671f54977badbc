/* The filters, steps 4, 5 and 7. Comparisons are in float, as the reference's tensors make them. */
#include <math.h>

#include "amg/steps.h"

bool mm_amg_keeps_iou(const mm_amg_params *params, float predicted_iou)
{
    return !(params->pred_iou_thresh > 0) || predicted_iou > params->pred_iou_thresh;
}

/* NaN for a mask with no logit above -offset. */
float mm_amg_stability(const mm_mask_scan *scan)
{
    return scan->above_low ? (float)scan->above_high / (float)scan->above_low : NAN;
}

bool mm_amg_keeps_stability(const mm_amg_params *params, float stability_score)
{
    return !(params->stability_score_thresh > 0) || stability_score >= params->stability_score_thresh;
}

static bool is_below_area(const mm_candidate *c, const void *limit)
{
    return c->area < *(const double *)limit;
}

void mm_amg_filter_area(mm_candidates *list, double max_fraction, uint32_t frame_width, uint32_t frame_height)
{
    const double limit = max_fraction * ((double)frame_width * frame_height);
    if (max_fraction > 0)
        mm_candidates_filter(list, is_below_area, &limit);
}

/* Pixels within which a side of a box counts as lying at an edge. */
#define EDGE 20.0f

static bool is_clear_of_crop_edge(const mm_candidate *c, const void *frame)
{
    for (int side = 0; side < 4; side++) {
        const float b = (float)(c->box[side] + c->crop[side % 2]);
        const bool near_crop = fabsf(b - (float)c->crop[side]) <= EDGE;
        const bool near_image = fabsf(b - ((const float *)frame)[side]) <= EDGE;
        if (near_crop && !near_image)
            return false;
    }
    return true;
}

void mm_amg_filter_edge(mm_candidates *list, uint32_t frame_width, uint32_t frame_height)
{
    const float frame[4] = {0, 0, (float)frame_width, (float)frame_height};
    mm_candidates_filter(list, is_clear_of_crop_edge, frame);
}
