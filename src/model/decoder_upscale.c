/* From a prompt's image to low-res logits: two transposed convolutions, and a product with each mask's vector. */
#include "model/decoder_steps.h"

#include <math.h>
#include <string.h>

size_t mm_decoder_upscale_rows(size_t side)
{
    return side >= 128 ? 1 : 128 / side < side ? 128 / side : side;
}

/* hyper[i][D / 8] for the i-th wanted mask, in state->work[0]; the masks' numbers in masks[]. Returns how many. */
static mm_status hyper_vectors(const mm_mask_decoder *decoder, const mm_context *context, size_t prompt,
                               uint32_t wanted, mm_decoder_state *state, float *hyper, uint32_t *masks, size_t *count,
                               mm_error *err)
{
    const size_t channels = decoder->arch->prompt_embed_dim, out = channels / 8;
    *count = 0;
    for (uint32_t k = 0; k < decoder->arch->decoder.mask_tokens; k++) {
        if (!(wanted >> k & 1u))
            continue;
        /* Token 0 is the IoU token. */
        memcpy(state->work[1], state->queries + (prompt * state->tokens + 1 + k) * channels, channels * sizeof *hyper);
        const mm_status status = mm_decoder_head(context, decoder->hyper[k], decoder->arch->decoder.hyper_depth,
                                                 state->work[1], state->work[2], 1, hyper + *count * out, err);
        if (status != MM_OK)
            return status;
        masks[(*count)++] = k;
    }
    return MM_OK;
}

/* values[cells][4][4], sub-pixels of the first and the second convolution, to rows 4 y .. of logits[L][L]. */
static void place_rows(const float *values, size_t y, size_t rows, size_t side, float *logits)
{
    const size_t low_res = 4 * side;
    for (size_t r = 0; r < rows; r++)
        for (size_t x = 0; x < side; x++, values += 16)
            for (size_t a = 0; a < 4; a++)
                for (size_t b = 0; b < 4; b++)
                    logits[(4 * (y + r) + 2 * (a / 2) + b / 2) * low_res + 4 * x + 2 * (a % 2) + b % 2] = values[a * 4 + b];
}

size_t mm_decoder_grid_rows(const mm_frame *frame, bool padding)
{
    const size_t side = frame->low_res / 4;
    if (padding)
        return side;
    /* The last pixel's centre, in low-res pixels; it is interpolated with the one below. */
    const double last = ((double)frame->input_height - 0.5) * frame->low_res / frame->image_size - 0.5;
    const size_t rows = ((size_t)(last > 0 ? last : 0) + 2 + 3) / 4;
    return rows < side ? rows : side;
}

void mm_decoder_clear_padding(const mm_frame *frame, size_t grid_rows, float *logits)
{
    const size_t low_res = frame->low_res;
    for (size_t i = 4 * grid_rows * low_res; i < low_res * low_res; i++)
        logits[i] = -INFINITY;
}

mm_status mm_decoder_upscale(const mm_mask_decoder *decoder, const mm_context *context, size_t prompt, uint32_t wanted,
                             size_t grid_rows, mm_decoder_state *state, mm_error *err)
{
    const size_t side = decoder->arch->embedding_side, channels = decoder->arch->prompt_embed_dim;
    const size_t quarter = channels / 4, eighth = channels / 8, step = mm_decoder_upscale_rows(side);
    const size_t plane = 16 * side * side;
    float *hyper = state->work[0];
    uint32_t masks[MM_MAX_MASK_TOKENS];
    size_t count;
    mm_status status = hyper_vectors(decoder, context, prompt, wanted, state, hyper, masks, &count, err);
    for (size_t y = 0; y < grid_rows && status == MM_OK; y += step) {
        const size_t rows = grid_rows - y < step ? grid_rows - y : step, cells = rows * side;
        const float *keys = state->keys + (prompt * side * side + y * side) * channels;
        status = mm_layer_linear(context, &decoder->upscale1, keys, cells, state->upscaled1, err);
        if (status != MM_OK)
            break;
        const mm_norm *norm = &decoder->upscale_norm;
        context->ops->layer_norm(state->upscaled1, norm->weight, norm->bias, norm->eps, state->upscaled1, 4 * cells,
                                 quarter);
        context->ops->bias_gelu(state->upscaled1, NULL, 4 * cells, quarter);
        status = mm_layer_product(context, &decoder->upscale2, state->upscaled1, 4 * cells, state->upscaled2, err);
        if (status != MM_OK)
            break;
        context->ops->bias_gelu(state->upscaled2, decoder->upscale2.bias, 4 * cells, 4 * eighth);
        status = mm_gemm(context->kernels, false, true, count, 16 * cells, eighth, 1, hyper, eighth, state->upscaled2,
                         eighth, 0, state->rows, 16 * cells, err);
        for (size_t i = 0; i < count && status == MM_OK; i++)
            place_rows(state->rows + i * 16 * cells, y, rows, side, state->logits + masks[i] * plane);
    }
    return status;
}
