/* A click: prompts to the decoder, its logits to masks, and the logits kept for the next click. */
#include <stdlib.h>
#include <string.h>

#include "annotate/desk_state.h"
#include "base/clock.h"

void mm_click_result_free(mm_click_result *result)
{
    for (size_t i = 0; i < result->count; i++)
        free(result->masks[i].counts);
    *result = (mm_click_result){0};
}

void mm_desk_forget_results(mm_desk_image *image)
{
    for (size_t i = 0; i < MM_DESK_KEPT; i++)
        free(image->kept[i].logits);
    memset(image->kept, 0, sizeof image->kept);
    image->next_kept = 0;
}

static const float *find_logits(const mm_desk_image *image, const mm_click *click, size_t plane)
{
    for (size_t i = 0; click->earlier && i < MM_DESK_KEPT; i++)
        if (image->kept[i].number == click->earlier && click->mask < image->kept[i].masks)
            return image->kept[i].logits + click->mask * plane;
    return NULL;
}

typedef struct collector {
    const mm_upsampler *upsampler;
    void *scratch;
    size_t plane; /* L * L */
    uint32_t first;
    float *logits; /* [masks][L][L], as the decoder gives them */
    mm_click_result *result;
} collector;

/* The multimask outputs, all of them. */
static uint32_t select_masks(void *user, size_t prompt, const float *predicted_iou)
{
    collector *c = user;
    (void)prompt;
    uint32_t wanted = 0;
    for (uint32_t m = 0; m < c->result->count; m++) {
        c->result->masks[m].predicted_iou = predicted_iou[c->first + m];
        wanted |= UINT32_C(1) << (c->first + m);
    }
    return wanted;
}

static mm_status take_mask(void *user, size_t prompt, uint32_t mask, const float *logits, mm_error *err)
{
    collector *c = user;
    (void)prompt;
    mm_click_mask *out = &c->result->masks[mask - c->first];
    mm_mask_scan scan;
    mm_rle rle;
    memcpy(c->logits + (mask - c->first) * c->plane, logits, c->plane * sizeof *logits);
    mm_status status = mm_upsampler_scan(c->upsampler, logits, 1.0f, c->scratch, &scan, &rle, err);
    if (status != MM_OK)
        return status;
    out->area = (uint32_t)scan.area;
    out->stability_score = scan.above_low ? (float)scan.above_high / (float)scan.above_low : 0.0f;
    memcpy(out->box, scan.box, sizeof out->box);
    status = mm_rle_to_counts(&rle, &out->counts, &out->size, err);
    mm_rle_free(&rle);
    return status;
}

/* Best first, and the logits with them. */
static mm_status sort_masks(collector *c, float **sorted, mm_error *err)
{
    mm_click_result *result = c->result;
    size_t order[MM_DESK_MASKS];
    mm_click_mask masks[MM_DESK_MASKS];
    *sorted = malloc((result->count * c->plane + 1) * sizeof **sorted);
    if (!*sorted)
        return mm_fail_memory(err, "logits");
    for (size_t i = 0; i < result->count; i++) {
        size_t at = i;
        for (; at > 0 && result->masks[i].predicted_iou > result->masks[order[at - 1]].predicted_iou; at--)
            order[at] = order[at - 1];
        order[at] = i;
    }
    for (size_t i = 0; i < result->count; i++) {
        masks[i] = result->masks[order[i]];
        memcpy(*sorted + i * c->plane, c->logits + order[i] * c->plane, c->plane * sizeof **sorted);
    }
    memcpy(result->masks, masks, result->count * sizeof masks[0]);
    return MM_OK;
}

static mm_status decode(mm_desk *desk, mm_click_job *job, mm_embedding *embedding, const float *mask_input,
                        float *logits, float **sorted, mm_error *err)
{
    const mm_click *click = job->click;
    const mm_model *model = desk->options.model;
    const mm_frame frame = mm_embedding_frame(embedding);
    const uint32_t tokens = mm_model_arch(model)->decoder.mask_tokens;
    mm_upsampler *upsampler = NULL;
    mm_status status = mm_upsampler_new(&frame, &upsampler, err);
    if (status != MM_OK)
        return status;
    collector c = {.upsampler = upsampler, .plane = (size_t)frame.low_res * frame.low_res, .first = tokens > 1,
                   .logits = logits, .result = job->result};
    c.scratch = malloc(mm_upsampler_scratch(upsampler));
    job->result->count = tokens - (tokens > 1);
    const mm_prompt prompt = {.points = click->points, .point_count = click->count,
                              .box = click->has_box ? click->box : NULL, .mask_input = mask_input};
    const mm_mask_sink sink = {.user = &c, .select = select_masks, .take = take_mask, .padding = true};
    status = c.scratch ? mm_model_decode(model, embedding, &prompt, 1, &sink, err) : mm_fail_memory(err, "a mask");
    if (status == MM_OK)
        status = sort_masks(&c, sorted, err);
    free(c.scratch);
    mm_upsampler_free(upsampler);
    return status;
}

/* job->image->kept is this worker's while the image is `clicked`. */
static void keep(mm_desk_image *image, const mm_click_result *result, float *logits)
{
    mm_kept_result *place = &image->kept[image->next_kept++ % MM_DESK_KEPT];
    free(place->logits);
    *place = (mm_kept_result){.number = result->number, .logits = logits, .masks = result->count};
}

mm_status mm_desk_answer(mm_desk *desk, mm_click_job *job, mm_hot *hot, bool prepared, mm_error *err)
{
    const mm_model *model = desk->options.model;
    mm_desk_image *image = job->image;
    const size_t side = 4 * (size_t)mm_model_arch(model)->embedding_side;
    float *sorted = NULL, *logits = malloc(side * side * MM_DESK_MASKS * sizeof *logits);
    const double start = mm_seconds_now();
    mm_status status = logits ? MM_OK : mm_fail_memory(err, "logits");
    if (status == MM_OK && !hot->embedding)
        status = mm_embedding_new(model, &hot->embedding, err);
    if (status == MM_OK && !prepared)
        status = mm_model_restore(model, image->cells, image->width, image->height, hot->embedding, err);
    const float *mask_input = find_logits(image, job->click, side * side);
    if (status == MM_OK)
        status = decode(desk, job, hot->embedding, mask_input, logits, &sorted, err);
    if (status == MM_OK)
        keep(image, job->result, sorted);
    else
        free(sorted);
    job->result->went_in = mask_input != NULL;
    job->result->seconds = mm_seconds_now() - start;
    free(logits);
    return status;
}
