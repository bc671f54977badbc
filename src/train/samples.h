/* What there is to train on: images with boxes, from datasets and COCO files. */
#ifndef MM_TRAIN_SAMPLES_H
#define MM_TRAIN_SAMPLES_H

#include "maskmill/comm.h"
#include "maskmill/corpus.h"
#include "maskmill/embeddings.h"
#include "maskmill/train.h"

typedef struct mm_sample {
    uint64_t image_id;      /* in its manifest */
    uint64_t first_box, boxes;
    uint64_t path;          /* where it begins in `text`; what it is called, and for COCO where it is */
    uint32_t source;        /* index of the manifest, or MM_SAMPLE_FILE */
    uint32_t width, height; /* the frame of the boxes, pixels */
    uint32_t validation;    /* 1: measured with, not trained on */
} mm_sample;

#define MM_SAMPLE_FILE UINT32_MAX

/* Flat, so that rank 0 reads and the others receive. */
typedef struct mm_samples {
    mm_sample *items;
    size_t count, room;
    float (*boxes)[4]; /* edges x0, y0, x1, y1 in the sample's frame, inside it, not empty */
    size_t box_count, box_room;
    char *text; /* paths, each with its zero byte */
    size_t text_size, text_room;
    mm_manifest **manifests;
    bool *unturned; /* of each manifest: whether its images are taken without their EXIF orientation */
    size_t manifest_count;
} mm_samples;

void mm_samples_free(mm_samples *samples);

/* Collective. Sources, validation and what decides on it are the options'; `images` is where COCO's photographs are, or
 * NULL (train.h). */
MM_RESULT_USED mm_status mm_samples_load(mm_comm *comm, const mm_train_options *options, const char *images,
                                         mm_samples *samples, mm_error *err);

/* Add an image; and a box to an image by its number, whose boxes must come one after the other. A box is clipped to the
 * frame; one that is empty then is left out. */
MM_RESULT_USED mm_status mm_samples_add(mm_samples *samples, const mm_sample *sample, const char *path, mm_error *err);
MM_RESULT_USED mm_status mm_samples_add_box(mm_samples *samples, size_t number, const double box[4], mm_error *err);
/* Room for `more` further elements of `size` bytes behind `count`; false if there is none. */
MM_RESULT_USED bool mm_samples_room(void **array, size_t *room, size_t count, size_t more, size_t size);

/* All images of a COCO file; photographs are in `images` (NULL: see train.h). */
MM_RESULT_USED mm_status mm_samples_add_coco(mm_samples *samples, const char *path, const char *images, bool validation,
                                             mm_error *err);
/* The images of a dataset that are done and have masks: one without may be one that nobody has looked at, which teaches
 * nothing, least of all that nothing is there. `source` is the manifest's index. */
MM_RESULT_USED mm_status mm_samples_add_dataset(mm_samples *samples, const char *path, uint32_t source, bool validation,
                                                mm_error *err);

/* The image file's bytes; the caller frees *bytes. */
MM_RESULT_USED mm_status mm_samples_read(const mm_samples *samples, const mm_sample *sample, uint8_t **bytes,
                                         size_t *size, mm_error *err);
/* What the samples are, as a number: any change of them, of a box or of what is validation changes it. */
uint64_t mm_samples_digest(const mm_samples *samples);

/* 64 bits that look random, of two numbers (Steele et al., SplitMix). */
uint64_t mm_mix(uint64_t seed, uint64_t number);

#endif
