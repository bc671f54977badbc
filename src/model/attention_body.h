/* Attention by the tensor module's kernel of one head: packs keys and values, shares heads and windows among threads.
 *
 * Included once per type of value by a file that defines before:
 *   value           the type of queries, keys and values
 *   prepared        what a layer's attention has besides its sizes: mm_attention_bf16, or its like for this type
 *   head_call       the kernel's argument
 *   kernels         the table of kernels in the context
 *   packed_count    values of a packed matrix; kernel_scratch: floats that the kernel wants
 *   relative_terms  logits of relative positions of some queries: rel_h[queries][rel_row], and rel_w likewise
 * and gets lay_out and run. */

/* Queries that pass over the keys together: their sums of values stay in the L2 cache beside a tile of keys. Keys of a tile:
 * a query's logits of a tile stay in the L1 cache. */
enum { QUERIES = 96, KEYS = 256 };

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

/* Floats that make room for `count` values. */
static size_t floats_of(size_t count)
{
    return (count * sizeof(value) + sizeof(float) - 1) / sizeof(float);
}

/* A window that is larger than the grid is not: tokens outside the grid are keys in it. */
static bool is_whole(const mm_attention *shape)
{
    return shape->window == shape->side && !shape->bias;
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
    at.keys = whole ? 0 : lines(floats_of(tokens * 3 * dim));
    at.values = at.keys + lines(floats_of(tiles * packed_count(at.tile, dim)));
    at.rel_h = at.values + lines(floats_of(tiles * packed_count(dim, at.tile)));
    at.rel_w = at.rel_h + at.queries * at.rel_row;
    at.attention = at.rel_w + at.queries * at.rel_row;
    at.total = at.attention + lines(kernel_scratch(at.queries, dim, at.tile));
    return at;
}

/* Attention of `tokens` tokens of one head: q, k, v in rows `row` apart, the first `queries` of them asked for. */
static void attend(const mm_context *context, const prepared *attention, const value *q, const value *k,
                   const value *v, size_t row, size_t head, size_t tokens, size_t queries, float *scratch,
                   value *out, size_t out_row)
{
    const mm_attention *shape = &attention->shape;
    const layout at = lay_out(shape);
    const size_t dim = shape->dim;
    value *keys = (value *)(scratch + at.keys), *values = (value *)(scratch + at.values);
    for (size_t first = 0, i = 0; first < tokens; first += at.tile, i++) {
        const size_t count = minimum(at.tile, tokens - first);
        kernels(context)->pack_keys(k + first * row, row, count, dim, keys + i * packed_count(at.tile, dim));
        kernels(context)->pack_values(v + first * row, row, count, dim, values + i * packed_count(dim, at.tile));
    }
    for (size_t first = 0; first < queries; first += at.queries) {
        head_call part = {.q = q + first * row, .q_row = row, .queries = minimum(at.queries, queries - first),
                                  .dim = dim, .k = keys, .v = values, .keys = tokens, .tile = at.tile,
                                  .scale = shape->scale, .side = is_whole(shape) ? shape->side : shape->window,
                                  .first_query = first, .out = out + first * out_row, .out_row = out_row,
                                  .scratch = scratch + at.attention};
        if (shape->rel_h) {
            part.rel_h = scratch + at.rel_h;
            part.rel_w = scratch + at.rel_w;
            part.rel_row = at.rel_row;
            relative_terms(context, attention, part.q, row, part.queries, scratch + at.rel_h, scratch + at.rel_w, at.rel_row);
        }
        if (attention->bias)
            part.pair = attention->bias + (head * tokens + first) * tokens;
        kernels(context)->attention(&part);
    }
}

/* The rows of one head of one window, those outside the grid filled in: gathered[window^2][3][dim]. */
static void gather_window(const prepared *attention, const value *qkv, size_t head, size_t y0, size_t x0,
                          value *gathered)
{
    const mm_attention *shape = &attention->shape;
    const size_t side = shape->side, dim = shape->dim, window = shape->window;
    const size_t parts[3] = {0, shape->key, shape->value};
    const bool together = shape->key == dim && shape->value == 2 * dim; /* a token's three parts lie side by side */
    const size_t copies = together ? 1 : 3, length = together ? 3 * dim : dim;
    for (size_t y = y0; y < y0 + window; y++)
        for (size_t x = x0; x < x0 + window; x++)
            for (size_t part = 0; part < copies; part++, gathered += length) {
                const size_t begin = head * shape->head_step + parts[part];
                if (y < side && x < side)
                    memcpy(gathered, qkv + (y * side + x) * shape->row + begin, length * sizeof *gathered);
                else if (attention->outside)
                    memcpy(gathered, attention->outside + begin, length * sizeof *gathered);
                else
                    memset(gathered, 0, length * sizeof *gathered);
            }
}

/* One head of one window. Its result takes the queries' place among what was gathered, and goes from there to `out`. */
static void attend_window(const mm_context *context, const prepared *attention, const value *qkv,
                          size_t head, size_t y0, size_t x0, float *scratch, value *out)
{
    const mm_attention *shape = &attention->shape;
    const size_t side = shape->side, dim = shape->dim, window = shape->window, row = 3 * dim;
    const size_t rows = minimum(window, side - y0), columns = minimum(window, side - x0);
    value *gathered = (value *)scratch;
    gather_window(attention, qkv, head, y0, x0, gathered);
    /* Queries below the grid's lower edge are not computed. */
    attend(context, attention, gathered, gathered + dim, gathered + 2 * dim, row, head, window * window, rows * window,
           scratch, gathered, row);
    for (size_t y = 0; y < rows; y++)
        for (size_t x = 0; x < columns; x++)
            memcpy(out + ((y0 + y) * side + x0 + x) * shape->heads * dim + head * dim,
                   gathered + (y * window + x) * row, dim * sizeof *out);
}

static void run(const mm_context *context, const prepared *attention, const value *qkv, value *out)
{
    const mm_attention *shape = &attention->shape;
    const bool whole = is_whole(shape);
    const size_t windows = whole ? 1 : (shape->side + shape->window - 1) / shape->window;
    const size_t jobs = windows * windows * shape->heads;
#pragma omp parallel for num_threads((int)context->kernels->threads) schedule(dynamic)
    for (size_t job = 0; job < jobs; job++) {
        const size_t head = job % shape->heads, place = job / shape->heads;
        const value *q = qkv + head * shape->head_step;
        float *scratch = context->scratch[omp_get_thread_num()];
        if (whole)
            attend(context, attention, q, q + shape->key, q + shape->value, shape->row, head, shape->side * shape->side,
                   shape->side * shape->side, scratch, out + head * shape->dim, shape->heads * shape->dim);
        else
            attend_window(context, attention, qkv, head, place / windows * shape->window,
                          place % windows * shape->window, scratch, out);
    }
}
