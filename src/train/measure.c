/* How good the detector is on the samples that it does not see. */
#include "detect/boxes.h"
#include "detect/head_file.h"
#include "train/trainer.h"

/* COCO's measures look at 100 boxes of any score; NMS is the detector's own. */
static mm_detect_params measuring(void)
{
    mm_detect_params params = mm_detect_general_defaults();
    params.score_thresh = 0.001f;
    params.max_boxes = 100;
    return params;
}

static mm_status measure_one(mm_trainer *trainer, uint64_t sample, mm_evaluation *evaluation, mm_error *err)
{
    const mm_sample *s = &trainer->samples.items[sample];
    const mm_detect_params params = measuring();
    mm_frame frame;
    mm_detections found;
    mm_status status = mm_trainer_load(trainer, sample, false, &frame, err);
    if (status == MM_OK)
        status = mm_head_forward(&trainer->head, trainer->parameters, &trainer->kernels, trainer->cells,
                                 &trainer->state, err);
    if (status == MM_OK)
        status = mm_head_boxes(&trainer->head, trainer->parameters, trainer->state.outputs, &frame, &params, &found,
                               err);
    if (status != MM_OK)
        return status;
    status = mm_evaluation_add(evaluation, (uint32_t)sample, &found,
                               (const float(*)[4])trainer->samples.boxes + s->first_box, s->boxes, err);
    mm_detections_free(&found);
    return status;
}

mm_status mm_trainer_measure(mm_trainer *trainer, double *recall, double *precision, mm_error *err)
{
    mm_evaluation evaluation = {0};
    mm_status status = MM_OK;
    for (size_t i = trainer->rank; status == MM_OK && i < trainer->prepared.validation_count; i += trainer->ranks)
        status = measure_one(trainer, trainer->prepared.validation[i], &evaluation, err);
    status = mm_comm_agree(trainer->comm, status, err);
    if (status == MM_OK)
        status = mm_evaluation_gather(trainer->comm, &evaluation, err);
    if (status == MM_OK) {
        *recall = mm_evaluation_recall(&evaluation);
        *precision = mm_evaluation_precision(&evaluation);
    }
    mm_evaluation_free(&evaluation);
    return status;
}
