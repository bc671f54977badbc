/* Step 9: small holes and islands go, and with them what has become a duplicate. */
#include <stdlib.h>

#include "amg/steps.h"

/* The boxes and scores of the second NMS: it prefers masks that needed no cleaning. */
typedef struct cleaned {
    float (*boxes)[4];
    float *scores;
    size_t count;
} cleaned;

/* Clean one mask; *dropped if it is nothing but small pieces and such masks are unwanted. */
static mm_status clean_mask(mm_candidate *c, const mm_amg_params *params, cleaned *out, bool *dropped, mm_error *err)
{
    bool changed;
    uint32_t largest;
    mm_status status = mm_mask_remove_small(&c->rle, params->min_mask_region_area, &changed, &largest, err);
    if (status)
        return status;
    *dropped = params->drop_small_masks && largest < params->min_mask_region_area;
    if (*dropped)
        return MM_OK;
    uint32_t box[4];
    mm_rle_box(&c->rle, box);
    for (int side = 0; side < 4; side++) {
        out->boxes[out->count][side] = (float)box[side];
        if (changed)
            c->box[side] = box[side];
    }
    if (changed)
        c->area = (uint32_t)mm_rle_area(&c->rle);
    out->scores[out->count++] = changed ? 0.0f : 1.0f;
    return MM_OK;
}

static mm_status clean_all(mm_candidates *list, const mm_amg_params *params, cleaned *out, mm_error *err)
{
    mm_status status = MM_OK;
    size_t kept = 0;
    for (size_t i = 0; i < list->count; i++) {
        bool dropped = false;
        if (!status) /* after a failure the rest is only moved up, so that the list stays whole */
            status = clean_mask(&list->items[i], params, out, &dropped, err);
        if (dropped)
            mm_rle_free(&list->items[i].rle);
        else
            list->items[kept++] = list->items[i];
    }
    list->count = kept;
    return status;
}

mm_status mm_amg_clean(mm_candidates *list, const mm_amg_params *params, mm_error *err)
{
    if (params->min_mask_region_area == 0)
        return MM_OK;
    cleaned out = {0};
    out.boxes = reallocarray(NULL, list->count + 1, sizeof *out.boxes);
    out.scores = reallocarray(NULL, list->count + 1, sizeof *out.scores);
    mm_status status = out.boxes && out.scores ? MM_OK : mm_fail_memory(err, "the boxes of cleaned masks");
    if (!status)
        status = clean_all(list, params, &out, err);
    const double threshold =
        params->box_nms_thresh > params->crop_nms_thresh ? params->box_nms_thresh : params->crop_nms_thresh;
    if (!status)
        status = mm_candidates_nms(list, (const float(*)[4])out.boxes, out.scores, threshold, err);
    free(out.boxes);
    free(out.scores);
    return status;
}
