/* How good a decoder is on images that it is not trained on: the same masks, clicks and boxes each time. */
#include <math.h>

#include "train/decoder_training.h"
#include "train/gradient_sum.h"

enum { MOST_MASKS = 16, CLICKS = 3 };

/* All that dialogues of one kind say of this rank's images. */
static mm_status ask(mm_decoder_training *t, const mm_trained_decoder *decoder, uint32_t rounds, double box_share,
                     mm_dialogue_sums *sums, mm_error *err)
{
    mm_dialogue_options options = t->dialogue;
    options.rounds = rounds;
    options.box_share = box_share;
    options.pauses = false;
    static const double alike[MM_MASK_SOURCES] = {1, 1, 1};
    mm_status status = MM_OK;
    for (size_t i = t->rank; i < t->validation_count && status == MM_OK; i += t->ranks) {
        const uint64_t sample = t->validation[i];
        mm_draw draw = {mm_mix(0, sample), 0};
        mm_picked_masks picked;
        mm_dialogue_image image = {.embedding = t->cells};
        status = mm_decoder_training_load(t, sample, &image.frame, err);
        if (status == MM_OK)
            status = mm_mask_source_pick(&t->masks, &t->samples.items[sample], MOST_MASKS, alike, &draw, &picked, err);
        if (status != MM_OK)
            break;
        image.masks = picked.masks;
        image.count = picked.count;
        status = mm_dialogue_run(&t->learner, decoder, &options, &image, mm_mix(1, sample), false, &t->memory, sums,
                                 err);
        mm_picked_masks_free(&picked);
    }
    status = mm_comm_agree(t->comm, status, err);
    float nothing = 0;
    if (status == MM_OK)
        status = mm_sum_over_ranks(t->comm, &nothing, 1, (double *)(void *)sums, sizeof *sums / sizeof(double), err);
    return status;
}

mm_status mm_decoder_training_measure(mm_decoder_training *t, const mm_trained_decoder *decoder,
                                      mm_decoder_figures *figures, mm_error *err)
{
    mm_dialogue_sums clicks = {0}, boxes = {0};
    *figures = (mm_decoder_figures){0};
    mm_status status = ask(t, decoder, CLICKS, 0, &clicks, err);
    if (status == MM_OK)
        status = ask(t, decoder, 1, 1, &boxes, err);
    if (status != MM_OK || clicks.prompts == 0)
        return status;
    figures->masks = clicks.prompts;
    for (size_t i = 0; i < CLICKS; i++)
        figures->clicks[i] = clicks.rounds[i].chosen_iou / fmax(clicks.rounds[i].prompts, 1);
    figures->box = boxes.rounds[0].chosen_iou / fmax(boxes.rounds[0].prompts, 1);
    figures->iou_error = clicks.rounds[0].iou_error / fmax(clicks.rounds[0].prompts, 1);
    return MM_OK;
}
