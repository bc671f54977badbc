/* Masks as targets: what share of each low-res pixel of the model's square a mask covers, from its run lengths and
 * without a full-size picture of it; and points on it. */
#ifndef MM_TRAIN_MASK_TARGETS_H
#define MM_TRAIN_MASK_TARGETS_H

#include "maskmill/mask.h"
#include "maskmill/model.h"

/* target[16 N] in the order of cells (upscaling.h), side S of the grid. The mask is of an image that lies in the
 * model's square as `frame` says, at any size of the same shape. Low-res pixels whose centre is in the padding become
 * -1. scratch: [16 N] floats. MM_ERR_FORMAT: a mask without pixels. */
MM_RESULT_USED mm_status mm_mask_target(const mm_rle *rle, const mm_frame *frame, size_t side, float *target,
                                        float *scratch, mm_error *err);

/* Pixel number `index` (0 .. area - 1, down the columns) of the mask. */
void mm_mask_pixel(const mm_rle *rle, uint64_t index, uint32_t *x, uint32_t *y);

/* Whether pixel (x, y) of the image is one of the mask's. */
bool mm_mask_has(const mm_rle *rle, uint32_t x, uint32_t y);

#endif
