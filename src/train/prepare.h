/* Embeddings of all samples: looked up, or made by all ranks together. */
#ifndef MM_TRAIN_PREPARE_H
#define MM_TRAIN_PREPARE_H

#include "engine/signals.h"
#include "train/samples.h"

typedef struct mm_preparation {
    mm_comm *comm;
    const mm_model *model;
    const mm_samples *samples;
    mm_embeddings *embeddings;
    mm_signals *signals;
    bool flip;        /* of the training samples, the flipped image as well */
    bool quiet;
    size_t *places;   /* out: [2 * samples->count]: where sample i is, and where it is flipped */
    uint64_t encoded; /* out: images of all ranks that were encoded now */
} mm_preparation;

/* Collective. MM_ERR_STOPPED if a signal came; what was encoded until then is kept. */
MM_RESULT_USED mm_status mm_prepare(mm_preparation *preparation, mm_error *err);

#endif
