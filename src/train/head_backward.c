/* From the gradient of the outputs to that of the parameters, layer by layer, in the forward pass's opposite order.
 *
 * Notation: dX is the loss's derivative by X. A product Y = X W^T has dW = dY^T X and dX = dY W; a convolution is a
 * product of gathered patches, so its dX is what the patches' cells got, added up where they came from. */
#include "train/head_backward.h"

#include <stdlib.h>
#include <string.h>

#include "tensor/gradient.h"
#include "tensor/memory.h"

enum { NORM_ROWS = 64 }; /* that a norm's way back takes at once */

mm_status mm_head_gradients_new(const mm_head *head, mm_head_gradients *gradients, mm_error *err)
{
    const size_t S = head->shape.embedding_side, D = head->shape.embed_dim, C = head->shape.width;
    const size_t map = head->cells * C, wide = S * S * 4 * C;
    size_t patches = S * S * (D > C ? D : C);
    for (size_t level = 0; level < MM_HEAD_LEVELS; level++) {
        const size_t rows = mm_head_rows_at_once(head->side[level]) * head->side[level] * 9 * C;
        patches = patches > rows ? patches : rows;
    }
    *gradients = (mm_head_gradients){0};
    gradients->memory = mm_floats(2 * map + head->cells * MM_HEAD_OUTPUTS + patches + wide + NORM_ROWS * (2 * C + 1));
    if (!gradients->memory)
        return mm_fail_memory(err, "gradients");
    gradients->after = gradients->memory;
    gradients->before = gradients->after + map;
    gradients->outputs = gradients->before + map;
    gradients->patches = gradients->outputs + head->cells * MM_HEAD_OUTPUTS;
    gradients->wide = gradients->patches + patches;
    gradients->norm = gradients->wide + wide;
    return MM_OK;
}

void mm_head_gradients_free(mm_head_gradients *gradients)
{
    free(gradients->memory);
    *gradients = (mm_head_gradients){0};
}

/* One image's backward pass. */
typedef struct backward {
    const mm_head *head;
    const float *parameters;
    const mm_kernels *kernels;
    mm_head_state *state;
    mm_head_gradients *gradients;
    float *sums;
} backward;

/* dW[out][in] += dY[rows][out]^T X[rows][in] */
static mm_status add_weight_gradient(const backward *b, const float *dy, const float *x, size_t rows, size_t out,
                                     size_t in, size_t weight, mm_error *err)
{
    return mm_gemm(b->kernels, true, false, out, in, rows, 1, dy, out, x, in, 1, b->sums + weight, in, err);
}

/* dX[rows][in] = dY[rows][out] W[out][in] */
static mm_status input_gradient(const backward *b, const float *dy, size_t rows, size_t out, size_t in, size_t weight,
                                float *dx, mm_error *err)
{
    return mm_gemm(b->kernels, false, false, rows, in, out, 1, dy, out, b->parameters + weight, in, 0, dx, in, err);
}

/* The opposite of mm_head_gather3x3: dX += what the patches got. */
static void scatter3x3(const float *patches, size_t side, size_t channels, size_t y0, size_t rows, float *dx)
{
    const size_t line = side * channels;
    for (size_t y = y0; y < y0 + rows; y++)
        for (size_t column = 0; column < side; column++)
            for (size_t ky = 0; ky < 3; ky++, patches += 3 * channels) {
                const size_t sy = y + ky; /* one more than the row meant */
                if (sy < 1 || sy > side)
                    continue;
                const size_t left = column == 0, right = column + 1 == side;
                float *to = dx + (sy - 1) * line + (column + left) * channels - channels;
                const float *from = patches + left * channels;
                for (size_t i = 0; i < (3 - left - right) * channels; i++)
                    to[i] += from[i];
            }
}

static void scatter2x2(const float *patches, size_t side, size_t channels, float *dx)
{
    for (size_t y = 0; y < side; y += 2)
        for (size_t column = 0; column < side; column += 2)
            for (size_t ky = 0; ky < 2; ky++, patches += 2 * channels) {
                float *to = dx + ((y + ky) * side + column) * channels;
                for (size_t i = 0; i < 2 * channels; i++)
                    to[i] += patches[i];
            }
}

/* after = relu(norm(before)): from gradients->after to gradients->before, for `cells` cells from `first` on. The rows are
 * normalised once more, which costs less than to keep them. */
static void norm_backward(const backward *b, size_t layer, const mm_head_layer *at, size_t first, size_t cells)
{
    const mm_gradient_ops *ops = mm_gradient_get(b->kernels);
    const size_t C = b->head->shape.width;
    const float *gain = b->parameters + at->gain, *shift = b->parameters + at->shift;
    float *normal = b->gradients->norm, *again = normal + NORM_ROWS * C, *inverse = again + NORM_ROWS * C;
    for (size_t row = 0; row < cells; row += NORM_ROWS) {
        const size_t rows = cells - row < NORM_ROWS ? cells - row : NORM_ROWS, from = (first + row) * C;
        const float *y = b->state->after[layer] + from;
        float *dy = b->gradients->after + from;
        ops->norm(b->state->before[layer] + from, NULL, NULL, gain, shift, MM_HEAD_NORM_EPS, normal, inverse, again,
                  rows, C);
        for (size_t i = 0; i < rows * C; i++)
            dy[i] = y[i] > 0 ? dy[i] : 0;
        ops->norm_back(dy, normal, inverse, gain, b->gradients->before + from, b->sums + at->gain, b->sums + at->shift,
                       rows, C);
    }
}

/* A 3x3 convolution of x[N][C]: dW added up, and gradients->after = dX. */
static mm_status convolution_backward(const backward *b, const float *x, const float *dy, size_t out, size_t weight,
                                      mm_error *err)
{
    const mm_head *head = b->head;
    const size_t C = head->shape.width;
    float *dx = b->gradients->after;
    memset(dx, 0, head->cells * C * sizeof *dx);
    for (size_t level = 0; level < MM_HEAD_LEVELS; level++) {
        const size_t side = head->side[level], step = mm_head_rows_at_once(side), first = head->first[level];
        for (size_t row = 0; row < side; row += step) {
            const size_t rows = side - row < step ? side - row : step, cells = rows * side;
            const float *piece = dy + (first + row * side) * out;
            mm_head_gather3x3(x + first * C, side, C, row, rows, b->state->patches);
            mm_status status = add_weight_gradient(b, piece, b->state->patches, cells, out, 9 * C, weight, err);
            if (status == MM_OK)
                status = input_gradient(b, piece, cells, out, 9 * C, weight, b->gradients->patches, err);
            if (status != MM_OK)
                return status;
            scatter3x3(b->gradients->patches, side, C, row, rows, dx + first * C);
        }
    }
    return MM_OK;
}

/* The opposite of what lays level 0 out: [2S][2S][C] to [S*S][2][2][C]. */
static void collect_wide(const float *dy, size_t side, size_t channels, float *wide)
{
    for (size_t row = 0; row < side; row++)
        for (size_t column = 0; column < side; column++)
            for (size_t ky = 0; ky < 2; ky++, wide += 2 * channels)
                memcpy(wide, dy + ((2 * row + ky) * 2 * side + 2 * column) * channels, 2 * channels * sizeof *wide);
}

/* The embedding gets no gradient: its encoder stays as it is. */
static mm_status pyramid_backward(const backward *b, mm_error *err)
{
    const mm_head *head = b->head;
    const size_t S = head->shape.embedding_side, D = head->shape.embed_dim, C = head->shape.width;
    const float *embedding = b->state->embedding;
    float *patches = b->state->patches;
    const float *before[MM_HEAD_LEVELS];
    for (size_t level = 0; level < MM_HEAD_LEVELS; level++)
        before[level] = b->gradients->before + head->first[level] * C;

    norm_backward(b, 0, &head->level[3], head->first[3], head->side[3] * head->side[3]);
    mm_head_gather2x2(b->state->after[0] + head->first[2] * C, S / 2, C, patches);
    mm_status status = add_weight_gradient(b, before[3], patches, S * S / 16, C, 4 * C, head->level[3].weight, err);
    if (status == MM_OK)
        status = input_gradient(b, before[3], S * S / 16, C, 4 * C, head->level[3].weight, b->gradients->patches, err);
    if (status != MM_OK)
        return status;
    scatter2x2(b->gradients->patches, S / 2, C, b->gradients->after + head->first[2] * C);

    for (size_t level = 0; level < 3; level++)
        norm_backward(b, 0, &head->level[level], head->first[level], head->side[level] * head->side[level]);
    mm_head_gather2x2(embedding, S, D, patches);
    status = add_weight_gradient(b, before[2], patches, S * S / 4, C, 4 * D, head->level[2].weight, err);
    if (status == MM_OK)
        status = add_weight_gradient(b, before[1], embedding, S * S, C, D, head->level[1].weight, err);
    collect_wide(before[0], S, C, b->gradients->wide);
    if (status == MM_OK)
        status = add_weight_gradient(b, b->gradients->wide, embedding, S * S, 4 * C, D, head->level[0].weight, err);
    return status;
}

mm_status mm_head_backward(const mm_head *head, const float *parameters, const mm_kernels *kernels,
                           mm_head_state *state, mm_head_gradients *gradients, float *sums, mm_error *err)
{
    const backward b = {head, parameters, kernels, state, gradients, sums};
    const size_t depth = head->shape.depth;
    for (size_t cell = 0; cell < head->cells; cell++)
        for (size_t k = 0; k < MM_HEAD_OUTPUTS; k++)
            sums[head->out_bias + k] += gradients->outputs[cell * MM_HEAD_OUTPUTS + k];
    mm_status status = convolution_backward(&b, state->after[depth], gradients->outputs, MM_HEAD_OUTPUTS,
                                            head->out_weight, err);
    for (size_t t = depth; status == MM_OK && t-- > 0;) {
        norm_backward(&b, t + 1, &head->tower[t], 0, head->cells);
        status = convolution_backward(&b, state->after[t], gradients->before, head->shape.width, head->tower[t].weight,
                                      err);
    }
    return status == MM_OK ? pyramid_backward(&b, err) : status;
}
