/* The token side of the mask decoder: R = P * T rows, small products. */
#include "model/decoder_steps.h"

#include <math.h>
#include <string.h>

static size_t row_count(const mm_decoder_state *state)
{
    return state->prompts * state->tokens;
}

void mm_decoder_add_positions(const mm_context *context, const mm_decoder_state *state, size_t channels, float *out)
{
    const size_t floats = row_count(state) * channels;
    memcpy(out, state->queries, floats * sizeof *out);
    context->ops->add(out, state->query_pe, floats);
}

/* softmax(q k^T / sqrt(d)) v within each prompt: T x T scores, too small for a library. */
static void attend_tokens(const mm_decoder_state *state, size_t heads, size_t channels, const float *q, const float *k,
                          const float *v, float *scores, float *out)
{
    const size_t tokens = state->tokens, dim = channels / heads;
    const float scale = (float)(1.0 / sqrt((double)dim));
    memset(out, 0, row_count(state) * channels * sizeof *out);
    for (size_t row = 0; row < row_count(state); row++) {
        const size_t first = row / tokens * tokens; /* of the row's prompt */
        for (size_t h = 0; h < heads; h++) {
            float top = -INFINITY, sum = 0;
            for (size_t j = 0; j < tokens; j++) {
                float dot = 0;
                for (size_t i = 0; i < dim; i++)
                    dot += q[row * channels + h * dim + i] * k[(first + j) * channels + h * dim + i];
                scores[j] = dot * scale;
                top = scores[j] > top ? scores[j] : top;
            }
            for (size_t j = 0; j < tokens; j++)
                sum += scores[j] = expf(scores[j] - top);
            for (size_t j = 0; j < tokens; j++)
                for (size_t i = 0; i < dim; i++)
                    out[row * channels + h * dim + i] += scores[j] / sum * v[(first + j) * channels + h * dim + i];
        }
    }
}

mm_status mm_decoder_self_attention(const mm_mask_decoder *decoder, const mm_context *context, size_t layer,
                                    mm_decoder_state *state, mm_error *err)
{
    const mm_decoder_layer *weights = &decoder->layers[layer];
    const size_t channels = decoder->arch->prompt_embed_dim, rows = row_count(state);
    float *q = state->work[0], *k = state->work[1], *v = state->work[2], *mixed = state->work[3];
    float *with_positions = state->work[4];
    const float *source = state->queries;
    if (layer) {
        mm_decoder_add_positions(context, state, channels, with_positions);
        source = with_positions;
    }
    mm_status status = mm_layer_linear(context, &weights->self.q, source, rows, q, err);
    if (status == MM_OK)
        status = mm_layer_linear(context, &weights->self.k, source, rows, k, err);
    if (status == MM_OK)
        status = mm_layer_linear(context, &weights->self.v, state->queries, rows, v, err);
    if (status != MM_OK)
        return status;
    /* with_positions has been read: its place serves for a row of scores. */
    attend_tokens(state, decoder->arch->decoder.num_heads, channels, q, k, v, with_positions, mixed);
    status = mm_layer_linear(context, &weights->self.out, mixed, rows, q, err);
    if (status != MM_OK)
        return status;
    /* The first layer replaces the tokens instead of adding to them. */
    if (layer)
        context->ops->add(q, state->queries, rows * channels);
    context->ops->layer_norm(q, weights->norm1.weight, weights->norm1.bias, weights->norm1.eps, state->queries, rows,
                             channels);
    return MM_OK;
}

/* fold[row][h][D] from x[R][c]: head h's part of each row times `weight`'s rows of that head ([c][D]); or, when shared,
 * [row][c]: nothing is folded, head h meets the c-wide projections in its own channels. */
static mm_status fold(const mm_mask_decoder *decoder, const mm_context *context, const float *weight, float scale,
                      bool shared, size_t rows, const float *x, float *out, mm_error *err)
{
    const size_t inner = decoder->arch->decoder.cross_dim, heads = decoder->arch->decoder.num_heads;
    const size_t dim = inner / heads, channels = decoder->arch->prompt_embed_dim;
    if (shared) {
        for (size_t i = 0; i < rows * inner; i++)
            out[i] = scale * x[i];
        return MM_OK;
    }
    mm_status status = MM_OK;
    for (size_t h = 0; h < heads && status == MM_OK; h++)
        status = mm_gemm(context->kernels, false, false, rows, channels, dim, scale, x + h * dim, inner,
                         weight + h * dim * channels, channels, 0, out + h * channels, heads * channels, err);
    return status;
}

float mm_decoder_logit_scale(const mm_arch *arch)
{
    return (float)(1.0 / sqrt((double)arch->decoder.cross_dim / arch->decoder.num_heads));
}

mm_status mm_decoder_fold_keys(const mm_mask_decoder *decoder, const mm_context *context,
                               const mm_decoder_attention *attention, bool shared, mm_decoder_state *state,
                               mm_error *err)
{
    const size_t rows = row_count(state);
    mm_decoder_add_positions(context, state, decoder->arch->prompt_embed_dim, state->work[0]);
    const mm_status status = mm_layer_linear(context, &attention->q, state->work[0], rows, state->work[1], err);
    if (status != MM_OK)
        return status;
    return fold(decoder, context, attention->k.weight, mm_decoder_logit_scale(decoder->arch), shared, rows, state->work[1],
                state->fold_key, err);
}

mm_status mm_decoder_add_attention(const mm_context *context, const mm_decoder_attention *attention, const mm_norm *norm,
                                   size_t channels, mm_decoder_state *state, mm_error *err)
{
    const size_t rows = row_count(state);
    float *projected = state->work[1];
    const mm_status status = mm_layer_linear(context, &attention->out, state->work[0], rows, projected, err);
    if (status != MM_OK)
        return status;
    context->ops->add(projected, state->queries, rows * channels);
    context->ops->layer_norm(projected, norm->weight, norm->bias, norm->eps, state->queries, rows, channels);
    return MM_OK;
}

mm_status mm_decoder_unfold(const mm_mask_decoder *decoder, const mm_context *context,
                            const mm_decoder_attention *attention, const mm_norm *norm, bool shared,
                            mm_decoder_state *state, mm_error *err)
{
    const size_t inner = decoder->arch->decoder.cross_dim, heads = decoder->arch->decoder.num_heads;
    const size_t dim = inner / heads, channels = decoder->arch->prompt_embed_dim, rows = row_count(state);
    float *sums = state->gathered, *mixed = state->work[0];
    for (size_t i = 0; i < rows * heads; i++)
        state->rescale[i] = 1.0f / state->sum[i];
    mm_status status = MM_OK;
    if (!shared)
        context->ops->scale_rows(sums, state->rescale, rows * heads, channels, channels);
    else
        memcpy(mixed, sums, rows * inner * sizeof *mixed);
    for (size_t h = 0; h < heads && status == MM_OK; h++)
        if (shared) /* softmax state is [H][R] there */
            context->ops->scale_rows(mixed + h * dim, state->rescale + h * rows, rows, dim, inner);
        else
            status = mm_gemm(context->kernels, false, true, rows, dim, channels, 1, sums + h * channels,
                             heads * channels, attention->v.weight + h * dim * channels, channels, 0, mixed + h * dim,
                             inner, err);
    if (status != MM_OK)
        return status;
    /* The shared values carry their bias already. */
    if (!shared)
        context->ops->add_bias(mixed, attention->v.bias, rows, inner);
    return mm_decoder_add_attention(context, attention, norm, channels, state, err);
}

mm_status mm_decoder_mlp(const mm_context *context, const mm_decoder_layer *layer, size_t channels,
                         mm_decoder_state *state, mm_error *err)
{
    const size_t rows = row_count(state);
    float *inner = state->work[0], *out = state->work[1];
    mm_status status = mm_layer_product(context, &layer->mlp1, state->queries, rows, inner, err);
    if (status != MM_OK)
        return status;
    context->ops->bias_relu(inner, layer->mlp1.bias, rows, layer->mlp1.out);
    status = mm_layer_linear(context, &layer->mlp2, inner, rows, out, err);
    if (status != MM_OK)
        return status;
    context->ops->add(out, state->queries, rows * channels);
    context->ops->layer_norm(out, layer->norm3.weight, layer->norm3.bias, layer->norm3.eps, state->queries, rows,
                             channels);
    return MM_OK;
}

mm_status mm_decoder_fold_queries(const mm_mask_decoder *decoder, const mm_context *context,
                                  const mm_decoder_attention *attention, bool shared, mm_decoder_state *state,
                                  mm_error *err)
{
    const size_t inner = decoder->arch->decoder.cross_dim, heads = decoder->arch->decoder.num_heads;
    const size_t dim = inner / heads, channels = decoder->arch->prompt_embed_dim, rows = row_count(state);
    const float scale = mm_decoder_logit_scale(decoder->arch);
    float *key = state->work[1], *value = state->work[2];
    mm_decoder_add_positions(context, state, channels, state->work[0]);
    mm_status status = mm_layer_linear(context, &attention->k, state->work[0], rows, key, err);
    if (status == MM_OK)
        status = mm_layer_linear(context, &attention->v, state->queries, rows, value, err);
    if (status == MM_OK)
        status = fold(decoder, context, attention->q.weight, scale, shared, rows, key, state->fold_query, err);
    /* w_th = Wo_h v_th: columns h * dim .. of Wo[D][c]. */
    for (size_t h = 0; h < heads && status == MM_OK; h++)
        status = mm_gemm(context->kernels, false, true, rows, channels, dim, 1, value + h * dim, inner,
                         attention->out.weight + h * dim, inner, 0, state->fold_value + h * channels, heads * channels,
                         err);
    if (status != MM_OK)
        return status;
    for (size_t row = 0; row < rows && !shared; row++)
        for (size_t h = 0; h < heads; h++) {
            float dot = 0;
            for (size_t i = 0; i < dim; i++)
                dot += attention->q.bias[h * dim + i] * key[row * inner + h * dim + i];
            state->fold_bias[row * heads + h] = scale * dot;
        }
    return MM_OK;
}

mm_status mm_decoder_head(const mm_context *context, const mm_linear *layers, size_t depth, float *x, float *other,
                          size_t rows, float *out, mm_error *err)
{
    for (size_t i = 0; i + 1 < depth; i++) {
        const mm_status status = mm_layer_product(context, &layers[i], x, rows, other, err);
        if (status != MM_OK)
            return status;
        context->ops->bias_relu(other, layers[i].bias, rows, layers[i].out);
        float *swap = x;
        x = other;
        other = swap;
    }
    return mm_layer_linear(context, &layers[depth - 1], x, rows, out, err);
}
