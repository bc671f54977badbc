/* eval: the measuring of a training without the training. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "train/decoder_training.h"

static mm_status check_options(const mm_evaluate_options *o, mm_error *err)
{
    if (o->clicks < 1 || o->clicks > MM_EVALUATE_CLICKS || o->clicks > MM_MOST_ROUNDS || o->masks < 1)
        return mm_fail(err, MM_ERR_USAGE, "%u clicks for %u masks: give 1 to %d clicks and at least one mask",
                       o->clicks, o->masks, MM_EVALUATE_CLICKS);
    return MM_OK;
}

/* All images are measured with. */
static mm_status take_all(mm_decoder_training *t, mm_error *err)
{
    uint64_t *all = calloc(t->samples.count, sizeof *all);
    if (!all)
        return mm_fail_memory(err, "the list of images");
    for (size_t i = 0; i < t->samples.count; i++)
        all[i] = i;
    free(t->validation);
    t->validation = all;
    t->validation_count = t->samples.count;
    return MM_OK;
}

static void tell(const mm_dialogue_sums *clicks, const mm_dialogue_sums *boxes, uint32_t rounds,
                 mm_evaluation_result *result)
{
    result->masks = clicks->prompts;
    for (uint32_t i = 0; i < rounds; i++) {
        const mm_round_figures *r = &clicks->rounds[i];
        result->clicks[i] = r->chosen_iou / fmax(r->prompts, 1);
        result->best[i] = r->best_iou / fmax(r->prompts, 1);
    }
    const mm_round_figures *box = &boxes->rounds[0];
    result->box = box->chosen_iou / fmax(box->prompts, 1);
    result->box_best = box->best_iou / fmax(box->prompts, 1);
    result->iou_error = clicks->rounds[0].iou_error / fmax(clicks->rounds[0].prompts, 1);
    for (size_t i = 0; i < MM_EVALUATE_BINS; i++) {
        const mm_calibration_bin *bin = &clicks->calibration[i];
        result->calibration[i].count = bin->count;
        result->calibration[i].predicted = bin->predicted / fmax(bin->count, 1);
        result->calibration[i].truth = bin->truth / fmax(bin->count, 1);
    }
}

static mm_status evaluate(mm_decoder_training *t, const mm_evaluate_options *o, mm_evaluation_result *result,
                          mm_error *err)
{
    mm_decoder_summary summary = {0};
    mm_dialogue_sums clicks = {0}, boxes = {0};
    mm_status status = mm_comm_agree(t->comm, check_options(o, err), err);
    if (status == MM_OK)
        status = mm_decoder_training_prepare(t, &summary, err);
    if (status == MM_OK)
        status = mm_comm_agree(t->comm, take_all(t, err), err);
    if (status == MM_OK)
        status = mm_decoder_training_ask(t, &t->decoder, &(mm_questions){o->clicks, o->masks, false}, &clicks, err);
    if (status == MM_OK)
        status = mm_decoder_training_ask(t, &t->decoder, &(mm_questions){1, o->masks, true}, &boxes, err);
    if (status != MM_OK)
        return status;
    result->images = t->samples.count;
    result->encoded = summary.encoded;
    if (clicks.broken + boxes.broken > 0)
        return mm_fail(err, MM_ERR_FORMAT,
                       "%.0f answers are no numbers: the model, or the embeddings that are kept, hold "
                                           "NaN",
                       clicks.broken + boxes.broken);
    tell(&clicks, &boxes, o->clicks, result);
    return MM_OK;
}

mm_status mm_evaluate_decoder(mm_comm *comm, const mm_evaluate_options *options, mm_evaluation_result *result,
                              mm_error *err)
{
    mm_decoder_training *t = calloc(1, sizeof *t);
    mm_train_decoder_options training = mm_train_decoder_defaults();
    *result = (mm_evaluation_result){0};
    training.sources = options->sources;
    training.source_count = options->source_count;
    training.out = options->source_count ? options->sources[0] : "";
    training.model = options->model;
    training.model_config = options->model_config;
    training.embeddings = options->embeddings;
    training.kernels = options->kernels;
    training.quiet = options->quiet;
    mm_status status = mm_comm_agree(comm, t ? MM_OK : mm_fail_memory(err, "the evaluation"), err);
    if (t)
        *t = (mm_decoder_training){.comm = comm, .ranks = comm ? (size_t)mm_comm_size(comm) : 1,
                                   .rank = comm ? (size_t)mm_comm_rank(comm) : 0, .options = &training};
    if (status == MM_OK)
        status = evaluate(t, options, result, err);
    if (t)
        mm_decoder_training_free(t);
    free(t);
    return status;
}
