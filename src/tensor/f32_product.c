/* Products with weights as they are stored. 64 rows of W, or what is left of them, are transposed into a panel in scratch,
 * which then passes by all rows of A; a long k goes in steps, the sums waiting in `out`. An element's sum is made in one
 * order whatever the rows beside it. */
#include "tensor/f32_avx512.h"

#ifdef __AVX512DQ__

#include "tensor/vector_lanes.h"

/* Of k at once: a panel of them takes 192 KB, which stays in the L2 cache while A streams by. */
enum { STEP = MM_F32_PRODUCT_SCRATCH / MM_PANEL };

/* One register tile: its parts of A, of the panel and of the result. */
typedef struct tile {
    const float *a, *panel;
    size_t lda, k;
    const float *bias; /* of its columns, or NULL */
    const float *residual; /* as `out`, or NULL */
    bool gelu;
    float *out;
    size_t ldout;
    size_t columns; /* that exist, of those of the tile */
} tile;

MM_INLINE __mmask16 lanes_of(size_t n, size_t first)
{
    return n <= first ? 0 : n - first < 16 ? (__mmask16)(0xffffu >> (16 - (n - first))) : 0xffff;
}

MM_INLINE void run_tile(const tile *t, size_t rows, size_t vectors)
{
    __m512 sums[MM_F32_ROWS][4];
    mm_f32_tile_multiply(rows, vectors, t->a, t->lda, t->panel, t->k, sums);
    for (size_t v = 0; v < vectors; v++) {
        const __mmask16 exists = lanes_of(t->columns, 16 * v);
        const __m512 bias = t->bias ? _mm512_maskz_loadu_ps(exists, t->bias + 16 * v) : _mm512_setzero_ps();
        for (size_t r = 0; r < rows; r++) {
            const size_t at = r * t->ldout + 16 * v;
            __m512 x = _mm512_add_ps(sums[r][v], bias);
            if (t->residual)
                x = _mm512_add_ps(x, _mm512_maskz_loadu_ps(exists, t->residual + at));
            if (t->gelu)
                x = (__m512)gelu_lanes((lanes)x);
            _mm512_mask_storeu_ps(t->out + at, exists, x);
        }
    }
}

#define TILE(rows, vectors)                                                                                            \
    static void tile_##rows##_##vectors(const tile *t)                                                                 \
    {                                                                                                                  \
        run_tile(t, rows, vectors);                                                                                    \
    }
#define TILES(vectors)                                                                                                 \
    TILE(1, vectors) TILE(2, vectors) TILE(3, vectors) TILE(4, vectors) TILE(5, vectors) TILE(6, vectors)
TILES(1) TILES(2) TILES(3) TILES(4)

#define NAMES(vectors)                                                                                                 \
    {tile_1_##vectors, tile_2_##vectors, tile_3_##vectors, tile_4_##vectors, tile_5_##vectors, tile_6_##vectors}
static void (*const tiles[4][MM_F32_ROWS])(const tile *) = {NAMES(1), NAMES(2), NAMES(3), NAMES(4)};

/* w[n][k], rows ldw apart, as panel[k][width], n <= width, a multiple of 16. */
static void pack_panel(const float *w, size_t ldw, size_t n, size_t k, size_t width, float *panel)
{
    for (size_t i = 0; i < k; i += 16)
        for (size_t j = 0; j < width; j += 16) {
            const size_t rows = n - j, columns = k - i;
            if (rows >= 16 && columns >= 16)
                mm_transpose(w + j * ldw + i, ldw, 16, 16, panel + i * width + j, width);
            else
                mm_transpose(w + j * ldw + i, ldw, rows < 16 ? rows : 16, columns < 16 ? columns : 16,
                             panel + i * width + j, width);
        }
}

void mm_f32_product_avx512(const mm_f32_product *p)
{
    const bool adds = mm_f32_adds(p->end);
    for (size_t first = 0; first < p->k; first += STEP) {
        const size_t k = p->k - first < STEP ? p->k - first : STEP;
        const float *residual = first || (adds && !p->residual) ? p->out : adds ? p->residual : NULL;
        for (size_t column = 0; column < p->n; column += MM_PANEL) {
            const size_t columns = p->n - column < MM_PANEL ? p->n - column : MM_PANEL, vectors = (columns + 15) / 16;
            tile t = {.panel = p->scratch,
                      .lda = p->lda,
                      .k = k,
                      .bias = p->bias && !first ? p->bias + column : NULL,
                      .gelu = mm_f32_gelus(p->end) && first + k == p->k,
                      .ldout = p->ldout,
                      .columns = columns};
            pack_panel(p->w + column * p->ldw + first, p->ldw, columns, k, 16 * vectors, p->scratch);
            for (size_t row = 0; row < p->rows; row += MM_F32_ROWS) {
                const size_t rows = p->rows - row < MM_F32_ROWS ? p->rows - row : MM_F32_ROWS;
                t.a = p->a + row * p->lda + first;
                t.out = p->out + row * p->ldout + column;
                t.residual = residual ? residual + row * p->ldout + column : NULL;
                tiles[vectors - 1][rows - 1](&t);
            }
        }
    }
}

#endif
