/* A model whose scores and logits are a formula of the prompt's number, the same as in make_amg.py. */
#ifndef MM_TESTS_AMG_FAKE_MODEL_H
#define MM_TESTS_AMG_FAKE_MODEL_H

#include <omp.h>

#include "amg/steps.h"
#include "fields.h"

typedef struct fake_model {
    uint32_t salt, crops;
    int threads;
    mm_image_view image; /* the last one encoded */
    mm_point first_point;
    size_t prompts;
    mm_status fail_at_take; /* what to answer instead of the first mask */
} fake_model;

static inline mm_status fake_set_image(void *user, mm_image_view image, mm_frame *frame, mm_error *err)
{
    fake_model *model = user;
    (void)err;
    const uint32_t longer = image.width > image.height ? image.width : image.height;
    const double scale = (double)FAKE_IMAGE_SIZE / longer;
    *frame = (mm_frame){image.width, image.height, (uint32_t)(image.width * scale + 0.5),
                        (uint32_t)(image.height * scale + 0.5), FAKE_IMAGE_SIZE, FAKE_LOW};
    model->image = image;
    model->crops++;
    return MM_OK;
}

static inline mm_status fake_decode(void *user, const mm_prompt *prompts, size_t count, const mm_mask_sink *sink,
                             mm_error *err)
{
    fake_model *model = user;
    model->first_point = prompts[0].points[0];
    model->prompts += count;
    mm_status result = MM_OK;
#pragma omp parallel for num_threads(model->threads) schedule(dynamic)
    for (size_t p = 0; p < count; p++) {
        fake_mask f = {model->salt, model->crops - 1, (uint32_t)p, 0};
        float iou[4], logits[FAKE_LOW * FAKE_LOW];
        for (f.mask = 0; f.mask < 4; f.mask++)
            iou[f.mask] = f.mask ? fake_iou(&f) : 1.0f; /* the single-mask output must not be used */
        const uint32_t wanted = sink->select(sink->user, p, iou);
        for (f.mask = 0; f.mask < 4; f.mask++) {
            if (!(wanted >> f.mask & 1))
                continue;
            fake_logits(&f, logits);
            mm_status status = sink->take(sink->user, p, f.mask, logits, err);
            if (model->fail_at_take)
                status = mm_fail(err, model->fail_at_take, "told to fail");
            if (status) {
#pragma omp atomic write
                result = status;
            }
        }
    }
    return result;
}

#endif
