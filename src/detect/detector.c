/* detect: skeleton; the network follows. */
#include "maskmill/detect.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct mm_detector {
    mm_detector_shape shape;
    char sha256[65];
};

mm_status mm_detector_open(const char *path, const mm_model *model, mm_detector **detector, mm_error *err)
{
    *detector = NULL;
    mm_detector *made = calloc(1, sizeof *made);
    if (!made)
        return mm_fail_memory(err, "a detector");
    made->shape = (mm_detector_shape){mm_model_arch(model)->prompt_embed_dim, mm_model_arch(model)->embedding_side, 64, 2, 2};
    const mm_status status = mm_checkpoint_sha256(path, made->sha256, err);
    if (status != MM_OK)
        free(made);
    else
        *detector = made;
    return status;
}

void mm_detector_close(mm_detector *detector)
{
    free(detector);
}

mm_status mm_detector_locate(const char *name_or_path, const char *model_path, char *path, size_t size, mm_error *err)
{
    if (name_or_path)
        return mm_checkpoint_locate(name_or_path, path, size, err);
    const char *dot = strrchr(model_path, '.');
    const int stem = dot ? (int)(dot - model_path) : (int)strlen(model_path);
    const int length = snprintf(path, size, "%.*s.detector.safetensors", stem, model_path);
    return length > 0 && (size_t)length < size ? MM_OK : mm_fail(err, MM_ERR_LIMIT, "the path %s is too long", model_path);
}

mm_detector_shape mm_detector_shape_of(const mm_detector *detector)
{
    return detector->shape;
}

double mm_detector_work(const mm_detector_shape *shape)
{
    return (double)shape->width;
}

const char *mm_detector_sha256(const mm_detector *detector)
{
    return detector->sha256;
}

const char *mm_detector_metadata(const mm_detector *detector)
{
    (void)detector;
    return "{}";
}

mm_detect_params mm_detect_defaults(const mm_detector *detector)
{
    (void)detector;
    return (mm_detect_params){.score_thresh = 0.05f, .nms_thresh = 0.7, .max_boxes = 100, .confident_score_thresh = 0.5f,
                              .confident_iou_thresh = 0.8f, .confident_stability_thresh = 0.9f,
                              .stability_score_offset = 1.0f, .min_mask_region_area = 100, .mask_nms_thresh = 0.7};
}

mm_status mm_detect_check(const mm_detect_params *params, mm_error *err)
{
    (void)params;
    (void)err;
    return MM_OK;
}

mm_status mm_detector_find(const mm_detector *detector, const mm_embedding *embedding, const mm_detect_params *params,
                           mm_detections *detections, mm_error *err)
{
    (void)detector;
    (void)embedding;
    (void)params;
    (void)err;
    *detections = (mm_detections){0};
    return MM_OK;
}

void mm_detections_free(mm_detections *detections)
{
    free(detections->items);
    *detections = (mm_detections){0};
}

mm_status mm_detect_confident(const mm_model *model, mm_embedding *embedding, const mm_detector *detector,
                              const mm_detect_params *params, mm_confident *confident, mm_error *err)
{
    (void)model;
    (void)detector;
    (void)params;
    (void)err;
    *confident = (mm_confident){0};
    confident->annotations.width = mm_embedding_frame(embedding).width;
    confident->annotations.height = mm_embedding_frame(embedding).height;
    return MM_OK;
}

void mm_confident_free(mm_confident *confident)
{
    mm_annotations_free(&confident->annotations);
    free(confident->scores);
    free(confident->boxes);
    *confident = (mm_confident){0};
}
