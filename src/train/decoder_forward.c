/* The decoder from prompts to the tokens and the image that the heads see. Names of steps as in the reference. */
#include <string.h>

#include "train/decoder_state.h"

static void begin_tokens(const mm_trained_decoder *decoder, const mm_training_batch *batch, mm_decoder_run_state *state)
{
    const size_t channels = decoder->arch.prompt_embed_dim, masks = decoder->arch.decoder.mask_tokens;
    for (size_t p = 0; p < batch->count; p++) {
        float *row = state->tokens_in + p * state->tokens * channels;
        memcpy(row, decoder->iou_token.values, channels * sizeof *row);
        memcpy(row + channels, decoder->mask_tokens.values, masks * channels * sizeof *row);
        mm_prompt_encode(&decoder->prompts, batch->frame, &batch->prompts[p], row + (1 + masks) * channels);
    }
}

/* The image as the first layer sees it: embedding + what is said of the mask so far. */
static void begin_image(mm_learner *learner, const mm_trained_decoder *decoder, const mm_training_batch *batch,
                        mm_decoder_run_state *state)
{
    const size_t channels = decoder->arch.prompt_embed_dim, floats = decoder->cells * channels;
    mm_level_state *level = &state->levels[0];
    for (size_t p = 0; p < (level->shared ? 1 : batch->count); p++) {
        float *values = level->values + p * floats;
        if (level->shared) {
            memcpy(values, batch->embedding, floats * sizeof *values);
            learner->ops->add_bias(values, decoder->no_mask.values, decoder->cells, channels);
        } else {
            mm_mask_input_forward(learner, &decoder->mask_input, batch->mask_input[p], decoder->cells,
                                  &state->mask_input, values);
            learner->ops->add(values, batch->embedding, floats);
        }
        learner->ops->sum(values, decoder->prompts.dense_pe, level->keys + p * floats, floats);
    }
}

/* Tokens (with positions) look at the image of a level: mixed[R][c]. */
static void look(mm_learner *learner, const mm_trained_decoder *decoder, const mm_trained_attention *attention,
                 const float *where, mm_decoder_run_state *state, mm_level_state *level, float *query, float *gathered,
                 float *mixed)
{
    const size_t channels = decoder->arch.prompt_embed_dim, inner = decoder->arch.decoder.cross_dim;
    const size_t heads = decoder->arch.decoder.num_heads, rows = state->rows;
    mm_linear_forward(learner, &attention->q, where, rows, query);
    mm_fold_forward(learner, attention->k.weight, mm_trained_scale(&decoder->arch), rows, heads, inner, channels, query,
                    level->key_vectors);
    const size_t groups = level->shared ? 1 : state->prompts, vectors = rows * heads / groups;
    for (size_t g = 0; g < groups; g++) {
        const mm_image_level image = mm_level_of(decoder, level, g);
        mm_look_forward(learner, &image, vectors, level->key_vectors + g * vectors * channels, mm_block_of(level,
                                                                                                           MM_LOOK, g),
                        gathered + g * vectors * channels);
    }
    mm_unfold_forward(learner, attention->v.weight, rows, heads, inner, channels, gathered, mixed);
    learner->ops->add_bias(mixed, attention->v.bias, rows, inner);
}

static void self_attention(mm_learner *learner, const mm_trained_decoder *decoder, size_t index,
                           mm_decoder_run_state *state)
{
    const mm_trained_layer *layer = &decoder->layers[index];
    mm_layer_state *own = &state->layers[index];
    const size_t channels = decoder->arch.prompt_embed_dim, rows = state->rows;
    const mm_token_sizes sizes = {state->prompts, state->tokens, decoder->arch.decoder.num_heads, channels};
    own->in = index ? state->layers[index - 1].out3 : state->tokens_in;
    own->in_where = index ? state->layers[index - 1].out3_where : state->tokens_in;
    mm_token_attention_forward(learner, &layer->self, &sizes, own->in_where, own->in, &own->self, state->work[0]);
    /* The first layer replaces the tokens instead of adding to them. */
    mm_norm_forward(learner, &layer->norm1, state->work[0], index ? own->in : NULL, rows, &own->norm1, own->out1);
    learner->ops->sum(own->out1, state->tokens_in, own->out1_where, rows * channels);
}

/* What the image will look for in the tokens and find there. */
static void offer_tokens(mm_learner *learner, const mm_trained_decoder *decoder, const mm_trained_attention *attention,
                         mm_decoder_run_state *state, mm_layer_state *own)
{
    const size_t channels = decoder->arch.prompt_embed_dim, inner = decoder->arch.decoder.cross_dim;
    const size_t heads = decoder->arch.decoder.num_heads, dim = inner / heads, rows = state->rows;
    const float scale = mm_trained_scale(&decoder->arch);
    mm_linear_forward(learner, &attention->k, own->out3_where, rows, own->key);
    mm_linear_forward(learner, &attention->v, own->out3, rows, own->value);
    mm_fold_forward(learner, attention->q.weight, scale, rows, heads, inner, channels, own->key, own->query_vectors);
    mm_fold_out_forward(learner, attention->out.weight, rows, heads, inner, channels, own->value, own->value_vectors);
    for (size_t row = 0; row < rows; row++)
        for (size_t h = 0; h < heads; h++) {
            float dot = 0;
            for (size_t i = 0; i < dim; i++)
                dot += attention->q.bias[h * dim + i] * own->key[row * inner + h * dim + i];
            own->query_bias[row * heads + h] = scale * dot;
        }
}

static void update_image(mm_learner *learner, const mm_trained_decoder *decoder, size_t index,
                         mm_decoder_run_state *state)
{
    const mm_trained_layer *layer = &decoder->layers[index];
    const mm_layer_state *own = &state->layers[index];
    const mm_level_state *before = &state->levels[index];
    mm_level_state *after = &state->levels[index + 1];
    const size_t channels = decoder->arch.prompt_embed_dim, floats = decoder->cells * channels;
    const size_t vectors = state->vectors;
    for (size_t p = 0; p < state->prompts; p++) {
        const mm_image_level image = mm_level_of(decoder, before, p);
        const mm_update update = {.tokens = state->tokens,
                                  .heads = decoder->arch.decoder.num_heads,
                                  .query_vectors = own->query_vectors + p * vectors * channels,
                                  .query_bias = own->query_bias + p * vectors,
                                  .value_vectors = own->value_vectors + p * vectors * channels,
                                  .out_bias = layer->image_to_token.out.bias,
                                  .weights = mm_block_of(before, MM_UPDATE, p)};
        mm_norm_state norm = {after->norm.normal + p * floats, after->norm.inverse + p * decoder->cells};
        mm_update_forward(learner, &image, &update, &layer->norm4, decoder->prompts.dense_pe, &norm,
                          after->values + p * floats, after->keys + p * floats);
    }
}

static void run_heads(mm_learner *learner, const mm_trained_decoder *decoder, mm_decoder_run_state *state)
{
    const size_t channels = decoder->arch.prompt_embed_dim, eighth = channels / 8, tokens = state->tokens;
    const size_t masks = decoder->arch.decoder.mask_tokens, prompts = state->prompts;
    for (size_t p = 0; p < prompts; p++)
        memcpy(state->iou_row + p * channels, state->tokens_out + p * tokens * channels, channels * sizeof(float));
    mm_mlp_forward(learner, &decoder->iou_head, state->iou_row, prompts, state->iou_hidden, state->iou);
    for (size_t k = 0; k < masks; k++) {
        for (size_t p = 0; p < prompts; p++) /* token 0 is the IoU token */
            memcpy(state->mask_rows[k] + p * channels, state->tokens_out + (p * tokens + 1 + k) * channels,
                   channels * sizeof(float));
        mm_mlp_forward(learner, &decoder->hyper[k], state->mask_rows[k], prompts, state->hyper_hidden[k],
                       state->hyper_out);
        for (size_t p = 0; p < prompts; p++)
            memcpy(state->hyper + (p * masks + k) * eighth, state->hyper_out + p * eighth, eighth * sizeof(float));
    }
}

void mm_decoder_forward(mm_learner *learner, const mm_trained_decoder *decoder, const mm_training_batch *batch,
                        mm_decoder_run_state *state)
{
    const size_t channels = decoder->arch.prompt_embed_dim, rows = state->rows, depth = decoder->arch.decoder.depth;
    begin_tokens(decoder, batch, state);
    begin_image(learner, decoder, batch, state);
    float *out = state->work[0];
    for (size_t i = 0; i < depth; i++) {
        const mm_trained_layer *layer = &decoder->layers[i];
        mm_layer_state *own = &state->layers[i];
        self_attention(learner, decoder, i, state);
        look(learner, decoder, &layer->token_to_image, own->out1_where, state, &state->levels[i], own->query,
             own->gathered, own->mixed);
        mm_linear_forward(learner, &layer->token_to_image.out, own->mixed, rows, out);
        mm_norm_forward(learner, &layer->norm2, out, own->out1, rows, &own->norm2, own->out2);
        mm_mlp_forward(learner, &layer->mlp, own->out2, rows, &own->hidden, out);
        mm_norm_forward(learner, &layer->norm3, out, own->out2, rows, &own->norm3, own->out3);
        learner->ops->sum(own->out3, state->tokens_in, own->out3_where, rows * channels);
        offer_tokens(learner, decoder, &layer->image_to_token, state, own);
        update_image(learner, decoder, i, state);
    }
    const mm_layer_state *top = &state->layers[depth - 1];
    look(learner, decoder, &decoder->final, top->out3_where, state, &state->levels[depth], state->last_query,
         state->last_gathered, state->last_mixed);
    mm_linear_forward(learner, &decoder->final.out, state->last_mixed, rows, out);
    mm_norm_forward(learner, &decoder->norm_final, out, top->out3, rows, &state->last_norm, state->tokens_out);
    run_heads(learner, decoder, state);
}

void mm_decoder_judge(mm_learner *learner, const mm_trained_decoder *decoder, const mm_judge *judge, bool back,
                      mm_decoder_run_state *state)
{
    const size_t channels = decoder->arch.prompt_embed_dim, eighth = channels / 8, cells = decoder->cells;
    const size_t masks = decoder->arch.decoder.mask_tokens;
    const mm_level_state *last = &state->levels[decoder->arch.decoder.depth];
    memset(state->dhyper, 0, state->prompts * masks * eighth * sizeof(float));
    for (size_t p = 0; p < state->prompts && learner->status == MM_OK; p++) {
        const float *image = last->values + p * cells * channels, *weights = state->hyper + p * masks * eighth;
        float *dimage = state->dimage + p * cells * channels, *chosen = state->stack;
        mm_upscaling_forward(learner, &decoder->upscaling, image, cells, weights, masks, &state->upscaling,
                             state->logits);
        mm_verdict verdict = {.dlogits = state->dlogits};
        judge->judge(judge->user, p, state->logits, state->iou + p * masks, &verdict);
        if (!back)
            continue;
        memcpy(state->diou + p * masks, verdict.diou, masks * sizeof(float));
        if (!verdict.count) {
            memset(dimage, 0, cells * channels * sizeof *dimage);
            continue;
        }
        float *dchosen = chosen + verdict.count * eighth;
        for (size_t m = 0; m < verdict.count; m++)
            memcpy(chosen + m * eighth, weights + verdict.masks[m] * eighth, eighth * sizeof *chosen);
        mm_upscaling_back(learner, &decoder->upscaling, image, cells, chosen, verdict.count, verdict.dlogits,
                          &state->upscaling, state->large, dchosen, dimage);
        for (size_t m = 0; m < verdict.count; m++)
            memcpy(state->dhyper + (p * masks + verdict.masks[m]) * eighth, dchosen + m * eighth,
                   eighth * sizeof *chosen);
    }
}
