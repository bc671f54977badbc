/* train: a dataset in, a better decoder out. This file is the course of it: what is there already, steps, epochs, what
 * is written when. */
#include "train/decoder_training.h"

#include <inttypes.h>
#include <math.h>
#include <omp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "train/common.h"

mm_train_decoder_options mm_train_decoder_defaults(void)
{
    return (mm_train_decoder_options){
        .common = {.kernels = {.precision = MM_PRECISION_F32},
                   .epochs = 4,
                   .batch = 8,
                   .learning_rate = 2e-4,
                   .weight_decay = 0.1,
                   .clip_norm = 1,
                   .warm_up = 0.05,
                   .validation_share = 0.05,
                   .save_seconds = 60},
        .masks = 16,
        .rounds = 6,
        .box_share = 0.5,
        .source_weights = {1, 1, 3},
        .multimask = 0.5,
        .average = 0.998,
    };
}

static mm_status check_options(const mm_train_decoder_options *o, size_t ranks, mm_error *err)
{
    const mm_status status = mm_train_check(mm_train_decoder_numbers(), o, &o->common, ranks, err);
    if (status != MM_OK)
        return status;
    for (int i = 0; i < 3; i++)
        if (!(o->source_weights[i] >= 0 && o->source_weights[i] <= 1e6))
            return mm_fail(err, MM_ERR_USAGE, "a weight of a source of masks is %g; it must be 0 to 1e6",
                           o->source_weights[i]);
    if (!(o->source_weights[0] + o->source_weights[1] + o->source_weights[2] > 0))
        return mm_fail(err, MM_ERR_USAGE, "the weights of all sources are 0, so that no mask would be trained on");
    return MM_OK;
}

/* Rank 0: what is there already, and whether to go on from it. */
static mm_status look_at_output(mm_decoder_training *t, const char *resume, bool *done, mm_error *err)
{
    bool go_on;
    const mm_status status = mm_train_look(&t->options->common, resume, &go_on, done, err);
    return status == MM_OK && go_on ? mm_decoder_training_read(t, resume, err) : status;
}

static bool at_epochs_end(const mm_decoder_training *t)
{
    return t->step > 0 && (t->step % t->prepared.steps_per_epoch == 0 || t->step == t->prepared.steps);
}

/* What rank 0 read, to all. */
static mm_status share_state(mm_decoder_training *t, bool *done, mm_error *err)
{
    const uint64_t epochs = (t->step + t->prepared.steps_per_epoch - 1) / t->prepared.steps_per_epoch;
    uint64_t numbers[6] = {t->step, t->optimiser.steps, t->skipped, t->skipped_in_a_row, *done,
                           at_epochs_end(t) && json_array_size(t->history) < epochs + 1};
    float *const vectors[] = {t->values, t->average, t->optimiser.mean, t->optimiser.square};
    mm_status status = mm_comm_broadcast(t->comm, 0, numbers, sizeof numbers, err);
    for (int i = 0; i < 4 && status == MM_OK; i++)
        status = mm_comm_broadcast(t->comm, 0, vectors[i], t->parameters.floats * sizeof(float), err);
    if (status == MM_OK)
        status = mm_comm_broadcast(t->comm, 0, &t->sums, sizeof t->sums, err);
    t->step = numbers[0];
    t->optimiser.steps = numbers[1];
    t->skipped = numbers[2];
    t->skipped_in_a_row = numbers[3];
    *done = numbers[4] != 0;
    t->unmeasured = numbers[5] != 0;
    return status;
}

/* Of each round of the epoch: the mean IoU of the answers. */
static json_t *rounds_json(const mm_decoder_training *t)
{
    json_t *list = json_array();
    for (uint32_t i = 0; list && i < t->options->rounds; i++) {
        const mm_round_figures *r = &t->sums.rounds[i];
        (void)json_array_append_new(list, json_real(r->chosen_iou / fmax(r->prompts, 1))); /* shorter without memory */
    }
    return list;
}

static mm_decoder_figures figures_of(const json_t *entry)
{
    const json_t *clicks = json_object_get(entry, "clicks");
    mm_decoder_figures f = {.masks = json_number_value(json_object_get(entry, "masks")),
                            .box = json_number_value(json_object_get(entry, "box")),
                            .iou_error = json_number_value(json_object_get(entry, "iou_error"))};
    for (size_t i = 0; i < 3; i++)
        f.clicks[i] = json_number_value(json_array_get(clicks, i));
    return f;
}

/* The end of an epoch (or, as epoch 0, what is before the first): measured by all, written by rank 0. */
static mm_status end_epoch(mm_decoder_training *t, double seconds, mm_error *err)
{
    mm_decoder_figures f;
    mm_status status = mm_decoder_training_measure(t, &t->averaged, &f, err);
    if (status != MM_OK || t->rank != 0) {
        t->sums = (mm_dialogue_sums){0};
        return status;
    }
    const double loss = t->sums.loss / fmax(t->sums.prompts, 1);
    const uint64_t epoch = (t->step + t->prepared.steps_per_epoch - 1) / t->prepared.steps_per_epoch;
    json_t *entry = json_pack("{s:I,s:I,s:I,s:f,s:f,s:o,s:f,s:[f,f,f],s:f,s:f}", "epoch", (json_int_t)epoch, "step",
                              (json_int_t)t->step, "skipped", (json_int_t)t->skipped, "prompts", t->sums.prompts,
                              "loss", loss,
                              "rounds", rounds_json(t), "masks", f.masks, "clicks", f.clicks[0], f.clicks[1],
                              f.clicks[2], "box", f.box, "iou_error", f.iou_error);
    if (json_array_append_new(t->history, entry) != 0)
        return mm_fail_memory(err, "the training's history");
    if (!t->options->common.quiet)
        (void)fprintf(stderr,
                      "maskmill: epoch %" PRIu64 ", step %" PRIu64 " of %" PRIu64 ": loss %.4f; validation mean IoU "
                      "%.4f after one "
                      "click, %.4f after two, %.4f after three, %.4f by box; %.0f s\n",
                      epoch, t->step, t->prepared.steps, loss, f.clicks[0], f.clicks[1], f.clicks[2], f.box, seconds);
    t->sums = (mm_dialogue_sums){0};
    return mm_train_write_log(t->options->common.out, t->setup, t->history, err);
}

/* Rank 0 saves now and then, and all do where something must not be lost. */
static mm_status save_when_due(const mm_decoder_training *t, const char *resume, bool now, double *saved, mm_error *err)
{
    if (t->rank != 0 || !(now || omp_get_wtime() - *saved >= t->options->common.save_seconds))
        return MM_OK;
    *saved = omp_get_wtime();
    return mm_decoder_training_write(t, resume, err);
}

/* A sign of life of rank 0 within long epochs. */
static void tell(const mm_decoder_training *t, double start, double *told)
{
    const double now = omp_get_wtime();
    if (t->rank != 0 || t->options->common.quiet || now - *told < 30 || t->sums.prompts == 0)
        return;
    *told = now;
    (void)fprintf(stderr, "maskmill: step %" PRIu64 " of %" PRIu64 ": loss %.4f; %.0f s\n", t->step, t->prepared.steps,
                  t->sums.loss / t->sums.prompts, now - start);
}

/* All steps that are left. A stop comes before the measuring at an epoch's end, which may take longer than there is
 * time; whoever goes on does it first. */
static mm_status run(mm_decoder_training *t, const char *resume, mm_error *err)
{
    const double start = omp_get_wtime();
    double saved = start, told = start;
    mm_status status = MM_OK;
    if (t->unmeasured || (t->step == 0 && t->optimiser.steps == 0))
        status = mm_comm_agree(t->comm, end_epoch(t, 0, err), err);
    while (status == MM_OK && t->step < t->prepared.steps) {
        bool stop = false;
        status = mm_decoder_training_step(t, &stop, err);
        if (status == MM_OK && !stop && at_epochs_end(t))
            status = end_epoch(t, omp_get_wtime() - start, err);
        if (status == MM_OK)
            status = save_when_due(t, resume, stop || t->step == t->prepared.steps, &saved, err);
        status = mm_comm_agree(t->comm, status, err);
        tell(t, start, &told);
        if (status == MM_OK && stop)
            return mm_fail(err, MM_ERR_STOPPED,
                           "stopped by a signal after step %" PRIu64 " of %" PRIu64 "; its state is in %s, "
                                                "and --resume goes on",
                           t->step, t->prepared.steps, resume);
    }
    return status;
}

static mm_status train(mm_decoder_training *t, const char *resume, mm_decoder_summary *summary, mm_error *err)
{
    bool done = false;
    mm_status status = mm_comm_agree(t->comm, check_options(t->options, t->ranks, err), err);
    if (status == MM_OK)
        status = mm_decoder_training_prepare(t, summary, err);
    if (status == MM_OK)
        status = mm_comm_agree(t->comm, t->rank == 0 ? look_at_output(t, resume, &done, err) : MM_OK, err);
    if (status == MM_OK)
        status = share_state(t, &done, err);
    summary->was_done = done;
    if (status != MM_OK || done)
        return status;
    const double start = omp_get_wtime();
    status = run(t, resume, err);
    summary->seconds_training = omp_get_wtime() - start;
    summary->steps = t->step;
    summary->skipped = t->skipped;
    const json_t *last = json_array_get(t->history, json_array_size(t->history) - 1);
    summary->loss = json_number_value(json_object_get(last, "loss"));
    summary->before = figures_of(json_array_get(t->history, 0));
    summary->after = figures_of(last);
    if (status != MM_OK)
        return status;
    if (t->rank == 0) {
        status = mm_decoder_training_export(t, t->options->common.out, err);
        if (status == MM_OK && unlink(resume) != 0)
            status = mm_fail_errno(err, "cannot remove %s", resume);
    }
    return mm_comm_agree(t->comm, status, err);
}

mm_status mm_train_decoder(mm_comm *comm, const mm_train_decoder_options *options, mm_decoder_summary *summary,
                           mm_error *err)
{
    mm_decoder_training *t = calloc(1, sizeof *t);
    char *resume = mm_train_beside(options->common.out, ".resume");
    *summary = (mm_decoder_summary){0};
    mm_status status = t && resume ? MM_OK : mm_fail_memory(err, "the training");
    if (t)
        *t = (mm_decoder_training){.comm = comm, .ranks = comm ? (size_t)mm_comm_size(comm) : 1,
                                   .rank = comm ? (size_t)mm_comm_rank(comm) : 0, .options = options};
    if (status == MM_OK)
        status = mm_signals_start(&t->signals, err);
    status = mm_comm_agree(comm, status, err);
    if (status == MM_OK)
        status = train(t, resume, summary, err);
    if (t)
        mm_decoder_training_free(t);
    free(t);
    free(resume);
    return status;
}
