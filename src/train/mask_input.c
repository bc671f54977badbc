#include "train/mask_input.h"

/* y = gelu(norm(W x + b)), in `rows` rows. */
static void convolve(mm_learner *learner, const mm_trained_linear *linear, const mm_trained_norm *norm, const float *x,
                     size_t rows, mm_norm_state *state, float *y, float *slope)
{
    mm_linear_forward(learner, linear, x, rows, state->normal);
    mm_norm_forward(learner, norm, state->normal, NULL, rows, state, y);
    learner->gradient->gelu(y, NULL, y, slope, rows, linear->out);
}

static void convolve_back(mm_learner *learner, const mm_trained_linear *linear, const mm_trained_norm *norm,
                          const float *x, size_t rows, const mm_norm_state *state, const float *slope, float *dy,
                          float *dx)
{
    learner->gradient->multiply(dy, slope, rows * linear->out);
    mm_norm_back(learner, norm, state, dy, rows, dy);
    mm_linear_back(learner, linear, x, dy, rows, MM_SET, dx);
}

void mm_mask_input_forward(mm_learner *learner, const mm_trained_mask_input *encoder, const float *logits, size_t cells,
                           mm_mask_input_state *state, float *dense)
{
    convolve(learner, &encoder->conv1, &encoder->norm1, logits, 4 * cells, &state->norm1, state->half, state->slope1);
    convolve(learner, &encoder->conv2, &encoder->norm2, state->half, cells, &state->norm2, state->quarter,
             state->slope2);
    mm_linear_forward(learner, &encoder->conv3, state->quarter, cells, dense);
}

void mm_mask_input_back(mm_learner *learner, const mm_trained_mask_input *encoder, const float *logits, size_t cells,
                        const float *ddense, mm_mask_input_state *state, float *scratch)
{
    const size_t wide = encoder->conv3.in, channels = encoder->conv3.out;
    mm_multiply(learner, true, false, channels, wide, cells, 1, ddense, channels, state->quarter, wide, 1,
                encoder->conv3.dweight, wide);
    learner->gradient->add_columns(ddense, encoder->conv3.dbias, cells, channels);
    mm_multiply(learner, false, false, cells, wide, channels, 1, ddense, channels, encoder->conv3.weight, wide, 0,
                state->quarter, wide);
    convolve_back(learner, &encoder->conv2, &encoder->norm2, state->half, cells, &state->norm2, state->slope2,
                  state->quarter, scratch);
    convolve_back(learner, &encoder->conv1, &encoder->norm1, logits, 4 * cells, &state->norm1, state->slope1, scratch,
                  NULL);
}
