/* The image side of the mask decoder: passes over N cells in pieces that stay in cache. */
#include "model/decoder_steps.h"

#include <float.h>
#include <string.h>

static size_t piece_length(size_t cells, size_t first)
{
    return cells - first < MM_DECODER_PIECE ? cells - first : MM_DECODER_PIECE;
}

/* T * H: vectors of one prompt. */
static size_t vectors_of(const mm_mask_decoder *decoder, const mm_decoder_state *state)
{
    return state->tokens * decoder->arch->decoder.num_heads;
}

static void begin_gathering(mm_decoder_state *state, size_t vectors, size_t width)
{
    for (size_t i = 0; i < vectors * state->prompts; i++) {
        state->maximum[i] = -FLT_MAX;
        state->sum[i] = 0;
    }
    memset(state->gathered, 0, vectors * state->prompts * width * sizeof *state->gathered);
}

/* One piece of the image in a token-to-image attention of prompt p: logits keys x fold_key, running softmax over the
 * cells, sums of the values. keys and values are [cells][width]. */
static mm_status gather_piece(const mm_context *context, mm_decoder_state *state, size_t prompt, size_t vectors,
                              size_t width, const float *keys, const float *values, size_t cells, mm_error *err)
{
    const size_t at = prompt * vectors;
    mm_status status = mm_gemm(context->kernels, false, true, cells, vectors, width, 1, keys, width,
                               state->fold_key + at * width, width, 0, state->piece_logits, vectors, err);
    if (status != MM_OK)
        return status;
    context->ops->softmax_step_columns(state->piece_logits, cells, vectors, state->maximum + at, state->sum + at,
                                       state->rescale + at);
    context->ops->scale_rows(state->gathered + at * width, state->rescale + at, vectors, width, width);
    return mm_gemm(context->kernels, true, false, vectors, width, cells, 1, state->piece_logits, vectors, values, width,
                   1, state->gathered + at * width, width, err);
}

/* piece_keys = keys + positional encoding */
static void add_positions(const mm_mask_decoder *decoder, const mm_context *context, const float *keys, size_t first,
                          size_t cells, float *out)
{
    const size_t channels = decoder->arch->prompt_embed_dim;
    memcpy(out, keys, cells * channels * sizeof *out);
    context->ops->add(out, decoder->prompts->dense_pe + first * channels, cells * channels);
}

mm_status mm_decoder_gather(const mm_mask_decoder *decoder, const mm_context *context, const mm_image_side *side,
                            bool shared, mm_decoder_state *state, mm_error *err)
{
    const size_t cells = (size_t)decoder->arch->embedding_side * decoder->arch->embedding_side;
    const size_t channels = decoder->arch->prompt_embed_dim, inner = decoder->arch->decoder.cross_dim;
    const size_t vectors = vectors_of(decoder, state), width = shared ? inner : channels;
    begin_gathering(state, vectors, width);
    for (size_t first = 0; first < cells; first += MM_DECODER_PIECE) {
        const size_t count = piece_length(cells, first);
        for (size_t p = 0; p < state->prompts; p++) {
            const float *keys = side->key + first * inner, *values = side->value + first * inner;
            if (!shared) {
                values = state->keys + (p * cells + first) * channels;
                add_positions(decoder, context, values, first, count, state->piece_keys);
                keys = state->piece_keys;
            }
            const mm_status status = gather_piece(context, state, p, vectors, width, keys, values, count, err);
            if (status != MM_OK)
                return status;
        }
    }
    return MM_OK;
}

/* Image-to-token attention on one piece: keys = LN4(before + softmax(...) values). `features` are what fold_query
 * meets: the shared queries (width c), or keys + positions (width D). */
static mm_status update_piece(const mm_mask_decoder *decoder, const mm_context *context, const mm_decoder_layer *layer,
                              mm_decoder_state *state, size_t prompt, const float *features, size_t width,
                              const float *before, size_t cells, float *keys, mm_error *err)
{
    const size_t channels = decoder->arch->prompt_embed_dim, heads = decoder->arch->decoder.num_heads;
    const size_t vectors = vectors_of(decoder, state), at = prompt * vectors;
    mm_status status = mm_gemm(context->kernels, false, true, cells, vectors, width, 1, features, width,
                               state->fold_query + at * width, width, 0, state->piece_logits, vectors, err);
    if (status != MM_OK)
        return status;
    if (width == channels)
        context->ops->add_bias(state->piece_logits, state->fold_bias + at, cells, vectors);
    context->ops->softmax_groups(state->piece_logits, cells, state->tokens, heads);
    if (before != keys)
        memcpy(keys, before, cells * channels * sizeof *keys);
    status = mm_gemm(context->kernels, false, false, cells, channels, vectors, 1, state->piece_logits, vectors,
                     state->fold_value + at * channels, channels, 1, keys, channels, err);
    if (status != MM_OK)
        return status;
    context->ops->add_bias(keys, layer->image_to_token.out.bias, cells, channels);
    context->ops->layer_norm(keys, layer->norm4.weight, layer->norm4.bias, layer->norm4.eps, keys, cells, channels);
    return MM_OK;
}

mm_status mm_decoder_image_pass(const mm_mask_decoder *decoder, const mm_context *context,
                                const mm_decoder_layer *layer, const mm_image_side *side, bool shared,
                                mm_decoder_state *state, mm_error *err)
{
    const size_t cells = (size_t)decoder->arch->embedding_side * decoder->arch->embedding_side;
    const size_t channels = decoder->arch->prompt_embed_dim, inner = decoder->arch->decoder.cross_dim;
    const size_t vectors = vectors_of(decoder, state);
    begin_gathering(state, vectors, channels);
    for (size_t p = 0; p < state->prompts; p++)
        for (size_t first = 0; first < cells; first += MM_DECODER_PIECE) {
            const size_t count = piece_length(cells, first);
            float *keys = state->keys + (p * cells + first) * channels;
            const float *before = shared ? side->keys + first * channels : keys;
            const float *features = shared ? side->query + first * inner : state->piece_keys;
            if (!shared)
                add_positions(decoder, context, keys, first, count, state->piece_keys);
            mm_status status = update_piece(decoder, context, layer, state, p, features, shared ? inner : channels,
                                            before, count, keys, err);
            if (status != MM_OK)
                return status;
            add_positions(decoder, context, keys, first, count, state->piece_keys);
            status = gather_piece(context, state, p, vectors, channels, state->piece_keys, keys, count, err);
            if (status != MM_OK)
                return status;
        }
    return MM_OK;
}

mm_status mm_image_side_prepare(const mm_mask_decoder *decoder, const mm_context *context, mm_image_side *side,
                                float *scratch, mm_error *err)
{
    const mm_decoder_layer *layer = &decoder->layers[0];
    const size_t cells = (size_t)decoder->arch->embedding_side * decoder->arch->embedding_side;
    const size_t channels = decoder->arch->prompt_embed_dim;
    memcpy(side->keys, side->embedding, cells * channels * sizeof *side->keys);
    context->ops->add_bias(side->keys, decoder->prompts->no_mask, cells, channels);
    add_positions(decoder, context, side->keys, 0, cells, scratch);
    mm_status status = mm_layer_product(context, &layer->token_to_image.k, scratch, cells, side->key, err);
    if (status == MM_OK)
        status = mm_layer_linear(context, &layer->token_to_image.v, side->keys, cells, side->value, err);
    if (status == MM_OK)
        status = mm_layer_linear(context, &layer->image_to_token.q, scratch, cells, side->query, err);
    return status;
}
