/* Automatic mask generation: an image in, its annotations out; the steps and their order are those of the
 * reference's SamAutomaticMaskGenerator, with the additions of [SAM] appendix B.
 *
 * Crop boxes are x0, y0, x1, y1 with exclusive ends inside this module and XYWH in annotations. */
#ifndef MASKMILL_AMG_H
#define MASKMILL_AMG_H

#include "maskmill/mask.h"
#include "maskmill/model.h"

/* Names and defaults are the reference's. A filter whose threshold is 0 does not run. Thresholds are float where the
 * reference compares in float and double where it compares in double. */
typedef struct mm_amg_params {
    uint32_t points_per_side;                /* 32 */
    float pred_iou_thresh;                   /* 0.88: keep predicted_iou > this */
    float stability_score_thresh;            /* 0.95: keep stability >= this */
    float stability_score_offset;            /* 1.0 */
    double box_nms_thresh;                   /* 0.7 */
    uint32_t crop_n_layers;                  /* 0 */
    double crop_nms_thresh;                  /* 0.7 */
    double crop_overlap_ratio;               /* 512 / 1500 */
    uint32_t crop_n_points_downscale_factor; /* 1 */
    uint32_t min_mask_region_area;           /* 0, pixels */
    double max_area_fraction;                /* 0 = off: drop masks of at least this share of the frame */
    bool drop_small_masks;                   /* drop masks whose largest piece is below min_mask_region_area */
    uint32_t short_side;                     /* 0 = the original size: side of the frame masks are stored in */
} mm_amg_params;

mm_amg_params mm_amg_defaults(void);

/* How many masks were left after each step, summed over crops. */
typedef struct mm_funnel {
    uint64_t candidates;      /* prompts x multimask outputs */
    uint64_t after_iou;       /* step 4 */
    uint64_t after_stability; /* step 5 */
    uint64_t after_area;      /* max_area_fraction */
    uint64_t after_edge;      /* step 7 */
    uint64_t after_crop_nms;  /* step 8, within crops */
    uint64_t after_image_nms; /* step 8, across crops */
    uint64_t kept;            /* after step 9 */
} mm_funnel;

typedef struct mm_annotation {
    float bbox[4];         /* XYWH in the frame; w = x1 - x0 of inclusive corners */
    uint32_t area;         /* pixels */
    float predicted_iou;
    float stability_score;
    float point_coords[2]; /* the prompt, in the frame */
    float crop_box[4];     /* XYWH in the frame */
    mm_rle rle;            /* in the frame */
} mm_annotation;

typedef struct mm_annotations {
    uint32_t width, height; /* the frame */
    mm_annotation *items;   /* in the reference's output order */
    size_t count;
    mm_funnel funnel;
    uint64_t crops;        /* windows, each encoded once */
    uint64_t prompts;      /* of all windows */
    uint64_t prompts_kept; /* those with a mask that passed step 4 */
    /* Where the time went, of the wall clock, summed over crops. Never stored in a shard. */
    double seconds_frame;       /* reducing the image to the frame */
    double seconds_encode;      /* resizing to the model's input, encoding, preparing the decoder */
    double seconds_decode;      /* what the decoder takes beyond the scanning of its masks */
    double seconds_masks;       /* logits to RLE, steps 5 and 6 */
    double seconds_filter;      /* max_area_fraction, steps 7 to 9 */
    mm_model_times model_times; /* what encoding and decoding were spent on, as the model tells it */
} mm_annotations;

/* The caller frees *annotations with mm_annotations_free. `embedding` is working memory. MM_ERR_USAGE for parameters
 * that leave a crop without points or are out of range. With short_side the frame's sides are
 * int(side * short_side / shorter side + 0.5); layer 0 encodes the reduced image, smaller windows are cut from the
 * original: starts rounded down, ends up, points and masks mapped from window to window. */
MM_RESULT_USED mm_status mm_amg_generate(const mm_model *model, mm_embedding *embedding, const mm_amg_params *params,
                                         mm_image_view image, mm_annotations *annotations, mm_error *err);
void mm_annotations_free(mm_annotations *annotations);

/* Who wants to use the whole image's embedding as well (a detector), so that it need not be made twice. */
typedef struct mm_amg_observer {
    void *user;
    /* Called once an image, when its layer 0 has been decoded: `embedding` holds the frame, as mm_embedding_frame says.
     * The callee may decode prompts on it, but not encode. Anything but MM_OK ends the generation. */
    mm_status (*whole_image)(void *user, mm_embedding *embedding, mm_error *err);
} mm_amg_observer;

/* mm_amg_generate with an observer, whose time is in none of the annotations' seconds. */
MM_RESULT_USED mm_status mm_amg_generate_observed(const mm_model *model, mm_embedding *embedding,
                                                  const mm_amg_params *params, mm_image_view image,
                                                  const mm_amg_observer *observer, mm_annotations *annotations,
                                                  mm_error *err);

/* The best predicted IoU of each prompt of the grids, window by window, over its multimask outputs (-infinity if they
 * are NaN): what pred_iou_thresh is compared with. No mask is made. The caller frees *best. */
MM_RESULT_USED mm_status mm_amg_best_ious(const mm_model *model, mm_embedding *embedding, const mm_amg_params *params,
                                          mm_image_view image, float **best, size_t *count, mm_error *err);

/* The pred_iou_thresh at which round(share * count) prompts keep at least one mask, fewer where prompts are equal there.
 * share is 0 to 1; best[] may come back in another order. Above 0, where the filter would be off, but for all prompts. */
float mm_amg_keep_threshold(float *best, size_t count, double share);

/* One step each, in order; the public ones are those that tests and `segment` with prompts need as well. */

typedef struct mm_crop {
    uint32_t box[4]; /* x0, y0, x1, y1, exclusive ends */
    uint32_t layer;
} mm_crop;

/* Step 1. The windows of a width x height image, layer 0 first; empty ones are left out. The caller frees *crops. */
MM_RESULT_USED mm_status mm_amg_crops(uint32_t width, uint32_t height, uint32_t layers, double overlap_ratio,
                                      mm_crop **crops, size_t *count, mm_error *err);

/* Step 1. Cell centres of an n x n grid in [0, 1]: coordinate i of numpy's linspace(1/(2n), 1 - 1/(2n), n). */
double mm_amg_grid_coordinate(uint32_t n, uint32_t i);

/* What one pass over the logits yields (steps 5 and 6). */
typedef struct mm_mask_scan {
    uint64_t above_high; /* pixels > +offset */
    uint64_t above_low;  /* pixels > -offset */
    uint64_t area;       /* pixels > 0 */
    uint32_t box[4];     /* inclusive corners of pixels > 0; 0,0,0,0 if none */
} mm_mask_scan;

/* Both bilinear steps of the reference, composed per axis for one frame geometry; positions and weights are torch's.
 * MM_ERR_LIMIT for 2^32 pixels or more, MM_ERR_UNSUPPORTED for an image so thin that its input has no pixel. */
typedef struct mm_upsampler mm_upsampler;
MM_RESULT_USED mm_status mm_upsampler_new(const mm_frame *frame, mm_upsampler **upsampler, mm_error *err);
void mm_upsampler_free(mm_upsampler *upsampler);

/* logits[L][L] to counts, area, box and (rle not NULL) the mask at the image's size, column by column: no float
 * mask of full size ever exists. `scratch` has mm_upsampler_scratch(upsampler) bytes, aligned as malloc's are; one
 * upsampler serves any number of threads that bring their own. A NaN logit is above no threshold. The caller frees
 * *rle. */
size_t mm_upsampler_scratch(const mm_upsampler *upsampler);
MM_RESULT_USED mm_status mm_upsampler_scan(const mm_upsampler *upsampler, const float *logits, float offset,
                                           void *scratch, mm_mask_scan *scan, mm_rle *rle, mm_error *err);

/* Masks from prompts instead of the grid: for each prompt (an object: points, a box, or both, all inside the image;
 * MM_ERR_USAGE otherwise) the model's M multimask outputs, best predicted IoU first. items[i * M .. i * M + M) are
 * prompt i's; *masks_per_prompt is M. No filter runs, and the frame is the image. point_coords is the first point, or
 * the box's centre. The caller frees *annotations. */
MM_RESULT_USED mm_status mm_amg_prompt(const mm_model *model, mm_embedding *embedding, float stability_score_offset,
                                       const mm_prompt *prompts, size_t count, mm_image_view image,
                                       mm_annotations *annotations, size_t *masks_per_prompt, mm_error *err);

#endif
