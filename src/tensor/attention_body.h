/* Attention of one head, six queries at a time: logits of a tile of keys, their exponentials, and the product with the
 * values never leave the L1 cache. Maximum and sum go on from tile to tile, as in FlashAttention (arXiv 2205.14135).
 *
 * Included once per type of value by a file that defines before:
 *   value           the type of queries, keys and values
 *   attention_call  what is asked for: mm_bf16_attention, or its like for this type
 *   GROUP           rows of k that lie side by side in a packed matrix
 *   ROWS            of a register tile
 *   SLACK           floats that may be written behind a row of logits
 *   tile_multiply   sums[rows][vectors] = a x panel over `groups` groups of k
 *   exponential     2^x, as precise as what becomes of it
 *   store_values    16 values, those of the mask
 * and gets attend_head. */

static const float log2_e = 1.44269504f;
/* A logit that has no weight. Far from infinity: differences of two must be numbers. */
static const float nothing = -1e30f;

/* Where the parts of the scratch begin. */
typedef struct workspace {
    float *logits;  /* [6][stride], biases at first */
    value *weights; /* [6][stride]; as wide as the logits they are in their place */
    float *result;  /* [queries][width] */
    float *maximum, *sum;
    size_t stride, width;
} workspace;

static workspace lay_out(const attention_call *a)
{
    workspace w = {.stride = (a->tile + 15) / 16 * 16 + SLACK, .width = (a->dim + 15) / 16 * 16};
    const bool in_place = sizeof(value) == sizeof(float);
    w.logits = a->scratch;
    w.weights = (value *)(w.logits + (in_place ? 0 : ROWS * w.stride));
    w.result = w.logits + ROWS * w.stride + (in_place ? 0 : ROWS * w.stride / 2);
    w.maximum = w.result + a->queries * w.width;
    w.sum = w.maximum + a->queries;
    return w;
}

static size_t groups_of(size_t k)
{
    return (k + GROUP - 1) / GROUP;
}

/* Values of a packed [k][n]. */
static size_t packed_count(size_t n, size_t k)
{
    return (n + 15) / 16 * 16 * groups_of(k) * GROUP;
}

MM_INLINE __mmask16 lanes_of(size_t n)
{
    return n < 16 ? (__mmask16)(0xffffu >> (16 - n)) : 0xffff;
}

/* Where the biases of a tile's logits stand: rows `row` apart. */
typedef struct biases {
    const float *values;
    size_t row;
    __mmask16 last; /* lanes of the last vector that exist; the others are keys' padding */
} biases;

/* The decomposed biases of one query for a tile of keys from `first` on, or zeros. Whole vectors are written; what stands
 * behind a row of the grid is overwritten by the next one. */
static void write_bias(const attention_call *a, size_t query, size_t first, size_t keys, float *out)
{
    if (a->rel_h) {
        const size_t at = a->first_query + query, side = a->side;
        const float *rel_h = a->rel_h + query * a->rel_row + side - 1 - at / side + first / side;
        const float *rel_w = a->rel_w + query * a->rel_row + side - 1 - at % side;
        for (size_t y = 0; y * side < keys; y++) {
            const __m512 term = _mm512_set1_ps(rel_h[y]);
            for (size_t x = 0; x < side; x += 16)
                _mm512_storeu_ps(out + y * side + x,
                                 _mm512_add_ps(_mm512_maskz_loadu_ps(lanes_of(side - x), rel_w + x), term));
        }
    } else {
        memset(out, 0, keys * sizeof *out);
    }
}

/* logits = scale * q k^T + biases, for one panel of keys; the biases may be where the logits go. What pads the keys gets no
 * weight. */
MM_INLINE void find_logits(size_t rows, size_t vectors, const attention_call *a, const value *q, const value *panel,
                           const biases *bias, float *logits, size_t stride)
{
    __m512 sums[ROWS][4];
    tile_multiply(rows, vectors, q, a->q_row, panel, groups_of(a->dim), sums);
    const __m512 scale = _mm512_set1_ps(a->scale * log2_e);
#pragma GCC unroll 6
    for (size_t r = 0; r < rows; r++)
#pragma GCC unroll 4
        for (size_t v = 0; v < vectors; v++) {
            const __mmask16 exists = v + 1 < vectors ? 0xffff : bias->last;
            const __m512 b =
                _mm512_mask_loadu_ps(_mm512_set1_ps(nothing), exists, bias->values + r * bias->row + v * 16);
            _mm512_storeu_ps(logits + r * stride + v * 16, _mm512_fmadd_ps(sums[r][v], scale, b));
        }
}

/* result = result + weights v, for one panel of values. */
MM_INLINE void add_values(size_t rows, size_t vectors, const value *weights, size_t stride, const value *panel,
                          size_t groups, float *result, size_t width)
{
    __m512 sums[ROWS][4];
    tile_multiply(rows, vectors, weights, stride, panel, groups, sums);
#pragma GCC unroll 6
    for (size_t r = 0; r < rows; r++)
#pragma GCC unroll 4
        for (size_t v = 0; v < vectors; v++) {
            float *at = result + r * width + v * 16;
            _mm512_storeu_ps(at, _mm512_add_ps(sums[r][v], _mm512_loadu_ps(at)));
        }
}

/* Logits to weights 2^(logit - maximum) of one query; its sum and result so far are brought to the new maximum. */
static void weigh(float *logits, value *weights, size_t keys, float *maximum, float *sum, float *result, size_t width)
{
    __m512 top = _mm512_loadu_ps(logits);
    for (size_t i = 16; i < keys; i += 16)
        top = _mm512_max_ps(top, _mm512_loadu_ps(logits + i));
    const float most = _mm512_reduce_max_ps(top);
    if (most > *maximum) {
        const __m512 scale = exponential(_mm512_set1_ps(*maximum - most));
        *sum *= _mm512_cvtss_f32(scale);
        for (size_t i = 0; i < width; i += 16)
            _mm512_storeu_ps(result + i, _mm512_mul_ps(_mm512_loadu_ps(result + i), scale));
        *maximum = most;
    }
    const __m512 base = _mm512_set1_ps(*maximum);
    __m512 total = _mm512_setzero_ps();
    for (size_t i = 0; i < keys; i += 16) {
        const __m512 e = exponential(_mm512_sub_ps(_mm512_loadu_ps(logits + i), base));
        total = _mm512_add_ps(total, e);
        store_values(weights + i, 0xffff, e);
    }
    *sum += _mm512_reduce_add_ps(total);
}

/* `rows` queries from `query` on against one tile. */
MM_INLINE void attend(size_t rows, const attention_call *a, const workspace *w, size_t query, size_t first, size_t keys)
{
    const size_t index = first / a->tile, padded = (keys + 15) / 16 * 16;
    const value *q = a->q + query * a->q_row;
    const value *k = a->k + index * packed_count(a->tile, a->dim);
    const value *v = a->v + index * packed_count(a->dim, a->tile);
    float *result = w->result + query * w->width;
    biases bias = {.values = a->pair ? a->pair + query * a->keys : w->logits, .row = a->pair ? a->keys : w->stride};
    for (size_t r = 0; r < rows && !a->pair; r++)
        write_bias(a, query + r, first, keys, w->logits + r * w->stride);
    for (size_t column = 0; column < padded; column += MM_PANEL, bias.values += MM_PANEL) {
        const value *panel = k + column * groups_of(a->dim) * GROUP;
        float *logits = w->logits + column;
        bias.last = padded - column > MM_PANEL ? 0xffff : lanes_of(keys - (padded - 16));
        if (padded - column >= MM_PANEL)
            find_logits(rows, 4, a, q, panel, &bias, logits, w->stride);
        else if (padded - column == 48)
            find_logits(rows, 3, a, q, panel, &bias, logits, w->stride);
        else if (padded - column == 32)
            find_logits(rows, 2, a, q, panel, &bias, logits, w->stride);
        else
            find_logits(rows, 1, a, q, panel, &bias, logits, w->stride);
    }
    for (size_t r = 0; r < rows; r++)
        weigh(w->logits + r * w->stride, w->weights + r * w->stride, padded, w->maximum + query + r,
              w->sum + query + r, result + r * w->width, w->width);
    for (size_t column = 0; column < w->width; column += MM_PANEL) {
        const size_t groups = groups_of(keys);
        const value *panel = v + column * groups * GROUP;
        if (w->width - column >= MM_PANEL)
            add_values(rows, 4, w->weights, w->stride, panel, groups, result + column, w->width);
        else if (w->width - column == 48)
            add_values(rows, 3, w->weights, w->stride, panel, groups, result + column, w->width);
        else if (w->width - column == 32)
            add_values(rows, 2, w->weights, w->stride, panel, groups, result + column, w->width);
        else
            add_values(rows, 1, w->weights, w->stride, panel, groups, result + column, w->width);
    }
}

static void attend_head(const attention_call *a)
{
    const workspace w = lay_out(a);
    memset(w.result, 0, a->queries * w.width * sizeof *w.result);
    for (size_t i = 0; i < a->queries; i++) {
        w.maximum[i] = nothing;
        w.sum[i] = 0;
    }
    for (size_t first = 0; first < a->keys; first += a->tile) {
        const size_t keys = a->keys - first < a->tile ? a->keys - first : a->tile;
        size_t query = 0;
        for (; query + ROWS <= a->queries; query += ROWS)
            attend(ROWS, a, &w, query, first, keys);
        for (; query + 2 <= a->queries; query += 2)
            attend(2, a, &w, query, first, keys);
        for (; query < a->queries; query++)
            attend(1, a, &w, query, first, keys);
    }
    for (size_t i = 0; i < a->queries; i++) {
        const __m512 scale = _mm512_set1_ps(1.0f / w.sum[i]);
        for (size_t d = 0; d < a->dim; d += 16)
            store_values(a->out + i * a->out_row + d, lanes_of(a->dim - d),
                         _mm512_mul_ps(_mm512_loadu_ps(w.result + i * w.width + d), scale));
    }
}
