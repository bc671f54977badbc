/* Where a batch's activations lie in one block of memory. */
#include "train/decoder_state.h"

/* Blocks of the memory begin on cache lines; without memory they are only counted. */
typedef struct layout {
    float *memory;
    size_t total;
} layout;

static float *take(layout *l, size_t floats)
{
    float *block = l->memory ? l->memory + l->total : NULL;
    l->total += (floats + 15) / 16 * 16;
    return block;
}

static mm_norm_state take_norm(layout *l, size_t rows, size_t channels)
{
    const mm_norm_state norm = {take(l, rows * channels), take(l, rows)};
    return norm;
}

static void lay_layer(layout *l, const mm_arch *arch, const mm_decoder_run_state *state, mm_layer_state *layer)
{
    const size_t channels = arch->prompt_embed_dim, inner = arch->decoder.cross_dim, rows = state->rows;
    const size_t heads = arch->decoder.num_heads;
    layer->self = (mm_token_attention_state){take(l, rows * channels), take(l, rows * channels),
                                             take(l, rows * channels),
                                             take(l, rows * heads * state->tokens), take(l, rows * channels)};
    layer->norm1 = take_norm(l, rows, channels);
    layer->norm2 = take_norm(l, rows, channels);
    layer->norm3 = take_norm(l, rows, channels);
    float **const wide[] = {&layer->out1, &layer->out1_where, &layer->out2, &layer->out3, &layer->out3_where};
    for (size_t i = 0; i < sizeof wide / sizeof wide[0]; i++)
        *wide[i] = take(l, rows * channels);
    float **const narrow[] = {&layer->query, &layer->mixed, &layer->key, &layer->value};
    for (size_t i = 0; i < sizeof narrow / sizeof narrow[0]; i++)
        *narrow[i] = take(l, rows * inner);
    float **const vectors[] = {&layer->gathered, &layer->query_vectors, &layer->value_vectors};
    for (size_t i = 0; i < sizeof vectors / sizeof vectors[0]; i++)
        *vectors[i] = take(l, rows * heads * channels);
    layer->query_bias = take(l, rows * heads);
    layer->hidden = take(l, rows * arch->decoder.mlp_dim);
}

static void lay_level(layout *l, const mm_trained_decoder *decoder, const mm_decoder_run_state *state, bool first,
                      mm_level_state *level)
{
    const size_t channels = decoder->arch.prompt_embed_dim, cells = decoder->cells, block = state->vectors * cells;
    const size_t images = level->shared ? 1 : state->prompts;
    level->values = take(l, images * cells * channels);
    level->keys = take(l, images * cells * channels);
    if (!first)
        level->norm = take_norm(l, state->prompts * cells, channels);
    level->key_vectors = take(l, state->rows * decoder->arch.decoder.num_heads * channels);
    level->blocks = take(l, MM_KINDS * state->prompts * block);
    level->kind_step = level->shared ? state->prompts * block : block;
    level->prompt_step = level->shared ? block : MM_KINDS * block;
}

static void lay_heads(layout *l, const mm_arch *arch, mm_decoder_run_state *state)
{
    const size_t channels = arch->prompt_embed_dim, prompts = state->prompts, masks = arch->decoder.mask_tokens;
    state->iou_row = take(l, prompts * channels);
    for (size_t i = 0; i + 1 < arch->decoder.iou_head_depth; i++)
        state->iou_hidden[i] = take(l, prompts * arch->decoder.iou_head_hidden_dim);
    for (size_t k = 0; k < masks; k++) {
        state->mask_rows[k] = take(l, prompts * channels);
        for (size_t i = 0; i + 1 < arch->decoder.hyper_depth; i++)
            state->hyper_hidden[k][i] = take(l, prompts * channels);
    }
    state->hyper_out = take(l, prompts * channels / 8);
    state->hyper = take(l, prompts * masks * channels / 8);
    state->dhyper = take(l, prompts * masks * channels / 8);
    state->iou = take(l, prompts * masks);
    state->diou = take(l, prompts * masks);
}

static void lay_single(layout *l, const mm_trained_decoder *decoder, bool masks, mm_decoder_run_state *state)
{
    const size_t channels = decoder->arch.prompt_embed_dim, cells = decoder->cells,
        count = decoder->arch.decoder.mask_tokens;
    const size_t wide = decoder->arch.mask_in_chans, narrow = wide / 4;
    state->upscaling.norm = take_norm(l, 4 * cells, channels / 4);
    state->upscaling.half = take(l, cells * channels);
    state->upscaling.slope1 = take(l, cells * channels);
    state->upscaling.full = take(l, 2 * cells * channels);
    state->upscaling.slope2 = take(l, 2 * cells * channels);
    state->logits = take(l, count * 16 * cells);
    state->dlogits = take(l, count * 16 * cells);
    state->large = take(l, cells * channels);
    state->stack = take(l, 3 * state->vectors * channels);
    if (!masks)
        return;
    state->mask_scratch = take(l, 4 * cells * narrow);
    state->mask_input.norm1 = take_norm(l, 4 * cells, narrow);
    state->mask_input.norm2 = take_norm(l, cells, wide);
    state->mask_input.half = take(l, 4 * cells * narrow);
    state->mask_input.slope1 = take(l, 4 * cells * narrow);
    state->mask_input.quarter = take(l, cells * wide);
    state->mask_input.slope2 = take(l, cells * wide);
}

static void lay_gradients(layout *l, const mm_trained_decoder *decoder, mm_decoder_run_state *state)
{
    const mm_arch *arch = &decoder->arch;
    const size_t channels = arch->prompt_embed_dim, rows = state->rows, heads = arch->decoder.num_heads;
    size_t widest = arch->decoder.mlp_dim > channels ? arch->decoder.mlp_dim : channels;
    if (widest < arch->decoder.iou_head_hidden_dim)
        widest = arch->decoder.iou_head_hidden_dim;
    state->dimage = take(l, state->prompts * decoder->cells * channels);
    state->dtokens = take(l, rows * channels);
    state->dwhere = take(l, rows * channels);
    state->dvectors[0] = take(l, rows * heads * channels);
    state->dvectors[1] = take(l, rows * heads * channels);
    state->dgathered = take(l, rows * heads * channels);
    state->dbias = take(l, rows * heads);
    for (int i = 0; i < 5; i++)
        state->work[i] = take(l, rows * widest);
    state->columns = take(l, channels);
}

size_t mm_decoder_state_layout(const mm_trained_decoder *decoder, size_t prompts, size_t tokens, bool masks,
                               float *memory, mm_decoder_run_state *state)
{
    const mm_arch *arch = &decoder->arch;
    const size_t channels = arch->prompt_embed_dim, inner = arch->decoder.cross_dim, heads = arch->decoder.num_heads;
    layout l = {.memory = memory};
    *state = (mm_decoder_run_state){.prompts = prompts, .tokens = tokens, .rows = prompts * tokens,
                                    .vectors = tokens * heads};
    state->tokens_in = take(&l, state->rows * channels);
    for (uint32_t i = 0; i < arch->decoder.depth; i++)
        lay_layer(&l, arch, state, &state->layers[i]);
    for (uint32_t i = 0; i <= arch->decoder.depth; i++) {
        state->levels[i].shared = i == 0 && !masks;
        lay_level(&l, decoder, state, i == 0, &state->levels[i]);
    }
    state->last_query = take(&l, state->rows * inner);
    state->last_mixed = take(&l, state->rows * inner);
    state->last_gathered = take(&l, state->rows * heads * channels);
    state->last_norm = take_norm(&l, state->rows, channels);
    state->tokens_out = take(&l, state->rows * channels);
    lay_heads(&l, arch, state);
    lay_single(&l, decoder, masks, state);
    lay_gradients(&l, decoder, state);
    return l.total;
}
