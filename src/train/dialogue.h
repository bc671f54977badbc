/* The prompts that a mask is trained with [SAM appendix A], played against the model's own answers: first a click,
 * anywhere on the mask, or its box, about as loose as a hand draws it; then a click anywhere in the region where answer
 * and mask differ, with the former answer's logits as mask input. With four rounds or more one in the middle and the
 * last have no new click, so that the model learns to make better what it has.
 *
 * All masks of an image are asked for together, in batches that fit into some memory. Everything follows from the
 * seed. */
#ifndef MM_TRAIN_DIALOGUE_H
#define MM_TRAIN_DIALOGUE_H

#include "maskmill/mask.h"
#include "train/mask_loss.h"

enum { MM_MOST_ROUNDS = 16 };

typedef struct mm_dialogue_options {
    uint32_t rounds;         /* 1 .. MM_MOST_ROUNDS; the paper's: 11 */
    double box_share;        /* of prompts that begin with a box; the paper's: 0.5 */
    bool pauses;             /* rounds without a new click, as above */
    bool nested;             /* a click's predicted IoU is of any mask under it, not of the one that is asked for */
    mm_loss_weights weights;
    size_t memory;           /* bytes that a batch may take, if it is more than one prompt; 0: 128 MiB */
} mm_dialogue_options;

/* What is known of one round, summed over prompts. */
typedef struct mm_round_figures {
    double prompts, mask_loss, iou_loss, chosen_iou, best_iou, iou_error;
} mm_round_figures;

/* First answers whose predicted IoU lies in one tenth of 0 .. 1 (what lies outside is in the first or the last). */
typedef struct mm_calibration_bin {
    double count, predicted, truth;
} mm_calibration_bin;

enum { MM_CALIBRATION_BINS = 10 };

/* Doubles alone: ranks add them up as a vector. */
typedef struct mm_dialogue_sums {
    mm_calibration_bin calibration[MM_CALIBRATION_BINS];
    mm_round_figures rounds[MM_MOST_ROUNDS];
    double prompts; /* dialogues */
    double loss;    /* sum over prompts of the mean over rounds */
    double broken;  /* losses that are no number; they are in no other sum */
} mm_dialogue_sums;

/* What some of the masks have in common. Doubles alone. */
typedef struct mm_dialogue_part {
    double masks, chosen_iou[MM_MOST_ROUNDS];
} mm_dialogue_part;

typedef struct mm_dialogue_image {
    const float *embedding; /* [N][D] */
    mm_frame frame;         /* its size is that of the masks */
    const mm_rle *masks;    /* none empty: `count` that are asked for, then `others`, which may be meant as well */
    size_t count, others;
    const uint8_t *part;     /* [count]: which of parts[] a mask is counted in as well */
    mm_dialogue_part *parts; /* or NULL */
} mm_dialogue_image;

/* Working memory that is used again; zeros to begin with. */
typedef struct mm_dialogue_memory {
    float *block;
    size_t floats;
} mm_dialogue_memory;
void mm_dialogue_memory_free(mm_dialogue_memory *memory);

/* All rounds for all masks: adds to *sums, and with `back` the gradient of sums->loss to the decoder's. */
MM_RESULT_USED mm_status mm_dialogue_run(mm_learner *learner, const mm_trained_decoder *decoder,
                                         const mm_dialogue_options *options, const mm_dialogue_image *image,
                                             uint64_t seed,
                                         bool back, mm_dialogue_memory *memory, mm_dialogue_sums *sums, mm_error *err);

#endif
