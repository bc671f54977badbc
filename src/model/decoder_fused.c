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
    sizes.coordinates = sizes.heads * (tokens - 1);
    sizes.pairs = (sizes.coordinates + 1) / 2;
    sizes.wide = (sizes.coordinates + 15) / 16 * 16;
    return sizes;
}

/* Everything of a batch on one thread. */
typedef struct fused_state {
    mm_fused_sizes sizes;
    mm_decoder_state tokens; /* only its token side has memory */
    mm_fused_prompt prompts[MM_FUSED_BATCH];
    float *expanded;      /* [F][max(c, D)] */
    float *expanded_last; /* [c] */
    float *matrix_work;   /* for mm_fused_matrix */
    float *mixed;         /* [J][d] */
    float *pass_work;     /* for passes and upscaling */
    mm_pair *up_1, *up_2; /* [D][pairs] */
    float *up_l, *up_c;   /* [D] */
    float *hyper_in, *hyper_work, *hyper; /* [P][D], [P][D], [K][P][D / 8] */
    float *hyper_wanted;  /* [K][D / 8]: of one prompt */
    float *logits;        /* [K][L][L] */
} fused_state;

static size_t larger(size_t a, size_t b)
{
    return a > b ? a : b;
}

static void lay_out_prompt(const mm_fused_sizes *sizes, float **m, size_t *total, mm_fused_prompt *p)
{
    const size_t rows = sizes->vectors, coordinates = sizes->coordinates, dim = sizes->dim, inner = sizes->inner;
    const size_t weights = sizes->padded * sizes->pairs;
    const struct {
        mm_pair **pairs;
        size_t count;
    } packed[] = {
        {&p->query1, rows * dim / 2},         {&p->key1, rows * dim / 2},           {&p->query2, rows * dim / 2},
        {&p->key2, rows * dim / 2},           {&p->query3, rows * dim / 2},         {&p->value1, coordinates * dim / 2},
        {&p->value2, coordinates * dim / 2},  {&p->last1, inner / 2},               {&p->last2, inner / 2},
        {&p->key2_1, rows * sizes->pairs},    {&p->query2_1, rows * sizes->pairs},  {&p->key3_1, rows * sizes->pairs},
        {&p->key3_2, rows * sizes->pairs},    {&p->norm_11, coordinates * sizes->pairs},
        {&p->norm1_11, coordinates * sizes->pairs}, {&p->norm1_12, coordinates * sizes->pairs},
        {&p->norm_22, coordinates * sizes->pairs},  {&p->weights1, weights},        {&p->weights2, weights},
        {&p->low2, MM_FUSED_CELLS * sizes->pairs}};
    for (size_t i = 0; i < sizeof packed / sizeof packed[0]; i++)
        *packed[i].pairs = (mm_pair *)mm_decoder_take(m, total, packed[i].count);
    mm_fused_gathering *g = &p->gathering;
    const struct {
        float **floats;
        size_t count;
    } others[] = {
        {&p->value1_f32, coordinates * dim}, {&p->value2_f32, coordinates * dim}, {&p->last1_f32, inner},
        {&p->last2_f32, inner},              {&p->scaled_query, rows * dim},      {&p->key2_l, rows},
        {&p->query1_l, rows},
        {&p->query2_l, rows},                {&p->key3_l, rows},                  {&p->key3_c, rows},
        {&p->norm_l, coordinates},           {&p->norm1_l, coordinates},          {&p->norm1_c, coordinates},
        {&p->norm2_l, coordinates},          {&p->norm2_c, coordinates},          {&p->inverse1, sizes->padded},
        {&p->inverse2, sizes->padded},       {&g->maximum, rows},                 {&g->sum, 16 * rows},
        {&g->share1, 16 * rows},             {&g->share2, 16 * rows},             {&g->values, rows * dim},
        {&g->outer1, rows * sizes->wide},    {&g->outer2, rows * sizes->wide}};
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++)
        *others[i].floats = mm_decoder_take(m, total, others[i].count);
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
    state->expanded = mm_decoder_take(m, &total, sizes.coordinates * larger(sizes.inner, channels));
    state->expanded_last = mm_decoder_take(m, &total, sizes.inner);
    state->matrix_work = mm_decoder_take(m, &total, 2 * sizes.pairs * (sizes.inner + 1));
    state->mixed = mm_decoder_take(m, &total, sizes.vectors * sizes.dim);
    state->pass_work = mm_decoder_take(m, &total, larger(mm_fused_pass_work(&sizes), mm_fused_upscale_work(&sizes)));
    state->up_1 = (mm_pair *)mm_decoder_take(m, &total, channels * sizes.pairs);
    state->up_2 = (mm_pair *)mm_decoder_take(m, &total, channels * sizes.pairs);
    state->up_l = mm_decoder_take(m, &total, channels);
    state->up_c = mm_decoder_take(m, &total, channels);
    state->hyper_in = mm_decoder_take(m, &total, prompts * channels);
    state->hyper_work = mm_decoder_take(m, &total, prompts * channels);
    state->hyper = mm_decoder_take(m, &total, masks * prompts * channels / 8);
    state->hyper_wanted = mm_decoder_take(m, &total, masks * channels / 8);
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

/* Values of one prompt from their rows of a projection[R][c]: last[c], and y[F][d], the others less the last. */
static void take_values(const fused_state *state, size_t prompt, const float *projection, float *y, float *last)
{
    const mm_fused_sizes *sizes = &state->sizes;
    const size_t others = sizes->tokens - 1, dim = sizes->dim, inner = sizes->inner;
    const float *rows = projection + prompt * sizes->tokens * inner;
    memcpy(last, rows + others * inner, inner * sizeof *last);
    for (size_t f = 0; f < sizes->coordinates; f++)
        for (size_t i = 0; i < dim; i++)
            y[f * dim + i] = rows[f % others * inner + f / others * dim + i] - last[f / others * dim + i];
}

static void add_mean(const float *mean, size_t n, float *x)
{
    for (size_t i = 0; mean && i < n; i++)
        x[i] += mean[i];
}

/* out[j] = x_j . channels[c] in the channels of j's head; x[rows][d] has `tokens` rows a head */
static void dot_rows(const mm_fused_sizes *sizes, const float *x, size_t tokens, const float *channels, float *out)
{
    for (size_t j = 0; j < sizes->heads * tokens; j++) {
        float total = 0;
        for (size_t i = 0; i < sizes->dim; i++)
            total += x[j * sizes->dim + i] * channels[j / tokens * sizes->dim + i];
        out[j] = total;
    }
}

static float dot(const float *a, const float *b, size_t n)
{
    float total = 0;
    for (size_t i = 0; i < n; i++)
        total += a[i] * b[i];
    return total;
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

/* For `tokens` rows of x a head: matrix = x . constant . y, and what the last value and the mean of what x meets (NULL: 0) add,
 * added[rows] = x . (constant . last + mean). */
static void make_matrix(const fused_state *state, const float *x, size_t tokens, const float *constant, const float *y,
                        const float *last, const float *mean, mm_pair *matrix, float *added)
{
    const mm_fused_sizes *sizes = &state->sizes;
    mm_fused_expand(sizes, y, constant, sizes->inner, state->expanded);
    mm_fused_matrix(sizes, x, tokens, state->expanded, false, state->matrix_work, matrix);
    mm_fused_expand_last(sizes, last, constant, sizes->inner, state->expanded_last);
    add_mean(mean, sizes->inner, state->expanded_last);
    dot_rows(sizes, x, tokens, state->expanded_last, added);
}

/* Of |constant^(1/2) (last + y a)|^2 + mean . (last + y a): the triangle y . constant . y, what is linear in a, added[F] =
 * y . (2 constant . last + mean), and last . (constant . last + mean), which is returned. The mean may be NULL for 0. */
static float make_triangle(const fused_state *state, const float *constant, const float *y, const float *last,
                           const float *mean, mm_pair *matrix, float *added)
{
    const mm_fused_sizes *sizes = &state->sizes;
    mm_fused_expand(sizes, y, constant, sizes->inner, state->expanded);
    mm_fused_matrix(sizes, y, sizes->tokens - 1, state->expanded, true, state->matrix_work, matrix);
    float *channels = state->expanded_last;
    mm_fused_expand_last(sizes, last, constant, sizes->inner, channels);
    const float square = dot(last, channels, sizes->inner);
    for (size_t i = 0; i < sizes->inner; i++)
        channels[i] *= 2;
    add_mean(mean, sizes->inner, channels);
    dot_rows(sizes, y, sizes->tokens - 1, channels, added);
    return square + (mean ? dot(last, mean, sizes->inner) : 0);
}

static float reduce(const float parts[16])
{
    float total = 0;
    for (size_t i = 0; i < 16; i++)
        total += parts[i];
    return total;
}

/* What a sum over the image has of a layer's values, and of the mean of the image's (NULL: 0):
 * mixed += outer . constant . y + share (constant . last + mean) */
static void add_outer(const fused_state *state, const float *outer, const float *share, const float *constant,
                      const float *y, const float *last, const float *mean)
{
    const mm_fused_sizes *sizes = &state->sizes;
    mm_fused_expand(sizes, y, constant, sizes->inner, state->expanded);
    mm_fused_add_outer(sizes, outer, state->expanded, state->mixed);
    mm_fused_expand_last(sizes, last, constant, sizes->inner, state->expanded_last);
    add_mean(mean, sizes->inner, state->expanded_last);
    for (size_t j = 0; j < sizes->vectors; j++) {
        const float total = reduce(share + 16 * j);
        for (size_t i = 0; i < sizes->dim; i++)
            state->mixed[j * sizes->dim + i] += total * state->expanded_last[j / sizes->tokens * sizes->dim + i];
    }
}

/* Rows of work[0][R][c] of one prompt from state->mixed and a constant bias[c]; zeros for tokens that did not look. */
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
            to[i] = scale * state->mixed[j * sizes->dim + i] + bias[head + i];
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
        mm_fused_pack(prompt->scaled_query, sizes->vectors * sizes->dim, prompt->query1);
        mm_fused_begin_gathering(sizes, &prompt->gathering);
    }
    for (size_t first = 0; first < sizes->padded; first += MM_FUSED_CELLS)
        for (size_t p = 0; p < state->tokens.prompts; p++)
            mm_fused_pass1(sizes, image, &state->prompts[p], first, state->pass_work);
    for (size_t p = 0; p < state->tokens.prompts; p++) {
        begin_mixed(state, p);
        place_mixed(state, p, sizes->tokens, image->means.value1); /* which has the bias in it */
    }
    return MM_OK;
}

/* The rest of a layer's token side: attention's end, MLP, and keys and values that the image will look at. */
static mm_status finish_layer(const mm_mask_decoder *decoder, const mm_context *context, const mm_fused_image *image,
                              size_t index, fused_state *state, mm_error *err)
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
        mm_fused_pack(prompt->scaled_query, sizes->vectors * sizes->dim, index ? prompt->key2 : prompt->key1);
        if (index == 0)
            dot_rows(sizes, prompt->scaled_query, sizes->tokens, image->means.query1, prompt->query1_l);
    }
    if (status == MM_OK)
        status = project(context, &layer->image_to_token.v, false, state, err);
    for (size_t p = 0; p < state->tokens.prompts && status == MM_OK; p++) {
        mm_fused_prompt *prompt = &state->prompts[p];
        float *value = index ? prompt->value2_f32 : prompt->value1_f32;
        float *last = index ? prompt->last2_f32 : prompt->last1_f32;
        take_values(state, p, state->tokens.work[3], value, last);
        mm_fused_pack(value, sizes->coordinates * sizes->dim, index ? prompt->value2 : prompt->value1);
        mm_fused_pack(last, sizes->inner, index ? prompt->last2 : prompt->last1);
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
        take_vectors(state, p, state->tokens.work[3], scale, prompt->scaled_query);
        mm_fused_pack(prompt->scaled_query, sizes->vectors * sizes->dim, prompt->query2);
        make_matrix(state, prompt->scaled_query, sizes->tokens, fused->key2_1, prompt->value1_f32, prompt->last1_f32,
                    image->means.key2, prompt->key2_1, prompt->key2_l);
        prompt->square1 = make_triangle(state, fused->norm_11, prompt->value1_f32, prompt->last1_f32, image->means.norm1,
                                        prompt->norm_11, prompt->norm_l);
        mm_fused_begin_gathering(sizes, &prompt->gathering);
    }
    for (size_t first = 0; first < sizes->padded; first += MM_FUSED_CELLS)
        for (size_t p = 0; p < state->tokens.prompts; p++)
            mm_fused_pass2(sizes, fused, image, &state->prompts[p], first, state->pass_work);
    for (size_t p = 0; p < state->tokens.prompts; p++) {
        const mm_fused_prompt *prompt = &state->prompts[p];
        begin_mixed(state, p);
        add_outer(state, prompt->gathering.outer1, prompt->gathering.share1, fused->value2_1, prompt->value1_f32,
                  prompt->last1_f32, image->means.value2);
        place_mixed(state, p, sizes->tokens, fused->value2_bias);
    }
    return MM_OK;
}

/* What |x_2|^2 is made of, and layer 2's logits of the image's look at the tokens, whose keys scaled_query holds. */
static void make_second_layer(const fused_state *state, const mm_fused_weights *fused, const mm_fused_means *means,
                              mm_fused_prompt *prompt)
{
    const mm_fused_sizes *sizes = &state->sizes;
    const size_t inner = sizes->inner, others = sizes->tokens - 1;
    const float *value1 = prompt->value1_f32, *value2 = prompt->value2_f32;
    const float *last1 = prompt->last1_f32, *last2 = prompt->last2_f32;
    float *channels = state->expanded_last;
    make_matrix(state, prompt->scaled_query, sizes->tokens, fused->query2_1, value1, last1, means->query2,
                prompt->query2_1, prompt->query2_l);
    prompt->square11 = make_triangle(state, fused->norm1_11, value1, last1, means->norm11, prompt->norm1_11, prompt->norm1_l);
    make_matrix(state, value2, others, fused->norm1_12, value1, last1, means->norm12, prompt->norm1_12, prompt->norm2_l);
    /* |c + A_2 l_2|^2 = |c|^2 + 2 A_2' c . l_2 + |A_2 l_2|^2, and with a_2 */
    prompt->square2 = fused->c_norm + dot(fused->c_2, last2, inner) +
                      make_triangle(state, fused->norm_22, value2, last2, NULL, prompt->norm_22, prompt->norm2_c);
    for (size_t f = 0; f < sizes->coordinates; f++)
        prompt->norm2_c[f] += dot(value2 + f * sizes->dim, fused->c_2 + f / others * sizes->dim, sizes->dim);
    /* 2 X_1' (c + A_2 l_2) */
    mm_fused_expand_last(sizes, last2, fused->norm1_21, inner, channels);
    for (size_t i = 0; i < inner; i++)
        channels[i] += fused->c_1[i];
    prompt->along = dot(channels, last1, inner) + dot(means->norm12, last2, inner);
    dot_rows(sizes, value1, others, channels, prompt->norm1_c);
}

/* The image looks at the tokens of layer 2; the tokens look at the image for the last time. */
static mm_status final_look(const mm_mask_decoder *decoder, const mm_context *context, const mm_fused_image *image,
                            fused_state *state, mm_error *err)
{
    const mm_fused_sizes *sizes = &state->sizes;
    const mm_fused_weights *fused = decoder->fused;
    const float scale = log2_e * mm_decoder_logit_scale(decoder->arch);
    for (size_t p = 0; p < state->tokens.prompts; p++)
        make_second_layer(state, fused, &image->means, &state->prompts[p]);
    const mm_status status = project(context, &decoder->final.q, true, state, err);
    if (status != MM_OK)
        return status;
    for (size_t p = 0; p < state->tokens.prompts; p++) {
        mm_fused_prompt *prompt = &state->prompts[p];
        const float *query = prompt->scaled_query;
        take_vectors(state, p, state->tokens.work[3], scale, prompt->scaled_query);
        mm_fused_pack(query, sizes->vectors * sizes->dim, prompt->query3);
        make_matrix(state, query, sizes->tokens, fused->key3_1, prompt->value1_f32, prompt->last1_f32, image->means.key3,
                    prompt->key3_1, prompt->key3_l);
        make_matrix(state, query, sizes->tokens, fused->key3_2, prompt->value2_f32, prompt->last2_f32, NULL,
                    prompt->key3_2, prompt->key3_c);
        for (size_t j = 0; j < sizes->vectors; j++)
            prompt->key3_c[j] +=
                dot(query + j * sizes->dim, fused->key3_c + j / sizes->tokens * sizes->dim, sizes->dim);
        mm_fused_begin_gathering(sizes, &prompt->gathering);
    }
    for (size_t first = 0; first < sizes->padded; first += MM_FUSED_CELLS)
        for (size_t p = 0; p < state->tokens.prompts; p++)
            mm_fused_pass3(sizes, fused, image, &state->prompts[p], first, state->pass_work);
    for (size_t p = 0; p < state->tokens.prompts; p++) {
        const mm_fused_prompt *prompt = &state->prompts[p];
        begin_mixed(state, p);
        add_outer(state, prompt->gathering.outer1, prompt->gathering.share1, fused->value3_1, prompt->value1_f32,
                  prompt->last1_f32, image->means.value3);
        add_outer(state, prompt->gathering.outer2, prompt->gathering.share2, fused->value3_2, prompt->value2_f32,
                  prompt->last2_f32, NULL);
        for (size_t j = 0; j < sizes->vectors; j++) {
            const float share = reduce(prompt->gathering.share2 + 16 * j);
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
    float *logits[MM_MAX_MASK_TOKENS];
    mm_fused_upscaling up = {.decoder = decoder, .up_1 = state->up_1, .up_2 = state->up_2,
                             .up_l = state->up_l, .up_c = state->up_c, .hyper = state->hyper_wanted,
                             .grid_rows = grid_rows, .logits = logits};
    const mm_fused_weights *fused = decoder->fused;
    mm_fused_expand_last(sizes, prompt->last1_f32, fused->up_1, channels, state->up_l);
    add_mean(image->means.up, channels, state->up_l);
    mm_fused_expand_last(sizes, prompt->last2_f32, fused->up_2, channels, state->up_c);
    for (size_t i = 0; i < channels; i++)
        state->up_c[i] += fused->up_c[i];
    mm_fused_expand(sizes, prompt->value1_f32, fused->up_1, channels, state->expanded);
    mm_fused_columns(sizes, state->expanded, channels, state->up_1);
    mm_fused_expand(sizes, prompt->value2_f32, fused->up_2, channels, state->expanded);
    mm_fused_columns(sizes, state->expanded, channels, state->up_2);
    for (uint32_t k = 0; k < decoder->arch->decoder.mask_tokens; k++)
        if (wanted >> k & 1u) {
            memcpy(state->hyper_wanted + up.masks * eighth, state->hyper + (k * prompts + p) * eighth, eighth * sizeof(float));
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
        status = finish_layer(decoder, context, image, 0, &state, err);
    if (status == MM_OK)
        status = second_look(decoder, context, image, &state, err);
    if (status == MM_OK)
        status = finish_layer(decoder, context, image, 1, &state, err);
    if (status == MM_OK)
        status = final_look(decoder, context, image, &state, err);
    if (status == MM_OK)
        status = mm_decoder_predict_iou(decoder, context, &state.tokens, err);
    times->to_iou += omp_get_wtime() - start;
    return status == MM_OK ? hand_out(decoder, context, image, frame, batch, sink, &state, times, err) : status;
}

#else

/* No other CPU has the passes, and mm_fused_supports says so: nobody comes here. */
size_t mm_fused_scratch(const mm_mask_decoder *decoder, size_t tokens)
{
    (void)decoder;
    (void)tokens;
    return 0;
}

mm_status mm_fused_run(const mm_mask_decoder *decoder, const mm_context *context, const mm_fused_image *image,
                       const mm_frame *frame, const mm_prompt_batch *batch, const mm_mask_sink *sink, float *scratch,
                       mm_model_times *times, mm_error *err)
{
    (void)decoder, (void)context, (void)image, (void)frame, (void)batch, (void)sink, (void)scratch, (void)times;
    return mm_fail(err, MM_ERR_INTERNAL, "this CPU has no bf16 mask decoder");
}

#endif
