/* What annotators see of an image: the masks that are filled in, and hints. */
#ifndef MM_QUEUE_SHOWN_H
#define MM_QUEUE_SHOWN_H

#include "maskmill/queue.h"
#include "queue/name.h"

/* Two masks of which at least so much is shared are the same object; see docs/queue.md. */
#define MM_SAME_IOU 0.9

typedef struct mm_shown_mask {
    mm_shown_name name;
    const mm_record *record; /* row name.index of it; belongs to the image's record */
    mm_rle rle;
    uint64_t area;
} mm_shown_mask;

typedef struct mm_shown {
    mm_shown_mask *masks; /* first the masks that are filled in, then the hints */
    size_t prefilled, hints;
    uint32_t height, width; /* of the frame */
} mm_shown;

/* Of an image that is done. Filled in: rows of /masks by people or kept by them, or all rows (MM_PREFILL_MASKS), then
 * the confident masks; hints are shown as such. What is the same as a mask before it is left out, so the order is part
 * of the result. The caller gives it back with mm_shown_free, while the record is still there. */
MM_RESULT_USED mm_status mm_shown_load(const mm_record *record, mm_prefill_mode mode, mm_shown *shown, mm_error *err);
void mm_shown_free(mm_shown *shown);

/* Mask i of a record as run lengths. */
MM_RESULT_USED mm_status mm_record_rle(const mm_record *record, uint64_t i, mm_rle *rle, mm_error *err);

/* The numbers of a queue's row but for batch: what there is to gain in this image. */
MM_RESULT_USED mm_status mm_queue_weigh(const mm_record *record, mm_prefill_mode mode, mm_queue_image *image,
                                        mm_error *err);

/* docs/queue.md: 0.5 uncovered + 0.3 hint_gain + 0.2 disagreement. */
float mm_queue_priority(double uncovered, double hint_gain, double disagreement);
/* H / (H + 4), H the sum of the hints' qualities. */
double mm_queue_hint_gain(double sum);

#endif
