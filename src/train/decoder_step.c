/* One step: each rank its share of the batch's images, one after the other; gradients summed in the order of ranks;
 * then all ranks make the same step. */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "train/decoder_training.h"
#include "train/gradient_sum.h"

/* After so many steps in a row that were none, something is broken for good. */
enum { MOST_SKIPPED = 20 };

mm_status mm_decoder_training_load(mm_decoder_training *t, uint64_t sample, bool flipped, mm_frame *frame,
                                   mm_error *err)
{
    const mm_sample *s = &t->samples.items[sample];
    const char *name = t->samples.text + s->path;
    uint32_t width, height;
    const mm_status status = mm_embeddings_read(t->prepared.embeddings, t->prepared.places[2 * sample + flipped],
                                                &width, &height, t->cells, err);
    if (status != MM_OK)
        return status;
    *frame = mm_model_frame(t->model, width, height);
    if (!frame->input_width || !frame->input_height)
        return mm_fail(err, MM_ERR_FORMAT, "the embedding of %s is of an image of no size", name);
    /* Masks may be of a smaller picture of the same image. Its sides are whole numbers, so that the shapes differ a
     * little. */
    const double across = (double)width * s->height, along = (double)height * s->width;
    if (fabs(across - along) > fmax(width, height) * 1.5)
        return mm_fail(err, MM_ERR_FORMAT,
                       "%s has %" PRIu32 " x %" PRIu32 " pixels, and its masks are of an image of %" PRIu32
                       " x %" PRIu32 ": another photograph of that name?",
                       name, width, height, s->width, s->height);
    frame->width = s->width;
    frame->height = s->height;
    return MM_OK;
}

static mm_status mirror(mm_picked_masks *picked, mm_error *err)
{
    mm_status status = MM_OK;
    for (size_t i = 0; i < picked->count + picked->others && status == MM_OK; i++) {
        mm_rle mirrored;
        status = mm_rle_mirror(&picked->masks[i], &mirrored, err);
        if (status != MM_OK)
            break;
        mm_rle_free(&picked->masks[i]);
        picked->masks[i] = mirrored;
    }
    return status;
}

/* Loss and gradient of one image. */
static mm_status add_image(mm_decoder_training *t, uint64_t sample, bool flipped, uint64_t seed,
                           mm_dialogue_sums *sums, mm_error *err)
{
    mm_draw draw = {mm_mix(seed, 0), 0};
    mm_picked_masks picked;
    mm_dialogue_image image = {.embedding = t->cells};
    mm_status status = mm_decoder_training_load(t, sample, flipped, &image.frame, err);
    if (status != MM_OK)
        return status;
    status = mm_mask_source_pick(&t->masks, &t->samples.items[sample], t->options->masks, t->options->nested,
                                 t->options->source_weights, &draw, &picked, err);
    if (status != MM_OK)
        return status;
    image.masks = picked.masks;
    image.count = picked.count;
    image.others = picked.others;
    if (flipped)
        status = mirror(&picked, err);
    if (status == MM_OK)
        status = mm_dialogue_run(&t->learner, &t->decoder, &t->dialogue, &image, mm_mix(seed, 1), true, &t->memory,
                                 sums, err);
    mm_picked_masks_free(&picked);
    return status;
}

static mm_status add_share(mm_decoder_training *t, mm_dialogue_sums *sums, mm_error *err)
{
    const uint64_t epoch = t->step / t->prepared.steps_per_epoch, batch = t->options->common.batch;
    const uint64_t first = t->step % t->prepared.steps_per_epoch * batch;
    const uint64_t left = t->prepared.training_count - first, images = left < batch ? left : batch;
    const uint64_t seed = mm_mix(t->options->common.seed ^ UINT64_C(0x6465636f64657200), t->step);
    mm_status status = MM_OK;
    mm_prepared_shuffle(&t->prepared, &t->samples, t->options->common.seed, epoch + 1);
    for (uint64_t i = images * t->rank / t->ranks; status == MM_OK && i < images * (t->rank + 1) / t->ranks; i++) {
        const uint64_t sample = t->prepared.training[first + i];
        const bool flipped = mm_prepared_flips(&t->options->common, epoch, sample);
        status = add_image(t, sample, flipped, mm_mix(seed, i), sums, err);
    }
    return status;
}

/* [SAM appendix A]: a linear warm-up, then steps down by ten. */
static double rate_of(const mm_decoder_training *t)
{
    const double warm_up = floor(t->options->common.warm_up * (double)t->prepared.steps), step = (double)t->step;
    const double done = (step + 1) / (double)t->prepared.steps;
    const double decay = done > 0.95 ? 0.01 : done > 2.0 / 3 ? 0.1 : 1;
    return t->options->common.learning_rate * (step < warm_up ? (step + 1) / warm_up : decay);
}

static void add_sums(mm_dialogue_sums *to, const mm_dialogue_sums *from)
{
    double *a = (double *)(void *)to;
    const double *b = (const double *)(const void *)from;
    for (size_t i = 0; i < sizeof *to / sizeof *a; i++)
        a[i] += b[i];
}

/* The averages begin with what they are averages of, and are soon slow. */
static void average(mm_decoder_training *t)
{
    const double most = t->options->average,
        early = (double)(t->optimiser.steps + 1) / (double)(t->optimiser.steps + 10);
    const float share = (float)(1 - (early < most ? early : most));
    for (size_t i = 0; i < t->parameters.floats; i++)
        t->average[i] += share * (t->values[i] - t->average[i]);
}

/* What all ranks do alike with the sums of all. */
static mm_status update(mm_decoder_training *t, const mm_dialogue_sums *sums, mm_error *err)
{
    const size_t count = t->parameters.floats;
    const double prompts = fmax(sums->prompts, 1);
    const float factor = (float)(1 / prompts);
    for (size_t i = 0; i < count; i++)
        t->gradients[i] *= factor;
    const double norm = mm_clip_norm(t->gradients, count, t->options->common.clip_norm);
    if (sums->broken > 0 || !isfinite(norm)) {
        t->skipped++;
        if (t->rank == 0 && !t->options->common.quiet)
            (void)fprintf(stderr,
                          "maskmill: step %" PRIu64 " is left out: %.0f of its %.0f losses are no numbers (%" PRIu64
                          " steps so far)\n",
                          t->step + 1, sums->broken, sums->prompts * t->options->rounds, t->skipped);
        if (++t->skipped_in_a_row == MOST_SKIPPED)
            return mm_fail(err, MM_ERR_FORMAT,
                           "the losses of %d steps in a row are no numbers: the model, or the embeddings that are "
                           "kept, hold NaN, or the learning rate is too high; the last good state is kept",
                           MOST_SKIPPED);
        return MM_OK;
    }
    t->skipped_in_a_row = 0;
    add_sums(&t->sums, sums);
    if (sums->prompts == 0) /* no image of the step has a mask to learn from */
        return MM_OK;
    mm_adamw_step(&t->optimiser, t->gradients, t->decay, rate_of(t));
    average(t);
    return MM_OK;
}

mm_status mm_decoder_training_step(mm_decoder_training *t, bool *stop, mm_error *err)
{
    struct {
        mm_dialogue_sums sums;
        double stop;
    } figures = {.stop = mm_signals_asked(t->signals, NULL) != MM_STOP_NONE};
    memset(t->gradients, 0, t->parameters.floats * sizeof *t->gradients);
    mm_status status = mm_comm_agree(t->comm, add_share(t, &figures.sums, err), err);
    if (status == MM_OK)
        status = mm_sum_over_ranks(t->comm, t->gradients, t->parameters.floats, (double *)(void *)&figures,
                                   sizeof figures / sizeof(double), err);
    if (status != MM_OK)
        return status;
    status = update(t, &figures.sums, err);
    if (status == MM_OK)
        t->step++;
    *stop = figures.stop > 0;
    return status;
}
