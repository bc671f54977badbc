/* Step 8: duplicates within a crop, the way back to the frame, duplicates across crops. */
#include <stdlib.h>

#include "amg/steps.h"

static mm_status nms_by(mm_candidates *list, float (*score)(const mm_candidate *), double threshold, mm_error *err)
{
    float *scores = reallocarray(NULL, list->count + 1, sizeof *scores);
    float(*boxes)[4] = reallocarray(NULL, list->count + 1, sizeof *boxes);
    mm_status status = scores && boxes ? MM_OK : mm_fail_memory(err, "the boxes of NMS");
    if (!status) {
        for (size_t i = 0; i < list->count; i++) {
            scores[i] = score(&list->items[i]);
            for (int side = 0; side < 4; side++)
                boxes[i][side] = (float)list->items[i].box[side];
        }
        status = mm_candidates_nms(list, (const float(*)[4])boxes, scores, threshold, err);
    }
    free(scores);
    free(boxes);
    return status;
}

static float predicted_iou(const mm_candidate *c)
{
    return c->predicted_iou;
}

mm_status mm_amg_nms_crop(mm_candidates *list, double threshold, mm_error *err)
{
    return nms_by(list, predicted_iou, threshold, err);
}

static float inverse_crop_area(const mm_candidate *c)
{
    return 1.0f / (float)((uint64_t)(c->crop[2] - c->crop[0]) * (c->crop[3] - c->crop[1]));
}

mm_status mm_amg_nms_image(mm_candidates *list, double threshold, mm_error *err)
{
    return nms_by(list, inverse_crop_area, threshold, err);
}

mm_status mm_amg_uncrop(mm_candidates *list, uint32_t frame_width, uint32_t frame_height, mm_error *err)
{
    for (size_t i = 0; i < list->count; i++) {
        mm_candidate *c = &list->items[i];
        for (int side = 0; side < 4; side++)
            c->box[side] += c->crop[side % 2];
        for (int axis = 0; axis < 2; axis++)
            c->point[axis] += c->crop[axis];
        if (c->rle.width == frame_width && c->rle.height == frame_height)
            continue;
        mm_rle placed;
        mm_status status = mm_rle_place(&c->rle, c->crop[0], c->crop[1], frame_height, frame_width, &placed, err);
        if (status)
            return status;
        mm_rle_free(&c->rle);
        c->rle = placed;
    }
    return MM_OK;
}
