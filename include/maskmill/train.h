/* Training, in C and over MPI: the encoder stays as it is, its embeddings are made once and kept on the disk
 * (embeddings.h); what is trained is the detector (docs/detector.md), or the mask decoder with the prompt encoder
 * (docs/training.md).
 *
 * Equal sources, options, numbers of ranks and kernels give equal bits, whether the training was interrupted or not. */
#ifndef MASKMILL_TRAIN_H
#define MASKMILL_TRAIN_H

#include "maskmill/comm.h"
#include "maskmill/detect.h"
#include "maskmill/evaluation.h"

/* What trainings of both kinds are told. */
typedef struct mm_train_options {
    /* Datasets that `maskmill run` wrote (folder, dataset.h5, or a shard; photographs are found through their
     * manifest); for a detector also COCO files (*.json; only bbox is used). */
    const char *const *sources;
    size_t source_count;
    const char *const *validation; /* the same kinds, for measuring; none: validation_share of the sources' images */
    size_t validation_count;
    const char *out;          /* what is trained; OUT.resume and OUT.jsonl lie beside it */
    const char *model;        /* the path of the model it begins with, or that it is for */
    const char *model_config; /* or NULL */
    const char *embeddings;   /* folder where they are kept; NULL: OUT.embeddings */
    mm_kernels kernels;
    double epochs;
    uint32_t batch;           /* images a step, of all ranks together */
    double learning_rate;     /* the highest */
    double weight_decay;
    double clip_norm;         /* the gradient's largest norm */
    double warm_up;           /* 0.05 of the steps, in which the rate rises */
    double validation_share;  /* 0.05 */
    uint64_t seed;            /* 0 */
    bool flip;                /* also train on images with left and right exchanged, which doubles what is kept */
    double save_seconds;      /* 60: between two states that --resume goes on from */
    bool resume;              /* go on from OUT.resume; from the start if there is none */
    bool overwrite;           /* replace OUT and forget OUT.resume */
    bool quiet;
} mm_train_options;

typedef struct mm_train_detector_options {
    mm_train_options common; /* 12 epochs, batch 16, rate 0.002, decay 0.05 of weights alone, norm 5 */
    const char *images;     /* where COCO's photographs are; NULL: "images" beside the JSON, or the JSON's folder */
    uint32_t width, depth;  /* 64, 2: the head's channels and 3x3 convolutions */
} mm_train_detector_options;

/* Everything but sources, out and model. */
mm_train_detector_options mm_train_detector_defaults(void);

/* Options of a training that are one number: for command lines and configurations. */
typedef enum mm_number_kind { MM_NUMBER_REAL = 0, MM_NUMBER_U32, MM_NUMBER_U64 } mm_number_kind;
typedef struct mm_train_number {
    const char *name;   /* "learning-rate" */
    double least, most; /* both included */
    size_t place;       /* of a double, uint32_t or uint64_t in the options */
    mm_number_kind kind;
} mm_train_number;

/* Tables, which end with a row without a name. */
const mm_train_number *mm_train_detector_numbers(void);
const mm_train_number *mm_train_decoder_numbers(void); /* of mm_train_decoder_options */
/* MM_ERR_USAGE names the option, its value and its range. */
MM_RESULT_USED mm_status mm_train_number_set(const mm_train_number *number, void *options, double value, mm_error *err);
/* All of a table. */
MM_RESULT_USED mm_status mm_train_numbers_check(const mm_train_number *numbers, const void *options, mm_error *err);
double mm_train_number_get(const mm_train_number *number, const void *options);

typedef struct mm_train_summary {
    uint64_t images, boxes, validation_images, validation_boxes, encoded, steps;
    double loss;            /* the last epoch's mean */
    double recall;          /* AR@100: recall over IoU 0.5, 0.55 .. 0.95, at 100 boxes an image */
    double precision;       /* AP at IoU 0.5 */
    double seconds_encoding, seconds_training; /* of this call, on rank 0 */
    bool was_done;          /* `resume`: it was trained already */
} mm_train_summary;

/* Collective (`comm` may be NULL): all ranks call it with equal options and return the same status and text; rank 0 has
 * the summary. Call mm_engine_hold_signals before MPI starts: SIGUSR1, SIGTERM and SIGINT then end the training in
 * order, with MM_ERR_STOPPED and a state to go on from. */
MM_RESULT_USED mm_status mm_train_detector(mm_comm *comm, const mm_train_detector_options *options,
                                           mm_train_summary *summary, mm_error *err);

typedef struct mm_train_decoder_options {
    /* 4 epochs; batch 8, one image after the other, so that any number fits; rate 2e-4, a tenth of it after two thirds
     * of the steps, a hundredth after 0.95; decay 0.1 of matrices; norm 1; kernels' precision f32: that of the large
     * products, weights, sums and measurements are f32 always */
    mm_train_options common;
    uint32_t masks;           /* 16: at most, of an image in a step */
    uint32_t rounds;          /* 6: of prompts for each mask (src/train/dialogue.h); the paper's are 11 */
    double box_share;         /* 0.5: of masks that are first asked for by a box */
    double source_weights[3]; /* 1, 1, 3: how much more likely masks are to be taken that are automatic, confident,
                               * human */
    double multimask;         /* 0.5: see src/train/mask_loss.h */
    bool nested;              /* a click's predicted IoU is learnt from whichever of the image's masks under it an
                               * output meets best; else, as in the paper, from the one that was asked for */
    double average;           /* 0.998: how much of the averaged weights, which are the result, a step leaves as it
                               * was */
} mm_train_decoder_options;

mm_train_decoder_options mm_train_decoder_defaults(void);

/* On images that are measured with: at most 16 masks each, asked for three times. */
typedef struct mm_decoder_figures {
    double masks;
    double clicks[3]; /* mean IoU of the answer to one click, two and three */
    double box;       /* and to a box */
    double iou_error; /* mean distance of the predicted IoU from the true one, after one click */
} mm_decoder_figures;

typedef struct mm_decoder_summary {
    uint64_t images, validation_images, encoded, steps;
    uint64_t skipped; /* steps that were not made, since a loss or gradient was no number */
    double loss;      /* the last epoch's mean */
    mm_decoder_figures before, after;
    double seconds_encoding, seconds_training; /* of this call, on rank 0 */
    bool was_done;
} mm_decoder_summary;

/* As mm_train_detector. OUT has all tensors of the model: those of the decoder and the prompt encoder trained and f32,
 * the others as they were, with the metadata as they were. */
MM_RESULT_USED mm_status mm_train_decoder(mm_comm *comm, const mm_train_decoder_options *options,
                                          mm_decoder_summary *summary, mm_error *err);

typedef struct mm_evaluate_options {
    const char *const *sources; /* datasets */
    size_t source_count;
    const char *model, *model_config;
    const char *embeddings; /* NULL: the first dataset's path with .embeddings behind it */
    mm_kernels kernels;
    uint32_t clicks; /* 5, at most MM_EVALUATE_CLICKS */
    uint32_t masks;  /* 64: of an image, at most */
    uint32_t generate; /* 0: images whose masks are generated, to see which of the dataset's are among them */
    bool quiet;
} mm_evaluate_options;

/* How good a model's decoder is on the masks of datasets, asked for like in training: the same clicks and boxes each
 * time, so that models can be compared. Collective; complete on all ranks. */
MM_RESULT_USED mm_status mm_evaluate_decoder(mm_comm *comm, const mm_evaluate_options *options,
                                             mm_evaluation_result *result, mm_error *err);

#endif
