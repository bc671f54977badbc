#include "model/mask_decoder.h"

#include <omp.h>
#include <stdlib.h>
#include <string.h>

#include "model/decoder_steps.h"

static mm_decoder_attention load_attention(mm_weights *weights, size_t channels, size_t inner, const char *prefix)
{
    return (mm_decoder_attention){
        .q = mm_weights_linear(weights, channels, inner, true, "mask_decoder.transformer.%s.q_proj", prefix),
        .k = mm_weights_linear(weights, channels, inner, true, "mask_decoder.transformer.%s.k_proj", prefix),
        .v = mm_weights_linear(weights, channels, inner, true, "mask_decoder.transformer.%s.v_proj", prefix),
        .out = mm_weights_linear(weights, inner, channels, true, "mask_decoder.transformer.%s.out_proj", prefix)};
}

static void load_layer(mm_decoder_layer *layer, const mm_arch *arch, unsigned index, mm_weights *weights)
{
    static const char *const names[] = {"self_attn", "cross_attn_token_to_image", "cross_attn_image_to_token"};
    const size_t channels = arch->prompt_embed_dim, hidden = arch->decoder.mlp_dim;
    const char *prefix = "mask_decoder.transformer.layers";
    mm_decoder_attention *const attentions[] = {&layer->self, &layer->token_to_image, &layer->image_to_token};
    for (int i = 0; i < 3; i++) {
        const size_t inner = i ? arch->decoder.cross_dim : channels;
        mm_decoder_attention *to = attentions[i];
        to->q = mm_weights_linear(weights, channels, inner, true, "%s.%u.%s.q_proj", prefix, index, names[i]);
        to->k = mm_weights_linear(weights, channels, inner, true, "%s.%u.%s.k_proj", prefix, index, names[i]);
        to->v = mm_weights_linear(weights, channels, inner, true, "%s.%u.%s.v_proj", prefix, index, names[i]);
        to->out = mm_weights_linear(weights, inner, channels, true, "%s.%u.%s.out_proj", prefix, index, names[i]);
    }
    mm_norm *const norms[] = {&layer->norm1, &layer->norm2, &layer->norm3, &layer->norm4};
    for (int i = 0; i < 4; i++)
        *norms[i] = mm_weights_norm(weights, channels, 1e-5f, "%s.%u.norm%d", prefix, index, i + 1);
    layer->mlp1 = mm_weights_linear(weights, channels, hidden, true, "%s.%u.mlp.lin1", prefix, index);
    layer->mlp2 = mm_weights_linear(weights, hidden, channels, true, "%s.%u.mlp.lin2", prefix, index);
}

/* torch's ConvTranspose2d weight [in][out][2][2] as rows [2][2][out] of [in], its bias once for each sub-pixel. */
static mm_linear load_upscaling(mm_weights *weights, size_t in, size_t out, const char *prefix)
{
    const float *stored = mm_weights_get(weights, (uint64_t)in * out * 4, "%s.weight", prefix);
    const float *stored_bias = mm_weights_get(weights, out, "%s.bias", prefix);
    float *weight = mm_weights_new(weights, (uint64_t)in * out * 4), *bias = mm_weights_new(weights, 4 * (uint64_t)out);
    const mm_linear linear = {.weight = weight, .bias = bias, .in = in, .out = 4 * out};
    if (weights->status != MM_OK)
        return linear;
    for (size_t k = 0; k < 4; k++)
        for (size_t o = 0; o < out; o++) {
            bias[k * out + o] = stored_bias[o];
            for (size_t i = 0; i < in; i++)
                weight[(k * out + o) * in + i] = stored[(i * out + o) * 4 + k];
        }
    return linear;
}

void mm_mask_decoder_load(mm_mask_decoder *decoder, const mm_arch *arch, const mm_prompt_encoder *prompts,
                          mm_weights *weights)
{
    const size_t channels = arch->prompt_embed_dim, masks = arch->decoder.mask_tokens;
    decoder->arch = arch;
    decoder->prompts = prompts;
    for (uint32_t i = 0; i < arch->decoder.depth; i++)
        load_layer(&decoder->layers[i], arch, i, weights);
    decoder->final = load_attention(weights, channels, arch->decoder.cross_dim, "final_attn_token_to_image");
    decoder->norm_final = mm_weights_norm(weights, channels, 1e-5f, "mask_decoder.transformer.norm_final_attn");
    decoder->iou_token = mm_weights_get(weights, channels, "mask_decoder.iou_token.weight");
    decoder->mask_tokens = mm_weights_get(weights, masks * channels, "mask_decoder.mask_tokens.weight");
    for (uint32_t i = 0; i < arch->decoder.iou_head_depth; i++) {
        const size_t in = i ? arch->decoder.iou_head_hidden_dim : channels;
        const size_t out = i + 1 < arch->decoder.iou_head_depth ? arch->decoder.iou_head_hidden_dim : masks;
        decoder->iou_head[i] = mm_weights_linear(weights, in, out, true, "mask_decoder.iou_prediction_head.layers.%u", i);
    }
    for (uint32_t k = 0; k < masks; k++)
        for (uint32_t i = 0; i < arch->decoder.hyper_depth; i++)
            decoder->hyper[k][i] =
                mm_weights_linear(weights, channels, i + 1 < arch->decoder.hyper_depth ? channels : channels / 8, true,
                                  "mask_decoder.output_hypernetworks_mlps.%u.layers.%u", k, i);
    decoder->upscale1 = load_upscaling(weights, channels, channels / 4, "mask_decoder.output_upscaling.0");
    decoder->upscale_norm = mm_weights_norm(weights, channels / 4, 1e-6f, "mask_decoder.output_upscaling.1");
    decoder->upscale2 = load_upscaling(weights, channels / 4, channels / 8, "mask_decoder.output_upscaling.3");
}

void mm_mask_decoder_pack(mm_mask_decoder *decoder, mm_weights *weights)
{
    for (uint32_t i = 0; i < decoder->arch->decoder.depth; i++) {
        mm_decoder_layer *layer = &decoder->layers[i];
        mm_linear *const linears[] = {&layer->self.q, &layer->self.k, &layer->self.v, &layer->self.out,
                                      &layer->token_to_image.q, &layer->token_to_image.out, &layer->image_to_token.k,
                                      &layer->image_to_token.v, &layer->mlp1, &layer->mlp2};
        for (size_t k = 0; k < sizeof linears / sizeof linears[0]; k++)
            mm_weights_pack(weights, linears[k]);
    }
    mm_weights_pack(weights, &decoder->final.q);
    mm_weights_pack(weights, &decoder->final.out);
    for (uint32_t k = 0; k < decoder->arch->decoder.mask_tokens; k++)
        for (uint32_t i = 0; i < decoder->arch->decoder.hyper_depth; i++)
            mm_weights_pack(weights, &decoder->hyper[k][i]);
}

float *mm_decoder_take(float **memory, size_t *total, size_t floats)
{
    /* Blocks begin on cache lines. */
    const size_t rounded = (floats + 15) / 16 * 16;
    float *block = *memory;
    *total += rounded;
    if (*memory)
        *memory += rounded;
    return block;
}

size_t mm_decoder_layout(const mm_mask_decoder *decoder, size_t prompts, size_t tokens, float *memory,
                         mm_decoder_state *state)
{
    const mm_arch *arch = decoder->arch;
    const size_t channels = arch->prompt_embed_dim, heads = arch->decoder.num_heads, masks = arch->decoder.mask_tokens;
    const size_t cells = (size_t)arch->embedding_side * arch->embedding_side, rows = prompts * tokens;
    size_t widest = arch->decoder.mlp_dim > channels ? arch->decoder.mlp_dim : channels;
    if (widest < arch->decoder.iou_head_hidden_dim)
        widest = arch->decoder.iou_head_hidden_dim;
    /* A row of work[] also holds a row of T self-attention scores. */
    const size_t work = rows * widest > tokens ? rows * widest : tokens;
    const size_t up_cells = mm_decoder_upscale_rows(arch->embedding_side) * arch->embedding_side;
    size_t total = 0;
    float **m = &memory;
    state->prompts = prompts;
    state->tokens = tokens;
    state->queries = mm_decoder_take(m, &total, rows * channels);
    state->query_pe = mm_decoder_take(m, &total, rows * channels);
    for (int i = 0; i < 5; i++)
        state->work[i] = mm_decoder_take(m, &total, work);
    state->fold_key = mm_decoder_take(m, &total, rows * heads * channels);
    state->fold_query = mm_decoder_take(m, &total, rows * heads * channels);
    state->fold_bias = mm_decoder_take(m, &total, rows * heads);
    state->fold_value = mm_decoder_take(m, &total, rows * heads * channels);
    state->gathered = mm_decoder_take(m, &total, rows * heads * channels);
    state->maximum = mm_decoder_take(m, &total, rows * heads);
    state->sum = mm_decoder_take(m, &total, rows * heads);
    state->rescale = mm_decoder_take(m, &total, rows * heads);
    state->keys = mm_decoder_take(m, &total, prompts * cells * channels);
    state->piece_keys = mm_decoder_take(m, &total, MM_DECODER_PIECE * channels);
    state->piece_logits = mm_decoder_take(m, &total, MM_DECODER_PIECE * tokens * (heads > prompts ? heads : prompts));
    state->upscaled1 = mm_decoder_take(m, &total, up_cells * channels);
    state->upscaled2 = mm_decoder_take(m, &total, up_cells * 2 * channels);
    state->rows = mm_decoder_take(m, &total, masks * 16 * up_cells);
    state->logits = mm_decoder_take(m, &total, masks * 16 * cells);
    state->iou = mm_decoder_take(m, &total, prompts * masks);
    return total;
}

size_t mm_decoder_scratch(const mm_mask_decoder *decoder, size_t tokens)
{
    mm_decoder_state state;
    return mm_decoder_layout(decoder, MM_DECODER_BATCH, tokens, NULL, &state);
}

void mm_decoder_begin_tokens(const mm_mask_decoder *decoder, const mm_frame *frame, const mm_prompt_batch *batch,
                             mm_decoder_state *state)
{
    const size_t channels = decoder->arch->prompt_embed_dim, masks = decoder->arch->decoder.mask_tokens;
    for (size_t p = 0; p < batch->count; p++) {
        float *row = state->queries + p * batch->tokens * channels;
        memcpy(row, decoder->iou_token, channels * sizeof *row);
        memcpy(row + channels, decoder->mask_tokens, masks * channels * sizeof *row);
        mm_prompt_encode(decoder->prompts, frame, &batch->prompts[p], row + (1 + masks) * channels);
    }
    memcpy(state->query_pe, state->queries, batch->count * batch->tokens * channels * sizeof *state->queries);
}

/* The image of a prompt with a mask input: embedding + dense embedding of the mask. state->keys serves as scratch for
 * nothing else yet. */
static mm_status begin_image(const mm_mask_decoder *decoder, const mm_context *context, const mm_image_side *side,
                             const float *mask_input, mm_decoder_state *state, mm_error *err)
{
    const size_t cells = (size_t)decoder->arch->embedding_side * decoder->arch->embedding_side;
    float *scratch = mm_floats(mm_prompt_mask_scratch(decoder->arch));
    if (!scratch)
        return mm_fail_memory(err, "a mask input");
    mm_prompt_encode_mask(decoder->prompts, context->ops, mask_input, scratch, state->keys);
    free(scratch);
    context->ops->add(state->keys, side->embedding, cells * decoder->arch->prompt_embed_dim);
    return MM_OK;
}

/* The two-way transformer: on return queries are the final tokens, keys each prompt's final image. */
static mm_status transform(const mm_mask_decoder *decoder, const mm_context *context, const mm_image_side *side,
                           bool shared, mm_decoder_state *state, mm_error *err)
{
    const size_t depth = decoder->arch->decoder.depth, channels = decoder->arch->prompt_embed_dim;
    for (size_t i = 0; i < depth; i++) {
        const mm_decoder_layer *layer = &decoder->layers[i];
        const mm_decoder_attention *next =
            i + 1 < depth ? &decoder->layers[i + 1].token_to_image : &decoder->final;
        mm_status status = MM_OK;
        /* The first layer's tokens look at the image in a pass of their own; later ones in the pass before. */
        if (i == 0) {
            status = mm_decoder_self_attention(decoder, context, 0, state, err);
            if (status == MM_OK)
                status = mm_decoder_fold_keys(decoder, context, &layer->token_to_image, shared, state, err);
            if (status == MM_OK)
                status = mm_decoder_gather(decoder, context, side, shared, state, err);
        }
        if (status == MM_OK)
            status = mm_decoder_unfold(decoder, context, &layer->token_to_image, &layer->norm2, shared && i == 0, state, err);
        if (status == MM_OK)
            status = mm_decoder_mlp(context, layer, channels, state, err);
        if (status == MM_OK)
            status = mm_decoder_fold_queries(decoder, context, &layer->image_to_token, shared && i == 0, state, err);
        /* image_to_token leaves the tokens as they are: the next attention's side of them can be made now. */
        if (status == MM_OK && i + 1 < depth)
            status = mm_decoder_self_attention(decoder, context, i + 1, state, err);
        if (status == MM_OK)
            status = mm_decoder_fold_keys(decoder, context, next, false, state, err);
        if (status == MM_OK)
            status = mm_decoder_image_pass(decoder, context, layer, side, shared && i == 0, state, err);
        if (status != MM_OK)
            return status;
    }
    return mm_decoder_unfold(decoder, context, &decoder->final, &decoder->norm_final, false, state, err);
}

mm_status mm_decoder_predict_iou(const mm_mask_decoder *decoder, const mm_context *context, mm_decoder_state *state,
                                 mm_error *err)
{
    const size_t channels = decoder->arch->prompt_embed_dim;
    for (size_t p = 0; p < state->prompts; p++)
        memcpy(state->work[0] + p * channels, state->queries + p * state->tokens * channels, channels * sizeof(float));
    return mm_decoder_head(context, decoder->iou_head, decoder->arch->decoder.iou_head_depth, state->work[0],
                           state->work[1], state->prompts, state->iou, err);
}

mm_status mm_decoder_run(const mm_mask_decoder *decoder, const mm_context *context, const mm_image_side *side,
                         const mm_frame *frame, const mm_prompt_batch *batch, const mm_mask_sink *sink, float *scratch,
                         mm_model_times *times, mm_error *err)
{
    const double start = omp_get_wtime();
    const size_t masks = decoder->arch->decoder.mask_tokens;
    const size_t plane = 16 * (size_t)decoder->arch->embedding_side * decoder->arch->embedding_side;
    const bool shared = !batch->prompts[0].mask_input;
    mm_decoder_state state;
    /* The size was asked for by mm_decoder_scratch. */
    (void)mm_decoder_layout(decoder, batch->count, batch->tokens, scratch, &state);
    mm_decoder_begin_tokens(decoder, frame, batch, &state);
    mm_status status = MM_OK;
    if (!shared)
        status = begin_image(decoder, context, side, batch->prompts[0].mask_input, &state, err);
    if (status == MM_OK)
        status = transform(decoder, context, side, shared, &state, err);
    if (status == MM_OK)
        status = mm_decoder_predict_iou(decoder, context, &state, err);
    times->to_iou += omp_get_wtime() - start;
    const size_t grid_rows = mm_decoder_grid_rows(frame, sink->padding);
    for (size_t p = 0; p < batch->count && status == MM_OK; p++) {
        const uint32_t all = (1u << masks) - 1;
        const uint32_t wanted = sink->select(sink->user, batch->first + p, state.iou + p * masks) & all;
        if (!wanted)
            continue;
        const double selected = omp_get_wtime();
        status = mm_decoder_upscale(decoder, context, p, wanted, grid_rows, &state, err);
        for (uint32_t k = 0; k < masks; k++)
            if (wanted >> k & 1u)
                mm_decoder_clear_padding(frame, grid_rows, state.logits + k * plane);
        times->upscale += omp_get_wtime() - selected;
        for (uint32_t k = 0; k < masks && status == MM_OK; k++)
            if (wanted >> k & 1u)
                status = sink->take(sink->user, batch->first + p, k, state.logits + k * plane, err);
    }
    return status;
}
