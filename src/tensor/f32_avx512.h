/* What the files of the AVX-512 f32 kernels share: the register tile, and the transposition that packing is made of. Only
 * files compiled with those instructions see the second half. */
#ifndef MM_TENSOR_F32_AVX512_H
#define MM_TENSOR_F32_AVX512_H

#include "tensor/f32.h"

#ifdef __x86_64__
extern const mm_f32_ops mm_f32_avx512;
void mm_f32_product_avx512(const mm_f32_product *product);
#endif

/* Columns of a panel of B. Rows of a register tile: 6 x 4 sums, four vectors of B and a broadcast of A take 29 of the 32
 * registers. SLACK: floats that may be written behind a row of logits. */
enum { MM_PANEL = 64, MM_F32_ROWS = 6, MM_F32_SLACK = 64 };

#ifdef __AVX512DQ__
#include <immintrin.h>
#include <string.h>

#define MM_INLINE static inline __attribute__((always_inline))

/* sums[rows][vectors] = a x panel: rows of `a` lda apart, a panel `vectors` * 16 columns wide. Constant arguments make
 * this a register tile. */
MM_INLINE void mm_f32_tile_multiply(size_t rows, size_t vectors, const float *a, size_t lda, const float *panel,
                                    size_t k, __m512 sums[MM_F32_ROWS][4])
{
    for (size_t r = 0; r < rows; r++)
        for (size_t v = 0; v < vectors; v++)
            sums[r][v] = _mm512_setzero_ps();
    for (size_t i = 0; i < k; i++) {
        __m512 b[4];
        for (size_t v = 0; v < vectors; v++)
            b[v] = _mm512_loadu_ps(panel + (i * vectors + v) * 16);
        for (size_t r = 0; r < rows; r++) {
            const __m512 x = _mm512_set1_ps(a[r * lda + i]);
            for (size_t v = 0; v < vectors; v++)
                sums[r][v] = _mm512_fmadd_ps(x, b[v], sums[r][v]);
        }
    }
}

/* out[column][row] = w[row][column] for `rows` rows, ldw apart, and `columns` columns, at most 16 each; rows of `out` are
 * ldout apart and 16 wide, zeros where there is no row of w. */
MM_INLINE void mm_transpose(const float *w, size_t ldw, size_t rows, size_t columns, float *out, size_t ldout)
{
    const __mmask16 exists = (__mmask16)(0xffffu >> (16 - columns));
    __m512 r[16], t[16];
    for (size_t i = 0; i < 16; i++)
        r[i] = i < rows ? _mm512_maskz_loadu_ps(exists, w + i * ldw) : _mm512_setzero_ps();
    for (size_t i = 0; i < 16; i += 2) {
        t[i] = _mm512_unpacklo_ps(r[i], r[i + 1]);
        t[i + 1] = _mm512_unpackhi_ps(r[i], r[i + 1]);
    }
    for (size_t i = 0; i < 16; i += 4)
        for (size_t j = 0; j < 2; j++) {
            const __m512d low = _mm512_castps_pd(t[i + j]), high = _mm512_castps_pd(t[i + j + 2]);
            r[i + 2 * j] = _mm512_castpd_ps(_mm512_unpacklo_pd(low, high));
            r[i + 2 * j + 1] = _mm512_castpd_ps(_mm512_unpackhi_pd(low, high));
        }
    /* Now 4 x 4 blocks are transposed within quarters of registers; the quarters change places in two steps. */
    for (size_t i = 0; i < 4; i++)
        for (size_t j = 0; j < 16; j += 8) {
            t[i + j] = _mm512_shuffle_f32x4(r[i + j], r[i + j + 4], 0x88);
            t[i + j + 4] = _mm512_shuffle_f32x4(r[i + j], r[i + j + 4], 0xdd);
        }
    for (size_t i = 0; i < 4; i++)
        for (size_t j = 0; j < 8; j += 4) {
            r[i + j] = _mm512_shuffle_f32x4(t[i + j], t[i + j + 8], 0x88);
            r[i + j + 8] = _mm512_shuffle_f32x4(t[i + j], t[i + j + 8], 0xdd);
        }
    for (size_t i = 0; i < columns; i++)
        _mm512_storeu_ps(out + i * ldout, r[i]);
}
#endif

#endif
