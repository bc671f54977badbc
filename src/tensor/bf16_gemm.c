/* Products of bf16_gemm.h. A word is two bf16 of neighbouring k, as the instruction takes them.
 *
 * k goes in steps, whose sums add up in C. In a step a block of A's rows is laid out in words, then panels of B of up to 64
 * columns, in rows of words too, pass by it. Both stay in the caches meanwhile. */
#include "tensor/bf16_gemm.h"

#include "tensor/f32_avx512.h"

#ifdef __AVX512BF16__

enum {
    STEP_WORDS = 128, /* of k at once */
    BLOCK_ROWS = 128, /* of A at once; a multiple of 16, so that they can be laid out by vectors */
    VECTORS = MM_PANEL / 16
};

typedef struct workspace {
    _Alignas(64) float panel[STEP_WORDS * MM_PANEL];
    _Alignas(64) float rows[STEP_WORDS * BLOCK_ROWS];
    _Alignas(64) float square[16 * 16];
} workspace;

/* One register tile. */
typedef struct tile {
    const float *a; /* words: of row r and step i at a[r * row + i * step] */
    size_t row, step, words;
    const float *panel; /* word of step i at panel[i * width] */
    size_t width;
    float alpha, beta;
    float *c;
    size_t ldc;
    __mmask16 last; /* columns of the last vector that exist */
} tile;

MM_INLINE __mmask16 first_lanes(size_t n)
{
    return n < 16 ? (__mmask16)((1u << n) - 1) : 0xffff;
}

MM_INLINE __m512 multiply_add(__m512 a, __m512 b, __m512 sum)
{
    return _mm512_dpbf16_ps(sum, (__m512bh)a, (__m512bh)b);
}

/* Constant arguments make this a register tile. */
MM_INLINE void run_tile(const tile *t, size_t rows, size_t vectors)
{
    __m512 sums[MM_F32_ROWS][VECTORS];
#pragma GCC unroll 6
    for (size_t r = 0; r < rows; r++)
#pragma GCC unroll 4
        for (size_t v = 0; v < vectors; v++)
            sums[r][v] = _mm512_setzero_ps();
    for (size_t i = 0; i < t->words; i++) {
        __m512 b[VECTORS];
#pragma GCC unroll 4
        for (size_t v = 0; v < vectors; v++) {
            b[v] = _mm512_loadu_ps(t->panel + i * t->width + v * 16);
            __asm__("" : "+v"(b[v])); /* loaded once, not again for each row */
        }
#pragma GCC unroll 6
        for (size_t r = 0; r < rows; r++) {
            const __m512 x = _mm512_set1_ps(t->a[r * t->row + i * t->step]);
#pragma GCC unroll 4
            for (size_t v = 0; v < vectors; v++)
                sums[r][v] = multiply_add(x, b[v], sums[r][v]);
        }
    }
    const __m512 alpha = _mm512_set1_ps(t->alpha), beta = _mm512_set1_ps(t->beta);
#pragma GCC unroll 6
    for (size_t r = 0; r < rows; r++)
#pragma GCC unroll 4
        for (size_t v = 0; v < vectors; v++) {
            const __mmask16 exists = v + 1 < vectors ? 0xffff : t->last;
            float *c = t->c + r * t->ldc + v * 16;
            __m512 x = _mm512_mul_ps(alpha, sums[r][v]);
            if (t->beta != 0)
                x = _mm512_fmadd_ps(beta, _mm512_maskz_loadu_ps(exists, c), x);
            _mm512_mask_storeu_ps(c, exists, x);
        }
}

#include "tensor/tiles.h"

/* 16 words of k from a row of values: 16 floats, or 32 rounded to bf16. `left` values exist, zeros stand for the others. */
MM_INLINE __m512 load_words(const float *from, size_t left)
{
    const __m512 low = _mm512_maskz_loadu_ps(first_lanes(left), from);
    const __m512 high = left > 16 ? _mm512_maskz_loadu_ps(first_lanes(left - 16), from + 16) : _mm512_setzero_ps();
    return (__m512)_mm512_cvtne2ps_pbh(high, low);
}

/* x[k][n], rows ld apart, to words[..][width]: columns beyond n, up to a multiple of 16, and values beyond k are zero. */
static void lay_columns(const float *x, size_t ld, size_t k, size_t n, float *words, size_t width)
{
    const __m512i by_turns = _mm512_set_epi16(31, 15, 30, 14, 29, 13, 28, 12, 27, 11, 26, 10, 25, 9, 24, 8, 23, 7, 22, 6,
                                              21, 5, 20, 4, 19, 3, 18, 2, 17, 1, 16, 0);
#endif
    for (size_t i = 0; i < k; i += 2, x += 2 * ld, words += width)
        for (size_t j = 0; j < n; j += 16) {
            const __mmask16 exists = first_lanes(n - j);
            __m512 word = _mm512_maskz_loadu_ps(exists, x + j);
            const __m512 next = i + 1 < k ? _mm512_maskz_loadu_ps(exists, x + ld + j) : _mm512_setzero_ps();
            word = (__m512)_mm512_permutexvar_epi16(by_turns, (__m512i)_mm512_cvtne2ps_pbh(next, word));
            _mm512_store_ps(words + j, word);
        }
}

/* x[n][k], rows ld apart, to words[..][width], likewise. */
static void lay_rows(const float *x, size_t ld, size_t n, size_t k, float *words, size_t width, float *square)
{
    for (size_t j = 0; j < n; j += 16) {
        const size_t rows = n - j < 16 ? n - j : 16;
        for (size_t i = 0; i < k; i += 32) {
            const size_t left = k - i, wide = (left + 1) / 2;
            for (size_t r = 0; r < rows; r++)
                _mm512_store_ps(square + 16 * r, load_words(x + (j + r) * ld + i, left));
            mm_transpose(square, 16, rows, wide < 16 ? wide : 16, words + i / 2 * width + j, width);
        }
    }
}

/* Where the tile finds rows first .. first + count of A in a step of k. */
static void lay_a(const mm_gemm_call *call, size_t first, size_t count, size_t at, size_t k, float *words, tile *t)
{
    t->a = words;
    if (call->transpose_a) { /* [k][m] */
        t->row = 1;
        t->step = BLOCK_ROWS;
        lay_columns(call->a + at * call->lda + first, call->lda, k, count, words, BLOCK_ROWS);
        return;
    }
    const float *a = call->a + first * call->lda + at;
    t->step = 1;
    t->row = STEP_WORDS;
    for (size_t r = 0; r < count; r++)
        for (size_t i = 0; i < k; i += 32)
            _mm512_store_ps(words + r * STEP_WORDS + i / 2, load_words(a + r * call->lda + i, k - i));
}

/* All rows of the block, in tiles of nearly the same height. */
static void run_rows(tile t, size_t rows, size_t columns)
{
    const size_t vectors = (columns + 15) / 16, count = (rows + MM_F32_ROWS - 1) / MM_F32_ROWS;
    t.last = first_lanes(columns - (vectors - 1) * 16);
    const float *a = t.a;
    float *c = t.c;
    for (size_t i = 0; i < count; i++) {
        const size_t first = rows * i / count, height = rows * (i + 1) / count - first;
        t.a = a + first * t.row;
        t.c = c + first * t.ldc;
        tiles[height - 1][vectors - 1](&t);
    }
}

/* The part of one block of rows in a step of k. */
static void run_block(const mm_gemm_call *call, size_t first, size_t rows, size_t at, size_t k, workspace *w)
{
    tile t = {.words = (k + 1) / 2, .alpha = call->alpha, .beta = at ? 1 : call->beta, .ldc = call->ldc};
    lay_a(call, first, rows, at, k, w->rows, &t);
    for (size_t column = 0; column < call->n; column += MM_PANEL) {
        const size_t columns = call->n - column < MM_PANEL ? call->n - column : MM_PANEL;
        t.c = call->c + first * call->ldc + column;
        t.panel = w->panel;
        t.width = MM_PANEL;
        if (call->transpose_b) {
            lay_rows(call->b + column * call->ldb + at, call->ldb, columns, k, w->panel, MM_PANEL, w->square);
        } else {
            lay_columns(call->b + at * call->ldb + column, call->ldb, k, columns, w->panel, MM_PANEL);
        }
        run_rows(t, rows, columns);
    }
}

void mm_bf16_gemm_avx512(const mm_gemm_call *call)
{
    workspace w;
    for (size_t at = 0; at < call->k; at += 2 * STEP_WORDS) {
        const size_t k = call->k - at < 2 * STEP_WORDS ? call->k - at : 2 * STEP_WORDS;
        for (size_t first = 0; first < call->m; first += BLOCK_ROWS) {
            const size_t rows = call->m - first < BLOCK_ROWS ? call->m - first : BLOCK_ROWS;
            run_block(call, first, rows, at, k, &w);
        }
    }
}

