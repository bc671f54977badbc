/* detect: objects from an embedding, and the masks that the model is sure of. This file is the detector as others see
 * it: opened for a model, asked for boxes. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "detect/boxes.h"
#include "detect/head_file.h"

struct mm_detector {
    mm_head_file file;
    mm_kernels kernels; /* the model's */
    char sha256[65];
};

static mm_status check_model(const mm_head_file *file, const mm_model *model, const char *path, mm_error *err)
{
    char encoder[65];
    const mm_arch *arch = mm_model_arch(model);
    const mm_status status = mm_model_encoder_sha256(model, encoder, err);
    if (status != MM_OK)
        return status;
    if (strcmp(encoder, file->encoder_sha256) != 0 || arch->prompt_embed_dim != file->head.shape.embed_dim ||
        arch->embedding_side != file->head.shape.embedding_side)
        return mm_fail(err, MM_ERR_USAGE,
                       "the detector %s is for another image encoder (%.12s...) than that of this model, %s "
                       "(%.12s...); `maskmill train detector` makes one for it",
                       path, file->encoder_sha256, arch->name, encoder);
    return MM_OK;
}

mm_status mm_detector_open(const char *path, const mm_model *model, mm_detector **detector, mm_error *err)
{
    *detector = NULL;
    mm_detector *made = calloc(1, sizeof *made);
    if (!made)
        return mm_fail_memory(err, "a detector");
    made->kernels = *mm_model_kernels(model);
    mm_status status = mm_head_file_read(path, &made->file, err);
    if (status == MM_OK)
        status = check_model(&made->file, model, path, err);
    if (status == MM_OK)
        status = mm_checkpoint_sha256(path, made->sha256, err);
    if (status != MM_OK) {
        mm_detector_close(made);
        return status;
    }
    *detector = made;
    return MM_OK;
}

void mm_detector_close(mm_detector *detector)
{
    if (!detector)
        return;
    mm_head_file_free(&detector->file);
    free(detector);
}

mm_status mm_detector_locate(const char *name_or_path, const char *model_path, char *path, size_t size, mm_error *err)
{
    if (name_or_path)
        return mm_checkpoint_locate(name_or_path, path, size, err);
    const char *slash = strrchr(model_path, '/'), *dot = strrchr(model_path, '.');
    const int stem = dot && (!slash || dot > slash) ? (int)(dot - model_path) : (int)strlen(model_path);
    const int length = snprintf(path, size, "%.*s.detector.safetensors", stem, model_path);
    if (length < 0 || (size_t)length >= size)
        return mm_fail(err, MM_ERR_LIMIT, "the path of the model %.100s... is too long", model_path);
    if (!mm_file_exists(path))
        return mm_fail(err, MM_ERR_USAGE,
                       "there is no detector %s for the model %s; name one, or make one with `maskmill "
                                          "train detector`",
                       path, model_path);
    return MM_OK;
}

mm_detector_shape mm_detector_shape_of(const mm_detector *detector)
{
    return detector->file.head.shape;
}

const char *mm_detector_sha256(const mm_detector *detector)
{
    return detector->sha256;
}

const char *mm_detector_metadata(const mm_detector *detector)
{
    return detector->file.metadata;
}

mm_detect_params mm_detect_defaults(const mm_detector *detector)
{
    return detector->file.defaults;
}

mm_status mm_detect_check(const mm_detect_params *params, mm_error *err)
{
    const struct {
        const char *name;
        double value, most;
    } ranges[] = {
        {"score threshold", (double)params->score_thresh, 1},
        {"NMS threshold", params->nms_thresh, 1},
        {"NMS sigma", params->nms_sigma, 100},
        {"confident score threshold", (double)params->confident_score_thresh, 1},
        {"confident IoU threshold", (double)params->confident_iou_thresh, 1},
        {"confident stability threshold", (double)params->confident_stability_thresh, 1},
        {"mask NMS threshold", params->mask_nms_thresh, 1},
        {"stability offset", (double)params->stability_score_offset, 1000},
    };
    for (size_t i = 0; i < sizeof ranges / sizeof ranges[0]; i++)
        if (!(ranges[i].value >= 0 && ranges[i].value <= ranges[i].most))
            return mm_fail(err, MM_ERR_USAGE, "the detector's %s is %g; it must be 0 to %g", ranges[i].name,
                           ranges[i].value, ranges[i].most);
    if (params->max_boxes < 1 || params->max_boxes > 1000)
        return mm_fail(err, MM_ERR_USAGE, "the detector's number of boxes is %u; it must be 1 to 1000",
                       params->max_boxes);
    return MM_OK;
}

mm_status mm_detector_find(const mm_detector *detector, const mm_embedding *embedding, const mm_detect_params *params,
                           mm_detections *detections, mm_error *err)
{
    *detections = (mm_detections){0};
    mm_head_state state;
    const mm_frame frame = mm_embedding_frame(embedding);
    mm_status status = mm_detect_check(params, err);
    if (status != MM_OK)
        return status;
    if (!frame.width)
        return mm_fail(err, MM_ERR_INTERNAL, "objects were looked for before an image was encoded");
    status = mm_head_state_new(&detector->file.head, false, &state, err);
    if (status != MM_OK)
        return status;
    status = mm_head_forward(&detector->file.head, detector->file.parameters, &detector->kernels,
                             mm_embedding_cells(embedding), &state, err);
    if (status == MM_OK)
        status = mm_head_boxes(&detector->file.head, detector->file.parameters, state.outputs, &frame, params,
                               detections, err);
    mm_head_state_free(&state);
    return status;
}

void mm_detections_free(mm_detections *detections)
{
    free(detections->items);
    *detections = (mm_detections){0};
}
