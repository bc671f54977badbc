/* Training, in C and over MPI: the encoder stays as it is, its embeddings are made once and kept on the disk
 * (embeddings.h); what is trained is the detector (docs/detector.md).
 *
 * Equal sources, options, numbers of ranks and kernels give equal bits, whether the training was interrupted or not. */
#ifndef MASKMILL_TRAIN_H
#define MASKMILL_TRAIN_H

#include "maskmill/comm.h"
#include "maskmill/detect.h"

typedef struct mm_train_detector_options {
    /* Datasets that `maskmill run` wrote (folder, dataset.h5, or a shard; photographs are found through their manifest), and
     * COCO files (*.json; only bbox is used). */
    const char *const *sources;
    size_t source_count;
    const char *const *validation; /* the same kinds, for measuring; none: validation_share of the sources' images */
    size_t validation_count;
    const char *images;      /* where COCO's photographs are; NULL: "images" beside the JSON, or the JSON's own folder */
    const char *out;         /* the detector; OUT.resume and OUT.jsonl lie beside it */
    const char *model;       /* a path */
    const char *model_config; /* or NULL */
    const char *embeddings;  /* folder where they are kept; NULL: OUT.embeddings */
    mm_kernels kernels;
    uint32_t width, depth;   /* 64, 2: the head's channels and 3x3 convolutions */
    double epochs;           /* 12 */
    uint32_t batch;          /* 16 images a step, of all ranks together */
    double learning_rate;    /* 0.002 */
    double weight_decay;     /* 0.05 */
    double clip_norm;        /* 5 */
    double warm_up;          /* 0.05 of the steps */
    double validation_share; /* 0.05 */
    uint64_t seed;           /* 0 */
    bool flip;               /* also train on images with left and right exchanged, which doubles what is kept */
    double save_seconds;     /* 60: between two states that --resume goes on from */
    bool resume;             /* go on from OUT.resume; from the start if there is none */
    bool overwrite;          /* replace OUT and forget OUT.resume */
    bool quiet;
} mm_train_detector_options;

/* Everything but sources, out and model. */
mm_train_detector_options mm_train_detector_defaults(void);

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

#endif
