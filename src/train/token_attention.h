/* Attention among the tokens of a prompt: a handful of rows, so the scores are made by plain loops. */
#ifndef MM_TRAIN_TOKEN_ATTENTION_H
#define MM_TRAIN_TOKEN_ATTENTION_H

#include "train/layers.h"

typedef struct mm_trained_attention {
    mm_trained_linear q, k, v, out;
} mm_trained_attention;

/* P prompts of T tokens each, H heads, D channels; R = P * T. */
typedef struct mm_token_sizes {
    size_t prompts, tokens, heads, channels;
} mm_token_sizes;

typedef struct mm_token_attention_state {
    float *q, *k, *v; /* [R][D] */
    float *weights;   /* [R][H][T] */
    float *mixed;     /* [R][D]: weights x values */
} mm_token_attention_state;

/* y[R][D] from what queries and keys are made of (`where`: tokens with positions) and what values are (`what`). */
void mm_token_attention_forward(mm_learner *learner, const mm_trained_attention *attention, const mm_token_sizes *sizes,
                                const float *where, const float *what, mm_token_attention_state *state, float *y);
/* Adds to dwhere and dwhat, which may be one. scratch: 4 blocks [R][D]. */
void mm_token_attention_back(mm_learner *learner, const mm_trained_attention *attention, const mm_token_sizes *sizes,
                             const float *where, const float *what, const mm_token_attention_state *state,
                                 const float *dy,
                             float *const scratch[4], float *dwhere, float *dwhat);

#endif
