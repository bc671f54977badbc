/* Prompts given by people: for each object the model's three masks, best first. No filter runs. */
#include <math.h>
#include <stdlib.h>

#include "amg/steps.h"

typedef struct mask_collector {
    const mm_upsampler *upsampler;
    float offset;
    size_t masks;        /* M, kept of each prompt */
    uint32_t first;      /* the decoder's number of the first of them */
    mm_annotation *items;
} mask_collector;

static uint32_t select_masks(void *user, size_t prompt, const float *predicted_iou)
{
    const mask_collector *collector = user;
    uint32_t wanted = 0;
    for (size_t m = 0; m < collector->masks; m++) {
        collector->items[prompt * collector->masks + m].predicted_iou = predicted_iou[collector->first + m];
        wanted |= UINT32_C(1) << (collector->first + m);
    }
    return wanted;
}

static mm_status take_mask(void *user, size_t prompt, uint32_t mask, const float *logits, mm_error *err)
{
    const mask_collector *collector = user;
    mm_annotation *item = &collector->items[prompt * collector->masks + (mask - collector->first)];
    mm_mask_scan scan;
    void *scratch = malloc(mm_upsampler_scratch(collector->upsampler));
    if (!scratch)
        return mm_fail_memory(err, "a mask");
    const mm_status status = mm_upsampler_scan(collector->upsampler, logits, collector->offset, scratch, &scan,
                                               &item->rle, err);
    free(scratch);
    if (status != MM_OK)
        return status;
    item->area = (uint32_t)scan.area;
    item->stability_score = scan.above_low ? mm_amg_stability(&scan) : 0.0f; /* no filter here that would drop a NaN */
    item->bbox[0] = (float)scan.box[0];
    item->bbox[1] = (float)scan.box[1];
    item->bbox[2] = (float)(scan.box[2] - scan.box[0]);
    item->bbox[3] = (float)(scan.box[3] - scan.box[1]);
    return MM_OK;
}

static bool inside(double value, uint32_t side)
{
    return value >= 0.0 && value <= (double)side; /* false for NaN */
}

static mm_status check_prompt(const mm_prompt *prompt, size_t index, mm_image_view image, mm_error *err)
{
    for (size_t i = 0; i < prompt->point_count; i++)
        if (!inside(prompt->points[i].x, image.width) || !inside(prompt->points[i].y, image.height))
            return mm_fail(err, MM_ERR_USAGE, "object %zu (from 0): the point %g,%g is outside the image of %u x %u pixels",
                           index, prompt->points[i].x, prompt->points[i].y, image.width, image.height);
    const double *box = prompt->box;
    if (box && !(inside(box[0], image.width) && inside(box[1], image.height) && inside(box[2], image.width) &&
                 inside(box[3], image.height) && box[0] < box[2] && box[1] < box[3]))
        return mm_fail(err, MM_ERR_USAGE, "object %zu (from 0): the box %g,%g,%g,%g is empty or outside the image of %u x %u "
                                          "pixels; its corners are X0,Y0,X1,Y1",
                       index, box[0], box[1], box[2], box[3], image.width, image.height);
    if (prompt->point_count == 0 && !box)
        return mm_fail(err, MM_ERR_USAGE, "object %zu (from 0) has neither a point nor a box", index);
    return MM_OK;
}

/* Highest predicted IoU first; equal ones stay in the decoder's order. */
static void sort_masks(mm_annotation *items, size_t count)
{
    for (size_t i = 1; i < count; i++)
        for (size_t j = i; j > 0 && items[j].predicted_iou > items[j - 1].predicted_iou; j--) {
            const mm_annotation swapped = items[j];
            items[j] = items[j - 1];
            items[j - 1] = swapped;
        }
}

static mm_status decode(const mm_model *model, mm_embedding *embedding, const mm_prompt *prompts, size_t count,
                        mask_collector *collector, mm_error *err)
{
    mm_upsampler *upsampler = NULL;
    const mm_frame frame = mm_embedding_frame(embedding);
    mm_status status = mm_upsampler_new(&frame, &upsampler, err);
    if (status != MM_OK)
        return status;
    collector->upsampler = upsampler;
    const mm_mask_sink sink = {.user = collector, .select = select_masks, .take = take_mask};
    status = mm_model_decode(model, embedding, prompts, count, &sink, err);
    mm_upsampler_free(upsampler);
    return status;
}

mm_status mm_amg_prompt(const mm_model *model, mm_embedding *embedding, float stability_score_offset,
                        const mm_prompt *prompts, size_t count, mm_image_view image, mm_annotations *annotations,
                        size_t *masks_per_prompt, mm_error *err)
{
    for (size_t i = 0; i < count; i++) {
        const mm_status status = check_prompt(&prompts[i], i, image, err);
        if (status != MM_OK)
            return status;
    }
    const uint32_t tokens = mm_model_arch(model)->decoder.mask_tokens;
    mask_collector collector = {.offset = stability_score_offset, .first = tokens > 1, .masks = tokens - (tokens > 1)};
    collector.items = calloc(count * collector.masks + 1, sizeof collector.items[0]); /* + 1: never NULL for nothing */
    if (!collector.items)
        return mm_fail_memory(err, "masks");
    mm_annotations made = {.width = image.width, .height = image.height, .items = collector.items,
                           .count = count * collector.masks};
    for (size_t i = 0; i < made.count; i++) {
        const mm_prompt *prompt = &prompts[i / collector.masks];
        const double *box = prompt->box;
        made.items[i].point_coords[0] = (float)(prompt->point_count ? prompt->points[0].x : (box[0] + box[2]) / 2);
        made.items[i].point_coords[1] = (float)(prompt->point_count ? prompt->points[0].y : (box[1] + box[3]) / 2);
        made.items[i].crop_box[2] = (float)image.width;
        made.items[i].crop_box[3] = (float)image.height;
    }
    mm_status status = mm_model_encode(model, image, embedding, err);
    if (status == MM_OK)
        status = decode(model, embedding, prompts, count, &collector, err);
    if (status != MM_OK) {
        mm_annotations_free(&made);
        return status;
    }
    for (size_t i = 0; i < count; i++)
        sort_masks(made.items + i * collector.masks, collector.masks);
    *annotations = made;
    *masks_per_prompt = collector.masks;
    return MM_OK;
}
