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
        for (size_t v = 0; v < vectors; v++)
            b[v] = (__m512bh)_mm512_loadu_si512(panel + (k * vectors + v) * 32);
        for (size_t r = 0; r < rows; r++) {
            int32_t pair;
            memcpy(&pair, a + r * lda + 2 * k, sizeof pair);
            const __m512bh x = (__m512bh)_mm512_set1_epi32(pair);
            for (size_t v = 0; v < vectors; v++)
                sums[r][v] = _mm512_dpbf16_ps(sums[r][v], x, b[v]);
        }
    }
}

MM_INLINE void mm_tile_clear(size_t rows, size_t vectors, __m512 sums[MM_BF16_ROWS][4])
{
    for (size_t r = 0; r < rows; r++)
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

/* GELU by erf to 3e-4: x (1/2 + p), p an odd polynomial fitted to erf(x / sqrt 2) / 2 on [-3.8, 3.8] and scaled so that it
 * reaches 1/2 at the ends, where it stays. */
MM_INLINE __m512 mm_gelu(__m512 x)
{
    const __m512 edge = _mm512_set1_ps(3.8f);
    const __m512 t = _mm512_max_ps(_mm512_min_ps(x, edge), _mm512_sub_ps(_mm512_setzero_ps(), edge));
    const __m512 s = _mm512_mul_ps(t, t);
    __m512 p = _mm512_fmadd_ps(s, _mm512_set1_ps(3.6658424e-08f), _mm512_set1_ps(-2.272502e-06f));
    p = _mm512_fmadd_ps(p, s, _mm512_set1_ps(6.0685868e-05f));
    p = _mm512_fmadd_ps(p, s, _mm512_set1_ps(-0.00093156399f));
    p = _mm512_fmadd_ps(p, s, _mm512_set1_ps(0.0093167992f));
    p = _mm512_fmadd_ps(p, s, _mm512_set1_ps(-0.065720944f));
    p = _mm512_fmadd_ps(p, s, _mm512_set1_ps(0.39868376f));
    p = _mm512_fmadd_ps(p, t, _mm512_set1_ps(0.5f));
    return _mm512_mul_ps(x, p);
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

MM_INLINE void mm_store_bf16(mm_bf16 *out, __m512 x)
{
    _mm256_storeu_si256((__m256i *)out, (__m256i)_mm512_cvtneps_pbh(x));
}
#endif

#endif
