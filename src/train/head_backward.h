/* The backward pass of the detector's network (detect/head.h). */
#ifndef MM_TRAIN_HEAD_BACKWARD_H
#define MM_TRAIN_HEAD_BACKWARD_H

#include "detect/head.h"

/* Gradients of activations, used again for each image. */
typedef struct mm_head_gradients {
    float *memory;
    float *after, *before; /* [N][C]: of a layer's result, and of what its norm was given */
    float *outputs;        /* [N][6]: filled in by the caller */
    float *patches;        /* as many floats as the state's */
    float *wide;           /* [S*S][4C] */
    float *norm;           /* some rows, normalised */
} mm_head_gradients;

MM_RESULT_USED mm_status mm_head_gradients_new(const mm_head *head, mm_head_gradients *gradients, mm_error *err);
void mm_head_gradients_free(mm_head_gradients *gradients);

/* Add to sums[head->parameters] (except scale's, which are the loss's) the gradient that follows from
 * gradients->outputs; `state` holds the forward pass of the same parameters, with `keep`. */
MM_RESULT_USED mm_status mm_head_backward(const mm_head *head, const float *parameters, const mm_kernels *kernels,
                                          mm_head_state *state, mm_head_gradients *gradients, float *sums,
                                          mm_error *err);

#endif
