/* AdamW (Loshchilov and Hutter, arXiv 1711.05101), as torch.optim.AdamW computes it; and its learning rate's course. */
#ifndef MM_TRAIN_ADAMW_H
#define MM_TRAIN_ADAMW_H

#include <stddef.h>
#include <stdint.h>

#include "maskmill/status.h"

typedef struct mm_adamw {
    size_t count;
    float *parameters, *mean, *square; /* [count]; the parameters are the caller's */
    float beta1, beta2, eps;
    uint64_t steps; /* made so far */
} mm_adamw;

/* Moments start at 0. */
MM_RESULT_USED mm_status mm_adamw_new(float *parameters, size_t count, mm_adamw *optimiser, mm_error *err);
void mm_adamw_free(mm_adamw *optimiser);

/* One step. decay[count] is the weight decay of each parameter (0 for norms, biases and scales). */
void mm_adamw_step(mm_adamw *optimiser, const float *gradient, const float *decay, double learning_rate);

/* Scale the gradient down to a norm of at most `most`; returns the norm that it had. */
double mm_clip_norm(float *gradient, size_t count, double most);

/* Linear warm-up from 0, then half a cosine to 0: the rate of step 0 .. steps - 1. */
double mm_cosine_rate(double peak, uint64_t step, uint64_t warm_up, uint64_t steps);

#endif
