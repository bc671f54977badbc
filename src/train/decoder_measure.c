/* How good a decoder is on images that it is not trained on: the same masks, clicks and boxes each time. */
#include <math.h>

#include "train/decoder_training.h"
#include "train/gradient_sum.h"

enum { MOST_MASKS = 16, CLICKS = 3 };

int mm_evaluate_part(const mm_rle *mask, uint8_t source)
{
    return source * MM_EVALUATE_SIZES +
           mm_evaluation_size((double)mm_rle_area(mask), (double)mask->width * mask->height);
}

mm_status mm_decoder_training_ask(mm_decoder_training *t, const mm_trained_decoder *decoder, const mm_questions *asked,
                                  mm_dialogue_sums *sums, mm_error *err)
{
    mm_dialogue_options options = t->dialogue;
    options.rounds = asked->rounds;
    options.box_share = asked->boxes ? 1 : 0;
    options.pauses = false;
    options.nested = options.nested && !asked->boxes; /* a box leaves no doubt: no other masks are needed */
    mm_learner precise = t->learner; /* models are compared in f32 */
    precise.rounded = NULL;
    static const double alike[MM_MASK_SOURCES] = {1, 1, 1};
    mm_status status = MM_OK;
    for (size_t i = t->rank; i < t->prepared.validation_count && status == MM_OK; i += t->ranks) {
        const uint64_t sample = t->prepared.validation[i];
        mm_draw draw = {mm_mix(0, sample), 0};
        mm_picked_masks picked;
        mm_dialogue_image image = {.embedding = t->cells};
        status = mm_decoder_training_load(t, sample, false, &image.frame, err);
        if (status == MM_OK)
            status = mm_mask_source_pick(&t->masks, &t->samples.items[sample], asked->masks, options.nested, alike, &draw,
                                         &picked, err);
        if (status != MM_OK)
            break;
        image.masks = picked.masks;
        image.count = picked.count;
        image.others = picked.others;
        for (size_t k = 0; k < picked.count; k++)
            picked.sources[k] = (uint8_t)mm_evaluate_part(&picked.masks[k], picked.sources[k]);
        image.part = picked.sources;
        image.parts = asked->parts;
        status = mm_dialogue_run(&precise, decoder, &options, &image, mm_mix(1, sample), false, &t->memory, sums,
                                 err);
        mm_picked_masks_free(&picked);
    }
    status = mm_comm_agree(t->comm, status, err);
    float nothing = 0;
    if (status == MM_OK)
        status = mm_sum_over_ranks(t->comm, &nothing, 1, (double *)(void *)sums, sizeof *sums / sizeof(double), err);
    if (status == MM_OK && asked->parts)
        status = mm_sum_over_ranks(t->comm, &nothing, 1, (double *)(void *)asked->parts,
                                   MM_EVALUATE_PARTS * sizeof *asked->parts / sizeof(double), err);
    return status;
}

mm_status mm_decoder_training_measure(mm_decoder_training *t, const mm_trained_decoder *decoder,
                                      mm_decoder_figures *figures, mm_error *err)
{
    mm_dialogue_sums clicks = {0}, boxes = {0};
    *figures = (mm_decoder_figures){0};
    mm_status status =
        mm_decoder_training_ask(t, decoder, &(mm_questions){CLICKS, MOST_MASKS, false, NULL}, &clicks, err);
    if (status == MM_OK)
        status = mm_decoder_training_ask(t, decoder, &(mm_questions){1, MOST_MASKS, true, NULL}, &boxes, err);
    if (status != MM_OK || clicks.prompts == 0)
        return status;
    figures->masks = clicks.prompts;
    for (size_t i = 0; i < CLICKS; i++)
        figures->clicks[i] = clicks.rounds[i].chosen_iou / fmax(clicks.rounds[i].prompts, 1);
    figures->box = boxes.rounds[0].chosen_iou / fmax(boxes.rounds[0].prompts, 1);
    figures->iou_error = clicks.rounds[0].iou_error / fmax(clicks.rounds[0].prompts, 1);
    return MM_OK;
}
