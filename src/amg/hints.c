/* Hints: masks of the grid that fell just short of the thresholds on predicted IoU or stability. The semi-automatic stage
 * shows them to people, who know better ([SAM] section 4). They go the way of all masks, steps 3 to 9, but beside those
 * that are kept, which they neither suppress nor follow. */
#include "amg/steps.h"

mm_hint_params mm_hint_defaults(void)
{
    return (mm_hint_params){.iou_margin = 0.08f, .stability_margin = 0.08f, .max_per_image = 50};
}

bool mm_amg_hints_iou(const mm_prediction *p, float predicted_iou)
{
    return p->hint_params && predicted_iou > p->params->pred_iou_thresh - p->hint_params->iou_margin;
}

/* The stability below which a mask is of no use to anyone. */
float mm_amg_least_stability(const mm_prediction *p)
{
    const float least = p->params->stability_score_thresh - (p->hint_params ? p->hint_params->stability_margin : 0);
    return least > 0 ? least : 0;
}

bool mm_amg_hints_stability(const mm_prediction *p, float stability_score)
{
    return p->hint_params && stability_score >= p->params->stability_score_thresh - p->hint_params->stability_margin;
}

mm_status mm_amg_hints_crop(mm_candidates *list, const mm_amg_params *params, uint32_t frame_width,
                            uint32_t frame_height, mm_error *err)
{
    mm_amg_filter_area(list, params->max_area_fraction, frame_width, frame_height);
    mm_amg_filter_edge(list, frame_width, frame_height);
    return mm_amg_uncrop(list, frame_width, frame_height, err);
}

/* --- once for the image, when it is known what is kept --- */

/* IoU of boxes with the arithmetic of NMS. */
static float box_iou(const uint32_t a[4], const uint32_t b[4])
{
    const float width = (float)(a[2] < b[2] ? a[2] : b[2]) - (float)(a[0] > b[0] ? a[0] : b[0]);
    const float height = (float)(a[3] < b[3] ? a[3] : b[3]) - (float)(a[1] > b[1] ? a[1] : b[1]);
    const float inter = (width > 0 ? width : 0) * (height > 0 ? height : 0);
    const float area_a = (float)(a[2] - a[0]) * (float)(a[3] - a[1]), area_b = (float)(b[2] - b[0]) * (float)(b[3] - b[1]);
    return inter / (area_a + area_b - inter);
}

typedef struct cover {
    const mm_candidates *kept;
    double threshold;
} cover;

static bool is_uncovered(const mm_candidate *c, const void *user)
{
    const cover *by = user;
    for (size_t i = 0; i < by->kept->count; i++)
        if ((double)box_iou(c->box, by->kept->items[i].box) > by->threshold)
            return false;
    return true;
}

static bool is_not_empty(const mm_candidate *c, const void *user)
{
    (void)user;
    return c->area > 0;
}

mm_status mm_amg_hints_finish(mm_candidates *list, const mm_candidates *kept, const mm_amg_params *params,
                              const mm_hint_params *hints, mm_error *err)
{
    const cover by = {kept, params->box_nms_thresh};
    mm_candidates_filter(list, is_not_empty, NULL);
    mm_candidates_filter(list, is_uncovered, &by);
    mm_status status = mm_amg_nms_crop(list, params->box_nms_thresh, err); /* by predicted IoU, whatever the window */
    if (!status && params->min_mask_region_area > 0) {
        status = mm_amg_clean(list, params, err); /* boxes may have moved, and the order has */
        mm_candidates_filter(list, is_uncovered, &by);
        if (!status)
            status = mm_amg_nms_crop(list, params->box_nms_thresh, err);
    }
    if (!status)
        mm_candidates_cut(list, hints->max_per_image);
    return status;
}
