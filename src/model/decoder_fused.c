/* The fused decoder: tokens by the steps that both decoders share, the image by three passes. */
#include "model/decoder_fused.h"

#include <omp.h>
#include <string.h>

#ifdef __x86_64__

static const float log2_e = 1.44269504f;

mm_fused_sizes mm_fused_sizes_of(const mm_mask_decoder *decoder, size_t tokens)
{
    const mm_arch *arch = decoder->arch;
    const size_t cells = (size_t)arch->embedding_side * arch->embedding_side;
    mm_fused_sizes sizes = {.tokens = tokens,
                            .outputs = 1 + (size_t)arch->decoder.mask_tokens,
                            .heads = arch->decoder.num_heads,
                            .inner = arch->decoder.cross_dim,
                            .channels = arch->prompt_embed_dim,
                            .cells = cells,
                            .padded = (cells + MM_FUSED_CELLS - 1) / MM_FUSED_CELLS * MM_FUSED_CELLS,
                            .eps1 = decoder->layers[0].norm4.eps,
                            .eps2 = decoder->layers[1].norm4.eps};
    sizes.dim = sizes.inner / sizes.heads;
    sizes.vectors = sizes.heads * tokens;
    sizes.pairs = (sizes.vectors + 1) / 2;
    sizes.wide = (sizes.vectors + 31) / 32 * 32;
    return sizes;
}

/* Everything of a batch on one thread. */
typedef struct fused_state {
    mm_fused_sizes sizes;
    mm_decoder_state tokens; /* only its token side has memory */
    mm_fused_prompt prompts[MM_FUSED_BATCH];
    float *expanded;      /* [J][max(c, D)] */
    float *matrix_work;   /* for mm_fused_matrix */
    float *mixed;         /* [J][d] */
    float *pass_work;     /* for passes and upscaling */
    mm_pair *up_1, *up_2; /* [D][pairs] */
    float *hyper_in, *hyper_work, *hyper; /* [P][D], [P][D], [K][P][D / 8] */
    float *logits;        /* [K][L][L] */
} fused_state;

static mm_pair *take_pairs(float **memory, size_t *total, size_t count)
{
    return (mm_pair *)mm_decoder_take(memory, total, count);
}

static size_t larger(size_t a, size_t b)
{
    return a > b ? a : b;
}

static void lay_out_prompt(const mm_fused_sizes *sizes, float **m, size_t *total, mm_fused_prompt *p)
{
    const size_t vectors = sizes->vectors, matrix = vectors * sizes->pairs, weights = sizes->padded * sizes->pairs;
    mm_pair **const vectors_of[] = {&p->query1, &p->key1, &p->value1, &p->query2, &p->key2, &p->value2, &p->query3};
    for (size_t i = 0; i < sizeof vectors_of / sizeof vectors_of[0]; i++)
        *vectors_of[i] = take_pairs(m, total, vectors * sizes->dim / 2);
    mm_pair **const matrices[] = {&p->norm_11, &p->key2_1, &p->query2_1, &p->norm1_11,
                                  &p->norm1_12, &p->norm_22, &p->key3_1, &p->key3_2};
    for (size_t i = 0; i < sizeof matrices / sizeof matrices[0]; i++)
        *matrices[i] = take_pairs(m, total, matrix);
    float **const rows[] = {&p->value1_f32, &p->value2_f32, &p->scaled_query, &p->gathering.values};
    for (size_t i = 0; i < 4; i++)
        *rows[i] = mm_decoder_take(m, total, vectors * sizes->dim);
    float **const scalars[] = {&p->c_1, &p->c_2, &p->key3_c, &p->gathering.maximum};
    for (size_t i = 0; i < 4; i++)
        *scalars[i] = mm_decoder_take(m, total, vectors);
    p->weights1 = take_pairs(m, total, weights);
    p->weights2 = take_pairs(m, total, weights);
    p->inverse1 = mm_decoder_take(m, total, sizes->padded);
    p->inverse2 = mm_decoder_take(m, total, sizes->padded);
    p->gathering.sum = mm_decoder_take(m, total, 16 * vectors);
    p->gathering.share = mm_decoder_take(m, total, 16 * vectors);
    p->gathering.outer1 = mm_decoder_take(m, total, vectors * sizes->wide);
    p->gathering.outer2 = mm_decoder_take(m, total, vectors * sizes->wide);
}

static size_t lay_out(const mm_mask_decoder *decoder, size_t prompts, size_t tokens, float *memory, fused_state *state)
{
    const mm_arch *arch = decoder->arch;
    const mm_fused_sizes sizes = state->sizes = mm_fused_sizes_of(decoder, tokens);
    const size_t channels = sizes.channels, rows = prompts * tokens, masks = arch->decoder.mask_tokens;
    const size_t widest = larger(larger(arch->decoder.mlp_dim, channels), arch->decoder.iou_head_hidden_dim);
    size_t total = 0;
    float **m = &memory;
    state->tokens = (mm_decoder_state){.prompts = prompts, .tokens = tokens};
    state->tokens.queries = mm_decoder_take(m, &total, rows * channels);
    state->tokens.query_pe = mm_decoder_take(m, &total, rows * channels);
    for (int i = 0; i < 5; i++)
        state->tokens.work[i] = mm_decoder_take(m, &total, rows * widest);
    state->tokens.iou = mm_decoder_take(m, &total, prompts * masks);
    for (size_t p = 0; p < prompts; p++)
        lay_out_prompt(&sizes, m, &total, &state->prompts[p]);
    state->expanded = mm_decoder_take(m, &total, sizes.vectors * larger(sizes.inner, channels));
    state->matrix_work = mm_decoder_take(m, &total, 2 * sizes.pairs * (sizes.inner + 1));
    state->mixed = mm_decoder_take(m, &total, sizes.vectors * sizes.dim);
    state->pass_work = mm_decoder_take(m, &total, larger(mm_fused_pass_work(&sizes), mm_fused_upscale_work(&sizes)));
    state->up_1 = take_pairs(m, &total, channels * sizes.pairs);
    state->up_2 = take_pairs(m, &total, channels * sizes.pairs);
    state->hyper_in = mm_decoder_take(m, &total, prompts * channels);
    state->hyper_work = mm_decoder_take(m, &total, prompts * channels);
    state->hyper = mm_decoder_take(m, &total, masks * prompts * channels / 8);
    state->logits = mm_decoder_take(m, &total, masks * 16 * sizes.cells);
    return total;
}

size_t mm_fused_scratch(const mm_mask_decoder *decoder, size_t tokens)
{
    fused_state state;
    return lay_out(decoder, MM_FUSED_BATCH, tokens, NULL, &state);
}

/* x[J][d] of one prompt from its rows of a projection[R][c], times `scale`. */
static void take_vectors(const fused_state *state, size_t prompt, const float *projection, float scale, float *x)
{
    const mm_fused_sizes *sizes = &state->sizes;
    const float *rows = projection + prompt * sizes->tokens * sizes->inner;
    for (size_t j = 0; j < sizes->vectors; j++)
        for (size_t i = 0; i < sizes->dim; i++)
            x[j * sizes->dim + i] =
                scale * rows[j % sizes->tokens * sizes->inner + j / sizes->tokens * sizes->dim + i];
}

/* out[j] = x_j . constant[c] in the channels of j's head */
static void dot_vectors(const mm_fused_sizes *sizes, const float *x, const float *constant, float *out)
{
    for (size_t j = 0; j < sizes->vectors; j++) {
        float total = 0;
        for (size_t i = 0; i < sizes->dim; i++)
            total += x[j * sizes->dim + i] * constant[j / sizes->tokens * sizes->dim + i];
        out[j] = total;
    }
}

/* work[3][R][c] = linear(queries, + positions if asked for) */
static mm_status project(const mm_context *context, const mm_linear *linear, bool positions, fused_state *state,
                         mm_error *err)
{
    mm_decoder_state *tokens = &state->tokens;
    const float *x = tokens->queries;
    if (positions) {
        mm_decoder_add_positions(context, tokens, state->sizes.channels, tokens->work[2]);
        x = tokens->work[2];
    }
    return mm_layer_linear(context, linear, x, tokens->prompts * tokens->tokens, tokens->work[3], err);
}

/* matrix = x . constant . y */
static void make_matrix(const fused_state *state, const float *x, const float *y, const float *constant, mm_pair *matrix)
{
    mm_fused_expand(&state->sizes, y, constant, state->sizes.inner, state->expanded);
    mm_fused_matrix(&state->sizes, x, state->expanded, false, state->matrix_work, matrix);
}

/* The triangle of v . constant . v */
static void make_triangle(const fused_state *state, const float *v, const float *constant, mm_pair *matrix)
{
    mm_fused_expand(&state->sizes, v, constant, state->sizes.inner, state->expanded);
    mm_fused_matrix(&state->sizes, v, state->expanded, true, state->matrix_work, matrix);
}

static float reduce(const float parts[16])
{
    float total = 0;
    for (size_t i = 0; i < 16; i++)
        total += parts[i];
    return total;
}

/* What a sum over the image has in a_1 or a_2, through values y of that layer: mixed += outer . constant . y */
static void add_outer(const fused_state *state, const float *outer, const float *y, const float *constant)
{
    mm_fused_expand(&state->sizes, y, constant, state->sizes.inner, state->expanded);
    mm_fused_add_outer(&state->sizes, outer, state->expanded, state->mixed);
}

/* Rows of work[0][R][c] of one prompt from state->mixed and a constant bias (NULL: none); zeros for tokens that did not
 * look. */
static void place_mixed(fused_state *state, size_t prompt, size_t tokens, const float *bias)
{
    const mm_fused_sizes *sizes = &state->sizes;
    const mm_fused_gathering *g = &state->prompts[prompt].gathering;
    float *rows = state->tokens.work[0] + prompt * sizes->tokens * sizes->inner;
    for (size_t j = 0; j < sizes->vectors; j++) {
        const float scale = j % sizes->tokens < tokens ? 1 / reduce(g->sum + 16 * j) : 0;
        const size_t head = j / sizes->tokens * sizes->dim;
        float *to = rows + j % sizes->tokens * sizes->inner + head;
        for (size_t i = 0; i < sizes->dim; i++)
            to[i] = scale * state->mixed[j * sizes->dim + i] + (bias ? bias[head + i] : 0);
    }
}

static void begin_mixed(fused_state *state, size_t prompt)
{
    memcpy(state->mixed, state->prompts[prompt].gathering.values,
           state->sizes.vectors * state->sizes.dim * sizeof *state->mixed);
}

/* Tokens of layer 1 look at the image. */
static mm_status first_look(const mm_mask_decoder *decoder, const mm_context *context, const mm_fused_image *image,
                            fused_state *state, mm_error *err)
{
    const mm_fused_sizes *sizes = &state->sizes;
    const mm_decoder_layer *layer = &decoder->layers[0];
    const float scale = log2_e * mm_decoder_logit_scale(decoder->arch);
    mm_status status = mm_decoder_self_attention(decoder, context, 0, &state->tokens, err);
    if (status == MM_OK)
        status = project(context, &layer->token_to_image.q, true, state, err);
    if (status != MM_OK)
        return status;
    for (size_t p = 0; p < state->tokens.prompts; p++) {
        mm_fused_prompt *prompt = &state->prompts[p];
        take_vectors(state, p, state->tokens.work[3], scale, prompt->scaled_query);
        mm_fused_vectors(sizes, prompt->scaled_query, prompt->query1);
        mm_fused_begin_gathering(sizes, &prompt->gathering);
    }
    for (size_t first = 0; first < sizes->padded; first += MM_FUSED_CELLS)
        for (size_t p = 0; p < state->tokens.prompts; p++)
            mm_fused_pass1(sizes, image, &state->prompts[p], first, state->pass_work);
    for (size_t p = 0; p < state->tokens.prompts; p++) {
        begin_mixed(state, p);
        place_mixed(state, p, sizes->tokens, NULL); /* the shared values carry their bias */
    }
    return MM_OK;
}

/* The rest of a layer's token side: attention's end, MLP, and keys and values that the image will look at. */
static mm_status finish_layer(const mm_mask_decoder *decoder, const mm_context *context, size_t index,
                              fused_state *state, mm_error *err)
{
    const mm_fused_sizes *sizes = &state->sizes;
    const mm_decoder_layer *layer = &decoder->layers[index];
    const float scale = log2_e * mm_decoder_logit_scale(decoder->arch);
    mm_status status = mm_decoder_add_attention(context, &layer->token_to_image, &layer->norm2, sizes->channels,
                                                &state->tokens, err);
    if (status == MM_OK)
        status = mm_decoder_mlp(context, layer, sizes->channels, &state->tokens, err);
    if (status == MM_OK)
        status = project(context, &layer->image_to_token.k, true, state, err);
    for (size_t p = 0; p < state->tokens.prompts && status == MM_OK; p++) {
        mm_fused_prompt *prompt = &state->prompts[p];
        take_vectors(state, p, state->tokens.work[3], scale, prompt->scaled_query);
        mm_fused_vectors(sizes, prompt->scaled_query, index ? prompt->key2 : prompt->key1);
    }
    if (status == MM_OK)
        status = project(context, &layer->image_to_token.v, false, state, err);
    for (size_t p = 0; p < state->tokens.prompts && status == MM_OK; p++) {
        mm_fused_prompt *prompt = &state->prompts[p];
        float *value = index ? prompt->value2_f32 : prompt->value1_f32;
        take_vectors(state, p, state->tokens.work[3], 1, value);
        mm_fused_vectors(sizes, value, index ? prompt->value2 : prompt->value1);
    }
    return status;
}

/* The image looks at the tokens of layer 1; those of layer 2 look at the image. */
static mm_status second_look(const mm_mask_decoder *decoder, const mm_context *context, const mm_fused_image *image,
                             fused_state *state, mm_error *err)
{
    const mm_fused_sizes *sizes = &state->sizes;
    const mm_fused_weights *fused = decoder->fused;
    const float scale = log2_e * mm_decoder_logit_scale(decoder->arch);
    mm_status status = mm_decoder_self_attention(decoder, context, 1, &state->tokens, err);
    if (status == MM_OK)
        status = project(context, &decoder->layers[1].token_to_image.q, true, state, err);
    if (status != MM_OK)
        return status;
    for (size_t p = 0; p < state->tokens.prompts; p++) {
        mm_fused_prompt *prompt = &state->prompts[p];
        const float *value = prompt->value1_f32;
        take_vectors(state, p, state->tokens.work[3], scale, prompt->scaled_query);
        mm_fused_vectors(sizes, prompt->scaled_query, prompt->query2);
        make_matrix(state, prompt->scaled_query, value, fused->key2_1, prompt->key2_1);
        make_triangle(state, value, fused->norm_11, prompt->norm_11);
        mm_fused_begin_gathering(sizes, &prompt->gathering);
    }
    for (size_t first = 0; first < sizes->padded; first += MM_FUSED_CELLS)
        for (size_t p = 0; p < state->tokens.prompts; p++)
            mm_fused_pass2(sizes, fused, image, &state->prompts[p], first, state->pass_work);
    for (size_t p = 0; p < state->tokens.prompts; p++) {
        begin_mixed(state, p);
        add_outer(state, state->prompts[p].gathering.outer1, state->prompts[p].value1_f32, fused->value2_1);
        place_mixed(state, p, sizes->tokens, fused->value2_bias);
    }
    return MM_OK;
}

/* The image looks at the tokens of layer 2; the tokens look at the image for the last time. scaled_query holds layer 2's
 * keys, and then the final queries. */
static mm_status final_look(const mm_mask_decoder *decoder, const mm_context *context, const mm_fused_image *image,
                            fused_state *state, mm_error *err)
{
    const mm_fused_sizes *sizes = &state->sizes;
    const mm_fused_weights *fused = decoder->fused;
    const float scale = log2_e * mm_decoder_logit_scale(decoder->arch);
    for (size_t p = 0; p < state->tokens.prompts; p++) {
        mm_fused_prompt *prompt = &state->prompts[p];
        const float *value1 = prompt->value1_f32, *value2 = prompt->value2_f32;
        make_matrix(state, prompt->scaled_query, value1, fused->query2_1, prompt->query2_1);
        make_triangle(state, value1, fused->norm1_11, prompt->norm1_11);
        make_matrix(state, value2, value1, fused->norm1_12, prompt->norm1_12);
        make_triangle(state, value2, fused->norm_22, prompt->norm_22);
        dot_vectors(sizes, value1, fused->c_1, prompt->c_1);
        dot_vectors(sizes, value2, fused->c_2, prompt->c_2);
    }
    const mm_status status = project(context, &decoder->final.q, true, state, err);
    if (status != MM_OK)
        return status;
    for (size_t p = 0; p < state->tokens.prompts; p++) {
        mm_fused_prompt *prompt = &state->prompts[p];
        take_vectors(state, p, state->tokens.work[3], scale, prompt->scaled_query);
        mm_fused_vectors(sizes, prompt->scaled_query, prompt->query3);
        make_matrix(state, prompt->scaled_query, prompt->value1_f32, fused->key3_1, prompt->key3_1);
        make_matrix(state, prompt->scaled_query, prompt->value2_f32, fused->key3_2, prompt->key3_2);
        dot_vectors(sizes, prompt->scaled_query, fused->key3_c, prompt->key3_c);
        mm_fused_begin_gathering(sizes, &prompt->gathering);
    }
    for (size_t first = 0; first < sizes->padded; first += MM_FUSED_CELLS)
        for (size_t p = 0; p < state->tokens.prompts; p++)
            mm_fused_pass3(sizes, fused, image, &state->prompts[p], first, state->pass_work);
    for (size_t p = 0; p < state->tokens.prompts; p++) {
        const mm_fused_prompt *prompt = &state->prompts[p];
        begin_mixed(state, p);
        add_outer(state, prompt->gathering.outer1, prompt->value1_f32, fused->value3_1);
        add_outer(state, prompt->gathering.outer2, prompt->value2_f32, fused->value3_2);
        for (size_t j = 0; j < sizes->vectors; j++) {
            const float share = reduce(prompt->gathering.share + 16 * j);
            for (size_t i = 0; i < sizes->dim; i++)
                state->mixed[j * sizes->dim + i] += share * fused->value3_c[j / sizes->tokens * sizes->dim + i];
        }
        place_mixed(state, p, sizes->outputs, fused->value3_bias);
    }
    return mm_decoder_add_attention(context, &decoder->final, &decoder->norm_final, sizes->channels, &state->tokens, err);
}

/* hyper[K][P][D / 8]: the masks' vectors of all prompts of the batch; for the masks in `any`. */
static mm_status make_hyper(const mm_mask_decoder *decoder, const mm_context *context, uint32_t any, fused_state *state,
                            mm_error *err)
{
    const size_t channels = state->sizes.channels, prompts = state->tokens.prompts;
    mm_status status = MM_OK;
    for (uint32_t k = 0; k < decoder->arch->decoder.mask_tokens && status == MM_OK; k++) {
        if (!(any >> k & 1u))
            continue;
        for (size_t p = 0; p < prompts; p++) /* token 0 is the IoU token */
            memcpy(state->hyper_in + p * channels,
                   state->tokens.queries + (p * state->sizes.tokens + 1 + k) * channels, channels * sizeof(float));
        status = mm_decoder_head(context, decoder->hyper[k], decoder->arch->decoder.hyper_depth, state->hyper_in,
                                 state->hyper_work, prompts, state->hyper + k * prompts * channels / 8, err);
    }
    return status;
}

/* The wanted masks of one prompt, to state->logits in the order of their numbers. */
static void upscale(const mm_mask_decoder *decoder, const mm_fused_image *image, size_t p, uint32_t wanted,
                    size_t grid_rows, fused_state *state)
{
    const mm_fused_sizes *sizes = &state->sizes;
    const size_t channels = sizes->channels, eighth = channels / 8, prompts = state->tokens.prompts;
    const mm_fused_prompt *prompt = &state->prompts[p];
    float *logits[MM_MAX_MASK_TOKENS], hyper[MM_MAX_MASK_TOKENS * 512];
    mm_fused_upscaling up = {.decoder = decoder, .up_1 = state->up_1, .up_2 = state->up_2, .hyper = hyper,
                             .grid_rows = grid_rows, .logits = logits};
    mm_fused_expand(sizes, prompt->value1_f32, decoder->fused->up_1, channels, state->expanded);
    mm_fused_columns(sizes, state->expanded, channels, state->up_1);
    mm_fused_expand(sizes, prompt->value2_f32, decoder->fused->up_2, channels, state->expanded);
    mm_fused_columns(sizes, state->expanded, channels, state->up_2);
    for (uint32_t k = 0; k < decoder->arch->decoder.mask_tokens; k++)
        if (wanted >> k & 1u) {
            memcpy(hyper + up.masks * eighth, state->hyper + (k * prompts + p) * eighth, eighth * sizeof *hyper);
            logits[up.masks] = state->logits + up.masks * 16 * sizes->cells;
            up.masks++;
        }
    mm_fused_upscale(sizes, image, prompt, &up, state->pass_work);
}

static mm_status hand_out(const mm_mask_decoder *decoder, const mm_context *context, const mm_fused_image *image,
                          const mm_frame *frame, const mm_prompt_batch *batch, const mm_mask_sink *sink, fused_state *state,
                          mm_model_times *times, mm_error *err)
{
    const size_t masks = decoder->arch->decoder.mask_tokens, plane = 16 * state->sizes.cells;
    const uint32_t all = (1u << masks) - 1;
    const size_t grid_rows = mm_decoder_grid_rows(frame, sink->padding);
    uint32_t wanted[MM_FUSED_BATCH], any = 0;
    for (size_t p = 0; p < batch->count; p++)
        any |= wanted[p] = sink->select(sink->user, batch->first + p, state->tokens.iou + p * masks) & all;
    double start = omp_get_wtime();
    mm_status status = make_hyper(decoder, context, any, state, err);
    times->upscale += omp_get_wtime() - start;
    for (size_t k = 0; any && k < masks; k++)
        mm_decoder_clear_padding(frame, grid_rows, state->logits + k * plane);
    for (size_t p = 0; p < batch->count && status == MM_OK; p++) {
        if (!wanted[p])
            continue;
        start = omp_get_wtime();
        upscale(decoder, image, p, wanted[p], grid_rows, state);
        times->upscale += omp_get_wtime() - start;
        size_t at = 0;
        for (uint32_t k = 0; k < masks && status == MM_OK; k++)
            if (wanted[p] >> k & 1u)
                status = sink->take(sink->user, batch->first + p, k, state->logits + at++ * plane, err);
    }
    return status;
}

mm_status mm_fused_run(const mm_mask_decoder *decoder, const mm_context *context, const mm_fused_image *image,
                       const mm_frame *frame, const mm_prompt_batch *batch, const mm_mask_sink *sink, float *scratch,
                       mm_model_times *times, mm_error *err)
{
    const double start = omp_get_wtime();
    fused_state state;
    /* The size was asked for by mm_fused_scratch. */
    (void)lay_out(decoder, batch->count, batch->tokens, scratch, &state);
    mm_decoder_begin_tokens(decoder, frame, batch, &state.tokens);
    mm_status status = first_look(decoder, context, image, &state, err);
    if (status == MM_OK)
        status = finish_layer(decoder, context, 0, &state, err);
    if (status == MM_OK)
        status = second_look(decoder, context, image, &state, err);
    if (status == MM_OK)
        status = finish_layer(decoder, context, 1, &state, err);
    if (status == MM_OK)
        status = final_look(decoder, context, image, &state, err);
    if (status == MM_OK)
        status = mm_decoder_predict_iou(decoder, context, &state.tokens, err);
    times->to_iou += omp_get_wtime() - start;
    return status == MM_OK ? hand_out(decoder, context, image, frame, batch, sink, &state, times, err) : status;
}

#endif
