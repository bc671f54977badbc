/* The detector of the semi-automatic stage ([SAM] section 4): boxes of "objects", whatever they are, from the embedding
 * that an image has anyway; and the masks that the model is sure of when these boxes are its prompts.
 *
 * A detector is a safetensors file of its own, tied to an image encoder by the hash of that encoder's tensors: a
 * retrained decoder keeps its detector, a retrained encoder needs a new one (`maskmill train detector`).
 * docs/detector.md has the network, docs/formats.md the file.
 *
 * Boxes are x0, y0, x1, y1 in pixels of the image given to mm_model_encode, as edges: a mask of columns 3 to 7 has
 * x0 = 3 and x1 = 8. */
#ifndef MASKMILL_DETECT_H
#define MASKMILL_DETECT_H

#include "maskmill/amg.h"

typedef struct mm_detector mm_detector;

/* Open a detector for a model. *detector is NULL on failure. MM_ERR_FORMAT: no detector, or a damaged one;
 * MM_ERR_USAGE: one of another encoder (the line says so). `model` must outlive it. Never changed after opening: any
 * number of threads may use it. */
MM_RESULT_USED mm_status mm_detector_open(const char *path, const mm_model *model, mm_detector **detector,
                                          mm_error *err);
void mm_detector_close(mm_detector *detector);

/* Where a detector given by name lies: an existing path as it is, else what mm_checkpoint_locate finds for it. With
 * NULL, the detector that belongs to the model at `model_path` by name: beside it, "detector" in its name before the
 * ending (default.safetensors: default.detector.safetensors). `path` takes up to `size` bytes. */
MM_RESULT_USED mm_status mm_detector_locate(const char *name_or_path, const char *model_path, char *path, size_t size,
                                            mm_error *err);

/* The shape that fixes the computation; see docs/detector.md. Letters: D, S as in model.h, C width, A slots. */
typedef struct mm_detector_shape {
    uint32_t embed_dim;      /* D */
    uint32_t embedding_side; /* S, a multiple of 4 */
    uint32_t width;          /* C, of the pyramid and the tower */
    uint32_t depth;          /* 3x3 convolutions of the tower, 1 .. 8 */
} mm_detector_shape;

mm_detector_shape mm_detector_shape_of(const mm_detector *detector);
/* Multiply-adds of one image. */
double mm_detector_work(const mm_detector_shape *shape);
/* The detector file's SHA-256, 64 hex digits; belongs to the detector. */
const char *mm_detector_sha256(const mm_detector *detector);
/* The JSON text of its metadata (how it was trained, what it reached); belongs to the detector. */
const char *mm_detector_metadata(const mm_detector *detector);

typedef struct mm_detect_params {
    /* Boxes. */
    float score_thresh; /* keep score >= this */
    double nms_thresh;  /* IoU > this suppresses, or costs a share of the score: */
    double nms_sigma;   /* mm_soft_nms's; 0: suppresses */
    uint32_t max_boxes; /* 100 */
    /* Confident masks: all three must hold. */
    float confident_score_thresh;     /* detector's score >= this */
    float confident_iou_thresh;       /* predicted IoU > this */
    float confident_stability_thresh; /* stability >= this */
    float stability_score_offset;
    /* And among them: */
    uint32_t min_mask_region_area; /* as amg's step 9; 0: no cleaning */
    bool drop_small_masks;         /* drop masks whose largest piece is below min_mask_region_area */
    double mask_nms_thresh;        /* IoU of masks > this suppresses the one of the lower detector score */
} mm_detect_params;

/* The defaults: the thresholds that the detector's file says were found best for it, 100 boxes, soft NMS from an IoU of 0.4 on. */
mm_detect_params mm_detect_defaults(const mm_detector *detector);
/* MM_ERR_USAGE for values out of range, naming the field. */
MM_RESULT_USED mm_status mm_detect_check(const mm_detect_params *params, mm_error *err);

typedef struct mm_detection {
    float box[4]; /* inside the image, x0 < x1, y0 < y1 */
    float score;  /* 0 .. 1: sqrt(objectness * predicted IoU of the box), less where it overlaps a better one */
} mm_detection;

typedef struct mm_detections {
    mm_detection *items; /* best first */
    size_t count;
} mm_detections;

/* Boxes of the image that the embedding holds. The caller frees *detections with mm_detections_free. */
MM_RESULT_USED mm_status mm_detector_find(const mm_detector *detector, const mm_embedding *embedding,
                                          const mm_detect_params *params, mm_detections *detections, mm_error *err);
void mm_detections_free(mm_detections *detections);

/* Confident masks, in order of falling detector score, each the model's single-mask output for its box alone.
 * point_coords is the box's centre and crop_box the whole image. In the funnel candidates
 * are the boxes above confident_score_thresh, after_iou and after_stability what the model is sure of, kept what is
 * left in the end; the other counts are as the one before them. */
typedef struct mm_confident {
    mm_annotations annotations;
    float *scores; /* [annotations.count]: the detector's */
    float (*boxes)[4]; /* [annotations.count]: the boxes that prompted them */
    double seconds_detect, seconds_masks; /* of the wall clock; never stored */
} mm_confident;

/* Of the image that the embedding holds: encoded by the caller, or by mm_amg_generate_observed, whose observer may call
 * this, so that an image is encoded once. */
MM_RESULT_USED mm_status mm_detect_confident(const mm_model *model, mm_embedding *embedding,
                                             const mm_detector *detector, const mm_detect_params *params,
                                             mm_confident *confident, mm_error *err);
void mm_confident_free(mm_confident *confident);

#endif
