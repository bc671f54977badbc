/* The way back through the decoder: the steps of decoder_forward.c in the opposite order. On its way dtokens is the
 * gradient by the tokens after the step that comes next, dimage that by the image of the level that comes next; dwhere
 * collects what goes to the tokens as positions, which are the tokens as they began. */
#include <string.h>

#include "train/decoder_state.h"

/* Rows that a step was given with positions: their gradient goes to the tokens and to the positions. */
static void add_where(mm_learner *learner, const float *dx, size_t floats, mm_decoder_run_state *state)
{
    learner->ops->add(state->dtokens, dx, floats);
    learner->ops->add(state->dwhere, dx, floats);
}

static void heads_back(mm_learner *learner, const mm_trained_decoder *decoder, mm_decoder_run_state *state)
{
    const size_t channels = decoder->arch.prompt_embed_dim, eighth = channels / 8, tokens = state->tokens;
    const size_t masks = decoder->arch.decoder.mask_tokens, prompts = state->prompts;
    float *const scratch[2] = {state->work[0], state->work[1]}, *drows = state->work[2];
    memset(state->dtokens, 0, state->rows * channels * sizeof(float));
    mm_mlp_back(learner, &decoder->iou_head, state->iou_row, state->iou_hidden, state->diou, prompts, scratch, MM_SET,
                drows);
    for (size_t p = 0; p < prompts; p++)
        memcpy(state->dtokens + p * tokens * channels, drows + p * channels, channels * sizeof(float));
    for (size_t k = 0; k < masks; k++) {
        bool any = false;
        for (size_t p = 0; p < prompts; p++)
            for (size_t i = 0; i < eighth; i++) {
                state->hyper_out[p * eighth + i] = state->dhyper[(p * masks + k) * eighth + i];
                any = any || state->hyper_out[p * eighth + i] != 0;
            }
        if (!any)
            continue;
        mm_mlp_back(learner, &decoder->hyper[k], state->mask_rows[k], state->hyper_hidden[k], state->hyper_out, prompts,
                    scratch, MM_SET, drows);
        for (size_t p = 0; p < prompts; p++)
            memcpy(state->dtokens + (p * tokens + 1 + k) * channels, drows + p * channels, channels * sizeof(float));
    }
}

/* From dmixed[R][c] in work[0]: dgathered, the level's scores' gradient, and dtokens and dwhere. */
static void look_back(mm_learner *learner, const mm_trained_decoder *decoder, const mm_trained_attention *attention,
                      const float *where, const float *query, const float *gathered, mm_level_state *level,
                      mm_decoder_run_state *state)
{
    const size_t channels = decoder->arch.prompt_embed_dim, inner = decoder->arch.decoder.cross_dim;
    const size_t heads = decoder->arch.decoder.num_heads, rows = state->rows;
    const float *dmixed = state->work[0];
    float *dquery = state->work[1], *dx = state->work[2], *dvectors = state->dvectors[0];
    mm_unfold_back(learner, attention->v.weight, attention->v.dweight, rows, heads, inner, channels, gathered, dmixed,
                   state->dgathered);
    learner->gradient->add_columns(dmixed, attention->v.dbias, rows, inner);
    const size_t groups = level->shared ? 1 : state->prompts, vectors = rows * heads / groups;
    for (size_t g = 0; g < groups; g++) {
        const mm_image_level image = mm_level_of(decoder, level, g);
        mm_look_back(learner, &image, vectors, mm_block_of(level, MM_LOOK, g),
                     state->dgathered + g * vectors * channels,
                     mm_block_of(level, MM_DLOOK, g), dvectors + g * vectors * channels);
    }
    /* A bias of the keys adds the same to all scores of a softmax: its gradient is zero. */
    mm_fold_back(learner, attention->k.weight, attention->k.dweight, mm_trained_scale(&decoder->arch), rows, heads,
                 inner, channels, query, dvectors, dquery);
    mm_linear_back(learner, &attention->q, where, dquery, rows, MM_SET, dx);
    add_where(learner, dx, rows * channels, state);
}

/* The image's part in what was looked at: dimage += weights^T dgathered + dscores^T key vectors, and where the image
 * looked at tokens (`queries` given), dscores^T query vectors. One product over all of them. */
static void look_back_image(mm_learner *learner, const mm_trained_decoder *decoder, const mm_level_state *level,
                            const float *queries, mm_decoder_run_state *state)
{
    const size_t channels = decoder->arch.prompt_embed_dim, cells = decoder->cells, vectors = state->vectors;
    const size_t floats = vectors * channels, kinds = queries ? 3 : 2;
    for (size_t p = 0; p < state->prompts; p++) {
        memcpy(state->stack, state->dgathered + p * floats, floats * sizeof(float));
        memcpy(state->stack + floats, level->key_vectors + p * floats, floats * sizeof(float));
        if (queries)
            memcpy(state->stack + 2 * floats, queries + p * floats, floats * sizeof(float));
        mm_multiply(learner, true, false, cells, channels, kinds * vectors, 1, mm_block_of(level, MM_LOOK, p), cells,
                    state->stack, channels, 1, state->dimage + p * cells * channels, channels);
    }
}

/* The same for an image that is embedding + "no mask", whose gradient is wanted only as a sum over cells: weights add
 * up to one there, scores' gradients to zero, and those of the other way to dbias. */
static void look_back_no_mask(mm_learner *learner, const mm_trained_decoder *decoder, const float *queries,
                              const float *dbias, mm_decoder_run_state *state)
{
    const size_t channels = decoder->arch.prompt_embed_dim, vectors = state->prompts * state->vectors;
    learner->gradient->add_columns(state->dgathered, decoder->no_mask.dvalues, vectors, channels);
    mm_multiply(learner, false, false, 1, channels, vectors, 1, dbias, vectors, queries, channels, 1,
                decoder->no_mask.dvalues, channels);
}

/* dimage: from the image after layer `index` to the residual part of the one before; vectors' gradients to dvectors. */
static void update_back(mm_learner *learner, const mm_trained_decoder *decoder, size_t index,
                        mm_decoder_run_state *state)
{
    const mm_trained_layer *layer = &decoder->layers[index];
    const mm_layer_state *own = &state->layers[index];
    const mm_level_state *before = &state->levels[index], *after = &state->levels[index + 1];
    const size_t channels = decoder->arch.prompt_embed_dim, floats = decoder->cells * channels;
    const size_t vectors = state->vectors;
    memset(state->columns, 0, channels * sizeof(float));
    for (size_t p = 0; p < state->prompts; p++) {
        const size_t at = p * vectors * channels;
        const mm_image_level image = mm_level_of(decoder, before, p);
        const mm_update update = {.tokens = state->tokens,
                                  .heads = decoder->arch.decoder.num_heads,
                                  .query_vectors = own->query_vectors + at,
                                  .value_vectors = own->value_vectors + at,
                                  .weights = mm_block_of(before, MM_UPDATE, p)};
        const mm_norm_state norm = {after->norm.normal + p * floats, after->norm.inverse + p * decoder->cells};
        mm_update_back(learner, &image, &update, &layer->norm4, &norm, state->dimage + p * floats,
                       mm_block_of(before, MM_DUPDATE, p), state->dvectors[0] + at, state->dbias + p * vectors,
                       state->dvectors[1] + at, state->columns);
    }
    learner->ops->add(layer->image_to_token.out.dbias, state->columns, channels);
    if (before->shared)
        learner->ops->add(decoder->no_mask.dvalues, state->columns, channels);
}

/* From dvectors and dbias to the tokens that the image looked at. */
static void offer_back(mm_learner *learner, const mm_trained_decoder *decoder, const mm_trained_attention *attention,
                       const mm_layer_state *own, mm_decoder_run_state *state)
{
    const size_t channels = decoder->arch.prompt_embed_dim, inner = decoder->arch.decoder.cross_dim;
    const size_t heads = decoder->arch.decoder.num_heads, dim = inner / heads, rows = state->rows;
    const float scale = mm_trained_scale(&decoder->arch);
    float *dvalue = state->work[0], *dkey = state->work[1], *dx = state->work[2];
    mm_fold_out_back(learner, attention->out.weight, attention->out.dweight, rows, heads, inner, channels, own->value,
                     state->dvectors[1], dvalue);
    mm_linear_back(learner, &attention->v, own->out3, dvalue, rows, MM_ADD, state->dtokens);
    mm_fold_back(learner, attention->q.weight, attention->q.dweight, scale, rows, heads, inner, channels, own->key,
                 state->dvectors[0], dkey);
    for (size_t row = 0; row < rows; row++)
        for (size_t h = 0; h < heads; h++) {
            const float dbias = scale * state->dbias[row * heads + h];
            const size_t at = h * dim;
            for (size_t i = 0; i < dim; i++) {
                dkey[row * inner + at + i] += dbias * attention->q.bias[at + i];
                attention->q.dbias[at + i] += dbias * own->key[row * inner + at + i];
            }
        }
    mm_linear_back(learner, &attention->k, own->out3_where, dkey, rows, MM_SET, dx);
    add_where(learner, dx, rows * channels, state);
}

static void self_back(mm_learner *learner, const mm_trained_decoder *decoder, size_t index, mm_decoder_run_state *state)
{
    const mm_trained_layer *layer = &decoder->layers[index];
    const mm_layer_state *own = &state->layers[index];
    const size_t channels = decoder->arch.prompt_embed_dim, floats = state->rows * channels;
    const mm_token_sizes sizes = {state->prompts, state->tokens, decoder->arch.decoder.num_heads, channels};
    float *const scratch[4] = {state->work[0], state->work[1], state->work[2], state->work[3]},
        *dwhere = state->work[4];
    mm_norm_back(learner, &layer->norm1, &own->norm1, state->dtokens, state->rows, state->dtokens);
    memset(dwhere, 0, floats * sizeof *dwhere);
    mm_token_attention_back(learner, &layer->self, &sizes, own->in_where, own->in, &own->self, state->dtokens, scratch,
                            dwhere, index ? state->dtokens : dwhere);
    if (index)
        add_where(learner, dwhere, floats, state);
    else /* no positions, and no residual */
        memcpy(state->dtokens, dwhere, floats * sizeof *dwhere);
}

static void layer_back(mm_learner *learner, const mm_trained_decoder *decoder, size_t index,
                       mm_decoder_run_state *state)
{
    const mm_trained_layer *layer = &decoder->layers[index];
    const mm_layer_state *own = &state->layers[index];
    mm_level_state *level = &state->levels[index];
    float *const scratch[2] = {state->work[0], state->work[1]};
    update_back(learner, decoder, index, state);
    offer_back(learner, decoder, &layer->image_to_token, own, state);
    mm_norm_back(learner, &layer->norm3, &own->norm3, state->dtokens, state->rows, state->dtokens);
    mm_mlp_back(learner, &layer->mlp, own->out2, &own->hidden, state->dtokens, state->rows, scratch, MM_ADD,
                state->dtokens);
    mm_norm_back(learner, &layer->norm2, &own->norm2, state->dtokens, state->rows, state->dtokens);
    mm_linear_back(learner, &layer->token_to_image.out, own->mixed, state->dtokens, state->rows, MM_SET,
                   state->work[0]);
    look_back(learner, decoder, &layer->token_to_image, own->out1_where, own->query, own->gathered, level, state);
    if (level->shared)
        look_back_no_mask(learner, decoder, own->query_vectors, state->dbias, state);
    else
        look_back_image(learner, decoder, level, own->query_vectors, state);
    self_back(learner, decoder, index, state);
}

/* dense[N][D] of each prompt's mask: made again, so that only one prompt's is kept. */
static void masks_back(mm_learner *learner, const mm_trained_decoder *decoder, const mm_training_batch *batch,
                       mm_decoder_run_state *state)
{
    const size_t floats = decoder->cells * decoder->arch.prompt_embed_dim;
    for (size_t p = 0; p < state->prompts; p++) {
        mm_mask_input_forward(learner, &decoder->mask_input, batch->mask_input[p], decoder->cells, &state->mask_input,
                              state->large);
        mm_mask_input_back(learner, &decoder->mask_input, batch->mask_input[p], decoder->cells,
                           state->dimage + p * floats, &state->mask_input, state->mask_scratch);
    }
}

/* The gradient of one prompt's tokens as they began. */
static void tokens_back(mm_learner *learner, const mm_trained_decoder *decoder, const mm_prompt *prompt,
                        const float *row)
{
    const size_t channels = decoder->arch.prompt_embed_dim, masks = decoder->arch.decoder.mask_tokens;
    learner->ops->add(decoder->iou_token.dvalues, row, channels);
    learner->ops->add(decoder->mask_tokens.dvalues, row + channels, masks * channels);
    row += (1 + masks) * channels;
    for (size_t i = 0; i < prompt->point_count; i++, row += channels)
        learner->ops->add(decoder->point_embeddings[prompt->points[i].label ? 1 : 0].dvalues, row, channels);
    if (prompt->point_count && !prompt->box)
        learner->ops->add(decoder->not_a_point.dvalues, row, channels);
    for (size_t corner = 0; prompt->box && corner < 2; corner++, row += channels)
        learner->ops->add(decoder->point_embeddings[2 + corner].dvalues, row, channels);
}

void mm_decoder_back(mm_learner *learner, const mm_trained_decoder *decoder, const mm_training_batch *batch,
                     mm_decoder_run_state *state)
{
    const size_t channels = decoder->arch.prompt_embed_dim, depth = decoder->arch.decoder.depth;
    heads_back(learner, decoder, state);
    memset(state->dwhere, 0, state->rows * channels * sizeof(float));
    mm_norm_back(learner, &decoder->norm_final, &state->last_norm, state->dtokens, state->rows, state->dtokens);
    mm_linear_back(learner, &decoder->final.out, state->last_mixed, state->dtokens, state->rows, MM_SET,
                   state->work[0]);
    look_back(learner, decoder, &decoder->final, state->layers[depth - 1].out3_where, state->last_query,
              state->last_gathered, &state->levels[depth], state);
    look_back_image(learner, decoder, &state->levels[depth], NULL, state);
    for (size_t i = depth; i-- > 0;)
        layer_back(learner, decoder, i, state);
    if (batch->mask_input)
        masks_back(learner, decoder, batch, state);
    learner->ops->add(state->dtokens, state->dwhere, state->rows * channels);
    for (size_t p = 0; p < state->prompts; p++)
        tokens_back(learner, decoder, &batch->prompts[p], state->dtokens + p * state->tokens * channels);
}
