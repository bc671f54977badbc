/* train: the encoder's embeddings in, a detector out. This file is the training from its beginning to its end: samples,
 * embeddings, epochs, what is written when. */
#include <inttypes.h>
#include <math.h>
#include <omp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "detect/head_file.h"
#include "tensor/memory.h"
#include "train/common.h"
#include "train/prepare.h"
#include "train/state.h"
#include "train/trainer.h"

mm_train_detector_options mm_train_detector_defaults(void)
{
    return (mm_train_detector_options){
        .common = {.epochs = 12,
                   .batch = 16,
                   .learning_rate = 0.002,
                   .weight_decay = 0.05,
                   .clip_norm = 5,
                   .warm_up = 0.05,
                   .validation_share = 0.05,
                   .save_seconds = 60},
        .width = 64,
        .depth = 2,
    };
}

static mm_status open_model(mm_trainer *trainer, mm_error *err)
{
    const mm_train_detector_options *o = trainer->options;
    const mm_model_options options = {.config_path = o->common.model_config, .kernels = trainer->kernels};
    mm_status status = mm_model_open(o->common.model, &options, &trainer->model, err);
    if (status == MM_OK) {
        const mm_arch *arch = mm_model_arch(trainer->model);
        const mm_detector_shape shape = {arch->prompt_embed_dim, arch->embedding_side, o->width, o->depth};
        status = mm_head_plan(&shape, &trainer->head, err);
    }
    return mm_comm_agree(trainer->comm, status, err);
}

static mm_status prepare(mm_trainer *trainer, mm_train_summary *summary, mm_error *err)
{
    mm_preparation preparation = {.comm = trainer->comm, .model = trainer->model, .samples = &trainer->samples,
                                  .signals = trainer->signals, .options = &trainer->options->common};
    const mm_status status = mm_prepare(&preparation, &trainer->prepared, err);
    summary->seconds_encoding = preparation.seconds;
    summary->encoded = preparation.encoded;
    for (size_t i = 0; i < trainer->samples.count; i++) {
        const mm_sample *s = &trainer->samples.items[i];
        *(s->validation ? &summary->validation_images : &summary->images) += 1;
        *(s->validation ? &summary->validation_boxes : &summary->boxes) += s->boxes;
    }
    return status;
}

/* What decides the numbers; the metadata of the detector hold it, too. */
static mm_status describe(mm_trainer *trainer, mm_error *err)
{
    const mm_train_detector_options *o = trainer->options;
    char encoder[65], kernels[160], digest[20];
    const mm_status status = mm_model_encoder_sha256(trainer->model, encoder, err);
    if (status != MM_OK)
        return status;
    mm_kernels_describe(&trainer->kernels, kernels, sizeof kernels);
    (void)snprintf(digest, sizeof digest, "%016" PRIx64, mm_samples_digest(&trainer->samples)); /* fits */
    trainer->setup = json_pack(
        "{s:s,s:s,s:I,s:I,s:s,s:I,s:I,s:f,s:I,s:f,s:f,s:f,s:f,s:I,s:b,s:I}",
        "encoder_sha256", encoder, "kernels", kernels, "images", (json_int_t)trainer->prepared.training_count,
        "validation_images", (json_int_t)trainer->prepared.validation_count, "samples", digest,
        "width", (json_int_t)o->width, "depth", (json_int_t)o->depth, "epochs", o->common.epochs, "batch", (json_int_t)o->common.batch,
        "learning_rate", o->common.learning_rate, "weight_decay", o->common.weight_decay,
        "clip_norm", o->common.clip_norm, "warm_up", o->common.warm_up, "seed", (json_int_t)(o->common.seed & INT64_MAX),
        "flip", o->common.flip,
        "ranks", (json_int_t)trainer->ranks);
    return trainer->setup ? MM_OK : mm_fail_memory(err, "the training's options");
}

static mm_status allocate(mm_trainer *trainer, mm_error *err)
{
    const mm_head *head = &trainer->head;
    const size_t size = mm_trainer_message(head), S = head->shape.embedding_side;
    trainer->parameters = mm_floats(head->parameters);
    trainer->decay = mm_floats(head->parameters);
    trainer->cells = mm_floats(S * S * head->shape.embed_dim);
    trainer->target = calloc(head->cells, sizeof trainer->target[0]);
    trainer->message = (uint8_t *)mm_floats(size / sizeof(float));
    trainer->messages = (uint8_t *)mm_floats(trainer->rank == 0 ? trainer->ranks * size / sizeof(float) : 1);
    trainer->history = json_array();
    if (!trainer->parameters || !trainer->decay || !trainer->cells || !trainer->target || !trainer->message ||
        !trainer->messages || !trainer->history)
        return mm_fail_memory(err, "the training");
    for (size_t i = 0; i < head->tensor_count; i++)
        for (size_t k = 0; k < head->tensors[i].count; k++)
            trainer->decay[head->tensors[i].first + k] =
                head->tensors[i].decays ? (float)trainer->options->common.weight_decay : 0.0f;
    mm_trainer_begin(head, trainer->options->common.seed, trainer->parameters);
    mm_status status = mm_adamw_new(trainer->parameters, head->parameters, &trainer->optimiser, err);
    if (status == MM_OK)
        status = mm_head_state_new(head, true, &trainer->state, err);
    if (status == MM_OK)
        status = mm_head_gradients_new(head, &trainer->gradients, err);
    return status;
}

/* Rank 0: what is there already, and whether to go on from it. */
static mm_status look_at_output(mm_trainer *trainer, const char *resume, bool *done, mm_error *err)
{
    bool go_on;
    mm_status status = mm_train_look(&trainer->options->common, resume, &go_on, done, err);
    if (status != MM_OK || !go_on)
        return status;
    json_t *history;
    status =
        mm_state_read(resume, &trainer->head, &trainer->optimiser, trainer->setup, &trainer->sums, &history, err);
    if (status != MM_OK)
        return status;
    json_decref(trainer->history);
    trainer->history = history;
    return MM_OK;
}

static bool at_epochs_end(const mm_trainer *trainer, uint64_t step)
{
    return step > 0 && (step % trainer->prepared.steps_per_epoch == 0 || step == trainer->prepared.steps);
}

static mm_status begin(mm_trainer *trainer, const char *resume, bool *done, mm_error *err)
{
    mm_status status = allocate(trainer, err);
    if (status == MM_OK)
        status = describe(trainer, err);
    if (status == MM_OK && trainer->rank == 0)
        status = look_at_output(trainer, resume, done, err);
    status = mm_comm_agree(trainer->comm, status, err);
    const uint64_t per_epoch = trainer->prepared.steps_per_epoch;
    const uint64_t epochs = (trainer->optimiser.steps + per_epoch - 1) / per_epoch;
    const bool ended = at_epochs_end(trainer, trainer->optimiser.steps);
    uint64_t start[3] = {trainer->optimiser.steps, *done, ended && json_array_size(trainer->history) < epochs};
    if (status == MM_OK)
        status = mm_comm_broadcast(trainer->comm, 0, start, sizeof start, err);
    if (status == MM_OK)
        status = mm_comm_broadcast(trainer->comm, 0, trainer->parameters, trainer->head.parameters * sizeof(float),
                                   err);
    trainer->step = start[0];
    *done = start[1] != 0;
    trainer->unmeasured = start[2] != 0;
    return status;
}

static double last_number(const json_t *history, const char *key)
{
    const size_t n = json_array_size(history);
    return n ? json_number_value(json_object_get(json_array_get(history, n - 1), key)) : 0;
}

/* The end of an epoch: measured by all, written by rank 0. */
static mm_status end_epoch(mm_trainer *trainer, double seconds, mm_error *err)
{
    double recall = 0, precision = 0;
    mm_status status = mm_trainer_measure(trainer, &recall, &precision, err);
    if (status != MM_OK || trainer->rank != 0)
        return status;
    const mm_detector_loss *sums = &trainer->sums;
    const double n = fmax(sums->positive, 1);
    const uint64_t epoch = (trainer->step + trainer->prepared.steps_per_epoch - 1) / trainer->prepared.steps_per_epoch;
    json_t *entry = json_pack("{s:I,s:I,s:f,s:f,s:f,s:f,s:f,s:f,s:f}", "epoch", (json_int_t)epoch, "step",
                              (json_int_t)trainer->step, "loss", (sums->object + sums->box + sums->quality) / n,
                              "object", sums->object / n, "box", sums->box / n, "quality", sums->quality / n, "iou",
                              sums->iou / n, "recall", recall, "precision50", precision);
    if (json_array_append_new(trainer->history, entry) != 0)
        return mm_fail_memory(err, "the training's history");
    if (!trainer->options->common.quiet)
        (void)fprintf(stderr,
                      "maskmill: epoch %" PRIu64 ", step %" PRIu64 " of %" PRIu64 ": loss %.4f (object %.4f, box %.4f, "
                      "quality %.4f), mean IoU %.3f; validation AR@100 %.4f, AP50 %.4f; %.0f s\n",
                      epoch, trainer->step, trainer->prepared.steps, (sums->object + sums->box + sums->quality) / n,
                      sums->object / n, sums->box / n, sums->quality / n, sums->iou / n, recall, precision, seconds);
    trainer->sums = (mm_detector_loss){0};
    return mm_train_write_log(trainer->options->common.out, trainer->setup, trainer->history, err);
}

static mm_status stopped(const mm_trainer *trainer, const char *resume, mm_error *err)
{
    return mm_fail(err, MM_ERR_STOPPED,
                   "stopped by a signal after step %" PRIu64 " of %" PRIu64 "; its state is in %s, and "
                                        "--resume goes on",
                   trainer->step, trainer->prepared.steps, resume);
}

/* Rank 0 saves now and then, and all do where something must not be lost. */
static mm_status save_when_due(const mm_trainer *trainer, const char *resume, bool now, double *saved, mm_error *err)
{
    if (trainer->rank != 0 || !(now || omp_get_wtime() - *saved >= trainer->options->common.save_seconds))
        return MM_OK;
    *saved = omp_get_wtime();
    return mm_state_write(resume, &trainer->head, &trainer->optimiser, trainer->setup, &trainer->sums, trainer->history,
                          err);
}

/* All steps that are left. A stop comes before the measuring at an epoch's end, which may take longer than there is
 * time; whoever goes on does it first. */
static mm_status run(mm_trainer *trainer, const char *resume, mm_error *err)
{
    const double start = omp_get_wtime();
    double saved = start;
    mm_status status = MM_OK;
    if (trainer->unmeasured)
        status = mm_comm_agree(trainer->comm, end_epoch(trainer, 0, err), err);
    while (status == MM_OK && trainer->step < trainer->prepared.steps) {
        bool stop = false;
        status = mm_trainer_step(trainer, &stop, err);
        if (status == MM_OK && !stop && at_epochs_end(trainer, trainer->step))
            status = end_epoch(trainer, omp_get_wtime() - start, err);
        if (status == MM_OK)
            status = save_when_due(trainer, resume, stop || trainer->step == trainer->prepared.steps, &saved, err);
        status = mm_comm_agree(trainer->comm, status, err);
        if (status == MM_OK && stop)
            return stopped(trainer, resume, err);
    }
    return status;
}

/* Rank 0: the detector, and away with the state. */
static mm_status finish(mm_trainer *trainer, const char *resume, mm_error *err)
{
    const mm_train_detector_options *o = trainer->options;
    const mm_detect_params defaults = mm_detect_general_defaults();
    json_t *training = json_copy(trainer->setup);
    const char *encoder = json_string_value(json_object_get(trainer->setup, "encoder_sha256"));
    const json_t *last = json_array_get(trainer->history, json_array_size(trainer->history) - 1);
    if (!training || !encoder || json_object_set_new(training, "result", json_deep_copy(last)) != 0) {
        json_decref(training);
        return mm_fail_memory(err, "a detector's metadata");
    }
    mm_status status = mm_head_file_write(o->common.out, &trainer->head, trainer->parameters, encoder, &defaults,
                                          training, err);
    json_decref(training);
    if (status == MM_OK && unlink(resume) != 0)
        status = mm_fail_errno(err, "cannot remove %s", resume);
    return status;
}

static mm_status train(mm_trainer *trainer, const char *resume, mm_train_summary *summary, mm_error *err)
{
    const mm_train_detector_options *o = trainer->options;
    bool done = false;
    mm_status status = mm_train_check(mm_train_detector_numbers(), o, &o->common, trainer->ranks, err);
    status = mm_comm_agree(trainer->comm, status, err);
    if (status == MM_OK)
        status = mm_train_agree_on_kernels(trainer->comm, &o->common.kernels, &trainer->kernels, err);
    if (status == MM_OK)
        status = open_model(trainer, err);
    if (status == MM_OK)
        status = mm_samples_load(trainer->comm, &o->common, o->images, &trainer->samples, err);
    if (status == MM_OK)
        status = prepare(trainer, summary, err);
    if (status == MM_OK)
        status = begin(trainer, resume, &done, err);
    summary->was_done = done;
    if (status != MM_OK || done)
        return status;
    const double start = omp_get_wtime();
    status = run(trainer, resume, err);
    summary->seconds_training = omp_get_wtime() - start;
    summary->steps = trainer->step;
    summary->loss = last_number(trainer->history, "loss");
    summary->recall = last_number(trainer->history, "recall");
    summary->precision = last_number(trainer->history, "precision50");
    if (status == MM_OK)
        status = mm_comm_agree(trainer->comm, trainer->rank == 0 ? finish(trainer, resume, err) : MM_OK, err);
    return status;
}

static void free_trainer(mm_trainer *trainer)
{
    mm_head_gradients_free(&trainer->gradients);
    mm_head_state_free(&trainer->state);
    mm_adamw_free(&trainer->optimiser);
    mm_samples_free(&trainer->samples);
    mm_model_close(trainer->model);
    json_decref(trainer->setup);
    json_decref(trainer->history);
    mm_prepared_free(&trainer->prepared);
    free(trainer->parameters);
    free(trainer->decay);
    free(trainer->cells);
    free(trainer->target);
    free(trainer->message);
    free(trainer->messages);
    mm_signals_stop(trainer->signals);
}

mm_status mm_train_detector(mm_comm *comm, const mm_train_detector_options *options, mm_train_summary *summary,
                            mm_error *err)
{
    mm_trainer trainer = {.comm = comm,
                          .ranks = comm ? (size_t)mm_comm_size(comm) : 1,
                          .rank = comm ? (size_t)mm_comm_rank(comm) : 0,
                          .options = options};
    *summary = (mm_train_summary){0};
    char *resume = mm_train_beside(options->common.out, ".resume");
    mm_status status = resume ? mm_signals_start(&trainer.signals, err) : mm_fail_memory(err, "a path");
    status = mm_comm_agree(comm, status, err);
    if (status == MM_OK)
        status = train(&trainer, resume, summary, err);
    free_trainer(&trainer);
    free(resume);
    return status;
}
