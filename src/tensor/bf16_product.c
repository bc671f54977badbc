/* Products of bf16 rows with a packed matrix, and 3x3 convolutions, which are products too: a window is three stretches of
 * image rows. A panel of 64 columns passes by all rows before the next one comes: the caller brings a few hundred rows at
 * a time, which stay in the L2 cache together with the panel. */
#include "tensor/bf16_avx512.h"

#ifdef __AVX512BF16__

/* Pairs of k that are summed at once where the sums may go to f32 in several steps: rows of A and a stretch of the panel
 * stay in the L1 and L2 caches. */
enum { STEP_PAIRS = 512 };

/* One register tile: its part of A, of the panel and of the result. */
typedef struct tile {
    const mm_bf16 *a, *panel;
    size_t lda, pairs;
    size_t parts, part_step; /* a row's values are `parts` stretches of `pairs` pairs, part_step values apart */
    const float *bias; /* of its columns, padded; or NULL */
    mm_epilogue epilogue;
    const mm_bf16 *residual; /* rows as those of `out` */
    void *out;
    size_t ldout;
    __mmask16 last; /* columns of the last vector that exist */
} tile;

/* The end of a tile. The epilogue is a constant wherever this is inlined, so that the sums stay in registers. */
MM_INLINE void finish(const tile *t, size_t rows, size_t vectors, mm_epilogue epilogue, __m512 sums[MM_BF16_ROWS][4])
{
#pragma GCC unroll 4
    for (size_t v = 0; v < vectors; v++) {
        const __mmask16 exists = v + 1 < vectors ? 0xffff : t->last;
        const __m512 bias = t->bias ? _mm512_maskz_loadu_ps(exists, t->bias + v * 16) : _mm512_setzero_ps();
#pragma GCC unroll 6
        for (size_t r = 0; r < rows; r++) {
            const size_t at = r * t->ldout + v * 16;
            __m512 sum = _mm512_add_ps(sums[r][v], bias);
            if (epilogue == MM_ADD_TO_F32)
                sum = _mm512_add_ps(sum, _mm512_maskz_loadu_ps(exists, (float *)t->out + at));
            if (epilogue == MM_ADD_GELU_TO_BF16)
                sum = _mm512_add_ps(sum, mm_load_bf16(t->residual + at, exists));
            if (epilogue == MM_GELU_TO_BF16 || epilogue == MM_ADD_GELU_TO_BF16)
                sum = mm_gelu(sum);
            if (epilogue <= MM_ADD_TO_F32)
                _mm512_mask_storeu_ps((float *)t->out + at, exists, sum);
            else
                _mm256_mask_storeu_epi16((mm_bf16 *)t->out + at, exists, (__m256i)_mm512_cvtneps_pbh(sum));
        }
    }
}

MM_INLINE void run_tile(const tile *t, size_t rows, size_t vectors)
{
    __m512 sums[MM_BF16_ROWS][4];
    mm_tile_multiply(rows, vectors, t->a, t->lda, t->panel, t->pairs, sums);
    for (size_t part = 1; part < t->parts; part++)
        mm_tile_add(rows, vectors, t->a + part * t->part_step, t->lda, t->panel + part * t->pairs * vectors * 32,
                    t->pairs, sums);
    switch (t->epilogue) {
    case MM_TO_F32:
        finish(t, rows, vectors, MM_TO_F32, sums);
        break;
    case MM_ADD_TO_F32:
        finish(t, rows, vectors, MM_ADD_TO_F32, sums);
        break;
    case MM_TO_BF16:
        finish(t, rows, vectors, MM_TO_BF16, sums);
        break;
    case MM_GELU_TO_BF16:
        finish(t, rows, vectors, MM_GELU_TO_BF16, sums);
        break;
    case MM_ADD_GELU_TO_BF16:
        finish(t, rows, vectors, MM_ADD_GELU_TO_BF16, sums);
        break;
    }
}

#include "tensor/tiles.h"

static size_t panel_width(const mm_packed *b, size_t column)
{
    return b->n - column < MM_PANEL ? b->n - column : MM_PANEL;
}

static size_t size_of(mm_epilogue epilogue)
{
    return epilogue <= MM_ADD_TO_F32 ? sizeof(float) : sizeof(mm_bf16);
}

/* All rows from where the tile stands against its panel. */
static void run_rows(tile t, size_t rows, size_t width)
{
    const size_t vectors = (width + 15) / 16, size = size_of(t.epilogue);
    t.last = (__mmask16)(0xffffu >> (vectors * 16 - width));
    for (size_t row = 0; row < rows; row += MM_BF16_ROWS) {
        const size_t count = rows - row < MM_BF16_ROWS ? rows - row : MM_BF16_ROWS;
        tiles[count - 1][vectors - 1](&t);
        t.a += count * t.lda;
        t.out = (char *)t.out + count * t.ldout * size;
        if (t.residual)
            t.residual += count * t.ldout;
    }
}

/* All rows against `pairs` pairs of one panel. */
static void run_panel(const mm_bf16_product *p, size_t column, size_t first, size_t pairs)
{
    const size_t width = panel_width(&p->b, column), all_pairs = (p->b.k + 1) / 2;
    const tile t = {.a = p->a + 2 * first,
                    .panel = p->b.values + column * 2 * all_pairs + first * ((width + 15) / 16) * 32,
                    .lda = p->lda,
                    .pairs = pairs,
                    .parts = 1,
                    .bias = p->bias && !first ? p->bias + column : NULL,
                    .epilogue = first ? MM_ADD_TO_F32 : p->epilogue,
                    .residual = p->residual ? p->residual + column : NULL,
                    .out = (char *)p->out + column * size_of(p->epilogue),
                    .ldout = p->ldout};
    run_rows(t, p->rows, width);
}

void mm_bf16_product_avx512(const mm_bf16_product *p)
{
    const size_t pairs = (p->b.k + 1) / 2;
    const size_t step = p->epilogue <= MM_ADD_TO_F32 && pairs > STEP_PAIRS ? STEP_PAIRS : pairs;
    for (size_t first = 0; first < pairs; first += step)
        for (size_t column = 0; column < p->b.n; column += MM_PANEL)
            run_panel(p, column, first, pairs - first < step ? pairs - first : step);
}

void mm_bf16_convolution_avx512(const mm_bf16_convolution *c)
{
    for (size_t column = 0; column < c->b.n; column += MM_PANEL)
        for (size_t y = 0; y < c->rows; y++) {
            const tile t = {.a = c->in + y * c->stride * c->in_row,
                            .panel = c->b.values + column * c->b.k,
                            .lda = c->stride * c->channels,
                            .pairs = 3 * c->channels / 2,
                            .parts = 3,
                            .part_step = c->in_row,
                            .bias = c->bias ? c->bias + column : NULL,
                            .epilogue = c->epilogue,
                            .out = (char *)c->out + (y * c->out_row + column) * size_of(c->epilogue),
                            .ldout = c->b.n};
            run_rows(t, c->columns, panel_width(&c->b, column));
        }
}

#endif
