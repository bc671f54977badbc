/* What is done with samples before they are trained on: which are for that and in what order; and the embeddings of
 * all, looked up or made by all ranks together. */
#ifndef MM_TRAIN_PREPARE_H
#define MM_TRAIN_PREPARE_H

#include "engine/signals.h"
#include "maskmill/train.h"
#include "train/samples.h"

typedef struct mm_preparation {
    mm_comm *comm;
    const mm_model *model;
    const mm_samples *samples;
    mm_signals *signals;
    const mm_train_options *options;
    uint64_t encoded; /* out: images of all ranks that were encoded now */
    double seconds;   /* out: what that took */
} mm_preparation;

/* Samples that can be trained on. Zeros to begin with. */
typedef struct mm_prepared {
    mm_embeddings *embeddings;
    size_t *places;       /* [2 * samples->count]: where sample i is, and where it is flipped */
    uint64_t *training;   /* [training_count]: samples, in the order of the epoch under way */
    uint64_t *validation; /* [validation_count] */
    size_t training_count, validation_count;
    uint64_t epoch;       /* that `training` is shuffled for, from 1; 0: not yet */
    uint64_t steps, steps_per_epoch;
} mm_prepared;

/* Collective. MM_ERR_STOPPED if a signal came; what was encoded until then is kept. The caller frees in every case. */
MM_RESULT_USED mm_status mm_prepare(mm_preparation *preparation, mm_prepared *prepared, mm_error *err);
void mm_prepared_free(mm_prepared *prepared);

/* Whether an epoch, from 0, sees a sample flipped. */
bool mm_prepared_flips(const mm_train_options *options, uint64_t epoch, uint64_t sample);

/* Bring the training samples into the order of an epoch, which follows from its number, from 1, and the seed. */
void mm_prepared_shuffle(mm_prepared *prepared, const mm_samples *samples, uint64_t seed, uint64_t epoch);

#endif
