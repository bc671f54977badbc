/* The decoder's training under way. decoder_training.c is its course, decoder_setup.c what stands before it,
 * decoder_step.c makes steps, decoder_measure.c measures, decoder_save.c keeps states and writes the result. */
#ifndef MM_TRAIN_DECODER_TRAINING_H
#define MM_TRAIN_DECODER_TRAINING_H

#include <jansson.h>

#include "engine/signals.h"
#include "maskmill/amg.h"
#include "maskmill/train.h"
#include "train/adamw.h"
#include "train/dialogue.h"
#include "train/mask_source.h"
#include "train/prepare.h"

typedef struct mm_decoder_training {
    mm_comm *comm;
    size_t ranks, rank;
    const mm_train_decoder_options *options;
    mm_signals *signals;
    mm_kernels kernels, products; /* of the model, and of the learner: they differ in precision only */
    mm_model *model;
    mm_checkpoint *checkpoint; /* the same file: what the result is made from */
    mm_arch arch;
    mm_samples samples;
    mm_mask_source masks;
    mm_prepared prepared;

    mm_parameters parameters;
    float *values, *gradients, *average, *decay; /* [parameters.floats] */
    mm_adamw optimiser;                          /* every rank's makes the same steps */
    mm_trained_decoder decoder, averaged;        /* views of values and of average; the second one only looks */
    mm_learner learner;
    mm_dialogue_options dialogue;
    mm_dialogue_memory memory;
    float *cells; /* [N][D] */

    uint64_t step;
    uint64_t skipped, skipped_in_a_row;
    mm_dialogue_sums sums; /* of the epoch so far, of all ranks */
    json_t *setup, *history;
    bool unmeasured;       /* what was stopped at an epoch's end goes on with measuring */
} mm_decoder_training;

/* Collective: model, samples, embeddings, memory, and `setup`. */
MM_RESULT_USED mm_status mm_decoder_training_prepare(mm_decoder_training *training, mm_decoder_summary *summary,
                                                     mm_error *err);
void mm_decoder_training_free(mm_decoder_training *training);

/* Collective: one step. *stop is set on all ranks if a signal came to any. */
MM_RESULT_USED mm_status mm_decoder_training_step(mm_decoder_training *training, bool *stop, mm_error *err);

/* An image's embedding to training->cells, and its frame, whose size is that of its masks. */
MM_RESULT_USED mm_status mm_decoder_training_load(mm_decoder_training *training, uint64_t sample, bool flipped,
                                                  mm_frame *frame, mm_error *err);

typedef struct mm_questions {
    uint32_t rounds, masks; /* masks: of an image, at most */
    bool boxes;             /* the first prompt is a box, else a click */
    mm_dialogue_part *parts; /* [MM_EVALUATE_PARTS], added to; or NULL */
} mm_questions;

/* Collective: dialogues about the images that are measured with, the same each time; *sums are those of all ranks. */
MM_RESULT_USED mm_status mm_decoder_training_ask(mm_decoder_training *training, const mm_trained_decoder *decoder,
                                                 const mm_questions *asked, mm_dialogue_sums *sums, mm_error *err);

/* Masks of one size and source: part `source * MM_EVALUATE_SIZES + size`. */
enum { MM_EVALUATE_PARTS = MM_EVALUATE_SIZES * MM_EVALUATE_SOURCES };
int mm_evaluate_part(const mm_rle *mask, uint8_t source);

/* Doubles alone, in both. */
typedef struct mm_generated_part {
    double sought, found[MM_EVALUATE_IOUS];
} mm_generated_part;
typedef struct mm_generated_sums {
    double images, made, met[MM_EVALUATE_IOUS]; /* generated masks, and those that meet one of the dataset */
    mm_generated_part parts[MM_EVALUATE_PARTS];
} mm_generated_sums;

/* Collective: masks from the grid for `count` of the images that are measured with, spread evenly over them. */
MM_RESULT_USED mm_status mm_decoder_training_generate(mm_decoder_training *training, const mm_amg_params *params,
                                                      uint32_t count, mm_generated_sums *sums, mm_error *err);

/* Collective: how good a decoder is on the images that are measured with; complete on all ranks. */
MM_RESULT_USED mm_status mm_decoder_training_measure(mm_decoder_training *training, const mm_trained_decoder *decoder,
                                                     mm_decoder_figures *figures, mm_error *err);

/* OUT.resume: parameters, moments, averages, and in its metadata maskmill.decoder_training (JSON) the rest. */
MM_RESULT_USED mm_status mm_decoder_training_write(const mm_decoder_training *training, const char *path,
                                                   mm_error *err);
MM_RESULT_USED mm_status mm_decoder_training_read(mm_decoder_training *training, const char *path, mm_error *err);
/* The model with the averaged decoder. */
MM_RESULT_USED mm_status mm_decoder_training_export(const mm_decoder_training *training, const char *path,
                                                    mm_error *err);

#endif
