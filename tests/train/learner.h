/* A golden case's decoder as something that learns: parameters, their gradients, and a judge with fixed opinions. */
#ifndef MM_TESTS_TRAIN_LEARNER_H
#define MM_TESTS_TRAIN_LEARNER_H

#include "check_main.h"
#include "tensor/memory.h"
#include "tools/golden_case.h"
#include "train/decoder.h"

typedef struct learner {
    golden_case golden;
    prompt_list list;
    mm_frame frame;
    mm_checkpoint *checkpoint;
    mm_arch arch;
    mm_parameters parameters;
    float *values, *gradients;
    float *embedding; /* [N][D] */
    mm_trained_decoder decoder;
    mm_learner maths;
    mm_error err;
} learner;

static inline float learner_noise(uint32_t *seed)
{
    *seed = *seed * 1664525u + 1013904223u;
    return (float)(int32_t)*seed / 2147483648.0f;
}

static inline void learner_open(const char *name, mm_backend backend, learner *l)
{
    char path[4096], config[4096];
    *l = (learner){.maths.kernels = {.backend = backend, .precision = MM_PRECISION_F32, .threads = 1}};
    ck_assert_msg(mm_kernels_resolve(&l->maths.kernels, &l->err) == MM_OK, "%s", l->err.text);
    ck_assert(golden_open(name, &l->maths.kernels, &l->golden));
    l->arch = *mm_model_arch(l->golden.model);
    ck_assert_msg(prompt_list_read(json_object_get(l->golden.json, "prompts"), GOLDEN_FOLDER,
                                   4 * l->arch.embedding_side, &l->list, &l->err) == MM_OK, "%s", l->err.text);
    ck_assert(mm_model_encode(l->golden.model, mm_image_whole(&l->golden.image), l->golden.embedding,
                              &l->err) == MM_OK);
    l->frame = mm_embedding_frame(l->golden.embedding);
    const size_t channels = l->arch.prompt_embed_dim, cells = (size_t)l->arch.embedding_side * l->arch.embedding_side;
    float *planes = mm_floats(cells * channels);
    l->embedding = mm_floats(cells * channels);
    ck_assert(planes && l->embedding);
    mm_embedding_copy(l->golden.embedding, planes);
    for (size_t n = 0; n < cells; n++)
        for (size_t c = 0; c < channels; c++)
            l->embedding[n * channels + c] = planes[c * cells + n];
    free(planes);
    ck_assert_ptr_nonnull(golden_path(l->golden.json, "checkpoint", path, sizeof path));
    ck_assert(mm_checkpoint_open(path, &l->checkpoint, &l->err) == MM_OK);
    (void)golden_path(l->golden.json, "model_config", config, sizeof config);
    ck_assert(mm_parameters_make(&l->arch, &l->parameters, &l->err) == MM_OK);
    l->values = mm_floats(l->parameters.floats);
    l->gradients = mm_floats(l->parameters.floats);
    ck_assert(l->values && l->gradients);
    memset(l->gradients, 0, l->parameters.floats * sizeof(float));
    ck_assert(mm_parameters_read(&l->parameters, l->checkpoint, l->values, &l->err) == MM_OK);
    ck_assert_msg(mm_trained_decoder_make(&l->arch, &l->parameters, l->values, l->gradients, l->checkpoint, &l->decoder,
                                          &l->err) == MM_OK, "%s", l->err.text);
    l->maths = mm_learner_of(&l->maths.kernels, &l->err);
}

static inline void learner_close(learner *l)
{
    mm_trained_decoder_free(&l->decoder);
    mm_parameters_free(&l->parameters);
    free(l->values);
    free(l->gradients);
    free(l->embedding);
    mm_checkpoint_close(l->checkpoint);
    prompt_list_free(&l->list);
    golden_close(&l->golden);
}

/* Runs `count` prompts from number `first` on as one batch; masks[count] in the order of cells, or NULL. */
static inline void learner_run(learner *l, size_t first, size_t count, const float *const *masks, const mm_judge *judge,
                               bool back)
{
    const mm_training_batch batch = {.embedding = l->embedding, .frame = &l->frame, .prompts = l->list.prompts + first,
                                     .mask_input = masks, .count = count};
    const size_t tokens = mm_trained_decoder_tokens(&l->decoder, &l->list.prompts[first]);
    const size_t floats = mm_trained_decoder_memory(&l->decoder, count, tokens, masks != NULL);
    float *memory = mm_floats(floats);
    ck_assert_ptr_nonnull(memory);
    memset(memory, 0xff, floats * sizeof *memory); /* NaN: nothing may depend on what was there */
    mm_trained_decoder_run(&l->maths, &l->decoder, &batch, judge, back, memory);
    ck_assert_msg(l->maths.status == MM_OK, "%s", l->err.text);
    free(memory);
}

#endif
