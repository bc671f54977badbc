/* What the exports have in common: batches of images with the masks shown, and photographs. */
#ifndef MM_QUEUE_EXPORT_H
#define MM_QUEUE_EXPORT_H

#include <limits.h>
#include <stdio.h>

#include "queue/queue.h"
#include "queue/shown.h"
#include "report/photograph.h"

typedef struct mm_batch_image {
    mm_queue_image row;
    mm_record record;
    char *file_name; /* as in the corpus */
    mm_shown shown;
} mm_batch_image;

typedef struct mm_batch {
    uint64_t number;
    mm_batch_image *images; /* in the order of the queue */
    size_t count;
} mm_batch;

/* One batch's files, besides photographs. */
typedef mm_status mm_write_batch(const mm_queue_export_options *options, const mm_batch *batch, mm_error *err);

/* Make the folders, go through the batches that are asked for, and write each with its photographs. */
MM_RESULT_USED mm_status mm_queue_export(const mm_queue *queue, const mm_queue_export_options *options,
                                         mm_write_batch *write, uint64_t *written, mm_error *err);

/* "confident", "hint", "human" or "automatic". */
const char *mm_shown_source(const mm_shown_mask *mask);
float mm_shown_detector_score(const mm_shown_mask *mask); /* NaN if it has none */

#endif
