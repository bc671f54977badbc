/* What a configuration says about the detector, and what it leaves to the detector's file: scores mean something else for
 * each detector, so its file has the thresholds that were found best for it. */
#include "config_keys.h"

#include "detect/head_file.h"

mm_status mm_config_find_detector(const char *model_path, mm_config *config, char *path, size_t size, mm_error *err)
{
    mm_head_file file;
    const char *head = config->detect.head[0] ? config->detect.head : NULL;
    mm_status status = mm_detector_locate(head, model_path, path, size, err);
    if (status == MM_OK)
        status = mm_head_file_read(path, &file, err);
    if (status != MM_OK)
        return status;
    float *const left[] = {&config->detect.score_thresh, &config->detect.pred_iou_thresh,
                           &config->detect.stability_score_thresh};
    const float own[] = {file.defaults.confident_score_thresh, file.defaults.confident_iou_thresh,
                         file.defaults.confident_stability_thresh};
    for (size_t i = 0; i < sizeof left / sizeof left[0]; i++)
        if (*left[i] < 0)
            *left[i] = own[i];
    mm_head_file_free(&file);
    return MM_OK;
}

mm_detect_params mm_config_detect_params(const mm_config *config, const mm_detector *detector)
{
    mm_detect_params params = mm_detect_defaults(detector);
    params.confident_score_thresh = config->detect.score_thresh;
    params.confident_iou_thresh = config->detect.pred_iou_thresh;
    params.confident_stability_thresh = config->detect.stability_score_thresh;
    params.max_boxes = config->detect.max_boxes;
    if (params.score_thresh > params.confident_score_thresh) /* boxes that were not found cannot prompt */
        params.score_thresh = params.confident_score_thresh;
    if (config->amg.min_mask_region_area > 0) {
        params.min_mask_region_area = config->amg.min_mask_region_area;
        params.drop_small_masks = config->amg.drop_small_masks;
    }
    return params;
}
