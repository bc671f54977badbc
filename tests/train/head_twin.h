/* The detector's network and loss in double and in plain loops, from docs/detector.md: what the engine's passes are
 * held to. Small shapes only. The quality's targets are given, since the loss takes them as constants. */
#ifndef MM_TESTS_HEAD_TWIN_H
#define MM_TESTS_HEAD_TWIN_H

#include <check.h>
#include <math.h>
#include <stdlib.h>

#include "detect/head.h"

typedef struct twin {
    const mm_head *head;
    const double *parameters;
    const float *embedding; /* [S*S][D] */
    double *map, *next;     /* [N][C] */
    double *outputs;        /* [N][6] */
} twin;

static inline twin twin_new(const mm_head *head, const double *parameters, const float *embedding)
{
    const size_t map = head->cells * head->shape.width;
    twin t = {head, parameters, embedding, calloc(map, sizeof(double)), calloc(map, sizeof(double)),
              calloc(head->cells * MM_HEAD_OUTPUTS, sizeof(double))};
    ck_assert(t.map && t.next && t.outputs);
    return t;
}

static inline void twin_free(twin *t)
{
    free(t->map);
    free(t->next);
    free(t->outputs);
}

static inline void twin_norm_relu(const twin *t, const mm_head_layer *layer, double *x)
{
    const size_t C = t->head->shape.width;
    double mean = 0, variance = 0;
    for (size_t c = 0; c < C; c++)
        mean += x[c] / (double)C;
    for (size_t c = 0; c < C; c++)
        variance += (x[c] - mean) * (x[c] - mean) / (double)C;
    for (size_t c = 0; c < C; c++) {
        const double y = (x[c] - mean) / sqrt(variance + (double)MM_HEAD_NORM_EPS) * t->parameters[layer->gain + c] +
                         t->parameters[layer->shift + c];
        x[c] = y > 0 ? y : 0;
    }
}

/* Cell (y, x) of level 0 .. 3 before its norm, channel c. */
static inline double twin_pyramid_at(const twin *t, size_t level, size_t y, size_t x, size_t c)
{
    const size_t S = t->head->shape.embedding_side, D = t->head->shape.embed_dim, C = t->head->shape.width;
    const double *weight = t->parameters + t->head->level[level].weight;
    double sum = 0;
    if (level == 0)
        for (size_t d = 0; d < D; d++)
            sum += weight[((y % 2 * 2 + x % 2) * C + c) * D + d] * (double)t->embedding[(y / 2 * S + x / 2) * D + d];
    if (level == 1)
        for (size_t d = 0; d < D; d++)
            sum += weight[c * D + d] * (double)t->embedding[(y * S + x) * D + d];
    for (size_t ky = 0; level == 2 && ky < 2; ky++)
        for (size_t kx = 0; kx < 2; kx++)
            for (size_t d = 0; d < D; d++)
                sum += weight[((c * 2 + ky) * 2 + kx) * D + d] *
                       (double)t->embedding[((2 * y + ky) * S + 2 * x + kx) * D + d];
    for (size_t ky = 0; level == 3 && ky < 2; ky++)
        for (size_t kx = 0; kx < 2; kx++)
            for (size_t i = 0; i < C; i++)
                sum += weight[((c * 2 + ky) * 2 + kx) * C + i] *
                       t->map[(t->head->first[2] + (2 * y + ky) * (S / 2) + 2 * x + kx) * C + i];
    return sum;
}

/* 3x3 convolution of t->map at one cell, output channel c. */
static inline double twin_convolution_at(const twin *t, const double *weight, size_t level, size_t y, size_t x,
                                         size_t c)
{
    const size_t C = t->head->shape.width, side = t->head->side[level];
    double sum = 0;
    for (size_t ky = 0; ky < 3; ky++)
        for (size_t kx = 0; kx < 3; kx++) {
            const size_t sy = y + ky, sx = x + kx; /* one more than meant */
            if (sy < 1 || sy > side || sx < 1 || sx > side)
                continue;
            for (size_t i = 0; i < C; i++)
                sum += weight[(c * 9 + ky * 3 + kx) * C + i] *
                       t->map[(t->head->first[level] + (sy - 1) * side + sx - 1) * C + i];
        }
    return sum;
}

static inline void twin_forward(twin *t)
{
    const mm_head *head = t->head;
    const size_t C = head->shape.width;
    for (size_t level = 0; level < MM_HEAD_LEVELS; level++)
        for (size_t i = 0; i < head->side[level] * head->side[level]; i++) {
            double *cell = t->map + (head->first[level] + i) * C;
            for (size_t c = 0; c < C; c++)
                cell[c] = twin_pyramid_at(t, level, i / head->side[level], i % head->side[level], c);
            twin_norm_relu(t, &head->level[level], cell);
        }
    for (size_t layer = 0; layer <= head->shape.depth; layer++) {
        const bool last = layer == head->shape.depth;
        for (size_t level = 0; level < MM_HEAD_LEVELS; level++)
            for (size_t i = 0; i < head->side[level] * head->side[level]; i++) {
                const size_t cell = head->first[level] + i, y = i / head->side[level], x = i % head->side[level];
                for (size_t k = 0; last && k < MM_HEAD_OUTPUTS; k++)
                    t->outputs[cell * MM_HEAD_OUTPUTS + k] =
                        twin_convolution_at(t, t->parameters + head->out_weight, level, y, x, k) +
                        t->parameters[head->out_bias + k];
                for (size_t c = 0; !last && c < C; c++)
                    t->next[cell * C + c] = twin_convolution_at(t, t->parameters + head->tower[layer].weight, level, y,
                                                                x, c);
                if (!last)
                    twin_norm_relu(t, &head->tower[layer], t->next + cell * C);
            }
        if (!last) {
            double *swapped = t->map;
            t->map = t->next;
            t->next = swapped;
        }
    }
}

/* The loss; qualities[N]: read as the IoU that the quality is to be if `frozen`, else written. */
static inline double twin_loss(const twin *t, const mm_frame *frame, const float (*boxes)[4], const int32_t *target,
                               double *qualities, bool frozen)
{
    const double rx = (double)frame->input_width / frame->width, ry = (double)frame->input_height / frame->height;
    double loss = 0;
    for (size_t level = 0; level < MM_HEAD_LEVELS; level++)
        for (size_t i = 0; i < t->head->side[level] * t->head->side[level]; i++) {
            const size_t side = t->head->side[level], cell = t->head->first[level] + i;
            const double stride = (double)frame->image_size / (double)side;
            const double *out = t->outputs + cell * MM_HEAD_OUTPUTS;
            const double p = 1 / (1 + exp(-out[0]));
            if (target[cell] == -2)
                continue;
            if (target[cell] < 0) {
                loss -= 0.75 * p * p * log(1 - p);
                continue;
            }
            loss -= 0.25 * (1 - p) * (1 - p) * log(p);
            double at[4], truth[4];
            for (int k = 0; k < 4; k++) {
                const double centre = ((double)(k % 2 ? i / side : i % side) + 0.5) * stride;
                const double reach = exp(fmin(t->parameters[t->head->scale + level] * out[2 + k], 6)) * stride;
                at[k] = k < 2 ? centre - reach : centre + reach;
                truth[k] = (double)boxes[target[cell]][k] * (k % 2 ? ry : rx);
            }
            const double iw = fmax(fmin(at[2], truth[2]) - fmax(at[0], truth[0]), 0);
            const double ih = fmax(fmin(at[3], truth[3]) - fmax(at[1], truth[1]), 0);
            const double hull_w = fmax(at[2], truth[2]) - fmin(at[0], truth[0]);
            const double hull = hull_w * (fmax(at[3], truth[3]) - fmin(at[1], truth[1]));
            const double all = (at[2] - at[0]) * (at[3] - at[1]) +
                (truth[2] - truth[0]) * (truth[3] - truth[1]) - iw * ih;
            const double q = 1 / (1 + exp(-out[1]));
            if (!frozen)
                qualities[cell] = iw * ih / all;
            loss += 2 * (1 - (iw * ih / all - (hull - all) / hull));
            loss -= qualities[cell] * log(q) + (1 - qualities[cell]) * log(1 - q);
        }
    return loss;
}

#endif
