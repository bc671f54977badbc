/* Softmax over an image's cells, step by step, and what its weights sum up: shared values, and a prompt's own weights of
 * image-to-token attention. */
#include "model/decoder_fused_pass.h"

#ifdef __AVX512BF16__

#include <string.h>

enum { CELLS = MM_FUSED_CELLS, HALF = MM_FUSED_HALF, ROWS = MM_FUSED_ROWS };

/* A logit without weight; far from infinity, since differences of two must be numbers. */
static const float nothing = -1e30f;
/* How far logits may rise above the maximum that a running softmax counts from, in powers of 2, before it counts from a new
 * one: far from what f32 and bf16 can hold, and so rare that the search for maxima costs little. */
static const float slack = 16;

/* What a running softmax over the cells has summed up for vector j, brought to a new maximum. */
static void rescale(const mm_fused_sizes *sizes, const mm_fused_gathering *g, size_t j, float by)
{
    const __m512 factor = _mm512_set1_ps(by);
    float *const parts[] = {g->sum + 16 * j,         g->share1 + 16 * j,           g->share2 + 16 * j,
                            g->values + sizes->dim * j, g->outer1 + sizes->wide * j, g->outer2 + sizes->wide * j};
    const size_t lengths[] = {16, 16, 16, sizes->dim, sizes->wide, sizes->wide};
    for (size_t part = 0; part < 6; part++)
        for (size_t i = 0; i < lengths[part]; i += 16)
            _mm512_storeu_ps(parts[part] + i, _mm512_mul_ps(_mm512_loadu_ps(parts[part] + i), factor));
}

MM_INLINE __mmask16 lanes_before(size_t count, size_t first)
{
    return count >= first + 16 ? 0xffff : count <= first ? 0 : (__mmask16)(0xffffu >> (16 - (count - first)));
}

void mm_fused_weigh(const mm_fused_sizes *sizes, size_t tokens, const mm_fused_gathering *g, const float *logits,
                    size_t cells, const float *r1, const float *r2, mm_bf16 *out1, mm_bf16 *out2)
{
    for (size_t j = 0; j < sizes->vectors; j++) {
        if (j % sizes->tokens >= tokens)
            continue;
        __m512 x[CELLS / 16];
        for (size_t i = 0; i < CELLS / 16; i++)
            x[i] = _mm512_mask_loadu_ps(_mm512_set1_ps(nothing), lanes_before(cells, 16 * i),
                                        logits + j * CELLS + 16 * i);
        const __m512 tops = _mm512_max_ps(_mm512_max_ps(x[0], x[1]), _mm512_max_ps(x[2], x[3]));
        if (_mm512_cmp_ps_mask(tops, _mm512_set1_ps(g->maximum[j] + slack), _CMP_GT_OQ)) {
            const float top = _mm512_reduce_max_ps(tops);
            rescale(sizes, g, j, _mm512_cvtss_f32(mm_exp2(_mm512_set1_ps(g->maximum[j] - top))));
            g->maximum[j] = top;
        }
        const __m512 base = _mm512_set1_ps(g->maximum[j]);
        __m512 sum = _mm512_loadu_ps(g->sum + 16 * j);
        __m512 share1 = _mm512_loadu_ps(g->share1 + 16 * j), share2 = _mm512_loadu_ps(g->share2 + 16 * j);
        for (size_t i = 0; i < CELLS / 16; i++) {
            __m512 e = mm_exp2(_mm512_sub_ps(x[i], base));
            sum = _mm512_add_ps(sum, e);
            if (r2) {
                e = _mm512_mul_ps(e, _mm512_loadu_ps(r2 + 16 * i));
                share2 = _mm512_add_ps(share2, e);
                mm_store_bf16(out2 + j * CELLS + 16 * i, e);
            }
            if (r1) {
                e = _mm512_mul_ps(e, _mm512_loadu_ps(r1 + 16 * i));
                share1 = _mm512_add_ps(share1, e);
            }
            mm_store_bf16(out1 + j * CELLS + 16 * i, e);
        }
        _mm512_storeu_ps(g->sum + 16 * j, sum);
        _mm512_storeu_ps(g->share1 + 16 * j, share1);
        _mm512_storeu_ps(g->share2 + 16 * j, share2);
    }
}

/* Rows r of 16 lanes to lanes of 16 rows. */
static void transpose(__m512i x[16])
{
    __m512i t[16];
    for (size_t i = 0; i < 16; i += 2) {
        t[i] = _mm512_unpacklo_epi32(x[i], x[i + 1]);
        t[i + 1] = _mm512_unpackhi_epi32(x[i], x[i + 1]);
    }
    for (size_t i = 0; i < 16; i += 4) {
        x[i] = _mm512_unpacklo_epi64(t[i], t[i + 2]);
        x[i + 1] = _mm512_unpackhi_epi64(t[i], t[i + 2]);
        x[i + 2] = _mm512_unpacklo_epi64(t[i + 1], t[i + 3]);
        x[i + 3] = _mm512_unpackhi_epi64(t[i + 1], t[i + 3]);
    }
    /* x[4 a + b] now holds in 128-bit lane l column 4 l + b of rows 4 a .. 4 a + 3. */
    for (size_t b = 0; b < 4; b++) {
        const __m512i low01 = _mm512_shuffle_i32x4(x[b], x[4 + b], 0x44), high01 = _mm512_shuffle_i32x4(x[b], x[4 + b], 0xee);
        const __m512i low23 = _mm512_shuffle_i32x4(x[8 + b], x[12 + b], 0x44);
        const __m512i high23 = _mm512_shuffle_i32x4(x[8 + b], x[12 + b], 0xee);
        t[b] = _mm512_shuffle_i32x4(low01, low23, 0x88);
        t[4 + b] = _mm512_shuffle_i32x4(low01, low23, 0xdd);
        t[8 + b] = _mm512_shuffle_i32x4(high01, high23, 0x88);
        t[12 + b] = _mm512_shuffle_i32x4(high01, high23, 0xdd);
    }
    memcpy(x, t, sizeof t);
}

void mm_fused_turn(const mm_fused_sizes *sizes, const mm_pair *weights, mm_pair *turned)
{
    const size_t wide = sizes->wide;
    static const uint16_t first_half[32] = {0, 32, 1, 33, 2, 34, 3, 35, 4, 36, 5, 37, 6, 38, 7, 39,
                                            8, 40, 9, 41, 10, 42, 11, 43, 12, 44, 13, 45, 14, 46, 15, 47};
    const __m512i low = _mm512_loadu_si512(first_half);
    const __m512i high = _mm512_add_epi16(low, _mm512_set1_epi16(16));
    for (size_t group = 0; 32 * group < wide; group++)
        for (size_t cell = 0; cell < CELLS; cell += 16) {
            __m512i x[16];
            const mm_pair *from = weights + (cell / HALF * sizes->pairs + 16 * group) * HALF + cell % HALF;
            for (size_t p = 0; p < 16; p++)
                x[p] = 16 * group + p < sizes->pairs ? _mm512_loadu_si512(from + p * HALF) : _mm512_setzero_si512();
            transpose(x);
            for (size_t i = 0; i < 16; i += 2) {
                mm_pair *to = turned + (cell + i) / 2 * wide + 32 * group;
                _mm512_storeu_si512(to, _mm512_permutex2var_epi16(x[i], low, x[i + 1]));
                if (32 * group + 16 < wide)
                    _mm512_storeu_si512(to + 16, _mm512_permutex2var_epi16(x[i], high, x[i + 1]));
            }
        }
}

/* One register's width of what a step sums over its cells: sums[rows][16] += weights x values. */
typedef struct column {
    const mm_pair *values; /* [CELLS / 2], 16 pairs each */
    size_t step;           /* from one to the next */
    float *sums;
    size_t row;
} column;

MM_INLINE void add_columns(size_t rows, size_t count, const mm_pair *weights, const column *columns)
{
    __m512 sums[ROWS][2];
    for (size_t r = 0; r < rows; r++)
        for (size_t v = 0; v < count; v++)
            sums[r][v] = _mm512_loadu_ps(columns[v].sums + r * columns[v].row);
    for (size_t k = 0; k < CELLS / 2; k++) {
        __m512bh b[2];
        for (size_t v = 0; v < count; v++)
            b[v] = (__m512bh)_mm512_loadu_si512(columns[v].values + k * columns[v].step);
        for (size_t r = 0; r < rows; r++) {
            const __m512bh x = (__m512bh)_mm512_set1_epi32((int)weights[r * CELLS / 2 + k]);
            for (size_t v = 0; v < count; v++)
                sums[r][v] = _mm512_dpbf16_ps(sums[r][v], x, b[v]);
        }
    }
    for (size_t r = 0; r < rows; r++)
        for (size_t v = 0; v < count; v++)
            _mm512_storeu_ps(columns[v].sums + r * columns[v].row, sums[r][v]);
}

/* The columns of a block two by two, so that a weight is fetched half as often. */
MM_INLINE void add_sums(size_t rows, const mm_fused_summing *s, size_t head, size_t j)
{
    const size_t dim = s->sizes->dim, inner = s->sizes->inner, wide = s->sizes->wide;
    const mm_pair *weights = s->weights + j * CELLS / 2;
    column waiting[2];
    size_t count = 0;
    for (size_t d = 0; s->values && d < dim; d += 16) {
        waiting[count++] = (column){s->values + head * dim + d, inner, s->sums + j * dim + d, dim};
        if (count == 2) {
            add_columns(rows, 2, weights, waiting);
            count = 0;
        }
    }
    for (size_t f = 0; s->turned && f < wide; f += 16) {
        waiting[count++] = (column){s->turned + f, wide, s->outer + j * wide + f, wide};
        if (count == 2) {
            add_columns(rows, 2, weights, waiting);
            count = 0;
        }
    }
    if (count)
        add_columns(rows, 1, weights, waiting);
}

void mm_fused_sum(const mm_fused_summing *s, size_t tokens)
{
    MM_FOR_BLOCKS(tokens, s->sizes->tokens, s, add_sums)
}

void mm_fused_begin_gathering(const mm_fused_sizes *sizes, mm_fused_gathering *g)
{
    for (size_t j = 0; j < sizes->vectors; j++)
        g->maximum[j] = nothing;
    memset(g->sum, 0, 16 * sizes->vectors * sizeof *g->sum);
    memset(g->share1, 0, 16 * sizes->vectors * sizeof *g->share1);
    memset(g->share2, 0, 16 * sizes->vectors * sizeof *g->share2);
    memset(g->values, 0, sizes->dim * sizes->vectors * sizeof *g->values);
    memset(g->outer1, 0, sizes->wide * sizes->vectors * sizeof *g->outer1);
    memset(g->outer2, 0, sizes->wide * sizes->vectors * sizeof *g->outer2);
}

#endif
