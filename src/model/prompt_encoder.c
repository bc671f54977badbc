#include "model/prompt_encoder.h"

#include <math.h>
#include <string.h>

/* Random Fourier features: sin and cos of 2 pi (2 c - 1) G, for c = (x, y) in [0, 1], in f32 as the reference does. */
static void encode_position(const mm_prompt_encoder *encoder, float x, float y, float *out)
{
    const size_t half = encoder->arch->prompt_embed_dim / 2;
    const float u = 2 * x - 1, v = 2 * y - 1, turn = (float)(2 * M_PI);
    for (size_t i = 0; i < half; i++) {
        const float angle = turn * (u * encoder->gaussian[i] + v * encoder->gaussian[half + i]);
        out[i] = sinf(angle);
        out[half + i] = cosf(angle);
    }
}

void mm_prompt_encoder_load(mm_prompt_encoder *encoder, const mm_arch *arch, mm_weights *weights)
{
    const size_t channels = arch->prompt_embed_dim, side = arch->embedding_side;
    const size_t inner = arch->mask_in_chans, first = inner / 4;
    encoder->arch = arch;
    encoder->gaussian = mm_weights_get(weights, channels / 2 * 2, "prompt_encoder.pe_layer.positional_encoding_gaussian_matrix");
    for (int i = 0; i < 4; i++)
        encoder->point_embeddings[i] = mm_weights_get(weights, channels, "prompt_encoder.point_embeddings.%d.weight", i);
    encoder->not_a_point = mm_weights_get(weights, channels, "prompt_encoder.not_a_point_embed.weight");
    encoder->no_mask = mm_weights_get(weights, channels, "prompt_encoder.no_mask_embed.weight");
    const mm_linear conv1 = mm_weights_linear(weights, 4, first, true, "prompt_encoder.mask_downscaling.0");
    const mm_linear conv2 = mm_weights_linear(weights, 4 * first, inner, true, "prompt_encoder.mask_downscaling.3");
    const mm_linear conv3 = mm_weights_linear(weights, inner, channels, true, "prompt_encoder.mask_downscaling.6");
    encoder->mask.conv1 = conv1.weight;
    encoder->mask.bias1 = conv1.bias;
    encoder->mask.conv2 = conv2.weight;
    encoder->mask.bias2 = conv2.bias;
    encoder->mask.conv3 = conv3.weight;
    encoder->mask.bias3 = conv3.bias;
    encoder->mask.norm1 = mm_weights_norm(weights, first, 1e-6f, "prompt_encoder.mask_downscaling.1");
    encoder->mask.norm2 = mm_weights_norm(weights, inner, 1e-6f, "prompt_encoder.mask_downscaling.4");
    float *dense = mm_weights_new(weights, side * side * channels);
    encoder->dense_pe = dense;
    if (weights->status != MM_OK)
        return;
    for (size_t y = 0; y < side; y++)
        for (size_t x = 0; x < side; x++)
            encode_position(encoder, ((float)x + 0.5f) / (float)side, ((float)y + 0.5f) / (float)side,
                            dense + (y * side + x) * channels);
}

size_t mm_prompt_tokens(const mm_prompt *prompt)
{
    return prompt->point_count + (prompt->point_count && !prompt->box) + (prompt->box ? 2 : 0);
}

static void encode_point(const mm_prompt_encoder *encoder, const mm_frame *frame, double x, double y,
                         const float *embedding, float *token)
{
    /* Into the resized image by the ratio of the rounded sizes, to the pixel's centre, to [0, 1]: all in double. */
    const double size = frame->image_size;
    const double u = (x * ((double)frame->input_width / frame->width) + 0.5) / size;
    const double v = (y * ((double)frame->input_height / frame->height) + 0.5) / size;
    encode_position(encoder, (float)u, (float)v, token);
    for (size_t i = 0; i < encoder->arch->prompt_embed_dim; i++)
        token[i] += embedding[i];
}

void mm_prompt_encode(const mm_prompt_encoder *encoder, const mm_frame *frame, const mm_prompt *prompt, float *tokens)
{
    const size_t channels = encoder->arch->prompt_embed_dim;
    for (size_t i = 0; i < prompt->point_count; i++, tokens += channels) {
        const mm_point *point = &prompt->points[i];
        encode_point(encoder, frame, point->x, point->y, encoder->point_embeddings[point->label ? 1 : 0], tokens);
    }
    if (prompt->point_count && !prompt->box) {
        memcpy(tokens, encoder->not_a_point, channels * sizeof *tokens);
        tokens += channels;
    }
    for (int corner = 0; prompt->box && corner < 2; corner++, tokens += channels)
        encode_point(encoder, frame, prompt->box[2 * corner], prompt->box[2 * corner + 1],
                     encoder->point_embeddings[2 + corner], tokens);
}

size_t mm_prompt_mask_scratch(const mm_arch *arch)
{
    const size_t cells = (size_t)arch->embedding_side * arch->embedding_side;
    return cells * (4 * (size_t)(arch->mask_in_chans / 4) + arch->mask_in_chans);
}

/* 2x2 convolution, stride 2: out[side / 2 squared][channels] from x[side * side][in]; weight[channels][in][2][2]. */
static void halve(const float *x, size_t side, size_t in, const float *weight, const float *bias, size_t channels,
                  float *out)
{
    for (size_t y = 0; y < side / 2; y++)
        for (size_t column = 0; column < side / 2; column++)
            for (size_t c = 0; c < channels; c++) {
                float total = bias[c];
                for (size_t i = 0; i < in; i++)
                    for (size_t k = 0; k < 4; k++)
                        total += weight[(c * in + i) * 4 + k] * x[((2 * y + k / 2) * side + 2 * column + k % 2) * in + i];
                *out++ = total;
            }
}

void mm_prompt_encode_mask(const mm_prompt_encoder *encoder, const mm_vector *ops, const float *logits, float *scratch,
                           float *dense)
{
    const size_t side = encoder->arch->embedding_side, cells = side * side;
    const size_t inner = encoder->arch->mask_in_chans, first = inner / 4, channels = encoder->arch->prompt_embed_dim;
    float *half = scratch, *quarter = half + 4 * cells * first;
    const mm_norm *norm1 = &encoder->mask.norm1, *norm2 = &encoder->mask.norm2;
    halve(logits, 4 * side, 1, encoder->mask.conv1, encoder->mask.bias1, first, half);
    ops->layer_norm(half, norm1->weight, norm1->bias, norm1->eps, half, 4 * cells, first);
    ops->bias_gelu(half, NULL, 4 * cells, first);
    halve(half, 2 * side, first, encoder->mask.conv2, encoder->mask.bias2, inner, quarter);
    ops->layer_norm(quarter, norm2->weight, norm2->bias, norm2->eps, quarter, cells, inner);
    ops->bias_gelu(quarter, NULL, cells, inner);
    for (size_t n = 0; n < cells; n++)
        for (size_t c = 0; c < channels; c++) {
            float total = encoder->mask.bias3[c];
            for (size_t i = 0; i < inner; i++)
                total += encoder->mask.conv3[c * inner + i] * quarter[n * inner + i];
            dense[n * channels + c] = total;
        }
}
