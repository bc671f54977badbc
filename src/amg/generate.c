/* Automatic mask generation with a model: the model as the pipeline's predictor. */
#include "amg/steps.h"

typedef struct model_predictor {
    const mm_model *model;
    mm_embedding *embedding;
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
    const model_predictor *p = user;
    return mm_model_decode(p->model, p->embedding, prompts, count, sink, err);
}

mm_status mm_amg_generate(const mm_model *model, mm_embedding *embedding, const mm_amg_params *params,
                          mm_image_view image, mm_annotations *annotations, mm_error *err)
{
    model_predictor user = {model, embedding};
    const mm_predictor predictor = {&user, mm_model_arch(model)->decoder.mask_tokens, encode, decode};
    return mm_amg_run(&predictor, params, image, annotations, err);
}
