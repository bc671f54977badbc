#include "train/token_attention.h"

#include <math.h>
#include <string.h>

/* Eight sums side by side, which the compiler makes vectors of. */
static float dot(const float *a, const float *b, size_t n)
{
    float sums[8] = {0};
    size_t i = 0;
    for (; i + 8 <= n; i += 8)
        for (size_t j = 0; j < 8; j++)
            sums[j] += a[i + j] * b[i + j];
    float total = ((sums[0] + sums[4]) + (sums[1] + sums[5])) + ((sums[2] + sums[6]) + (sums[3] + sums[7]));
    for (; i < n; i++)
        total += a[i] * b[i];
    return total;
}

static void add_times(float *x, float scale, const float *y, size_t n)
{
    for (size_t i = 0; i < n; i++)
        x[i] += scale * y[i];
}

static float scale_of(const mm_token_sizes *sizes)
{
    return (float)(1.0 / sqrt((double)(sizes->channels / sizes->heads)));
}

/* One row's softmax over its prompt's tokens. */
static void soften(float *scores, size_t n)
{
    float top = -INFINITY, sum = 0;
    for (size_t j = 0; j < n; j++)
        top = scores[j] > top ? scores[j] : top;
    for (size_t j = 0; j < n; j++)
        sum += scores[j] = expf(scores[j] - top);
    for (size_t j = 0; j < n; j++)
        scores[j] /= sum;
}

void mm_token_attention_forward(mm_learner *learner, const mm_trained_attention *attention, const mm_token_sizes *sizes,
                                const float *where, const float *what, mm_token_attention_state *state, float *y)
{
    const size_t tokens = sizes->tokens, rows = sizes->prompts * tokens, channels = sizes->channels;
    const size_t heads = sizes->heads, dim = channels / heads;
    const float scale = scale_of(sizes);
    mm_linear_forward(learner, &attention->q, where, rows, state->q);
    mm_linear_forward(learner, &attention->k, where, rows, state->k);
    mm_linear_forward(learner, &attention->v, what, rows, state->v);
    memset(state->mixed, 0, rows * channels * sizeof *state->mixed);
    for (size_t row = 0; row < rows; row++)
        for (size_t h = 0; h < heads; h++) {
            const size_t first = row / tokens * tokens;
            float *weights = state->weights + (row * heads + h) * tokens;
            for (size_t j = 0; j < tokens; j++)
                weights[j] = scale * dot(state->q + row * channels + h * dim,
                                         state->k + (first + j) * channels + h * dim, dim);
            soften(weights, tokens);
            for (size_t j = 0; j < tokens; j++)
                add_times(state->mixed + row * channels + h * dim, weights[j],
                          state->v + (first + j) * channels + h * dim, dim);
        }
    mm_linear_forward(learner, &attention->out, state->mixed, rows, y);
}

/* dq, dk and dv of one row and head, from its dmixed. */
static void row_back(const mm_token_sizes *sizes, const mm_token_attention_state *state, size_t row, size_t h,
                     const float *dmixed, float *dq, float *dk, float *dv)
{
    const size_t tokens = sizes->tokens, channels = sizes->channels, dim = channels / sizes->heads;
    const size_t first = row / tokens * tokens, at = row * channels + h * dim;
    const float *weights = state->weights + (row * sizes->heads + h) * tokens;
    /* sum_j w_j dw_j, with dw_j = dmixed . v_j, is dmixed . mixed. */
    const float mean = dot(dmixed + at, state->mixed + at, dim), scale = scale_of(sizes);
    for (size_t j = 0; j < tokens; j++) {
        const size_t other = (first + j) * channels + h * dim;
        const float dscore = scale * weights[j] * (dot(dmixed + at, state->v + other, dim) - mean);
        add_times(dq + at, dscore, state->k + other, dim);
        add_times(dk + other, dscore, state->q + at, dim);
        add_times(dv + other, weights[j], dmixed + at, dim);
    }
}

void mm_token_attention_back(mm_learner *learner, const mm_trained_attention *attention, const mm_token_sizes *sizes,
                             const float *where, const float *what, const mm_token_attention_state *state,
                                 const float *dy,
                             float *const scratch[4], float *dwhere, float *dwhat)
{
    const size_t rows = sizes->prompts * sizes->tokens, channels = sizes->channels;
    float *dmixed = scratch[0], *dq = scratch[1], *dk = scratch[2], *dv = scratch[3];
    mm_linear_back(learner, &attention->out, state->mixed, dy, rows, MM_SET, dmixed);
    for (int i = 1; i < 4; i++)
        memset(scratch[i], 0, rows * channels * sizeof *dq);
    for (size_t row = 0; row < rows; row++)
        for (size_t h = 0; h < sizes->heads; h++)
            row_back(sizes, state, row, h, dmixed, dq, dk, dv);
    mm_linear_back(learner, &attention->q, where, dq, rows, MM_ADD, dwhere);
    mm_linear_back(learner, &attention->k, where, dk, rows, MM_ADD, dwhere);
    mm_linear_back(learner, &attention->v, what, dv, rows, MM_ADD, dwhat);
}
