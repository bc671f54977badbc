#include "train/upscaling.h"

void mm_upscaling_forward(mm_learner *learner, const mm_trained_upscaling *upscaling, const float *image, size_t cells,
                          const float *weights, size_t masks, mm_upscaling_state *state, float *logits)
{
    const size_t channels = upscaling->channels, quarter = channels / 4, eighth = channels / 8;
    const mm_trained_norm *norm = &upscaling->norm;
    mm_multiply(learner, false, true, cells, channels, channels, 1, image, channels, upscaling->weight1, channels, 0,
                state->norm.normal, channels);
    learner->gradient->norm(state->norm.normal, NULL, upscaling->bias1, norm->weight, norm->bias, norm->eps,
                            state->norm.normal, state->norm.inverse, state->half, 4 * cells, quarter);
    learner->gradient->gelu(state->half, NULL, state->half, state->slope1, 4 * cells, quarter);
    mm_multiply(learner, false, true, 4 * cells, 4 * eighth, quarter, 1, state->half, quarter, upscaling->weight2,
                quarter, 0, state->full, 4 * eighth);
    learner->gradient->gelu(state->full, upscaling->bias2, state->full, state->slope2, 16 * cells, eighth);
    mm_multiply(learner, false, true, masks, 16 * cells, eighth, 1, weights, eighth, state->full, eighth, 0, logits,
                16 * cells);
}

void mm_upscaling_back(mm_learner *learner, const mm_trained_upscaling *upscaling, const float *image, size_t cells,
                       const float *weights, size_t masks, const float *dlogits, mm_upscaling_state *state,
                       float *scratch, float *dweights, float *dimage)
{
    const size_t channels = upscaling->channels, quarter = channels / 4, eighth = channels / 8;
    mm_multiply(learner, false, false, masks, eighth, 16 * cells, 1, dlogits, 16 * cells, state->full, eighth, 0,
                dweights, eighth);
    float *dfull = state->slope2;
    learner->gradient->spread(dlogits, weights, masks, state->slope2, dfull, 16 * cells, eighth);
    learner->gradient->add_columns(dfull, upscaling->dbias2, 16 * cells, eighth);
    mm_multiply(learner, true, false, 4 * eighth, quarter, 4 * cells, 1, dfull, 4 * eighth, state->half, quarter, 1,
                upscaling->dweight2, quarter);
    float *dhalf = scratch;
    mm_multiply(learner, false, false, 4 * cells, quarter, 4 * eighth, 1, dfull, 4 * eighth, upscaling->weight2,
                quarter, 0, dhalf, quarter);
    learner->gradient->multiply(dhalf, state->slope1, 4 * cells * quarter);
    mm_norm_back(learner, &upscaling->norm, &state->norm, dhalf, 4 * cells, dhalf);
    learner->gradient->add_columns(dhalf, upscaling->dbias1, 4 * cells, quarter);
    mm_multiply(learner, true, false, channels, channels, cells, 1, dhalf, channels, image, channels, 1,
                upscaling->dweight1, channels);
    mm_multiply(learner, false, false, cells, channels, channels, 1, dhalf, channels, upscaling->weight1, channels, 0,
                dimage, channels);
}

/* The pixel of the grid that element i of a cell at (y, x) is. */
static size_t pixel_of(size_t y, size_t x, size_t i, size_t side)
{
    const size_t row = 4 * y + 2 * (i / 8) + i / 2 % 2, column = 4 * x + 2 * (i / 4 % 2) + i % 2;
    return row * 4 * side + column;
}

void mm_cells_to_grid(const float *cells, size_t side, float *grid)
{
    for (size_t y = 0; y < side; y++)
        for (size_t x = 0; x < side; x++)
            for (size_t i = 0; i < 16; i++)
                grid[pixel_of(y, x, i, side)] = cells[(y * side + x) * 16 + i];
}

void mm_grid_to_cells(const float *grid, size_t side, float *cells)
{
    for (size_t y = 0; y < side; y++)
        for (size_t x = 0; x < side; x++)
            for (size_t i = 0; i < 16; i++)
                cells[(y * side + x) * 16 + i] = grid[pixel_of(y, x, i, side)];
}
