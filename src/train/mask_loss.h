/* What a prompt's answer is worth [SAM appendix A]: focal and dice loss of its masks against the one that is meant, and
 * the error of the predicted IoU.
 *
 * A single click may mean several things: of its K - 1 multimask outputs the one with the least loss learns. Where more
 * is said, output 0 learns. The engine takes the best of the multimask outputs then, too, so the best of them learns
 * beside it, with the weight `multimask` (0: the paper's way). Predicted IoUs learn from all outputs that were looked
 * at; where masks lie within one another, a click's may learn how well an output meets the one that it meets best. */
#ifndef MM_TRAIN_MASK_LOSS_H
#define MM_TRAIN_MASK_LOSS_H

#include "train/decoder.h"

typedef struct mm_loss_weights {
    double focal, dice; /* 20, 1 */
    double iou;         /* 1: of the mean squared error of predicted IoUs */
    double multimask;   /* 0.5: of the multimask outputs where more than a click is given */
} mm_loss_weights;

/* What is meant: the share of each low-res pixel that the mask covers, [16 N] in the order of cells, below 0 where
 * there is no image; and whether it is a single click. */
typedef struct mm_meant {
    const float *target;
    bool ambiguous;
    const float *const *also; /* targets of other masks under the click, which predicted IoUs may be true of */
    size_t also_count;
    double share; /* of this prompt's loss in the sum */
} mm_meant;

typedef struct mm_mask_loss {
    double mask, iou; /* the losses, unweighted by share: focal * 20 + dice, with the multimask part; squared error */
    double best_iou;   /* of the multimask outputs with the mask that is meant */
    double chosen_iou; /* of the chosen output */
    double predicted;  /* what it says of itself */
    double truth;      /* what it should have said: chosen_iou, or its IoU with another mask under the click */
    double iou_error;  /* mean distance of multimask outputs' predicted IoU from that */
    uint32_t chosen;   /* the answer, which goes on to the next round: of the outputs that learn, the multimask one
                        * whose
                        * predicted IoU is highest, or output 0 */
    bool finite;       /* no NaN in the loss */
} mm_mask_loss;

/* Judge logits[K][16 N] and iou[K] of a prompt; the gradients of share * loss go to the verdict. */
mm_mask_loss mm_mask_loss_judge(const mm_gradient_ops *ops, const mm_loss_weights *weights, size_t masks, size_t cells,
                                const float *logits, const float *iou, const mm_meant *meant, mm_verdict *verdict);

#endif
