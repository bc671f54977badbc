/* Products of bf16 rows with a packed matrix. A panel of 64 columns passes by all rows before the next one comes: the
 * caller brings a few hundred rows at a time, which stay in the L2 cache together with the panel. */
#include "tensor/bf16_avx512.h"

#ifdef __AVX512BF16__

/* Pairs of k that are summed at once where the sums may go to f32 in several steps: rows of A and a stretch of the panel
 * stay in the L1 and L2 caches. */
enum { STEP_PAIRS = 512 };

/* One register tile: its part of A, of the panel and of the result. */
typedef struct tile {
    const mm_bf16 *a, *panel;
    size_t lda, pairs;
    const float *bias; /* of its columns, padded; or NULL */
    mm_epilogue epilogue;
    void *out;
    size_t ldout;
    __mmask16 last; /* columns of the last vector that exist */
} tile;

MM_INLINE void finish(const tile *t, size_t row, size_t vector, __mmask16 exists, __m512 sum)
{
    const size_t at = row * t->ldout + vector * 16;
    if (t->bias)
        sum = _mm512_add_ps(sum, _mm512_maskz_loadu_ps(exists, t->bias + vector * 16));
    switch (t->epilogue) {
    case MM_ADD_TO_F32:
        sum = _mm512_add_ps(sum, _mm512_maskz_loadu_ps(exists, (float *)t->out + at));
        _mm512_mask_storeu_ps((float *)t->out + at, exists, sum);
        break;
    case MM_TO_F32:
        _mm512_mask_storeu_ps((float *)t->out + at, exists, sum);
        break;
    case MM_GELU_TO_BF16:
        sum = mm_gelu(sum);
        /* fall through */
    case MM_TO_BF16:
        _mm256_mask_storeu_epi16((mm_bf16 *)t->out + at, exists, (__m256i)_mm512_cvtneps_pbh(sum));
        break;
    }
}

MM_INLINE void run_tile(const tile *t, size_t rows, size_t vectors)
{
    __m512 sums[MM_BF16_ROWS][4];
    mm_tile_multiply(rows, vectors, t->a, t->lda, t->panel, t->pairs, sums);
    for (size_t r = 0; r < rows; r++)
        for (size_t v = 0; v < vectors; v++)
            finish(t, r, v, v + 1 < vectors ? 0xffff : t->last, sums[r][v]);
}

#define TILE(rows, vectors)                                                                                            \
    static void tile_##rows##_##vectors(const tile *t)                                                                 \
    {                                                                                                                  \
        run_tile(t, rows, vectors);                                                                                    \
    }
#define TILES(rows) TILE(rows, 1) TILE(rows, 2) TILE(rows, 3) TILE(rows, 4)
TILES(1) TILES(2) TILES(3) TILES(4) TILES(5) TILES(6)

/* [rows - 1][vectors - 1] */
static void (*const tiles[MM_BF16_ROWS][4])(const tile *) = {
    {tile_1_1, tile_1_2, tile_1_3, tile_1_4}, {tile_2_1, tile_2_2, tile_2_3, tile_2_4},
    {tile_3_1, tile_3_2, tile_3_3, tile_3_4}, {tile_4_1, tile_4_2, tile_4_3, tile_4_4},
    {tile_5_1, tile_5_2, tile_5_3, tile_5_4}, {tile_6_1, tile_6_2, tile_6_3, tile_6_4},
};

/* All rows against `pairs` pairs of one panel. */
static void run_panel(const mm_bf16_product *p, size_t column, size_t first, size_t pairs, const float *bias,
                      mm_epilogue epilogue)
{
    const size_t left = p->b.n - column, width = left < MM_PANEL ? left : MM_PANEL, vectors = (width + 15) / 16;
    const size_t all_pairs = (p->b.k + 1) / 2, size = epilogue <= MM_ADD_TO_F32 ? sizeof(float) : sizeof(mm_bf16);
    tile t = {.panel = p->b.values + column * 2 * all_pairs + first * vectors * 32,
              .lda = p->lda,
              .pairs = pairs,
              .bias = bias ? bias + column : NULL,
              .epilogue = epilogue,
              .ldout = p->ldout,
              .last = (__mmask16)(0xffffu >> (vectors * 16 - width))};
    for (size_t row = 0; row < p->rows; row += MM_BF16_ROWS) {
        const size_t rows = p->rows - row < MM_BF16_ROWS ? p->rows - row : MM_BF16_ROWS;
        t.a = p->a + row * p->lda + 2 * first;
        t.out = (char *)p->out + (row * p->ldout + column) * size;
        tiles[rows - 1][vectors - 1](&t);
    }
}

void mm_bf16_product_avx512(const mm_bf16_product *p)
{
    const size_t pairs = (p->b.k + 1) / 2;
    const size_t step = p->epilogue <= MM_ADD_TO_F32 && pairs > STEP_PAIRS ? STEP_PAIRS : pairs;
    for (size_t first = 0; first < pairs; first += step)
        for (size_t column = 0; column < p->b.n; column += MM_PANEL)
            run_panel(p, column, first, pairs - first < step ? pairs - first : step, first ? NULL : p->bias,
                      first ? MM_ADD_TO_F32 : p->epilogue);
}

#endif
