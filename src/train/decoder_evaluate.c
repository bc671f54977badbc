/* eval: the measuring of a training without the training. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "maskmill/engine.h"
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
    free(t->prepared.validation);
    t->prepared.validation = all;
    t->prepared.validation_count = t->samples.count;
    return MM_OK;
}

/* The parts by size and by source, of the same masks asked for twice and of those that were looked for. */
static void tell_parts(const mm_dialogue_part *clicks, const mm_dialogue_part *boxes, const mm_generated_sums *made,
                       uint32_t rounds, bool by_size, mm_evaluation_part *parts)
{
    const int count = by_size ? MM_EVALUATE_SIZES : MM_EVALUATE_SOURCES;
    for (int k = 0; k < MM_EVALUATE_PARTS; k++) {
        mm_evaluation_part *to = &parts[by_size ? k % MM_EVALUATE_SIZES : k / MM_EVALUATE_SIZES];
        to->masks += clicks[k].masks;
        to->sought += made->parts[k].sought;
        to->box += boxes[k].chosen_iou[0];
        for (uint32_t i = 0; i < rounds; i++)
            to->clicks[i] += clicks[k].chosen_iou[i];
        for (int i = 0; i < MM_EVALUATE_IOUS; i++)
            to->recall[i] += made->parts[k].found[i];
    }
    for (int k = 0; k < count; k++) {
        parts[k].box /= fmax(parts[k].masks, 1);
        for (uint32_t i = 0; i < rounds; i++)
            parts[k].clicks[i] /= fmax(parts[k].masks, 1);
        for (int i = 0; i < MM_EVALUATE_IOUS; i++)
            parts[k].recall[i] /= fmax(parts[k].sought, 1);
    }
}

static void tell_generated(const mm_generated_sums *made, const mm_amg_params *params, mm_evaluation_result *result)
{
    result->generated.images = (uint64_t)made->images;
    result->generated.made = made->made;
    result->generated.pred_iou_thresh = params->pred_iou_thresh;
    result->generated.stability_score_thresh = params->stability_score_thresh;
    for (int k = 0; k < MM_EVALUATE_PARTS; k++)
        result->generated.sought += made->parts[k].sought;
    for (int i = 0; i < MM_EVALUATE_IOUS; i++) {
        for (int k = 0; k < MM_EVALUATE_PARTS; k++)
            result->generated.recall[i] += made->parts[k].found[i];
        result->generated.recall[i] /= fmax(result->generated.sought, 1);
        result->generated.precision[i] = made->met[i] / fmax(made->made, 1);
    }
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
    mm_dialogue_part click_parts[MM_EVALUATE_PARTS] = {0}, box_parts[MM_EVALUATE_PARTS] = {0};
    mm_generated_sums made = {0};
    mm_config config;
    mm_status status = mm_comm_agree(t->comm, check_options(o, err), err);
    if (status == MM_OK)
        status = mm_decoder_training_prepare(t, &summary, err);
    if (status == MM_OK)
        status = mm_comm_agree(t->comm, take_all(t, err), err);
    if (status == MM_OK)
        status = mm_decoder_training_ask(t, &t->decoder, &(mm_questions){o->clicks, o->masks, false, click_parts}, &clicks, err);
    if (status == MM_OK)
        status = mm_decoder_training_ask(t, &t->decoder, &(mm_questions){1, o->masks, true, box_parts}, &boxes, err);
    if (status == MM_OK && o->generate)
        status = mm_comm_agree(t->comm, mm_config_load_for(o->model, NULL, NULL, 0, &config, NULL, err), err);
    if (status == MM_OK && o->generate)
        status = mm_decoder_training_generate(t, &config.amg, o->generate, &made, err);
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
    tell_parts(click_parts, box_parts, &made, o->clicks, true, result->sizes);
    tell_parts(click_parts, box_parts, &made, o->clicks, false, result->sources);
    if (made.images > 0)
        tell_generated(&made, &config.amg, result);
    return MM_OK;
}

mm_status mm_evaluate_decoder(mm_comm *comm, const mm_evaluate_options *options, mm_evaluation_result *result,
                              mm_error *err)
{
    mm_decoder_training *t = calloc(1, sizeof *t);
    mm_train_decoder_options training = mm_train_decoder_defaults();
    *result = (mm_evaluation_result){.click_count = options->clicks, .datasets = (uint32_t)options->source_count};
    (void)snprintf(result->model, sizeof result->model, "%s", options->model);
    (void)snprintf(result->dataset, sizeof result->dataset, "%s", options->source_count ? options->sources[0] : "");
    training.common.sources = options->sources;
    training.common.source_count = options->source_count;
    training.common.out = options->source_count ? options->sources[0] : "";
    training.common.model = options->model;
    training.common.model_config = options->model_config;
    training.common.embeddings = options->embeddings;
    training.common.kernels = options->kernels;
    training.common.kernels.precision = MM_PRECISION_F32;
    training.common.quiet = options->quiet;
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
