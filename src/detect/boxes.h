/* From the network's outputs to boxes. */
#ifndef MM_DETECT_BOXES_H
#define MM_DETECT_BOXES_H

#include "detect/head.h"

/* The box of a cell from its four outputs, in pixels of the model's input, not clipped. */
void mm_head_decode(const mm_head *head, size_t level, double stride, const float *scale, size_t cell,
                    const float *outputs, float box[4]);
/* sqrt(objectness * quality) */
float mm_head_score(const float *outputs);

/* Boxes above params->score_thresh, after NMS, best first, at most max_boxes, in pixels of frame->width x height and
 * clipped to them. Cells whose centre lies in the padding give none. */
MM_RESULT_USED mm_status mm_head_boxes(const mm_head *head, const float *parameters, const float *outputs,
                                       const mm_frame *frame, const mm_detect_params *params,
                                       mm_detections *detections, mm_error *err);

#endif
