/* Queues: images for people to annotate, most to gain first, and the way of their answers back into a dataset.
 *
 * [SAM] section 4, the semi-automatic stage: annotators see an image with what the model is sure of filled in, and draw
 * what is missing. A queue says which images, in which order and in which batches; the masks stay in the dataset.
 * QUEUE/queue.h5 has one row an image, ordered by falling priority:
 *   /images/image_id u64, row u64 (in the dataset), priority f32, uncovered f32, hint_gain f32, disagreement f32,
 *           batch u32, width u32, height u32 (of the frame), prefilled u32, hints u32
 *   attributes: format_version, batch_size, prefill (text), dataset_bytes, dataset_digest (of dataset.h5's seal)
 * and QUEUE/queue.json says where the dataset is. docs/queue.md has the formula, what the exports look like, and what
 * becomes of which mask; docs/formats.md the files. */
#ifndef MASKMILL_QUEUE_H
#define MASKMILL_QUEUE_H

#include "maskmill/shard.h"

typedef struct mm_queue mm_queue;

/* Which masks annotators find in the image. */
typedef enum mm_prefill_mode {
    MM_PREFILL_CONFIDENT = 0, /* the detector's, and those that people made or kept before */
    MM_PREFILL_MASKS,         /* those of the grid as well */
    MM_PREFILL_NOTHING        /* only those that people made or kept before, and no hints: the assisted-manual stage */
} mm_prefill_mode;
const char *mm_prefill_name(mm_prefill_mode mode); /* "confident", "masks", "nothing" */

typedef struct mm_queue_build_options {
    const char *dataset; /* the folder of a dataset */
    const char *out;     /* QUEUE: not there yet */
    uint32_t batch_size; /* images a batch; 0: 200 */
    uint64_t most;       /* at most so many images, those of highest priority; 0: all that are done */
    mm_prefill_mode prefill;
    bool skip_human; /* leave out images that have masks by people */
} mm_queue_build_options;

typedef struct mm_queue_totals {
    uint64_t images, batches, prefilled, hints;
} mm_queue_totals;

/* Collective if `comm` is not NULL: ranks share the shards. Equal datasets and options give an equal queue.h5 whatever
 * their number. It is made in QUEUE.part, which becomes QUEUE in the end; a build that was killed goes on from there.
 * MM_ERR_USAGE if QUEUE is there, or if nothing is to be shown to anybody (no confident masks). *totals on rank 0. */
MM_RESULT_USED mm_status mm_queue_build(mm_comm *comm, const mm_queue_build_options *options, mm_queue_totals *totals,
                                        mm_error *err);

typedef struct mm_queue_image {
    uint64_t image_id, row;
    float priority;     /* 0 to 1, see docs/queue.md */
    float uncovered;    /* share of the frame's pixels under no pre-filled mask */
    float hint_gain;    /* 0 to 1: how much the hints promise */
    float disagreement; /* 0 to 1: between the detector and the grid */
    uint32_t batch, width, height, prefilled, hints;
} mm_queue_image;

/* `dataset`: where the dataset is now, or NULL to take what queue.json says. MM_ERR_FORMAT if it is not the one that
 * the queue was made of, down to its digest. */
MM_RESULT_USED mm_status mm_queue_open(const char *path, const char *dataset, mm_queue **queue, mm_error *err);
void mm_queue_close(mm_queue *queue);
uint64_t mm_queue_images(const mm_queue *queue);
uint64_t mm_queue_batches(const mm_queue *queue);
mm_queue_image mm_queue_at(const mm_queue *queue, uint64_t i);
const mm_dataset *mm_queue_dataset(const mm_queue *queue);

typedef struct mm_queue_export_options {
    const char *folder;
    bool some_batches; /* first_batch .. last_batch only, both included */
    uint64_t first_batch, last_batch;
    bool images;             /* write the photographs: the corpus's bytes where the frame is the photograph as it is
                                stored, else a JPEG of the frame */
    uint32_t thumbnail_side; /* 0: none; else JPEGs of this long side */
    const char *corpus;      /* where the photographs are now, or NULL */
    const char *url;         /* Label Studio: what stands before an image's path; NULL: its local files */
} mm_queue_export_options;

/* Per batch one FOLDER/annotations/instances_batch_000000.json in COCO's layout. *written counts images. */
MM_RESULT_USED mm_status mm_queue_export_coco(const mm_queue *queue, const mm_queue_export_options *options,
                                              uint64_t *written, mm_error *err);
/* Per batch one FOLDER/batch_000000.json of tasks with predictions, and FOLDER/config.xml. */
MM_RESULT_USED mm_status mm_queue_export_labelstudio(const mm_queue *queue, const mm_queue_export_options *options,
                                                     uint64_t *written, mm_error *err);

/* What was found in answers that is not as it should be goes to `out` (may be NULL), a line each. */
typedef struct mm_answer_faults {
    FILE *out;
    uint64_t refused;  /* answers, or single masks of them, that were left out */
    uint64_t repaired; /* that were taken after a repair */
    char first[512];   /* the first that was refused */
} mm_answer_faults;

typedef struct mm_import_options {
    const char *queue;   /* QUEUE */
    const char *dataset; /* where the queue's dataset is now, or NULL */
    const char *onto; /* a later version of that dataset, which earlier answers went into; NULL: the dataset itself */
    const char *const *answers;
    size_t answer_count;
    const char *out;       /* NEW: not there yet */
    const char *annotator; /* for answers that do not name one; or NULL */
    bool strict;           /* refuse everything if anything is refused */
    bool keep_automatic;   /* grid masks stay in answered images where no better mask is the same */
    bool skip_unchanged;   /* images in which nothing was changed count as not answered */
    int argc; /* for run.json */
    char *const *argv;
} mm_import_options;

/* What became of the masks of answered images. */
typedef struct mm_answer_counts {
    uint64_t images, kept, corrected, deleted, added;
    uint64_t accepted; /* of those added: hints */
    double seconds;    /* as far as they are told */
} mm_answer_counts;

/* Collective if `comm` is not NULL: ranks share the shards. The files of NEW but run.json do not depend on the number
 * of ranks. NEW appears whole or not at all; the dataset and its earlier versions are not touched. A file that is no
 * answer is MM_ERR_FORMAT and ends the import; a bad answer is told and left out, unless `strict`. Results on rank 0.
 */
MM_RESULT_USED mm_status mm_queue_import(mm_comm *comm, const mm_import_options *options, mm_answer_faults *faults,
                                         mm_answer_counts *counts, mm_error *err);

/* How far the people are. `what` are answers (files) or datasets (folders) that answers were imported into. */
MM_RESULT_USED mm_status mm_queue_status(const mm_queue *queue, const char *const *what, size_t count, bool json,
                                         FILE *out, mm_answer_faults *faults, mm_error *err);

#endif
