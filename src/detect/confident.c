/* Confident masks: the detector's best boxes as prompts, and of their masks those that detector, predicted IoU and
 * stability all vouch for ([SAM] section 4, the semi-automatic stage); cleaned, and none twice.
 *
 * A box says which object is meant, so the model's single-mask output is the answer, as after several clicks; the multimask
 * outputs are for a click that may mean a part or the whole.
 *
 * Duplicates are told by their masks, not their boxes as in automatic generation: boxes have been through NMS before
 * they became prompts, and a part that fills its whole's box is another object. */
#include <omp.h>
#include <stdlib.h>
#include <string.h>

#include "amg/steps.h"
#include "maskmill/detect.h"

/* One box on its way to a mask. */
typedef struct slot {
    double box[4]; /* the prompt */
    mm_detection detection;
    bool sure, stable;
    mm_annotation mask;
} slot;

typedef struct prompting {
    const mm_detect_params *params;
    const mm_upsampler *upsampler;
    slot *slots;
} prompting;

/* The single-mask output, if the model is sure enough of it. */
static uint32_t select_single(void *user, size_t prompt, const float *predicted_iou)
{
    const prompting *p = user;
    slot *s = &p->slots[prompt];
    s->mask.predicted_iou = predicted_iou[0];
    s->sure = predicted_iou[0] > p->params->confident_iou_thresh; /* false for NaN */
    return s->sure; /* output 0 alone */
}

static mm_status take_mask(void *user, size_t prompt, uint32_t mask, const float *logits, mm_error *err)
{
    (void)mask;
    const prompting *p = user;
    slot *s = &p->slots[prompt];
    mm_mask_scan scan;
    void *scratch = malloc(mm_upsampler_scratch(p->upsampler));
    if (!scratch)
        return mm_fail_memory(err, "a mask");
    const mm_status status = mm_upsampler_scan(p->upsampler, logits, p->params->stability_score_offset, scratch, &scan,
                                               &s->mask.rle, err);
    free(scratch);
    if (status != MM_OK)
        return status;
    s->mask.stability_score = scan.above_low ? mm_amg_stability(&scan) : 0.0f;
    s->stable = scan.area > 0 && s->mask.stability_score >= p->params->confident_stability_thresh;
    return MM_OK;
}

/* The detector's boxes are edges; a prompt's corners are pixels, as the model learnt them from masks. */
static void fill_prompt(slot *s, const mm_frame *frame)
{
    const double most[2] = {frame->width - 1.0, frame->height - 1.0};
    for (int axis = 0; axis < 2; axis++) {
        const double from = (double)s->detection.box[axis], to = (double)s->detection.box[axis + 2] - 1.0;
        s->box[axis] = from < most[axis] ? from : most[axis];
        s->box[axis + 2] = to > s->box[axis] ? to : s->box[axis];
        s->mask.point_coords[axis] = (float)((s->box[axis] + s->box[axis + 2]) / 2);
    }
    s->mask.crop_box[2] = (float)frame->width;
    s->mask.crop_box[3] = (float)frame->height;
}

static mm_status prompt_all(const mm_model *model, mm_embedding *embedding, const mm_detect_params *params, slot *slots,
                            size_t count, mm_error *err)
{
    const mm_frame frame = mm_embedding_frame(embedding);
    mm_upsampler *upsampler = NULL;
    mm_prompt *prompts = calloc(count + 1, sizeof *prompts);
    mm_status status = prompts ? mm_upsampler_new(&frame, &upsampler, err) : mm_fail_memory(err, "prompts");
    for (size_t i = 0; status == MM_OK && i < count; i++) {
        fill_prompt(&slots[i], &frame);
        prompts[i].box = slots[i].box;
    }
    prompting p = {params, upsampler, slots};
    const mm_mask_sink sink = {.user = &p, .select = select_single, .take = take_mask};
    if (status == MM_OK)
        status = mm_model_decode(model, embedding, prompts, count, &sink, err);
    mm_upsampler_free(upsampler);
    free(prompts);
    return status;
}

/* Step 9 of automatic generation for one mask; not stable any more if it is nothing but small pieces. */
static mm_status clean(slot *s, const mm_detect_params *params, mm_error *err)
{
    bool changed;
    uint32_t largest = 0, box[4];
    if (params->min_mask_region_area > 0) {
        const mm_status status = mm_mask_remove_small(&s->mask.rle, params->min_mask_region_area, &changed, &largest,
                                                      err);
        if (status != MM_OK)
            return status;
        s->stable = !(params->drop_small_masks && largest < params->min_mask_region_area);
    }
    s->mask.area = (uint32_t)mm_rle_area(&s->mask.rle);
    s->stable = s->stable && s->mask.area > 0;
    mm_rle_box(&s->mask.rle, box);
    for (int axis = 0; axis < 2; axis++) {
        s->mask.bbox[axis] = (float)box[axis];
        s->mask.bbox[axis + 2] = (float)(box[axis + 2] - box[axis]);
    }
    return MM_OK;
}

/* What stays goes from the slots to the result; slots come by falling score. */
static mm_status keep_distinct(slot *slots, size_t count, double threshold, mm_confident *out, mm_error *err)
{
    mm_annotations *a = &out->annotations;
    a->items = calloc(count + 1, sizeof a->items[0]);
    out->scores = calloc(count + 1, sizeof out->scores[0]);
    out->boxes = calloc(count + 1, sizeof out->boxes[0]);
    if (!a->items || !out->scores || !out->boxes)
        return mm_fail_memory(err, "confident masks");
    for (size_t i = 0; i < count; i++) {
        bool twice = !slots[i].stable;
        for (size_t k = 0; !twice && k < a->count; k++)
            twice = mm_rle_iou(&slots[i].mask.rle, &a->items[k].rle) > threshold;
        if (twice)
            continue;
        out->scores[a->count] = slots[i].detection.score;
        memcpy(out->boxes[a->count], slots[i].detection.box, sizeof out->boxes[0]);
        a->items[a->count++] = slots[i].mask;
        slots[i].mask.rle = (mm_rle){0};
    }
    return MM_OK;
}

static mm_status make(const mm_model *model, mm_embedding *embedding, const mm_detect_params *params, slot *slots,
                      size_t count, mm_confident *out, mm_error *err)
{
    mm_funnel *funnel = &out->annotations.funnel;
    mm_status status = prompt_all(model, embedding, params, slots, count, err);
    for (size_t i = 0; status == MM_OK && i < count; i++) {
        funnel->after_iou += slots[i].sure;
        funnel->after_stability += slots[i].stable;
        if (slots[i].stable)
            status = clean(&slots[i], params, err);
    }
    if (status == MM_OK)
        status = keep_distinct(slots, count, params->mask_nms_thresh, out, err);
    funnel->candidates = out->annotations.prompts = count;
    funnel->after_area = funnel->after_edge = funnel->after_stability;
    funnel->after_crop_nms = funnel->after_image_nms = funnel->after_stability;
    funnel->kept = out->annotations.count;
    out->annotations.prompts_kept = funnel->after_iou;
    return status;
}

mm_status mm_detect_confident(const mm_model *model, mm_embedding *embedding, const mm_detector *detector,
                              const mm_detect_params *params, mm_confident *confident, mm_error *err)
{
    const mm_frame frame = mm_embedding_frame(embedding);
    const double start = omp_get_wtime();
    mm_detections found;
    *confident = (mm_confident){.annotations = {.width = frame.width, .height = frame.height, .crops = 1}};
    mm_status status = mm_detector_find(detector, embedding, params, &found, err);
    if (status != MM_OK)
        return status;
    const double detected = omp_get_wtime();
    size_t count = 0;
    slot *slots = calloc(found.count + 1, sizeof *slots);
    while (slots && count < found.count && found.items[count].score >= params->confident_score_thresh) {
        slots[count].detection = found.items[count];
        count++;
    }
    status = slots ? make(model, embedding, params, slots, count, confident, err)
                   : mm_fail_memory(err, "confident masks");
    for (size_t i = 0; i < count; i++)
        mm_rle_free(&slots[i].mask.rle);
    free(slots);
    mm_detections_free(&found);
    confident->seconds_detect = detected - start;
    confident->seconds_masks = omp_get_wtime() - detected;
    if (status != MM_OK)
        mm_confident_free(confident);
    return status;
}

void mm_confident_free(mm_confident *confident)
{
    mm_annotations_free(&confident->annotations);
    free(confident->scores);
    free(confident->boxes);
    *confident = (mm_confident){0};
}
