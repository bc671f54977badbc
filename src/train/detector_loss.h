/* What the detector is trained for, and its gradient.
 *
 *   objectness  focal loss (Lin et al., arXiv 1708.02002; alpha 0.25, gamma 2) at every cell that is not padding
 *   box         GIoU loss (Rezatofighi et al., arXiv 1902.09630) of the positive cells, weight 2
 *   quality     binary cross entropy of the positive cells against their box's IoU of now (not differentiated), as in
 *               IoU-aware detectors (Wu et al., arXiv 1912.05992), in place of [FCOS]'s centreness
 *
 * All are sums; the trainer divides by the number of positive cells of the whole batch. */
#ifndef MM_TRAIN_DETECTOR_LOSS_H
#define MM_TRAIN_DETECTOR_LOSS_H

#include "detect/head.h"

typedef struct mm_detector_loss {
    double object, box, quality; /* weighted, so that their sum is the loss */
    double iou;                  /* of the positive cells' boxes, summed */
    double positive;             /* cells */
} mm_detector_loss;

/* Adds to *loss; writes the gradient by the outputs to gradient[N][6] and adds that by the scales to
 * scale_gradient[4]. target[N] as mm_targets_assign made it of boxes[]. */
void mm_detector_loss_add(const mm_head *head, const float *parameters, const float *outputs, const mm_frame *frame,
                          const float (*boxes)[4], const int32_t *target, mm_detector_loss *loss, float *gradient,
                          float *scale_gradient);

#endif
