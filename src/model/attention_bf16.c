#include "model/attention_bf16.h"

#include <omp.h>
#include <string.h>

/* Queries that pass over the keys together: their sums of values stay in the L2 cache beside a tile of keys. Keys of a tile:
 * a query's logits of a tile stay in the L1 cache. */
enum { QUERIES = 96, KEYS = 256 };

static const float log2_e = 1.44269504f;

static size_t minimum(size_t a, size_t b)
{
    return a < b ? a : b;
}

/* Where a job's parts begin in its scratch, in floats; every part is a multiple of a cache line. */
typedef struct layout {
    size_t queries, tile; /* at a time */
    size_t gathered, keys, values, rel_h, rel_w, attention, total;
    size_t rel_row;
} layout;

static size_t lines(size_t floats)
{
    return (floats + 15) / 16 * 16;
}

static bool is_whole(const mm_attention *shape)
{
    return shape->window >= shape->side && !shape->bias;
}

/* One head over the whole grid, its keys in tiles; or one head of one window, gathered, its keys in one tile. */
static layout lay_out(const mm_attention *shape)
{
    const bool whole = is_whole(shape);
    const size_t side = whole ? shape->side : shape->window, tokens = side * side, dim = shape->dim;
    layout at = {.queries = minimum(QUERIES, tokens), .tile = tokens};
    if (whole && tokens > KEYS)
        at.tile = KEYS > side ? KEYS / side * side : side;
    const size_t tiles = (tokens + at.tile - 1) / at.tile;
    at.rel_row = lines(2 * side - 1);
    at.keys = whole ? 0 : lines(tokens * 3 * dim / 2 + 1);
    at.values = at.keys + lines(tiles * mm_packed_count(at.tile, dim) / 2);
    at.rel_h = at.values + lines(tiles * mm_packed_count(dim, at.tile) / 2);
    at.rel_w = at.rel_h + at.queries * at.rel_row;
    at.attention = at.rel_w + at.queries * at.rel_row;
    at.total = at.attention + lines(mm_bf16_attention_scratch(at.queries, dim, at.tile));
    return at;
}

static mm_packed pack_relative(mm_weights *weights, const float *table, size_t rows, size_t dim)
{
    const size_t count = mm_packed_count(rows, dim);
    mm_bf16 *values = mm_weights_new_bf16(weights, count);
    float *scaled = mm_weights_new(weights, rows * dim);
    if (!values || !scaled || !table)
        return (mm_packed){0};
    for (size_t i = 0; i < rows * dim; i++)
        scaled[i] = log2_e * table[i];
    mm_pack_weight(scaled, dim, rows, dim, values);
    return (mm_packed){.n = rows, .k = dim, .values = values};
}

mm_attention_bf16 mm_attention_bf16_load(mm_weights *weights, const mm_attention *shape)
{
    mm_attention_bf16 made = {.shape = *shape};
    const size_t tokens = shape->window * shape->window;
    if (shape->rel_h) {
        made.rel_h = pack_relative(weights, shape->rel_h, 2 * shape->window - 1, shape->dim);
        made.rel_w = pack_relative(weights, shape->rel_w, 2 * shape->window - 1, shape->dim);
    }
    if (shape->bias) {
        float *bias = mm_weights_new(weights, shape->heads * tokens * tokens);
        for (size_t i = 0; bias && i < shape->heads * tokens * tokens; i++)
            bias[i] = log2_e * shape->bias[i];
        made.bias = bias;
    }
    if (shape->outside) {
        mm_bf16 *outside = mm_weights_new_bf16(weights, shape->row);
        for (size_t i = 0; outside && i < shape->row; i++)
            outside[i] = mm_bf16_from(shape->outside[i]);
        made.outside = outside;
    }
    return made;
}

size_t mm_attention_bf16_scratch(const mm_attention *shape)
{
    return lay_out(shape).total;
}

/* Logits of relative positions of some queries: rel[queries][rel_row]. */
static void relative_terms(const mm_context *context, const mm_bf16 *q, size_t row, size_t queries,
                           const mm_packed *table, float *rel, size_t rel_row)
{
    const mm_bf16_product product = {.a = q, .lda = row, .rows = queries, .b = *table, .epilogue = MM_TO_F32,
                                     .out = rel, .ldout = rel_row};
    context->bf16->product(&product);
}

/* Attention of `tokens` tokens of one head: q, k, v in rows `row` apart, the first `queries` of them asked for. */
static void attend(const mm_context *context, const mm_attention_bf16 *attention, const mm_bf16 *q, const mm_bf16 *k,
                   const mm_bf16 *v, size_t row, size_t head, size_t tokens, size_t queries, float *scratch,
                   mm_bf16 *out, size_t out_row)
{
    const mm_attention *shape = &attention->shape;
    const layout at = lay_out(shape);
    const size_t dim = shape->dim;
    mm_bf16 *keys = (mm_bf16 *)(scratch + at.keys), *values = (mm_bf16 *)(scratch + at.values);
    for (size_t first = 0, i = 0; first < tokens; first += at.tile, i++) {
        const size_t count = minimum(at.tile, tokens - first);
        context->bf16->pack_keys(k + first * row, row, count, dim, keys + i * mm_packed_count(at.tile, dim));
        context->bf16->pack_values(v + first * row, row, count, dim, values + i * mm_packed_count(dim, at.tile));
    }
    for (size_t first = 0; first < queries; first += at.queries) {
        mm_bf16_attention part = {.q = q + first * row, .q_row = row, .queries = minimum(at.queries, queries - first),
                                  .dim = dim, .k = keys, .v = values, .keys = tokens, .tile = at.tile,
                                  .scale = shape->scale, .side = is_whole(shape) ? shape->side : shape->window,
                                  .first_query = first, .out = out + first * out_row, .out_row = out_row,
                                  .scratch = scratch + at.attention};
        if (attention->rel_h.values) {
            part.rel_h = scratch + at.rel_h;
            part.rel_w = scratch + at.rel_w;
            part.rel_row = at.rel_row;
            relative_terms(context, part.q, row, part.queries, &attention->rel_h, scratch + at.rel_h, at.rel_row);
            relative_terms(context, part.q, row, part.queries, &attention->rel_w, scratch + at.rel_w, at.rel_row);
        }
        if (attention->bias)
            part.pair = attention->bias + (head * tokens + first) * tokens;
        context->bf16->attention(&part);
    }
}

/* The rows of one head of one window, those outside the grid filled in: gathered[window^2][3][dim]. */
static void gather_window(const mm_attention_bf16 *attention, const mm_bf16 *qkv, size_t head, size_t y0, size_t x0,
                          mm_bf16 *gathered)
{
    const mm_attention *shape = &attention->shape;
    const size_t side = shape->side, dim = shape->dim, window = shape->window;
    const size_t parts[3] = {0, shape->key, shape->value};
    for (size_t y = y0; y < y0 + window; y++)
        for (size_t x = x0; x < x0 + window; x++)
            for (size_t part = 0; part < 3; part++, gathered += dim) {
                const size_t begin = head * shape->head_step + parts[part];
                if (y < side && x < side)
                    memcpy(gathered, qkv + (y * side + x) * shape->row + begin, dim * sizeof *gathered);
                else if (attention->outside)
                    memcpy(gathered, attention->outside + begin, dim * sizeof *gathered);
                else
                    memset(gathered, 0, dim * sizeof *gathered);
            }
}

/* One head of one window. Its result takes the queries' place among what was gathered, and goes from there to `out`. */
static void attend_window(const mm_context *context, const mm_attention_bf16 *attention, const mm_bf16 *qkv,
                          size_t head, size_t y0, size_t x0, float *scratch, mm_bf16 *out)
{
    const mm_attention *shape = &attention->shape;
    const size_t side = shape->side, dim = shape->dim, window = shape->window, row = 3 * dim;
    const size_t rows = minimum(window, side - y0), columns = minimum(window, side - x0);
    mm_bf16 *gathered = (mm_bf16 *)scratch;
    gather_window(attention, qkv, head, y0, x0, gathered);
    /* Queries below the grid's lower edge are not computed. */
    attend(context, attention, gathered, gathered + dim, gathered + 2 * dim, row, head, window * window, rows * window,
           scratch, gathered, row);
    for (size_t y = 0; y < rows; y++)
        for (size_t x = 0; x < columns; x++)
            memcpy(out + ((y0 + y) * side + x0 + x) * shape->heads * dim + head * dim,
                   gathered + (y * window + x) * row, dim * sizeof *out);
}

void mm_attention_bf16_window(const mm_context *context, const mm_attention_bf16 *attention, const mm_bf16 *qkv,
                              size_t queries, float *scratch, mm_bf16 *out)
{
    const mm_attention *shape = &attention->shape;
    for (size_t head = 0; head < shape->heads; head++) {
        const mm_bf16 *q = qkv + head * shape->head_step;
        attend(context, attention, q, q + shape->key, q + shape->value, shape->row, head, shape->window * shape->window,
               queries, scratch, out + head * shape->dim, shape->heads * shape->dim);
    }
}

void mm_attention_bf16_run(const mm_context *context, const mm_attention_bf16 *attention, const mm_bf16 *qkv,
                           mm_bf16 *out)
{
    const mm_attention *shape = &attention->shape;
    const bool whole = is_whole(shape);
    const size_t windows = whole ? 1 : (shape->side + shape->window - 1) / shape->window;
    const size_t jobs = windows * windows * shape->heads;
#pragma omp parallel for num_threads((int)context->kernels->threads) schedule(dynamic)
    for (size_t job = 0; job < jobs; job++) {
        const size_t head = job % shape->heads, place = job / shape->heads;
        const mm_bf16 *q = qkv + head * shape->head_step;
        float *scratch = context->scratch[omp_get_thread_num()];
        if (whole)
            attend(context, attention, q, q + shape->key, q + shape->value, shape->row, head, shape->side * shape->side,
                   shape->side * shape->side, scratch, out + head * shape->dim, shape->heads * shape->dim);
        else
            attend_window(context, attention, qkv, head, place / windows * shape->window,
                          place % windows * shape->window, scratch, out);
    }
}
