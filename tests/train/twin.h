/* The decoder side written down plainly, in double: as the reference has it, projections of the whole image and all.
 * What is trained must compute the same, and its gradients must be what differences of this tell. */
#ifndef MM_TESTS_TRAIN_TWIN_H
#define MM_TESTS_TRAIN_TWIN_H

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "train/decoder.h"

typedef struct twin {
    const mm_arch *arch;
    const mm_parameters *parameters;
    double *values;         /* [parameters->floats], in their order */
    const float *gaussian;  /* [2][D / 2] */
    const float *embedding; /* [N][D] */
    void *blocks[8192];     /* what a run allocates */
    size_t count;
} twin;

static inline double *twin_new(twin *t, size_t n)
{
    double *block = calloc(n, sizeof *block);
    if (!block || t->count == sizeof t->blocks / sizeof t->blocks[0])
        abort();
    t->blocks[t->count++] = block;
    return block;
}

static inline void twin_clear(twin *t)
{
    while (t->count)
        free(t->blocks[--t->count]);
}

static inline const double *twin_get(const twin *t, const char *prefix, const char *suffix)
{
    const mm_parameter *p = mm_parameters_find(t->parameters, "%s%s", prefix, suffix);
    if (!p) {
        fprintf(stderr, "no parameter %s%s\n", prefix, suffix);
        abort();
    }
    return t->values + p->offset;
}

static inline double *twin_linear_of(twin *t, const double *weight, const double *bias, const double *x, size_t rows,
                                     size_t in, size_t out)
{
    double *y = twin_new(t, rows * out);
    for (size_t r = 0; r < rows; r++)
        for (size_t o = 0; o < out; o++) {
            double sum = bias[o];
            for (size_t i = 0; i < in; i++)
                sum += weight[o * in + i] * x[r * in + i];
            y[r * out + o] = sum;
        }
    return y;
}

static inline double *twin_linear(twin *t, const char *prefix, const double *x, size_t rows, size_t in, size_t out)
{
    return twin_linear_of(t, twin_get(t, prefix, ".weight"), twin_get(t, prefix, ".bias"), x, rows, in, out);
}

static inline double *twin_norm(twin *t, const char *prefix, double eps, const double *x, size_t rows, size_t n)
{
    const double *weight = twin_get(t, prefix, ".weight"), *bias = twin_get(t, prefix, ".bias");
    double *y = twin_new(t, rows * n);
    for (size_t r = 0; r < rows; r++) {
        double mean = 0, square = 0;
        for (size_t i = 0; i < n; i++)
            mean += x[r * n + i] / (double)n;
        for (size_t i = 0; i < n; i++)
            square += (x[r * n + i] - mean) * (x[r * n + i] - mean) / (double)n;
        for (size_t i = 0; i < n; i++)
            y[r * n + i] = (x[r * n + i] - mean) / sqrt(square + eps) * weight[i] + bias[i];
    }
    return y;
}

static inline double *twin_gelu(double *x, size_t n)
{
    for (size_t i = 0; i < n; i++)
        x[i] *= 0.5 * (1 + erf(x[i] * M_SQRT1_2));
    return x;
}

static inline double *twin_sum(twin *t, const double *a, const double *b, size_t n)
{
    double *y = twin_new(t, n);
    for (size_t i = 0; i < n; i++)
        y[i] = a[i] + b[i];
    return y;
}

static inline double *twin_attention(twin *t, const char *prefix, const double *q_in, size_t q_rows, const double *k_in,
                                     const double *v_in, size_t rows, size_t inner)
{
    const size_t channels = t->arch->prompt_embed_dim, heads = t->arch->decoder.num_heads, dim = inner / heads;
    char name[160];
    snprintf(name, sizeof name, "%s.q_proj", prefix);
    const double *q = twin_linear(t, name, q_in, q_rows, channels, inner);
    snprintf(name, sizeof name, "%s.k_proj", prefix);
    const double *k = twin_linear(t, name, k_in, rows, channels, inner);
    snprintf(name, sizeof name, "%s.v_proj", prefix);
    const double *v = twin_linear(t, name, v_in, rows, channels, inner);
    double *mixed = twin_new(t, q_rows * inner), *scores = twin_new(t, rows);
    for (size_t r = 0; r < q_rows; r++)
        for (size_t h = 0; h < heads; h++) {
            double top = -INFINITY, sum = 0;
            for (size_t j = 0; j < rows; j++) {
                scores[j] = 0;
                for (size_t i = 0; i < dim; i++)
                    scores[j] += q[r * inner + h * dim + i] * k[j * inner + h * dim + i] / sqrt((double)dim);
                top = fmax(top, scores[j]);
            }
            for (size_t j = 0; j < rows; j++)
                sum += scores[j] = exp(scores[j] - top);
            for (size_t j = 0; j < rows; j++)
                for (size_t i = 0; i < dim; i++)
                    mixed[r * inner + h * dim + i] += scores[j] / sum * v[j * inner + h * dim + i];
        }
    snprintf(name, sizeof name, "%s.out_proj", prefix);
    return twin_linear(t, name, mixed, q_rows, inner, channels);
}

static inline double *twin_mlp(twin *t, const char *format, size_t depth, const double *x, size_t rows, size_t in,
                               size_t hidden, size_t out)
{
    for (size_t i = 0; i < depth; i++) {
        char name[160];
        snprintf(name, sizeof name, "%s%zu", format, i);
        const size_t width = i + 1 < depth ? hidden : out;
        double *y = twin_linear(t, name, x, rows, i ? hidden : in, width);
        for (size_t k = 0; i + 1 < depth && k < rows * width; k++)
            y[k] = y[k] > 0 ? y[k] : 0;
        x = y;
    }
    return (double *)x;
}

static inline void twin_position(const twin *t, double x, double y, double *out)
{
    const size_t half = t->arch->prompt_embed_dim / 2;
    for (size_t i = 0; i < half; i++) {
        const double angle = 2 * M_PI * ((2 * x - 1) * t->gaussian[i] + (2 * y - 1) * t->gaussian[half + i]);
        out[i] = sin(angle);
        out[half + i] = cos(angle);
    }
}

static inline void twin_point(twin *t, const mm_frame *frame, double x, double y, const char *table, double *out)
{
    const double size = frame->image_size;
    twin_position(t, (x * ((double)frame->input_width / frame->width) + 0.5) / size,
                  (y * ((double)frame->input_height / frame->height) + 0.5) / size, out);
    const double *row = twin_get(t, table, ".weight");
    for (size_t i = 0; i < t->arch->prompt_embed_dim; i++)
        out[i] += row[i];
}

static inline double *twin_tokens(twin *t, const mm_frame *frame, const mm_prompt *prompt, size_t *count)
{
    const size_t channels = t->arch->prompt_embed_dim, masks = t->arch->decoder.mask_tokens;
    *count = 1 + masks + mm_prompt_tokens(prompt);
    double *tokens = twin_new(t, *count * channels), *row = tokens + (1 + masks) * channels;
    memcpy(tokens, twin_get(t, "mask_decoder.iou_token", ".weight"), channels * sizeof *tokens);
    memcpy(tokens + channels, twin_get(t, "mask_decoder.mask_tokens", ".weight"), masks * channels * sizeof *tokens);
    for (size_t i = 0; i < prompt->point_count; i++, row += channels)
        twin_point(t, frame, prompt->points[i].x, prompt->points[i].y,
                   prompt->points[i].label ? "prompt_encoder.point_embeddings.1" : "prompt_encoder.point_embeddings.0",
                   row);
    if (prompt->point_count && !prompt->box) {
        memcpy(row, twin_get(t, "prompt_encoder.not_a_point_embed", ".weight"), channels * sizeof *row);
        row += channels;
    }
    for (size_t i = 0; prompt->box && i < 2; i++, row += channels)
        twin_point(t, frame, prompt->box[2 * i], prompt->box[2 * i + 1],
                   i ? "prompt_encoder.point_embeddings.3" : "prompt_encoder.point_embeddings.2", row);
    return tokens;
}

/* The image with a mask's dense embedding, or "no mask". */
static inline double *twin_image(twin *t, const float *mask)
{
    const size_t channels = t->arch->prompt_embed_dim, side = t->arch->embedding_side, cells = side * side;
    const size_t wide = t->arch->mask_in_chans, first = wide / 4;
    double *image = twin_new(t, cells * channels);
    const double *none = twin_get(t, "prompt_encoder.no_mask_embed", ".weight"), *dense = NULL;
    if (mask) {
        double *x = twin_new(t, cells * 16);
        for (size_t i = 0; i < cells * 16; i++)
            x[i] = mask[i];
        double *half = twin_linear(t, "prompt_encoder.mask_downscaling.0", x, 4 * cells, 4, first);
        half = twin_gelu(twin_norm(t, "prompt_encoder.mask_downscaling.1", 1e-6, half, 4 * cells, first),
                         4 * cells * first);
        double *quarter = twin_linear(t, "prompt_encoder.mask_downscaling.3", half, cells, 4 * first, wide);
        quarter = twin_gelu(twin_norm(t, "prompt_encoder.mask_downscaling.4", 1e-6, quarter, cells, wide),
                            cells * wide);
        dense = twin_linear(t, "prompt_encoder.mask_downscaling.6", quarter, cells, wide, channels);
    }
    for (size_t n = 0; n < cells; n++)
        for (size_t c = 0; c < channels; c++)
            image[n * channels + c] = t->embedding[n * channels + c] + (dense ? dense[n * channels + c] : none[c]);
    return image;
}

/* 2x2 transposed convolution, weight and bias as parameters.h has them. */
static inline double *twin_upscale(twin *t, const char *prefix, const double *x, size_t rows, size_t in, size_t out)
{
    const double *bias = twin_get(t, prefix, ".bias");
    double *four = twin_new(t, 4 * out);
    for (size_t i = 0; i < 4 * out; i++)
        four[i] = bias[i % out];
    return twin_linear_of(t, twin_get(t, prefix, ".weight"), four, x, rows, in, 4 * out);
}

/* logits[K][16 N] in the order of cells, and iou[K]; the caller copies them before twin_clear. */
static inline void twin_decode(twin *t, const mm_frame *frame, const mm_prompt *prompt, const float *mask,
                               double **logits, double **iou)
{
    const size_t channels = t->arch->prompt_embed_dim, side = t->arch->embedding_side, cells = side * side;
    const size_t masks = t->arch->decoder.mask_tokens, inner = t->arch->decoder.cross_dim, eighth = channels / 8;
    size_t count;
    double *pe = twin_tokens(t, frame, prompt, &count), *tokens = pe, *image = twin_image(t, mask);
    double *positions = twin_new(t, cells * channels);
    for (size_t n = 0; n < cells; n++)
        twin_position(t, ((double)(n % side) + 0.5) / (double)side, ((double)(n / side) + 0.5) / (double)side,
                      positions + n * channels);
    for (uint32_t i = 0; i < t->arch->decoder.depth; i++) {
        char name[160], prefix[96];
        snprintf(prefix, sizeof prefix, "mask_decoder.transformer.layers.%u.", i);
#define NAMED(suffix) (snprintf(name, sizeof name, "%s%s", prefix, suffix), name)
        const double *where = i ? twin_sum(t, tokens, pe, count * channels) : tokens;
        double *y = twin_attention(t, NAMED("self_attn"), where, count, where, tokens, count, channels);
        tokens = twin_norm(t, NAMED("norm1"), 1e-5, i ? twin_sum(t, y, tokens, count * channels) : y, count, channels);
        const double *keys = twin_sum(t, image, positions, cells * channels);
        y = twin_attention(t, NAMED("cross_attn_token_to_image"), twin_sum(t, tokens, pe, count * channels), count,
                           keys, image, cells, inner);
        tokens = twin_norm(t, NAMED("norm2"), 1e-5, twin_sum(t, tokens, y, count * channels), count, channels);
        double *hidden = twin_linear(t, NAMED("mlp.lin1"), tokens, count, channels, t->arch->decoder.mlp_dim);
        for (size_t k = 0; k < count * t->arch->decoder.mlp_dim; k++)
            hidden[k] = hidden[k] > 0 ? hidden[k] : 0;
        y = twin_linear(t, NAMED("mlp.lin2"), hidden, count, t->arch->decoder.mlp_dim, channels);
        tokens = twin_norm(t, NAMED("norm3"), 1e-5, twin_sum(t, tokens, y, count * channels), count, channels);
        y = twin_attention(t, NAMED("cross_attn_image_to_token"), keys, cells, twin_sum(t, tokens, pe,
                                                                                        count * channels), tokens,
                           count, inner);
        image = twin_norm(t, NAMED("norm4"), 1e-5, twin_sum(t, image, y, cells * channels), cells, channels);
#undef NAMED
    }
    const double *keys = twin_sum(t, image, positions, cells * channels);
    double *y = twin_attention(t, "mask_decoder.transformer.final_attn_token_to_image",
                               twin_sum(t, tokens, pe, count * channels), count, keys, image, cells, inner);
    tokens = twin_norm(t, "mask_decoder.transformer.norm_final_attn", 1e-5, twin_sum(t, tokens, y, count * channels),
                       count, channels);
    *iou = twin_mlp(t, "mask_decoder.iou_prediction_head.layers.", t->arch->decoder.iou_head_depth, tokens, 1, channels,
                    t->arch->decoder.iou_head_hidden_dim, masks);
    double *half = twin_upscale(t, "mask_decoder.output_upscaling.0", image, cells, channels, channels / 4);
    half = twin_gelu(twin_norm(t, "mask_decoder.output_upscaling.1", 1e-6, half, 4 * cells, channels / 4),
                     cells * channels);
    double *full = twin_gelu(twin_upscale(t, "mask_decoder.output_upscaling.3", half, 4 * cells, channels / 4, eighth),
                             2 * cells * channels);
    *logits = twin_new(t, masks * 16 * cells);
    for (size_t k = 0; k < masks; k++) {
        char name[96];
        snprintf(name, sizeof name, "mask_decoder.output_hypernetworks_mlps.%zu.layers.", k);
        const double *weights = twin_mlp(t, name, t->arch->decoder.hyper_depth, tokens + (1 + k) * channels, 1,
                                         channels, channels, eighth);
        for (size_t i = 0; i < 16 * cells; i++)
            for (size_t c = 0; c < eighth; c++)
                (*logits)[k * 16 * cells + i] += weights[c] * full[i * eighth + c];
    }
}

#endif
