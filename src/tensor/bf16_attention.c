/* Attention of one head, six queries at a time: logits of a tile of keys, their exponentials in bf16, and the product with
 * the values never leave the L1 cache. Maximum and sum go on from tile to tile, as in FlashAttention (arXiv 2205.14135). */
#include "tensor/bf16_avx512.h"

#ifdef __AVX512BF16__

static const float log2_e = 1.44269504f;
/* A logit that has no weight. Far from infinity: differences of two must be numbers. */
static const float nothing = -1e30f;

/* Where the parts of the scratch begin. */
typedef struct workspace {
    float *logits;    /* [6][stride], biases at first */
    mm_bf16 *weights; /* [6][stride] */
    float *result;    /* [queries][width] */
    float *maximum, *sum;
    size_t stride, width;
} workspace;

static workspace lay_out(const mm_bf16_attention *a)
{
    workspace w = {.stride = (a->tile + 15) / 16 * 16 + MM_BF16_SLACK, .width = (a->dim + 15) / 16 * 16};
    w.logits = a->scratch;
    w.weights = (mm_bf16 *)(w.logits + MM_BF16_ROWS * w.stride);
    w.result = w.logits + MM_BF16_ROWS * w.stride / 2 * 3;
    w.maximum = w.result + a->queries * w.width;
    w.sum = w.maximum + a->queries;
    return w;
}

/* Where the biases of a tile's logits stand: rows `row` apart. */
typedef struct biases {
    const float *values;
    size_t row;
    __mmask16 last; /* lanes of the last vector that exist; the others are keys' padding */
} biases;

/* The decomposed biases of one query for a tile of keys from `first` on, or zeros. Whole vectors are written; what stands behind a row of the
 * grid is overwritten by the next one. */
static void write_bias(const mm_bf16_attention *a, size_t query, size_t first, size_t keys, float *out)
{
    if (a->rel_h) {
        const size_t at = a->first_query + query, side = a->side;
        const float *rel_h = a->rel_h + query * a->rel_row + side - 1 - at / side + first / side;
        const float *rel_w = a->rel_w + query * a->rel_row + side - 1 - at % side;
        for (size_t y = 0; y * side < keys; y++) {
            const __m512 term = _mm512_set1_ps(rel_h[y]);
            for (size_t x = 0; x < side; x += 16) {
                const __mmask16 exists = side - x < 16 ? (__mmask16)(0xffffu >> (16 - (side - x))) : 0xffff;
                _mm512_storeu_ps(out + y * side + x, _mm512_add_ps(_mm512_maskz_loadu_ps(exists, rel_w + x), term));
            }
        }
    } else {
        memset(out, 0, keys * sizeof *out);
    }
}

/* logits = scale * q k^T + biases, for one panel of keys; the biases may be where the logits go. What pads the keys gets no
 * weight. */
MM_INLINE void find_logits(size_t rows, size_t vectors, const mm_bf16_attention *a, const mm_bf16 *q,
                           const mm_bf16 *panel, const biases *bias, float *logits, size_t stride)
{
    __m512 sums[MM_BF16_ROWS][4];
    mm_tile_multiply(rows, vectors, q, a->q_row, panel, (a->dim + 1) / 2, sums);
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
MM_INLINE void add_values(size_t rows, size_t vectors, const mm_bf16 *weights, size_t stride, const mm_bf16 *panel,
                          size_t pairs, float *result, size_t width)
{
    __m512 sums[MM_BF16_ROWS][4];
    mm_tile_multiply(rows, vectors, weights, stride, panel, pairs, sums);
#pragma GCC unroll 6
    for (size_t r = 0; r < rows; r++)
#pragma GCC unroll 4
        for (size_t v = 0; v < vectors; v++) {
            float *at = result + r * width + v * 16;
            _mm512_storeu_ps(at, _mm512_add_ps(sums[r][v], _mm512_loadu_ps(at)));
        }
}

/* Logits to weights 2^(logit - maximum) of one query; its sum and result so far are brought to the new maximum. */
static void weigh(float *logits, mm_bf16 *weights, size_t keys, float *maximum, float *sum, float *result, size_t width)
{
    __m512 top = _mm512_loadu_ps(logits);
    for (size_t i = 16; i < keys; i += 16)
        top = _mm512_max_ps(top, _mm512_loadu_ps(logits + i));
    const float most = _mm512_reduce_max_ps(top);
    if (most > *maximum) {
        const __m512 scale = mm_exp2(_mm512_set1_ps(*maximum - most));
        *sum *= _mm512_cvtss_f32(scale);
        for (size_t i = 0; i < width; i += 16)
            _mm512_storeu_ps(result + i, _mm512_mul_ps(_mm512_loadu_ps(result + i), scale));
        *maximum = most;
    }
    const __m512 base = _mm512_set1_ps(*maximum);
    __m512 total = _mm512_setzero_ps();
    for (size_t i = 0; i < keys; i += 16) {
        const __m512 e = mm_exp2(_mm512_sub_ps(_mm512_loadu_ps(logits + i), base));
        total = _mm512_add_ps(total, e);
        mm_store_bf16(weights + i, e);
    }
    *sum += _mm512_reduce_add_ps(total);
}

/* `rows` queries from `query` on against one tile. */
MM_INLINE void attend(size_t rows, const mm_bf16_attention *a, const workspace *w, size_t query, size_t first, size_t keys)
{
    const size_t index = first / a->tile, padded = (keys + 15) / 16 * 16;
    const mm_bf16 *q = a->q + query * a->q_row;
    const mm_bf16 *k = a->k + index * mm_packed_count(a->tile, a->dim);
    const mm_bf16 *v = a->v + index * mm_packed_count(a->dim, a->tile);
    float *result = w->result + query * w->width;
    biases bias = {.values = a->pair ? a->pair + query * a->keys : w->logits, .row = a->pair ? a->keys : w->stride};
    for (size_t r = 0; r < rows && !a->pair; r++)
        write_bias(a, query + r, first, keys, w->logits + r * w->stride);
    for (size_t column = 0; column < padded; column += MM_PANEL, bias.values += MM_PANEL) {
        const mm_bf16 *panel = k + column * ((a->dim + 1) / 2 * 2);
        float *logits = w->logits + column;
        bias.last = padded - column > MM_PANEL ? 0xffff : mm_lanes_of(keys - (padded - 16));
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
        const size_t pairs = (keys + 1) / 2;
        const mm_bf16 *panel = v + column * 2 * pairs;
        if (w->width - column >= MM_PANEL)
            add_values(rows, 4, w->weights, w->stride, panel, pairs, result + column, w->width);
        else if (w->width - column == 48)
            add_values(rows, 3, w->weights, w->stride, panel, pairs, result + column, w->width);
        else if (w->width - column == 32)
            add_values(rows, 2, w->weights, w->stride, panel, pairs, result + column, w->width);
        else
            add_values(rows, 1, w->weights, w->stride, panel, pairs, result + column, w->width);
    }
}

void mm_bf16_attention_avx512(const mm_bf16_attention *a)
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
        for (; query + MM_BF16_ROWS <= a->queries; query += MM_BF16_ROWS)
            attend(MM_BF16_ROWS, a, &w, query, first, keys);
        for (; query + 2 <= a->queries; query += 2)
            attend(2, a, &w, query, first, keys);
        for (; query < a->queries; query++)
            attend(1, a, &w, query, first, keys);
    }
    for (size_t i = 0; i < a->queries; i++) {
        const __m512 scale = _mm512_set1_ps(1.0f / w.sum[i]);
        for (size_t d = 0; d < a->dim; d += 16) {
            const __mmask16 exists = a->dim - d < 16 ? (__mmask16)(0xffffu >> (16 - (a->dim - d))) : 0xffff;
            const __m512 x = _mm512_mul_ps(_mm512_loadu_ps(w.result + i * w.width + d), scale);
            _mm256_mask_storeu_epi16(a->out + i * a->out_row + d, exists, (__m256i)_mm512_cvtneps_pbh(x));
        }
    }
}

#endif
