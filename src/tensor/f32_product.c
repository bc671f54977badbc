/* Products with weights as they are stored. 64 rows of W are transposed into a panel in scratch, which then passes by all
 * rows of A; a long k goes in steps, the sums waiting in `out`. An element's sum is made in one order whatever the rows
 * beside it. */
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
    bool add, gelu;
    float *out;
    size_t ldout;
    size_t columns; /* that exist, of 64 */
} tile;

MM_INLINE __mmask16 lanes_of(size_t n, size_t first)
{
    return n <= first ? 0 : n - first < 16 ? (__mmask16)(0xffffu >> (16 - (n - first))) : 0xffff;
}

MM_INLINE void run_tile(const tile *t, size_t rows)
{
    __m512 sums[MM_F32_ROWS][4];
    mm_f32_tile_multiply(rows, 4, t->a, t->lda, t->panel, t->k, sums);
    for (size_t v = 0; v < 4; v++) {
        const __mmask16 exists = lanes_of(t->columns, 16 * v);
        const __m512 bias = t->bias ? _mm512_maskz_loadu_ps(exists, t->bias + 16 * v) : _mm512_setzero_ps();
        for (size_t r = 0; r < rows; r++) {
            float *out = t->out + r * t->ldout + 16 * v;
            __m512 x = _mm512_add_ps(sums[r][v], bias);
            if (t->add)
                x = _mm512_add_ps(x, _mm512_maskz_loadu_ps(exists, out));
            if (t->gelu)
                x = (__m512)gelu_lanes((lanes)x);
            _mm512_mask_storeu_ps(out, exists, x);
        }
    }
}

#define TILE(rows)                                                                                                     \
    static void tile_##rows(const tile *t)                                                                             \
    {                                                                                                                  \
        run_tile(t, rows);                                                                                             \
    }
TILE(1) TILE(2) TILE(3) TILE(4) TILE(5) TILE(6)

static void (*const tiles[MM_F32_ROWS])(const tile *) = {tile_1, tile_2, tile_3, tile_4, tile_5, tile_6};

/* w[n][k], rows ldw apart, as panel[k][64]. */
static void pack_panel(const float *w, size_t ldw, size_t n, size_t k, float *panel)
{
    for (size_t i = 0; i < k; i += 16)
        for (size_t j = 0; j < MM_PANEL; j += 16) {
            const size_t rows = n <= j ? 0 : n - j, columns = k - i;
            if (rows >= 16 && columns >= 16)
                mm_transpose(w + j * ldw + i, ldw, 16, 16, panel + i * MM_PANEL + j, MM_PANEL);
            else
                mm_transpose(w + j * ldw + i, ldw, rows, columns < 16 ? columns : 16, panel + i * MM_PANEL + j, MM_PANEL);
        }
}

void mm_f32_product_avx512(const mm_f32_product *p)
{
    for (size_t first = 0; first < p->k; first += STEP) {
        const size_t k = p->k - first < STEP ? p->k - first : STEP;
        for (size_t column = 0; column < p->n; column += MM_PANEL) {
            tile t = {.panel = p->scratch,
                      .lda = p->lda,
                      .k = k,
                      .bias = p->bias && !first ? p->bias + column : NULL,
                      .add = first || p->end == MM_F32_ADD,
                      .gelu = p->end == MM_F32_GELU && first + k == p->k,
                      .ldout = p->ldout,
                      .columns = p->n - column};
            pack_panel(p->w + column * p->ldw + first, p->ldw, t.columns, k, p->scratch);
            for (size_t row = 0; row < p->rows; row += MM_F32_ROWS) {
                const size_t rows = p->rows - row < MM_F32_ROWS ? p->rows - row : MM_F32_ROWS;
                t.a = p->a + row * p->lda + first;
                t.out = p->out + row * p->ldout + column;
                tiles[rows - 1](&t);
            }
        }
    }
}

#endif
