/* The steps of automatic mask generation, in order, and what passes between them. */
#ifndef MM_AMG_STEPS_H
#define MM_AMG_STEPS_H

#include "amg/judge.h"

/* What the pipeline asks of a model. Tests put another in its place. */
typedef struct mm_predictor {
    void *user;
    uint32_t mask_tokens; /* K: mask 0 is the single-mask output, 1 .. K-1 are used */
    mm_status (*set_image)(void *user, mm_image_view image, mm_frame *frame, mm_error *err);
    mm_status (*decode)(void *user, const mm_prompt *prompts, size_t count, const mm_mask_sink *sink, mm_error *err);
    /* After the prompts of layer 0, which is the whole image; NULL if nobody wants to know. */
    mm_status (*whole_image)(void *user, mm_error *err);
} mm_predictor;

/* mm_amg_generate with any predictor. Hints only if hint_params is not NULL; then the caller frees *hints as well. */
MM_RESULT_USED mm_status mm_amg_run(const mm_predictor *predictor, const mm_amg_params *params,
                                    const mm_hint_params *hint_params, mm_image_view image, mm_annotations *annotations,
                                    mm_annotations *hints, mm_error *err);

/* mm_amg_best_ious with any predictor. */
MM_RESULT_USED mm_status mm_amg_listen(const mm_predictor *predictor, const mm_amg_params *params, mm_image_view image,
                                       float **best, size_t *count, mm_error *err);

/* A mask on its way. Box, point and rle are in the crop until mm_amg_uncrop, in the frame after it. Until mm_amg_unpark a
 * mask may have its logits instead of rle, area and stability_score. */
typedef struct mm_candidate {
    mm_rle rle;
    mm_parked *parked;
    uint32_t box[4]; /* inclusive corners */
    uint32_t area;
    uint32_t crop[4]; /* x0, y0, x1, y1, exclusive ends */
    float predicted_iou, stability_score;
    double point[2];
} mm_candidate;

typedef struct mm_candidates {
    mm_candidate *items;
    size_t count, capacity;
} mm_candidates;

void mm_candidates_free(mm_candidates *list);
/* Room for `more` further items. */
MM_RESULT_USED mm_status mm_candidates_reserve(mm_candidates *list, size_t more, mm_error *err);
/* Keep those for which keep(candidate, user) holds, in order. */
void mm_candidates_filter(mm_candidates *list, bool (*keep)(const mm_candidate *, const void *), const void *user);
/* Keep the first `count`. */
void mm_candidates_cut(mm_candidates *list, size_t count);
/* Move all of `more` to the end of the list; `more` is empty afterwards, unless this fails. */
MM_RESULT_USED mm_status mm_candidates_append(mm_candidates *list, mm_candidates *more, mm_error *err);
/* NMS; what is left is in kept order. boxes[count], scores[count]. */
MM_RESULT_USED mm_status mm_candidates_nms(mm_candidates *list, const float (*boxes)[4], const float *scores,
                                           double threshold, mm_error *err);

/* Step 1, beside mm_amg_crops. The size of the frame: the image's, or with its short side at short_side if that is
 * smaller; sides int(side * scale + 0.5), scale = short_side / the image's short side. */
void mm_amg_frame_size(uint32_t width, uint32_t height, uint32_t short_side, uint32_t *frame_width,
                       uint32_t *frame_height);
/* The part of a larger image that a window of the frame shows: starts rounded down, ends up, never beyond the image. */
void mm_amg_source_window(const uint32_t window[4], uint32_t frame_width, uint32_t frame_height, uint32_t width,
                          uint32_t height, uint32_t source[4]);
/* Points a side of the grid in `layer`: int(points_per_side / downscale^layer); MM_ERR_USAGE if none is left. */
MM_RESULT_USED mm_status mm_amg_grid_side(const mm_amg_params *params, uint32_t layer, uint32_t *side, mm_error *err);

/* Steps 3 to 6 for one crop: prompts to masks that passed the filters on predicted IoU and stability, in the order
 * of the grid. `encoded` is the size of the image that was given to set_image, which the frame's window may be a
 * reduced copy of. */
typedef struct mm_prediction {
    const mm_predictor *predictor;
    const mm_amg_params *params;
    const mm_upsampler *upsampler;
    const mm_judge *judge; /* masks whose stability is certain are parked or dropped; NULL: all are scanned at once */
    const mm_crop *crop;
    uint32_t encoded_width, encoded_height;
    mm_funnel *funnel;
    const mm_hint_params *hint_params;    /* NULL: no hints */
    mm_candidates *hints;                 /* in the order of the grid; not counted in the funnel nor in prompts_kept */
    size_t prompts, prompts_kept;         /* out */
    double seconds_decode, seconds_masks; /* out */
} mm_prediction;
MM_RESULT_USED mm_status mm_amg_predict(mm_prediction *prediction, mm_candidates *out, mm_error *err);
/* Steps 5 and 6 of the masks that are parked. */
MM_RESULT_USED mm_status mm_amg_unpark(const mm_prediction *prediction, mm_candidates *list, mm_error *err);

/* Steps 4 and 5 for one mask. */
bool mm_amg_keeps_iou(const mm_amg_params *params, float predicted_iou);
float mm_amg_stability(const mm_mask_scan *scan);
bool mm_amg_keeps_stability(const mm_amg_params *params, float stability_score);

/* Hints (hints.c). Whether a mask with these scores may be one, if it is not kept; NaN may not. */
bool mm_amg_hints_iou(const mm_prediction *prediction, float predicted_iou);
bool mm_amg_hints_stability(const mm_prediction *prediction, float stability_score);
/* The stability below which a mask is neither kept nor a hint. */
float mm_amg_least_stability(const mm_prediction *prediction);
/* max_area_fraction, step 7, and the way to the frame, for the hints of one crop. */
MM_RESULT_USED mm_status mm_amg_hints_crop(mm_candidates *list, const mm_amg_params *params, uint32_t frame_width,
                                           uint32_t frame_height, mm_error *err);
/* Of all crops' hints those that are not covered by what is kept, without duplicates, cleaned, best first. */
MM_RESULT_USED mm_status mm_amg_hints_finish(mm_candidates *list, const mm_candidates *kept, const mm_amg_params *params,
                                             const mm_hint_params *hints, mm_error *err);

/* max_area_fraction of a frame of this size, and step 7. */
void mm_amg_filter_area(mm_candidates *list, double max_fraction, uint32_t frame_width, uint32_t frame_height);
void mm_amg_filter_edge(mm_candidates *list, uint32_t frame_width, uint32_t frame_height);

/* Step 8. */
MM_RESULT_USED mm_status mm_amg_nms_crop(mm_candidates *list, double threshold, mm_error *err);
MM_RESULT_USED mm_status mm_amg_uncrop(mm_candidates *list, uint32_t frame_width, uint32_t frame_height,
                                       mm_error *err);
MM_RESULT_USED mm_status mm_amg_nms_image(mm_candidates *list, double threshold, mm_error *err);

/* Step 9. */
MM_RESULT_USED mm_status mm_amg_clean(mm_candidates *list, const mm_amg_params *params, mm_error *err);

#endif
