/* How good boxes are, by COCO's measures as pycocotools computes them: one class, no crowds, all areas, at most 100
 * boxes an image.
 *   AR@100  mean over IoU 0.50, 0.55 .. 0.95 of the share of true boxes that a detection is matched with
 *   AP50    mean over 101 recalls of the best precision at that recall or above, boxes matched at IoU 0.50 */
#ifndef MM_TRAIN_EVALUATE_H
#define MM_TRAIN_EVALUATE_H

#include "maskmill/comm.h"
#include "maskmill/detect.h"

enum { MM_EVALUATION_IOUS = 10 };

typedef struct mm_evaluated_box {
    float score;
    uint32_t hit;   /* at IoU 0.50 */
    uint64_t order; /* image and place in it: ties keep it */
} mm_evaluated_box;

typedef struct mm_evaluation {
    uint64_t truths, matched[MM_EVALUATION_IOUS];
    mm_evaluated_box *boxes;
    size_t count, room;
} mm_evaluation;

/* The boxes of image `number`, best first, against the true ones. */
MM_RESULT_USED mm_status mm_evaluation_add(mm_evaluation *evaluation, uint32_t number, const mm_detections *found,
                                           const float (*truths)[4], size_t truth_count, mm_error *err);
/* Collective: everything to rank 0. */
MM_RESULT_USED mm_status mm_evaluation_gather(mm_comm *comm, mm_evaluation *evaluation, mm_error *err);
double mm_evaluation_recall(const mm_evaluation *evaluation);
/* Sorts the boxes. */
double mm_evaluation_precision(mm_evaluation *evaluation);
void mm_evaluation_free(mm_evaluation *evaluation);

#endif
