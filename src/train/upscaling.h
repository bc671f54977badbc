/* From a prompt's image to its masks' logits and back: two transposed 2x2 convolutions of stride 2, which are products
 * whose four results lie in one cell, and a product with each mask's vector.
 *
 * Logits are in the order of cells: [N][4][4], the sub-pixels of the first convolution (row, column) and in each those
 * of the second. Letters: N cells, D channels, K masks; Q = D / 4, E = D / 8. */
#ifndef MM_TRAIN_UPSCALING_H
#define MM_TRAIN_UPSCALING_H

#include "train/layers.h"

typedef struct mm_trained_upscaling {
    /* [4 * Q][D] and [4 * E][Q]; their biases, [Q] and [E], are one for all four sub-pixels. */
    const float *weight1, *bias1, *weight2, *bias2;
    float *dweight1, *dbias1, *dweight2, *dbias2;
    mm_trained_norm norm; /* over Q channels */
    size_t channels;
} mm_trained_upscaling;

/* What one prompt's way back needs. */
typedef struct mm_upscaling_state {
    mm_norm_state norm;  /* [4 N][Q] */
    float *half, *slope1; /* [4 N][Q]: after GELU, and its derivative */
    float *full, *slope2; /* [16 N][E] */
} mm_upscaling_state;

/* logits[masks][16 N] of an image [N][D] and weights[masks][E]. */
void mm_upscaling_forward(mm_learner *learner, const mm_trained_upscaling *upscaling, const float *image, size_t cells,
                          const float *weights, size_t masks, mm_upscaling_state *state, float *logits);
/* Of `masks` masks with those weights: dweights[masks][E] and dimage[N][D] are set. state->half and slope2 are lost.
 * scratch: [4 N][Q]. */
void mm_upscaling_back(mm_learner *learner, const mm_trained_upscaling *upscaling, const float *image, size_t cells,
                       const float *weights, size_t masks, const float *dlogits, mm_upscaling_state *state,
                       float *scratch, float *dweights, float *dimage);

/* Logits, or anything else for each low-res pixel, between the order of cells and rows of a grid [4 side][4 side]. */
void mm_cells_to_grid(const float *cells, size_t side, float *grid);
void mm_grid_to_cells(const float *grid, size_t side, float *cells);

#endif
