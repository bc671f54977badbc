/* The detector's network: its parameters, and the way from an embedding to the outputs of every cell. */
#include "detect/head.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tensor/memory.h"

static const mm_head_tensor *add_tensor(mm_head *head, const char *name, bool decays, uint32_t dims,
                                        const uint64_t *shape)
{
    mm_head_tensor *tensor = &head->tensors[head->tensor_count++];
    *tensor = (mm_head_tensor){.dims = dims, .first = head->parameters, .count = 1, .decays = decays};
    (void)snprintf(tensor->name, sizeof tensor->name, "%s", name); /* all names are shorter */
    for (uint32_t d = 0; d < dims; d++) {
        tensor->shape[d] = shape[d];
        tensor->count *= (size_t)shape[d];
    }
    head->parameters += tensor->count;
    return tensor;
}

static mm_head_layer add_layer(mm_head *head, const char *name, const uint64_t weight[4])
{
    const uint64_t width = head->shape.width;
    char text[sizeof head->tensors[0].name];
    mm_head_layer layer;
    (void)snprintf(text, sizeof text, "%s.weight", name); /* all names are shorter */
    layer.weight = add_tensor(head, text, true, 4, weight)->first;
    (void)snprintf(text, sizeof text, "%s.norm.weight", name);
    layer.gain = add_tensor(head, text, false, 1, &width)->first;
    (void)snprintf(text, sizeof text, "%s.norm.bias", name);
    layer.shift = add_tensor(head, text, false, 1, &width)->first;
    return layer;
}

mm_status mm_head_plan(const mm_detector_shape *shape, mm_head *head, mm_error *err)
{
    const uint64_t D = shape->embed_dim, S = shape->embedding_side, C = shape->width;
    if (S < 4 || S > 256 || S % 4 != 0 || D < 8 || D > 2048 || C < 8 || C > 2048 || shape->depth < 1 ||
        shape->depth > MM_HEAD_MAX_DEPTH)
        return mm_fail(err, MM_ERR_UNSUPPORTED,
                       "no detector has %u convolutions of %u channels on an embedding of %u x %u x %u; see "
                       "docs/detector.md",
                       shape->depth, shape->width, shape->embed_dim, shape->embedding_side, shape->embedding_side);
    *head = (mm_head){.shape = *shape};
    head->level[0] = add_layer(head, "level.0", (uint64_t[4]){2, 2, C, D});
    head->level[1] = add_layer(head, "level.1", (uint64_t[4]){C, 1, 1, D});
    head->level[2] = add_layer(head, "level.2", (uint64_t[4]){C, 2, 2, D});
    head->level[3] = add_layer(head, "level.3", (uint64_t[4]){C, 2, 2, C});
    for (uint32_t t = 0; t < shape->depth; t++) {
        char name[16];
        (void)snprintf(name, sizeof name, "tower.%u", t % 10u); /* fits */
        head->tower[t] = add_layer(head, name, (uint64_t[4]){C, 3, 3, C});
    }
    head->out_weight = add_tensor(head, "outputs.weight", true, 4, (uint64_t[4]){MM_HEAD_OUTPUTS, 3, 3, C})->first;
    head->out_bias = add_tensor(head, "outputs.bias", false, 1, (uint64_t[1]){MM_HEAD_OUTPUTS})->first;
    head->scale = add_tensor(head, "scale", false, 1, (uint64_t[1]){MM_HEAD_LEVELS})->first;
    for (size_t level = 0; level < MM_HEAD_LEVELS; level++) {
        head->side[level] = (size_t)(2 * S) >> level;
        head->first[level] = head->cells;
        head->cells += head->side[level] * head->side[level];
    }
    return MM_OK;
}

double mm_head_stride(const mm_head *head, size_t level, uint32_t image_size)
{
    return (double)image_size / (double)head->side[level];
}

double mm_detector_work(const mm_detector_shape *shape)
{
    const double D = shape->embed_dim, cells = (double)shape->embedding_side * shape->embedding_side, C = shape->width;
    const double all = cells * (4 + 1 + 0.25 + 0.0625);
    return cells * C * (4 * D + D + D + C / 4) + all * 9 * C * (C * shape->depth + MM_HEAD_OUTPUTS);
}

size_t mm_head_rows_at_once(size_t side)
{
    enum { CELLS = 256 };
    return side < CELLS ? CELLS / side : 1;
}

/* The largest of what is gathered: 3x3 of some rows, and 2x2 of a whole grid (of the embedding, or of level 2). */
static size_t patches_room(const mm_head *head)
{
    const size_t S = head->shape.embedding_side, C = head->shape.width;
    const size_t wider = head->shape.embed_dim > C ? head->shape.embed_dim : C;
    size_t room = S * S * wider;
    for (size_t level = 0; level < MM_HEAD_LEVELS; level++) {
        const size_t rows = mm_head_rows_at_once(head->side[level]) * head->side[level] * 9 * C;
        room = room > rows ? room : rows;
    }
    return room;
}

mm_status mm_head_state_new(const mm_head *head, bool keep, mm_head_state *state, mm_error *err)
{
    const size_t S = head->shape.embedding_side, C = head->shape.width, depth = head->shape.depth;
    const size_t map = head->cells * C, maps = keep ? 2 * (depth + 1) : 2;
    *state = (mm_head_state){0};
    state->memory = mm_floats(maps * map + head->cells * MM_HEAD_OUTPUTS + patches_room(head) + S * S * 4 * C);
    if (!state->memory)
        return mm_fail_memory(err, "the detector's activations");
    float *at = state->memory;
    for (size_t layer = 0; layer <= depth; layer++) {
        state->before[layer] = at + (keep ? 2 * layer : layer % 2) * map;
        state->after[layer] = keep ? state->before[layer] + map : state->before[layer];
    }
    state->outputs = at + maps * map;
    state->patches = state->outputs + head->cells * MM_HEAD_OUTPUTS;
    state->wide = state->patches + patches_room(head);
    return MM_OK;
}

void mm_head_state_free(mm_head_state *state)
{
    free(state->memory);
    *state = (mm_head_state){0};
}

void mm_head_gather3x3(const float *x, size_t side, size_t channels, size_t y0, size_t rows, float *patches)
{
    const size_t line = side * channels;
    for (size_t y = y0; y < y0 + rows; y++)
        for (size_t column = 0; column < side; column++)
            for (size_t ky = 0; ky < 3; ky++, patches += 3 * channels) {
                const size_t sy = y + ky; /* one more than the row read */
                if (sy < 1 || sy > side) {
                    memset(patches, 0, 3 * channels * sizeof *patches);
                    continue;
                }
                /* Three neighbours of a row lie behind one another. */
                const size_t left = column == 0, right = column + 1 == side;
                const float *from = x + (sy - 1) * line + (column + left) * channels - channels;
                memset(patches, 0, left * channels * sizeof *patches);
                memcpy(patches + left * channels, from, (3 - left - right) * channels * sizeof *patches);
                memset(patches + (3 - right) * channels, 0, right * channels * sizeof *patches);
            }
}

void mm_head_gather2x2(const float *x, size_t side, size_t channels, float *patches)
{
    for (size_t y = 0; y < side; y += 2)
        for (size_t column = 0; column < side; column += 2)
            for (size_t ky = 0; ky < 2; ky++, patches += 2 * channels)
                memcpy(patches, x + ((y + ky) * side + column) * channels, 2 * channels * sizeof *patches);
}

/* What a pass over one image works with. */
typedef struct head_run {
    const mm_head *head;
    const float *parameters;
    const mm_kernels *kernels;
    const mm_vector *ops;
    mm_head_state *state;
} head_run;

/* y[rows][out] = x[rows][in] W^T */
static mm_status multiply(const head_run *run, const float *x, size_t rows, size_t in, const float *weight, size_t out,
                          float *y, mm_error *err)
{
    return mm_gemm(run->kernels, false, true, rows, out, in, 1, x, in, weight, in, 0, y, out, err);
}

/* [S*S][2][2][C] to [2S][2S][C]. */
static void lay_out(const float *wide, size_t side, size_t channels, float *y)
{
    for (size_t row = 0; row < side; row++)
        for (size_t column = 0; column < side; column++)
            for (size_t ky = 0; ky < 2; ky++, wide += 2 * channels)
                memcpy(y + ((2 * row + ky) * 2 * side + 2 * column) * channels, wide, 2 * channels * sizeof *y);
}

/* after = relu(norm(before)) of `cells` cells from `first` on */
static void finish_layer(const head_run *run, size_t layer, const mm_head_layer *at, size_t first, size_t cells)
{
    const size_t C = run->head->shape.width;
    float *y = run->state->after[layer] + first * C;
    run->ops->layer_norm(run->state->before[layer] + first * C, run->parameters + at->gain, run->parameters + at->shift,
                         MM_HEAD_NORM_EPS, y, cells, C);
    for (size_t i = 0; i < cells * C; i++)
        y[i] = y[i] > 0 ? y[i] : 0;
}

static mm_status run_pyramid(const head_run *run, mm_error *err)
{
    const mm_head *head = run->head;
    mm_head_state *state = run->state;
    const size_t S = head->shape.embedding_side, D = head->shape.embed_dim, C = head->shape.width;
    float *before[MM_HEAD_LEVELS];
    for (size_t level = 0; level < MM_HEAD_LEVELS; level++)
        before[level] = state->before[0] + head->first[level] * C;
    const float *weights[MM_HEAD_LEVELS];
    for (size_t level = 0; level < MM_HEAD_LEVELS; level++)
        weights[level] = run->parameters + head->level[level].weight;

    mm_status status = multiply(run, state->embedding, S * S, D, weights[0], 4 * C, state->wide, err);
    if (status == MM_OK) {
        lay_out(state->wide, S, C, before[0]);
        status = multiply(run, state->embedding, S * S, D, weights[1], C, before[1], err);
    }
    if (status == MM_OK) {
        mm_head_gather2x2(state->embedding, S, D, state->patches);
        status = multiply(run, state->patches, S * S / 4, 4 * D, weights[2], C, before[2], err);
    }
    for (size_t level = 0; status == MM_OK && level < 3; level++)
        finish_layer(run, 0, &head->level[level], head->first[level], head->side[level] * head->side[level]);
    if (status == MM_OK) {
        mm_head_gather2x2(state->after[0] + head->first[2] * C, S / 2, C, state->patches);
        status = multiply(run, state->patches, S * S / 16, 4 * C, weights[3], C, before[3], err);
    }
    if (status == MM_OK)
        finish_layer(run, 0, &head->level[3], head->first[3], head->side[3] * head->side[3]);
    return status;
}

/* y[N][out] = 3x3 convolution of x[N][C], level by level */
static mm_status convolve(const head_run *run, const float *x, const float *weight, size_t out, float *y, mm_error *err)
{
    const mm_head *head = run->head;
    const size_t C = head->shape.width;
    for (size_t level = 0; level < MM_HEAD_LEVELS; level++) {
        const size_t side = head->side[level], step = mm_head_rows_at_once(side);
        for (size_t row = 0; row < side; row += step) {
            const size_t rows = side - row < step ? side - row : step;
            mm_head_gather3x3(x + head->first[level] * C, side, C, row, rows, run->state->patches);
            const mm_status status = multiply(run, run->state->patches, rows * side, 9 * C, weight, out,
                                              y + (head->first[level] + row * side) * out, err);
            if (status != MM_OK)
                return status;
        }
    }
    return MM_OK;
}

mm_status mm_head_forward(const mm_head *head, const float *parameters, const mm_kernels *kernels,
                          const float *embedding, mm_head_state *state, mm_error *err)
{
    const head_run run = {head, parameters, kernels, mm_vector_get(kernels), state};
    state->embedding = embedding;
    mm_status status = run_pyramid(&run, err);
    for (size_t t = 0; status == MM_OK && t < head->shape.depth; t++) {
        status = convolve(&run, state->after[t], parameters + head->tower[t].weight, head->shape.width,
                          state->before[t + 1], err);
        if (status == MM_OK)
            finish_layer(&run, t + 1, &head->tower[t], 0, head->cells);
    }
    if (status == MM_OK)
        status = convolve(&run, state->after[head->shape.depth], parameters + head->out_weight, MM_HEAD_OUTPUTS,
                          state->outputs, err);
    if (status == MM_OK)
        run.ops->add_bias(state->outputs, parameters + head->out_bias, head->cells, MM_HEAD_OUTPUTS);
    return status;
}
