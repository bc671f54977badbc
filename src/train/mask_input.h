/* The prompt encoder's way with a mask: low-res logits become a dense embedding of the image's cells. Its convolutions
 * of 2x2 with stride 2 are products when logits are in the order of cells (upscaling.h).
 *
 * Letters: N cells, M mask_in_chans, F = M / 4, D channels. */
#ifndef MM_TRAIN_MASK_INPUT_H
#define MM_TRAIN_MASK_INPUT_H

#include "train/layers.h"

typedef struct mm_trained_mask_input {
    mm_trained_linear conv1, conv2, conv3; /* [F][4], [M][4 F], [D][M] */
    mm_trained_norm norm1, norm2;
} mm_trained_mask_input;

typedef struct mm_mask_input_state {
    mm_norm_state norm1, norm2; /* [4 N][F], [N][M] */
    float *half, *slope1;       /* [4 N][F] */
    float *quarter, *slope2;    /* [N][M] */
} mm_mask_input_state;

/* dense[N][D] of logits[N][4][4]. */
void mm_mask_input_forward(mm_learner *learner, const mm_trained_mask_input *encoder, const float *logits, size_t cells,
                           mm_mask_input_state *state, float *dense);
/* The logits are given: they have no gradient. `state` is that of the forward step; its slopes and quarter are lost.
 * scratch: [4 N][F]. */
void mm_mask_input_back(mm_learner *learner, const mm_trained_mask_input *encoder, const float *logits, size_t cells,
                        const float *ddense, mm_mask_input_state *state, float *scratch);

#endif
