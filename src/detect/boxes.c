/* Outputs of the cells become boxes with scores; those of duplicates fall by soft NMS. */
#include "detect/boxes.h"

#include <math.h>
#include <stdlib.h>

/* Candidates of NMS, the best: far more than max_boxes needs, few enough to cost nothing. */
enum { MOST_CANDIDATES = 2000 };

typedef struct candidate {
    float score;
    uint32_t cell;
} candidate;

void mm_head_decode(const mm_head *head, size_t level, double stride, const float *scale, size_t cell,
                    const float *outputs, float box[4])
{
    const size_t at = cell - head->first[level], side = head->side[level];
    const double x = ((double)(at % side) + 0.5) * stride, y = ((double)(at / side) + 0.5) * stride;
    double distance[4];
    for (int k = 0; k < 4; k++) {
        const float exponent = scale[level] * outputs[MM_HEAD_BOX + k];
        distance[k] = exp((double)fminf(exponent, MM_HEAD_MAX_EXPONENT)) * stride;
    }
    box[0] = (float)(x - distance[0]);
    box[1] = (float)(y - distance[1]);
    box[2] = (float)(x + distance[2]);
    box[3] = (float)(y + distance[3]);
}

static float sigmoid(float x)
{
    return 1.0f / (1.0f + expf(-x));
}

float mm_head_score(const float *outputs)
{
    return sqrtf(sigmoid(outputs[MM_HEAD_OBJECT]) * sigmoid(outputs[MM_HEAD_QUALITY]));
}

/* Best first; equal ones in the order of cells. */
static int by_score(const void *a, const void *b)
{
    const candidate *x = a, *y = b;
    if (x->score != y->score)
        return x->score > y->score ? -1 : 1;
    return (x->cell > y->cell) - (x->cell < y->cell);
}

/* list[head->cells]; returns how many. */
static size_t list_candidates(const mm_head *head, const float *outputs, const mm_frame *frame, float threshold,
                              candidate *list)
{
    size_t count = 0;
    for (size_t level = 0; level < MM_HEAD_LEVELS; level++) {
        const double stride = mm_head_stride(head, level, frame->image_size);
        const size_t side = head->side[level];
        for (size_t y = 0; y < side && ((double)y + 0.5) * stride < frame->input_height; y++)
            for (size_t x = 0; x < side && ((double)x + 0.5) * stride < frame->input_width; x++) {
                const size_t cell = head->first[level] + y * side + x;
                const float score = mm_head_score(outputs + cell * MM_HEAD_OUTPUTS);
                if (score >= threshold) /* false for NaN */
                    list[count++] = (candidate){score, (uint32_t)cell};
            }
    }
    qsort(list, count, sizeof *list, by_score);
    return count < MOST_CANDIDATES ? count : MOST_CANDIDATES;
}

static size_t level_of(const mm_head *head, size_t cell)
{
    size_t level = 0;
    while (level + 1 < MM_HEAD_LEVELS && cell >= head->first[level + 1])
        level++;
    return level;
}

static float clamp(double value, double most)
{
    return (float)(value < 0 ? 0 : value > most ? most : value);
}

/* Decodes the candidates, those of an empty box left out; returns how many stay. */
static size_t decode_all(const mm_head *head, const float *parameters, const float *outputs, const mm_frame *frame,
                         const candidate *list, size_t count, float (*boxes)[4], float *scores)
{
    const double rx = (double)frame->width / frame->input_width, ry = (double)frame->height / frame->input_height;
    size_t kept = 0;
    for (size_t i = 0; i < count; i++) {
        const size_t level = level_of(head, list[i].cell);
        float box[4];
        mm_head_decode(head, level, mm_head_stride(head, level, frame->image_size), parameters + head->scale,
                       list[i].cell, outputs + list[i].cell * MM_HEAD_OUTPUTS, box);
        float *to = boxes[kept];
        for (int k = 0; k < 4; k++)
            to[k] = clamp((double)box[k] * (k % 2 ? ry : rx), k % 2 ? frame->height : frame->width);
        scores[kept] = list[i].score;
        kept += to[0] < to[2] && to[1] < to[3];
    }
    return kept;
}

mm_status mm_head_boxes(const mm_head *head, const float *parameters, const float *outputs, const mm_frame *frame,
                        const mm_detect_params *params, mm_detections *detections, mm_error *err)
{
    *detections = (mm_detections){0};
    candidate *list = malloc(head->cells * sizeof *list);
    float(*boxes)[4] = malloc(MOST_CANDIDATES * sizeof *boxes);
    float *scores = malloc(MOST_CANDIDATES * sizeof *scores);
    size_t *keep = malloc(params->max_boxes * sizeof *keep), kept = 0;
    mm_status status = list && boxes && scores && keep ? MM_OK : mm_fail_memory(err, "detections");
    if (status == MM_OK) {
        const size_t listed = list_candidates(head, outputs, frame, params->score_thresh, list);
        const size_t count = decode_all(head, parameters, outputs, frame, list, listed, boxes, scores);
        const mm_soft_nms how = {.from = params->nms_thresh, .sigma = params->nms_sigma, .least = params->score_thresh,
                                 .most = params->max_boxes};
        status = mm_mask_soft_nms((const float(*)[4])boxes, scores, count, &how, keep, &kept, err);
    }
    if (status == MM_OK && kept > 0) {
        detections->items = malloc(kept * sizeof *detections->items);
        if (!detections->items)
            status = mm_fail_memory(err, "detections");
    }
    for (size_t i = 0; status == MM_OK && i < kept; i++) {
        mm_detection *d = &detections->items[detections->count++];
        for (int k = 0; k < 4; k++)
            d->box[k] = boxes[keep[i]][k];
        d->score = scores[keep[i]];
    }
    free(list);
    free(boxes);
    free(scores);
    free(keep);
    return status;
}
