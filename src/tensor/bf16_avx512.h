/* What the files of the AVX512-BF16 kernels share: the register tile and the vector functions. Only files compiled with
 * those instructions see the second half. */
#ifndef MM_TENSOR_BF16_AVX512_H
#define MM_TENSOR_BF16_AVX512_H

#include "tensor/bf16.h"

#ifdef __x86_64__
#define MM_HAVE_AVX512_BF16
extern const mm_bf16_ops mm_bf16_avx512;
void mm_bf16_product_avx512(const mm_bf16_product *product);
void mm_bf16_convolution_avx512(const mm_bf16_convolution *convolution);
void mm_bf16_depthwise_avx512(const mm_bf16_depthwise *depthwise);
void mm_bf16_attention_avx512(const mm_bf16_attention *attention);
#endif

/* Rows of a register tile: 6 x 4 sums, four vectors of B and a broadcast of A take 29 of the 32 registers. SLACK: floats that
 * a kernel may write behind a row of logits. */
enum { MM_BF16_ROWS = 6, MM_BF16_SLACK = 64 };

#ifdef __AVX512BF16__
#include <immintrin.h>
#include <string.h>

#define MM_INLINE static inline __attribute__((always_inline))

/* sums[rows][vectors] += a x panel: rows of `a` lda apart, a panel `vectors` * 16 columns wide. Constant arguments make
 * this a register tile. */
MM_INLINE void mm_tile_add(size_t rows, size_t vectors, const mm_bf16 *a, size_t lda, const mm_bf16 *panel,
                           size_t pairs, __m512 sums[MM_BF16_ROWS][4])
{
    for (size_t k = 0; k < pairs; k++) {
        __m512bh b[4];
#pragma GCC unroll 4
        for (size_t v = 0; v < vectors; v++)
            b[v] = (__m512bh)_mm512_loadu_si512(panel + (k * vectors + v) * 32);
#pragma GCC unroll 6
        for (size_t r = 0; r < rows; r++) {
            int32_t pair;
            memcpy(&pair, a + r * lda + 2 * k, sizeof pair);
            const __m512bh x = (__m512bh)_mm512_set1_epi32(pair);
#pragma GCC unroll 4
            for (size_t v = 0; v < vectors; v++)
                sums[r][v] = _mm512_dpbf16_ps(sums[r][v], x, b[v]);
        }
    }
}

MM_INLINE void mm_tile_clear(size_t rows, size_t vectors, __m512 sums[MM_BF16_ROWS][4])
{
#pragma GCC unroll 6
    for (size_t r = 0; r < rows; r++)
#pragma GCC unroll 4
        for (size_t v = 0; v < vectors; v++)
            sums[r][v] = _mm512_setzero_ps();
}

/* sums = a x panel */
MM_INLINE void mm_tile_multiply(size_t rows, size_t vectors, const mm_bf16 *a, size_t lda, const mm_bf16 *panel,
                                size_t pairs, __m512 sums[MM_BF16_ROWS][4])
{
    mm_tile_clear(rows, vectors, sums);
    mm_tile_add(rows, vectors, a, lda, panel, pairs, sums);
}

/* 2^x to 8e-5 of its value, which the rounding to bf16 that follows is far above. Degree 3 on [-1/2, 1/2]. */
MM_INLINE __m512 mm_exp2(__m512 x)
{
    const __m512 whole = _mm512_roundscale_ps(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
    const __m512 part = _mm512_sub_ps(x, whole);
    __m512 p = _mm512_fmadd_ps(part, _mm512_set1_ps(0.05517045f), _mm512_set1_ps(0.24260943f));
    p = _mm512_fmadd_ps(p, part, _mm512_set1_ps(0.69326102f));
    p = _mm512_fmadd_ps(p, part, _mm512_set1_ps(0.99992818f));
    return _mm512_scalef_ps(p, whole);
}

/* GELU by erf to 1.2e-4: x / 2 + e(|x|) with the even part e(a) = a erf(a / sqrt 2) / 2 in sixteen pieces, the first around
 * 0, each a parabola fitted to it; the last one is a / 2 from 4.03 on. The coefficients are looked up by instructions that
 * do not compete with the multiplications around. x is finite or NaN. */
MM_INLINE __m512 mm_gelu(__m512 x)
{
    const __m512 c0 = _mm512_setr_ps(0.0f, -0.00096145604f, -0.0155505026f, -0.0663474128f, -0.161399692f, -0.279765069f,
                                     -0.380830973f, -0.428618282f, -0.411146402f, -0.342859834f, -0.251895905f,
                                     -0.164607689f, -0.0963514671f, -0.0507883206f, -0.0242084768f, 0.0f);
    const __m512 c1 = _mm512_setr_ps(0.0001164735f, 0.0107483426f, 0.0784783959f, 0.223845363f, 0.419743359f,
                                     0.610275924f, 0.743897736f, 0.797864974f, 0.781676531f, 0.72402072f, 0.655026257f,
                                     0.595027745f, 0.552152753f, 0.525807261f, 0.511571288f, 0.5f);
    const __m512 c2 = _mm512_setr_ps(0.39692837f, 0.367703438f, 0.288467556f, 0.18413119f, 0.0830284059f,
                                     0.00627785688f, -0.0379147753f, -0.0531537905f, -0.0494078323f, -0.037234582f,
                                     -0.024148874f, -0.0138368374f, -0.00710287737f, -0.00329405f, -0.00138769438f, 0.0f);
    /* Adding 1.5 * 2^23 rounds to an integer in the low bits of the mantissa. */
    const __m512 shift = _mm512_set1_ps(12582912.0f), a = _mm512_abs_ps(x);
    const __m512i rounded = _mm512_castps_si512(_mm512_fmadd_ps(a, _mm512_set1_ps(3.6f), shift));
    const __m512i piece = _mm512_min_epu32(rounded, _mm512_set1_epi32(0x4b40000f));
    __m512 e = _mm512_fmadd_ps(_mm512_permutexvar_ps(piece, c2), a, _mm512_permutexvar_ps(piece, c1));
    e = _mm512_fmadd_ps(e, a, _mm512_permutexvar_ps(piece, c0));
    return _mm512_fmadd_ps(x, _mm512_set1_ps(0.5f), e);
}

/* Lanes of the next vector when n values are left. */
MM_INLINE __mmask16 mm_lanes_of(size_t n)
{
    return n < 16 ? (__mmask16)(0xffffu >> (16 - n)) : 0xffff;
}

MM_INLINE __m512 mm_load_bf16(const mm_bf16 *x, __mmask16 exists)
{
    return _mm512_castsi512_ps(
        _mm512_slli_epi32(_mm512_cvtepu16_epi32(_mm256_maskz_loadu_epi16(exists, x)), 16));
}

/* Sixteen pairs of neighbours, the even ones in the low halves. */
MM_INLINE __m512i mm_interleave_bf16(__m512 even, __m512 odd)
{
    const __m512i low = _mm512_cvtepu16_epi32((__m256i)_mm512_cvtneps_pbh(even));
    const __m512i high = _mm512_cvtepu16_epi32((__m256i)_mm512_cvtneps_pbh(odd));
    return _mm512_or_si512(low, _mm512_slli_epi32(high, 16));
}

MM_INLINE void mm_store_bf16(mm_bf16 *out, __m512 x)
{
    _mm256_storeu_si256((__m256i *)out, (__m256i)_mm512_cvtneps_pbh(x));
}
#endif

#endif
