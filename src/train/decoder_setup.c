/* What stands before the first step of a decoder's training: model, samples, embeddings, memory. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "train/common.h"
#include "train/decoder_training.h"

static mm_status open_model(mm_decoder_training *t, mm_error *err)
{
    const mm_train_decoder_options *o = t->options;
    const mm_model_options options = {.config_path = o->common.model_config, .kernels = t->kernels};
    mm_status status = mm_model_open(o->common.model, &options, &t->model, err);
    if (status == MM_OK)
        status = mm_checkpoint_open(o->common.model, &t->checkpoint, err);
    if (status == MM_OK) {
        t->arch = *mm_model_arch(t->model);
        status = mm_parameters_make(&t->arch, &t->parameters, err);
    }
    return mm_comm_agree(t->comm, status, err);
}

static mm_status open_masks(mm_decoder_training *t, mm_error *err)
{
    const mm_train_decoder_options *o = t->options;
    mm_status status = mm_mask_source_open(o->common.sources, o->common.source_count, &t->masks, err);
    if (status == MM_OK)
        status = mm_mask_source_add(o->common.validation, o->common.validation_count, &t->masks, err);
    return mm_comm_agree(t->comm, status, err);
}

static mm_status prepare_embeddings(mm_decoder_training *t, mm_decoder_summary *summary, mm_error *err)
{
    mm_preparation preparation = {.comm = t->comm, .model = t->model, .samples = &t->samples, .signals = t->signals,
                                  .options = &t->options->common};
    const mm_status status = mm_prepare(&preparation, &t->prepared, err);
    summary->seconds_encoding = preparation.seconds;
    summary->encoded = preparation.encoded;
    summary->images = t->prepared.training_count;
    summary->validation_images = t->prepared.validation_count;
    return status;
}

static mm_status allocate(mm_decoder_training *t, mm_error *err)
{
    const size_t floats = t->parameters.floats, side = t->arch.embedding_side;
    t->values = mm_floats(floats);
    t->gradients = mm_floats(floats);
    t->average = mm_floats(floats);
    t->decay = mm_floats(floats);
    t->cells = mm_floats(side * side * t->arch.prompt_embed_dim);
    t->history = json_array();
    if (!t->values || !t->gradients || !t->average || !t->decay || !t->cells || !t->history)
        return mm_fail_memory(err, "the training");
    mm_parameters_decay(&t->parameters, t->decay);
    for (size_t i = 0; i < floats; i++)
        t->decay[i] *= (float)t->options->common.weight_decay;
    mm_status status = mm_parameters_read(&t->parameters, t->checkpoint, t->values, err);
    if (status != MM_OK)
        return status;
    memcpy(t->average, t->values, floats * sizeof *t->average);
    status = mm_adamw_new(t->values, floats, &t->optimiser, err);
    if (status == MM_OK)
        status = mm_trained_decoder_make(&t->arch, &t->parameters, t->values, t->gradients, t->checkpoint, &t->decoder,
                                         err);
    if (status == MM_OK) /* it only looks: its gradients are nobody's */
        status = mm_trained_decoder_make(&t->arch, &t->parameters, t->average, t->gradients, t->checkpoint,
                                         &t->averaged, err);
    return status;
}

/* What decides the numbers. */
static mm_status describe(mm_decoder_training *t, mm_error *err)
{
    const mm_train_decoder_options *o = t->options;
    char model[65], kernels[160], digest[20];
    const mm_status status = mm_checkpoint_sha256(o->common.model, model, err);
    if (status != MM_OK)
        return status;
    mm_kernels_describe(&t->products, kernels, sizeof kernels);
    (void)snprintf(digest, sizeof digest, "%016" PRIx64, mm_samples_digest(&t->samples)); /* fits */
    t->setup = json_pack("{s:s,s:s,s:I,s:I,s:s,s:f,s:I,s:I,s:I,s:f,s:[f,f,f],s:f,s:b,s:f,s:f,s:f,s:f,s:f,s:b,s:I,s:I}",
                         "model_sha256",
                         model, "kernels", kernels, "images", (json_int_t)t->prepared.training_count,
                         "validation_images", (json_int_t)t->prepared.validation_count, "samples", digest, "epochs",
                         o->common.epochs, "batch", (json_int_t)o->common.batch, "masks", (json_int_t)o->masks,
                         "rounds", (json_int_t)o->rounds, "box_share", o->box_share, "source_weights",
                         o->source_weights[0], o->source_weights[1], o->source_weights[2], "multimask", o->multimask,
                         "nested", o->nested, "learning_rate", o->common.learning_rate, "weight_decay",
                         o->common.weight_decay, "clip_norm", o->common.clip_norm, "warm_up", o->common.warm_up,
                         "average", o->average, "flip", o->common.flip, "seed", (json_int_t)(o->common.seed & INT64_MAX),
                         "ranks", (json_int_t)t->ranks);
    return t->setup ? MM_OK : mm_fail_memory(err, "the training's options");
}

mm_status mm_decoder_training_prepare(mm_decoder_training *t, mm_decoder_summary *summary, mm_error *err)
{
    const mm_train_decoder_options *o = t->options;
    mm_kernels asked = o->common.kernels;
    asked.threads = 1;
    mm_status status = mm_train_agree_on_kernels(t->comm, &asked, &t->products, err);
    asked.precision = MM_PRECISION_F32; /* of the encoder, and of all that is not a large product */
    if (status == MM_OK)
        status = mm_train_agree_on_kernels(t->comm, &asked, &t->kernels, err);
    if (status == MM_OK)
        status = open_model(t, err);
    if (status == MM_OK)
        status = open_masks(t, err);
    if (status == MM_OK)
        status = mm_samples_load(t->comm, &o->common, NULL, &t->samples, err);
    if (status == MM_OK)
        status = prepare_embeddings(t, summary, err);
    if (status == MM_OK) {
        status = allocate(t, err);
        if (status == MM_OK)
            status = describe(t, err);
        status = mm_comm_agree(t->comm, status, err);
    }
    t->learner = mm_learner_of(&t->products, err);
    t->dialogue = (mm_dialogue_options){.rounds = o->rounds, .box_share = o->box_share, .pauses = true,
                                        .nested = o->nested,
                                        .weights = {.focal = 20, .dice = 1, .iou = 1, .multimask = o->multimask}};
    return status;
}

void mm_decoder_training_free(mm_decoder_training *t)
{
    mm_dialogue_memory_free(&t->memory);
    mm_trained_decoder_free(&t->decoder);
    mm_trained_decoder_free(&t->averaged);
    mm_adamw_free(&t->optimiser);
    mm_parameters_free(&t->parameters);
    mm_mask_source_close(&t->masks);
    mm_samples_free(&t->samples);
    mm_model_close(t->model);
    mm_checkpoint_close(t->checkpoint);
    json_decref(t->setup);
    json_decref(t->history);
    mm_prepared_free(&t->prepared);
    free(t->values);
    free(t->gradients);
    free(t->average);
    free(t->decay);
    free(t->cells);
    mm_signals_stop(t->signals);
}
