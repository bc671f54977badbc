/* The detector's training under way. detector.c sets it up, step.c makes steps, measure.c measures. */
#ifndef MM_TRAIN_TRAINER_H
#define MM_TRAIN_TRAINER_H

#include <jansson.h>

#include "engine/signals.h"
#include "maskmill/train.h"
#include "train/adamw.h"
#include "train/detector_loss.h"
#include "train/evaluate.h"
#include "train/head_backward.h"
#include "train/prepare.h"

typedef struct mm_trainer {
    mm_comm *comm;
    size_t ranks, rank;
    const mm_train_detector_options *options;
    mm_signals *signals;
    mm_kernels kernels;
    mm_model *model;
    mm_samples samples;
    mm_prepared prepared;

    mm_head head;
    float *parameters, *decay;  /* [head.parameters] */
    mm_adamw optimiser;         /* rank 0's alone makes steps */
    uint64_t step;
    mm_detector_loss sums;      /* of the epoch so far; complete on rank 0 */
    bool unmeasured;            /* what was stopped at an epoch's end, goes on with measuring */
    json_t *setup, *history;

    /* Working memory. */
    mm_head_state state;
    mm_head_gradients gradients;
    float *cells;               /* [S*S][D] */
    int32_t *target;            /* [N] */
    uint8_t *message, *messages; /* see step.c; messages: [ranks], on rank 0 */
} mm_trainer;

/* A step's gradients and losses, as ranks send them. */
size_t mm_trainer_message(const mm_head *head);

/* The image and its embedding, to cells. */
MM_RESULT_USED mm_status mm_trainer_load(mm_trainer *trainer, uint64_t sample, bool flipped, mm_frame *frame,
                                         mm_error *err);

/* Loss and gradient of one sample: adds to *loss and to sums[head.parameters]. */
MM_RESULT_USED mm_status mm_trainer_add_sample(mm_trainer *trainer, uint64_t sample, bool flipped, float *sums,
                                               mm_detector_loss *loss, mm_error *err);

/* Collective: one step of all ranks. *stop is set on all if a signal came to any. */
MM_RESULT_USED mm_status mm_trainer_step(mm_trainer *trainer, bool *stop, mm_error *err);

/* Collective: recall and precision on the validation samples, on rank 0. */
MM_RESULT_USED mm_status mm_trainer_measure(mm_trainer *trainer, double *recall, double *precision, mm_error *err);

/* Parameters to begin with: normal with variance 2 / inputs (He et al., arXiv 1502.01852), the outputs' a hundredth;
 * biases so that objects are thought rare (1 in 100, as focal loss needs) and boxes of some strides' size. */
void mm_trainer_begin(const mm_head *head, uint64_t seed, float *parameters);

#endif
