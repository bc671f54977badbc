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

static void begin_gathering(mm_decoder_state *state, size_t vectors, size_t floats)
{
    for (size_t i = 0; i < vectors * state->prompts; i++) {
        state->maximum[i] = -FLT_MAX;
        state->sum[i] = 0;
    }
    memset(state->gathered, 0, floats * sizeof *state->gathered);
}

/* One piece of the image in a token-to-image attention of prompt p: logits[T][H][cells] = fold_key x keys, running
 * softmax over the cells, sums of the values. `keys` carry the positions, `values` do not. */
static mm_status gather_piece(const mm_mask_decoder *decoder, const mm_context *context, mm_decoder_state *state,
                              size_t prompt, const float *keys, const float *values, size_t cells, mm_error *err)
{
    const size_t channels = decoder->arch->prompt_embed_dim, vectors = vectors_of(decoder, state);
    const size_t at = prompt * vectors;
    float *gathered = state->gathered + at * channels;
    mm_status status = mm_gemm(context->kernels, false, true, vectors, cells, channels, 1,
                               state->fold_key + at * channels, channels, keys, channels, 0, state->piece_logits, cells,
                               err);
    if (status != MM_OK)
        return status;
    context->ops->softmax_step(state->piece_logits, vectors, cells, cells, state->maximum + at, state->sum + at,
                               state->rescale + at);
    context->ops->scale_rows(gathered, state->rescale + at, vectors, channels, channels);
    return mm_gemm(context->kernels, false, false, vectors, channels, cells, 1, state->piece_logits, cells, values,
                   channels, 1, gathered, channels, err);
}

/* The same for all prompts of a batch at once on the shared projections: head h meets its own d channels only. Logits
 * are [H][R][cells], and the sums go straight to their places of gathered[R][c]. */
static mm_status gather_shared_piece(const mm_mask_decoder *decoder, const mm_context *context,
                                     mm_decoder_state *state, const float *keys, const float *values, size_t cells,
                                     mm_error *err)
{
    const size_t inner = decoder->arch->decoder.cross_dim, heads = decoder->arch->decoder.num_heads;
    const size_t dim = inner / heads, rows = state->prompts * state->tokens;
    mm_status status = MM_OK;
    for (size_t h = 0; h < heads && status == MM_OK; h++) {
        float *logits = state->piece_logits, *gathered = state->gathered + h * dim;
        const size_t at = h * rows;
        status = mm_gemm(context->kernels, false, true, rows, cells, dim, 1, state->fold_key + h * dim, inner,
                         keys + h * dim, inner, 0, logits, cells, err);
        if (status != MM_OK)
            break;
        context->ops->softmax_step(logits, rows, cells, cells, state->maximum + at, state->sum + at,
                                   state->rescale + at);
        context->ops->scale_rows(gathered, state->rescale + at, rows, dim, inner);
        status = mm_gemm(context->kernels, false, false, rows, dim, cells, 1, logits, cells, values + h * dim, inner, 1,
                         gathered, inner, err);
    }
    return status;
}

/* out = keys + positional encoding, of a piece */
static void add_positions(const mm_mask_decoder *decoder, const mm_context *context, const float *keys, size_t first,
                          size_t cells, float *out)
{
    const size_t channels = decoder->arch->prompt_embed_dim;
    context->ops->sum(keys, decoder->prompts->dense_pe + first * channels, out, cells * channels);
}

mm_status mm_decoder_gather(const mm_mask_decoder *decoder, const mm_context *context, const mm_image_side *side,
                            bool shared, mm_decoder_state *state, mm_error *err)
{
    const size_t cells = (size_t)decoder->arch->embedding_side * decoder->arch->embedding_side;
    const size_t channels = decoder->arch->prompt_embed_dim, inner = decoder->arch->decoder.cross_dim;
    const size_t vectors = vectors_of(decoder, state);
    begin_gathering(state, vectors,
                    shared ? state->prompts * state->tokens * inner : state->prompts * vectors * channels);
    for (size_t first = 0; first < cells; first += MM_DECODER_PIECE) {
        const size_t count = piece_length(cells, first);
        mm_status status = MM_OK;
        if (shared)
            status = gather_shared_piece(decoder, context, state, side->key + first * inner,
                                         side->value + first * inner, count, err);
        for (size_t p = 0; !shared && p < state->prompts && status == MM_OK; p++) {
            const float *keys = state->keys + (p * cells + first) * channels;
            add_positions(decoder, context, keys, first, count, state->piece_keys);
            status = gather_piece(decoder, context, state, p, state->piece_keys, keys, count, err);
        }
        if (status != MM_OK)
            return status;
    }
    return MM_OK;
}

/* Logits of an image-to-token attention on one piece, [T][H][cells]: from the shared queries head by head, or from
 * piece_keys by the folded ones. */
static mm_status token_logits(const mm_mask_decoder *decoder, const mm_context *context, mm_decoder_state *state,
                              size_t prompt, const float *shared_query, size_t cells, mm_error *err)
{
    const size_t channels = decoder->arch->prompt_embed_dim, heads = decoder->arch->decoder.num_heads;
    const size_t inner = decoder->arch->decoder.cross_dim, dim = inner / heads;
    const size_t vectors = vectors_of(decoder, state);
    if (!shared_query)
        return mm_gemm(context->kernels, false, true, vectors, cells, channels, 1,
                       state->fold_query + prompt * vectors * channels, channels, state->piece_keys, channels, 0,
                       state->piece_logits, cells, err);
    mm_status status = MM_OK;
    for (size_t h = 0; h < heads && status == MM_OK; h++)
        status = mm_gemm(context->kernels, false, true, state->tokens, cells, dim, 1,
                         state->fold_query + prompt * state->tokens * inner + h * dim, inner, shared_query + h * dim,
                         inner, 0, state->piece_logits + h * cells, heads * cells, err);
    return status;
}

/* Image-to-token attention on one piece: keys = LN4(before + softmax(...) values); piece_keys = keys + positions. */
static mm_status update_piece(const mm_mask_decoder *decoder, const mm_context *context, const mm_decoder_layer *layer,
                              mm_decoder_state *state, size_t prompt, const float *shared_query, const float *before,
                              size_t first, size_t cells, float *keys, mm_error *err)
{
    const size_t channels = decoder->arch->prompt_embed_dim, heads = decoder->arch->decoder.num_heads;
    const size_t vectors = vectors_of(decoder, state), at = prompt * vectors;
    mm_status status = token_logits(decoder, context, state, prompt, shared_query, cells, err);
    if (status != MM_OK)
        return status;
    /* The shared queries carry their bias already. */
    context->ops->softmax_tokens(state->piece_logits, shared_query ? NULL : state->fold_bias + at, state->tokens, heads,
                                 cells);
    status = mm_gemm(context->kernels, true, false, cells, channels, vectors, 1, state->piece_logits, cells,
                     state->fold_value + at * channels, channels, 0, state->piece_keys, channels, err);
    if (status == MM_OK)
        context->ops->residual_norm(state->piece_keys, before, layer->image_to_token.out.bias, layer->norm4.weight,
                                    layer->norm4.bias, layer->norm4.eps, decoder->prompts->dense_pe + first * channels,
                                    keys, state->piece_keys, cells, channels);
    return status;
}

mm_status mm_decoder_image_pass(const mm_mask_decoder *decoder, const mm_context *context,
                                const mm_decoder_layer *layer, const mm_image_side *side, bool shared,
                                mm_decoder_state *state, mm_error *err)
{
    const size_t cells = (size_t)decoder->arch->embedding_side * decoder->arch->embedding_side;
    const size_t channels = decoder->arch->prompt_embed_dim, inner = decoder->arch->decoder.cross_dim;
    const size_t vectors = vectors_of(decoder, state);
    begin_gathering(state, vectors, state->prompts * vectors * channels);
    for (size_t p = 0; p < state->prompts; p++)
        for (size_t first = 0; first < cells; first += MM_DECODER_PIECE) {
            const size_t count = piece_length(cells, first);
            float *keys = state->keys + (p * cells + first) * channels;
            if (!shared)
                add_positions(decoder, context, keys, first, count, state->piece_keys);
            mm_status status = update_piece(decoder, context, layer, state, p,
                                            shared ? side->query + first * inner : NULL,
                                            shared ? side->keys + first * channels : keys, first, count, keys, err);
            if (status == MM_OK)
                status = gather_piece(decoder, context, state, p, state->piece_keys, keys, count, err);
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
