/* Automatic mask generation with a model: the model as the pipeline's predictor. */
#include "amg/steps.h"

typedef struct model_predictor {
    const mm_model *model;
    mm_embedding *embedding;
    mm_model_times times; /* summed over crops */
    const mm_amg_observer *observer;
} model_predictor;

static mm_status encode(void *user, mm_image_view image, mm_frame *frame, mm_error *err)
{
    const model_predictor *p = user;
    mm_status status = mm_model_encode(p->model, image, p->embedding, err);
    if (!status)
        *frame = mm_embedding_frame(p->embedding);
    return status;
}

static mm_status decode(void *user, const mm_prompt *prompts, size_t count, const mm_mask_sink *sink, mm_error *err)
{
    model_predictor *p = user;
    const mm_status status = mm_model_decode(p->model, p->embedding, prompts, count, sink, err);
    /* A crop's prompts come in one call, so its times are complete now. */
    const mm_model_times crop = mm_embedding_times(p->embedding);
    p->times.resize += crop.resize;
    p->times.encoder += crop.encoder;
    p->times.image_side += crop.image_side;
    p->times.to_iou += crop.to_iou;
    p->times.upscale += crop.upscale;
    return status;
}

static mm_status show(void *user, mm_error *err)
{
    const model_predictor *p = user;
    return p->observer->whole_image(p->observer->user, p->embedding, err);
}

static mm_predictor predictor_of(model_predictor *user)
{
    return (mm_predictor){.user = user,
                          .mask_tokens = mm_model_arch(user->model)->decoder.mask_tokens,
                          .set_image = encode,
                          .decode = decode,
                          .whole_image = user->observer ? show : NULL};
}

mm_status mm_amg_generate(const mm_model *model, mm_embedding *embedding, const mm_amg_params *params,
                          mm_image_view image, mm_annotations *annotations, mm_error *err)
{
    return mm_amg_generate_observed(model, embedding, params, image, NULL, annotations, err);
}

mm_status mm_amg_generate_observed(const mm_model *model, mm_embedding *embedding, const mm_amg_params *params,
                                   mm_image_view image, const mm_amg_observer *observer, mm_annotations *annotations,
                                   mm_error *err)
{
    model_predictor user = {.model = model, .embedding = embedding, .observer = observer};
    const mm_predictor predictor = predictor_of(&user);
    const mm_status status = mm_amg_run(&predictor, params, image, annotations, err);
    if (!status)
        annotations->model_times = user.times;
    return status;
}

mm_status mm_amg_best_ious(const mm_model *model, mm_embedding *embedding, const mm_amg_params *params,
                           mm_image_view image, float **best, size_t *count, mm_error *err)
{
    model_predictor user = {.model = model, .embedding = embedding};
    const mm_predictor predictor = predictor_of(&user);
    return mm_amg_listen(&predictor, params, image, best, count, err);
}
