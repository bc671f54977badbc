/* What stands before the first step of a decoder's training: model, samples, embeddings, memory. */
#include <inttypes.h>
#include <math.h>
#include <omp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "train/common.h"
#include "train/decoder_training.h"
#include "train/prepare.h"

static mm_status open_model(mm_decoder_training *t, mm_error *err)
{
    const mm_train_decoder_options *o = t->options;
    const mm_model_options options = {.config_path = o->model_config, .kernels = t->kernels};
    mm_status status = mm_model_open(o->model, &options, &t->model, err);
    if (status == MM_OK)
        status = mm_checkpoint_open(o->model, &t->checkpoint, err);
    if (status == MM_OK) {
        t->arch = *mm_model_arch(t->model);
        status = mm_parameters_make(&t->arch, &t->parameters, err);
    }
    return mm_comm_agree(t->comm, status, err);
}

static mm_status open_masks(mm_decoder_training *t, mm_error *err)
{
    const mm_train_decoder_options *o = t->options;
    mm_status status = mm_mask_source_open(o->sources, o->source_count, &t->masks, err);
    if (status == MM_OK)
        status = mm_mask_source_add(o->validation, o->validation_count, &t->masks, err);
    return mm_comm_agree(t->comm, status, err);
}

static mm_status split_samples(mm_decoder_training *t, mm_error *err)
{
    const size_t count = t->samples.count;
    t->training = calloc(count, sizeof t->training[0]);
    t->validation = calloc(count, sizeof t->validation[0]);
    t->places = calloc(2 * count, sizeof t->places[0]);
    if (!t->training || !t->validation || !t->places)
        return mm_fail_memory(err, "the list of images");
    for (size_t i = 0; i < count; i++)
        if (t->samples.items[i].validation)
            t->validation[t->validation_count++] = i;
    t->training_count = count - t->validation_count;
    t->steps_per_epoch = (uint64_t)ceil((double)t->training_count / t->options->batch);
    t->steps = (uint64_t)ceil(t->options->epochs * (double)t->steps_per_epoch);
    return MM_OK;
}

static mm_status prepare_embeddings(mm_decoder_training *t, mm_decoder_summary *summary, mm_error *err)
{
    const mm_train_decoder_options *o = t->options;
    char *own = NULL;
    mm_status status = split_samples(t, err);
    if (status == MM_OK && !o->embeddings && asprintf(&own, "%s.embeddings", o->out) < 0) {
        own = NULL;
        status = mm_fail_memory(err, "a path");
    }
    if (status == MM_OK)
        status = mm_embeddings_open(o->embeddings ? o->embeddings : own, t->model, &t->embeddings, err);
    free(own);
    status = mm_comm_agree(t->comm, status, err);
    mm_preparation preparation = {.comm = t->comm, .model = t->model, .samples = &t->samples,
                                  .embeddings = t->embeddings,
                                  .signals = t->signals, .quiet = o->quiet, .places = t->places};
    const double start = omp_get_wtime();
    if (status == MM_OK)
        status = mm_prepare(&preparation, err);
    summary->seconds_encoding = omp_get_wtime() - start;
    summary->encoded = preparation.encoded;
    summary->images = t->training_count;
    summary->validation_images = t->validation_count;
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
        t->decay[i] *= (float)t->options->weight_decay;
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
    const mm_status status = mm_checkpoint_sha256(o->model, model, err);
    if (status != MM_OK)
        return status;
    mm_kernels_describe(&t->products, kernels, sizeof kernels);
    (void)snprintf(digest, sizeof digest, "%016" PRIx64, mm_samples_digest(&t->samples)); /* fits */
    t->setup = json_pack("{s:s,s:s,s:I,s:I,s:s,s:f,s:I,s:I,s:I,s:f,s:[f,f,f],s:f,s:b,s:f,s:f,s:f,s:f,s:f,s:I,s:I}",
                         "model_sha256",
                         model, "kernels", kernels, "images", (json_int_t)t->training_count, "validation_images",
                         (json_int_t)t->validation_count, "samples", digest, "epochs", o->epochs, "batch",
                         (json_int_t)o->batch, "masks", (json_int_t)o->masks, "rounds", (json_int_t)o->rounds,
                         "box_share",
                         o->box_share, "source_weights", o->source_weights[0], o->source_weights[1],
                         o->source_weights[2],
                         "multimask", o->multimask, "nested", o->nested, "learning_rate", o->learning_rate, "weight_decay", o->weight_decay,
                         "clip_norm", o->clip_norm, "warm_up", o->warm_up, "average", o->average, "seed",
                         (json_int_t)(o->seed & INT64_MAX), "ranks", (json_int_t)t->ranks);
    return t->setup ? MM_OK : mm_fail_memory(err, "the training's options");
}

mm_status mm_decoder_training_prepare(mm_decoder_training *t, mm_decoder_summary *summary, mm_error *err)
{
    const mm_train_decoder_options *o = t->options;
    const mm_sample_sources sources = {.sources = o->sources, .count = o->source_count, .validation = o->validation,
                                       .validation_count = o->validation_count, .validation_share = o->validation_share,
                                       .seed = o->seed};
    mm_kernels asked = o->kernels;
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
        status = mm_samples_load(t->comm, &sources, &t->samples, err);
    if (status == MM_OK)
        status = prepare_embeddings(t, summary, err);
    if (status == MM_OK) {
        status = allocate(t, err);
        if (status == MM_OK)
            status = describe(t, err);
        status = mm_comm_agree(t->comm, status, err);
    }
    t->learner = mm_learner_of(&t->products, err);
    t->dialogue = (mm_dialogue_options){.rounds = o->rounds, .box_share = o->box_share, .pauses = true, .nested = o->nested,
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
    mm_embeddings_close(t->embeddings);
    mm_mask_source_close(&t->masks);
    mm_samples_free(&t->samples);
    mm_model_close(t->model);
    mm_checkpoint_close(t->checkpoint);
    json_decref(t->setup);
    json_decref(t->history);
    free(t->places);
    free(t->training);
    free(t->validation);
    free(t->values);
    free(t->gradients);
    free(t->average);
    free(t->decay);
    free(t->cells);
    mm_signals_stop(t->signals);
}
