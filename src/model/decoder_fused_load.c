/* The constants of a checkpoint for the fused decoder. */
#include <string.h>

#include "model/decoder_fused.h"

bool mm_fused_supports(const mm_arch *arch)
{
    const size_t dim = arch->decoder.cross_dim / arch->decoder.num_heads;
    /* Channels go in registers of 16 lanes and in tiles of 8 rows. */
    return mm_bf16_get() && arch->decoder.depth == 2 && dim % 16 == 0 && arch->prompt_embed_dim % 64 == 0;
}

/* What loading works on. Rows are D long unless said otherwise. */
typedef struct loading {
    const mm_kernels *kernels;
    mm_weights *weights;
    size_t channels, inner, cells;
    float *a1, *a2, *x1, *centred_x1; /* [c][D]: A_1', A_2', (G_1 A_1)', X_1' */
    float *scratch;                   /* [N][D] */
} loading;

/* out[m][n] = alpha a[m][D] b[n][D]' */
static void multiply(loading *l, const float *a, size_t m, const float *b, size_t n, float alpha, float *out)
{
    if (l->weights->status == MM_OK)
        l->weights->status = mm_gemm(l->kernels, false, true, m, n, l->channels, alpha, a, l->channels, b, l->channels,
                                     0, out, n, l->weights->err);
}

/* A new [m][n]: alpha a b'. */
static float *product(loading *l, const float *a, size_t m, const float *b, size_t n, float alpha)
{
    float *out = mm_weights_new(l->weights, (uint64_t)m * n);
    if (out)
        multiply(l, a, m, b, n, alpha, out);
    return out;
}

static void subtract_means(float *rows, size_t count, size_t channels)
{
    for (size_t r = 0; r < count; r++, rows += channels) {
        double total = 0;
        for (size_t d = 0; d < channels; d++)
            total += (double)rows[d];
        for (size_t d = 0; d < channels; d++)
            rows[d] -= (float)(total / (double)channels);
    }
}

/* rows[m][D] = weight[m][D] with column d times gain[d] times alpha; gain may be NULL */
static void scaled_rows(const float *weight, const float *gain, float alpha, size_t m, size_t channels, float *rows)
{
    for (size_t r = 0; r < m; r++)
        for (size_t d = 0; d < channels; d++)
            rows[r * channels + d] = alpha * weight[r * channels + d] * (gain ? gain[d] : 1);
}

/* (P Wo)' of an output projection [D][c]. */
static void centred_output(const mm_linear *out, float *rows)
{
    for (size_t i = 0; i < out->in; i++)
        for (size_t d = 0; d < out->out; d++)
            rows[i * out->out + d] = out->weight[d * out->in + i];
    subtract_means(rows, out->in, out->out);
}

/* A new [n]: rows[n][D] . x[D] + base[n] (NULL: 0), times alpha */
static float *apply(loading *l, const float *rows, size_t n, const float *x, const float *base, float alpha)
{
    float *out = mm_weights_new(l->weights, n);
    for (size_t i = 0; out && i < n; i++) {
        double total = 0;
        for (size_t d = 0; d < l->channels; d++)
            total += (double)rows[i * l->channels + d] * (double)x[d];
        out[i] = alpha * (float)(total + (base ? (double)base[i] : 0));
    }
    return out;
}

/* A new plane of weight[c][D] (pe + offset) + bias; offset [D] and bias [c] may be NULL. */
static mm_pair *position_plane(loading *l, const mm_mask_decoder *decoder, const float *weight, const float *offset,
                               const float *bias)
{
    const size_t padded = (l->cells + MM_FUSED_CELLS - 1) / MM_FUSED_CELLS * MM_FUSED_CELLS;
    float *positions = l->scratch, *projected = positions + l->cells * l->channels;
    mm_pair *plane = (mm_pair *)mm_weights_new(l->weights, (uint64_t)padded * l->inner / 2);
    if (!plane)
        return NULL;
    for (size_t i = 0; i < l->cells * l->channels; i++)
        positions[i] = decoder->prompts->dense_pe[i] + (offset ? offset[i % l->channels] : 0);
    multiply(l, positions, l->cells, weight, l->inner, 1, projected);
    for (size_t i = 0; bias && i < l->cells * l->inner; i++)
        projected[i] += bias[i % l->inner];
    for (size_t first = 0; first < padded; first += MM_FUSED_CELLS)
        mm_fused_pack_plane(projected, l->inner, l->cells, l->inner, first, plane);
    return plane;
}

/* A layer without bias of so many rows, for the caller to fill; NULL after a failure. */
static float *new_rows(loading *l, size_t rows, mm_linear *linear)
{
    float *weight = mm_weights_new(l->weights, (uint64_t)rows * l->channels);
    *linear = (mm_linear){.weight = weight, .in = l->channels, .out = rows};
    return weight;
}

static void load_shared(mm_fused_weights *fused, const mm_mask_decoder *decoder, loading *l)
{
    const mm_decoder_layer *second = &decoder->layers[1];
    const float *gain2 = second->norm4.weight;
    const size_t channels = l->channels, inner = l->inner, size = inner * channels;
    float *u = new_rows(l, 4 * inner, &fused->from_u), *u1 = new_rows(l, 4 * inner + channels, &fused->from_u1);
    if (!u || !u1)
        return;
    scaled_rows(l->a1, NULL, 2, inner, channels, u);
    scaled_rows(second->token_to_image.k.weight, fused->gain1, 1, inner, channels, u + size);
    scaled_rows(second->token_to_image.v.weight, fused->gain1, 1, inner, channels, u + 2 * size);
    scaled_rows(second->image_to_token.q.weight, fused->gain1, 1, inner, channels, u + 3 * size);
    scaled_rows(l->centred_x1, NULL, 2, inner, channels, u1);
    scaled_rows(l->a2, NULL, 2, inner, channels, u1 + size);
    scaled_rows(decoder->final.k.weight, gain2, 1, inner, channels, u1 + 2 * size);
    scaled_rows(decoder->final.v.weight, gain2, 1, inner, channels, u1 + 3 * size);
    scaled_rows(decoder->upscale1.weight, gain2, 1, channels, channels, u1 + 4 * size);
}

static void load_norms(mm_fused_weights *fused, loading *l)
{
    const size_t inner = l->inner;
    fused->norm_11 = product(l, l->a1, inner, l->a1, inner, 1);
    fused->norm1_11 = product(l, l->centred_x1, inner, l->centred_x1, inner, 1);
    fused->norm1_12 = product(l, l->centred_x1, inner, l->a2, inner, 2);
    fused->norm1_21 = product(l, l->a2, inner, l->centred_x1, inner, 2);
    fused->norm_22 = product(l, l->a2, inner, l->a2, inner, 1);
    fused->c_1 = apply(l, l->centred_x1, inner, fused->c, NULL, 2);
    fused->c_2 = apply(l, l->a2, inner, fused->c, NULL, 2);
}

/* What queries, keys and values of layer 2 and of the final attention see of a_1, a_2 and the constants. */
static void load_seen(mm_fused_weights *fused, const mm_mask_decoder *decoder, loading *l)
{
    const mm_decoder_layer *first = &decoder->layers[0], *second = &decoder->layers[1];
    const size_t inner = l->inner, channels = l->channels;
    const float *gain2 = second->norm4.weight, *bias1 = first->norm4.bias, *bias2 = second->norm4.bias;
    fused->key2_1 = product(l, l->x1, inner, second->token_to_image.k.weight, inner, 1);
    fused->value2_1 = product(l, l->x1, inner, second->token_to_image.v.weight, inner, 1);
    fused->query2_1 = product(l, l->x1, inner, second->image_to_token.q.weight, inner, 1);
    float *rows = l->scratch; /* W G_2 */
    const struct {
        const mm_linear *linear;
        float **one, **two, **constant;
    } seen[] = {{&decoder->final.k, &fused->key3_1, &fused->key3_2, &fused->key3_c},
                {&decoder->final.v, &fused->value3_1, &fused->value3_2, &fused->value3_c},
                {&decoder->upscale1, &fused->up_1, &fused->up_2, &fused->up_c}};
    for (size_t i = 0; i < 3; i++) {
        const size_t n = seen[i].linear->out;
        scaled_rows(seen[i].linear->weight, gain2, 1, n, channels, rows);
        *seen[i].one = product(l, l->centred_x1, inner, rows, n, 1);
        *seen[i].two = product(l, l->a2, inner, rows, n, 1);
        *seen[i].constant = apply(l, rows, n, fused->c, NULL, 1);
    }
    const mm_linear *value2 = &second->token_to_image.v, *value3 = &decoder->final.v, *up = &decoder->upscale1;
    fused->value2_bias = apply(l, value2->weight, inner, bias1, value2->bias, 1);
    fused->value3_bias = apply(l, value3->weight, inner, bias2, value3->bias, 1);
    fused->up_bias = apply(l, up->weight, channels, bias2, up->bias, 1);
    const mm_linear *query2 = &second->image_to_token.q;
    fused->key2_pe = position_plane(l, decoder, second->token_to_image.k.weight, NULL, NULL);
    fused->query2_pe = position_plane(l, decoder, query2->weight, bias1, query2->bias);
    fused->key3_pe = position_plane(l, decoder, decoder->final.k.weight, NULL, NULL);
}

static void load_vectors(mm_fused_weights *fused, const mm_mask_decoder *decoder, loading *l)
{
    const mm_decoder_layer *first = &decoder->layers[0], *second = &decoder->layers[1];
    const size_t channels = l->channels, inner = l->inner;
    fused->gain1 = first->norm4.weight;
    float *centre = mm_weights_new(l->weights, channels), *c = mm_weights_new(l->weights, channels);
    fused->centre = centre;
    fused->c = c;
    if (!centre || !c)
        return;
    memcpy(centre, first->image_to_token.out.bias, channels * sizeof *centre);
    subtract_means(centre, 1, channels);
    for (size_t d = 0; d < channels; d++)
        c[d] = first->norm4.bias[d] + second->image_to_token.out.bias[d];
    subtract_means(c, 1, channels);
    double total = 0;
    for (size_t d = 0; d < channels; d++)
        total += (double)c[d] * (double)c[d];
    fused->c_norm = (float)total;
    centred_output(&first->image_to_token.out, l->a1);
    centred_output(&second->image_to_token.out, l->a2);
    scaled_rows(l->a1, fused->gain1, 1, inner, channels, l->x1);
    memcpy(l->centred_x1, l->x1, inner * channels * sizeof *l->x1);
    subtract_means(l->centred_x1, inner, channels);
}

static void load_second_upscaling(mm_fused_weights *fused, const mm_mask_decoder *decoder, mm_weights *weights)
{
    const mm_linear *up = &decoder->upscale2;
    mm_pair *pairs = (mm_pair *)mm_weights_new(weights, (uint64_t)up->out * up->in / 2);
    fused->up2 = pairs;
    for (size_t i = 0; pairs && i < up->out * up->in / 2; i++)
        pairs[i] = (mm_pair)mm_bf16_from(up->weight[2 * i]) | (mm_pair)mm_bf16_from(up->weight[2 * i + 1]) << 16;
}

void mm_fused_load(mm_fused_weights *fused, const mm_mask_decoder *decoder, const mm_kernels *kernels,
                   mm_weights *weights)
{
    const mm_arch *arch = decoder->arch;
    const size_t channels = arch->prompt_embed_dim, inner = arch->decoder.cross_dim, size = inner * channels;
    const size_t cells = (size_t)arch->embedding_side * arch->embedding_side;
    if (weights->status != MM_OK)
        return;
    /* Scratch: positions and their projections, or the rows of a layer. */
    size_t scratch = cells * (channels + inner);
    scratch = scratch > channels * channels ? scratch : channels * channels;
    mm_arena passing = {0};
    float *block = mm_arena_floats(&passing, 4 * size + scratch);
    if (!block) {
        weights->status = mm_fail_memory(weights->err, "the decoder's constants");
        return;
    }
    loading l = {.kernels = kernels, .weights = weights, .channels = channels, .inner = inner, .cells = cells,
                 .a1 = block, .a2 = block + size, .x1 = block + 2 * size, .centred_x1 = block + 3 * size,
                 .scratch = block + 4 * size};
    load_vectors(fused, decoder, &l);
    if (weights->status == MM_OK) {
        load_shared(fused, decoder, &l);
        load_norms(fused, &l);
        load_seen(fused, decoder, &l);
        load_second_upscaling(fused, decoder, weights);
    }
    mm_arena_free(&passing);
}
