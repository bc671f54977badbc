/* Depthwise 3x3 convolution of bf16 rows. A vector holds 32 channels of a pixel: shifted left by 16 bits it gives the even
 * ones in f32, masked the odd ones, one instruction for sixteen values. Several columns of the result are summed at once, so
 * that each pixel is loaded and each tap fetched once for all of them. */
#include "tensor/bf16_avx512.h"

#ifdef __AVX512BF16__

/* Columns of a tile: their sums take eight registers, the taps of an image row six. */
enum { COLUMNS = 4 };

/* Even and odd channels, rounded, back in order. */
MM_INLINE __m512i interleave(__m512 even, __m512 odd)
{
    const __m512i order = _mm512_set_epi16(31, 15, 30, 14, 29, 13, 28, 12, 27, 11, 26, 10, 25, 9, 24, 8, 23, 7, 22, 6,
                                           21, 5, 20, 4, 19, 3, 18, 2, 17, 1, 16, 0);
    return _mm512_permutexvar_epi16(order, (__m512i)_mm512_cvtne2ps_pbh(odd, even));
}

/* `columns` pixels of the result from column `x` on, for the 32 channels from c on, of which those in `exists` are there. */
MM_INLINE void run_tile(const mm_bf16_depthwise *d, size_t columns, size_t stride, size_t x, size_t c, __mmask32 exists)
{
    const float *taps = d->packed + 10 * c;
    const __m512i odd_half = _mm512_set1_epi32((int)0xffff0000u);
    __m512 even[COLUMNS], odd[COLUMNS];
    for (size_t i = 0; i < columns; i++) {
        even[i] = _mm512_loadu_ps(taps + 9 * MM_DEPTHWISE_STEP);
        odd[i] = _mm512_loadu_ps(taps + 9 * MM_DEPTHWISE_STEP + 16);
    }
    for (size_t ky = 0; ky < 3; ky++, taps += 3 * MM_DEPTHWISE_STEP) {
        const mm_bf16 *from = d->rows[ky] + x * stride * d->channels + c;
        for (size_t column = 0; column < (columns - 1) * stride + 3; column++, from += d->channels) {
            const __m512i pixel = _mm512_maskz_loadu_epi16(exists, from);
            const __m512 low = _mm512_castsi512_ps(_mm512_slli_epi32(pixel, 16));
            const __m512 high = _mm512_castsi512_ps(_mm512_and_si512(pixel, odd_half));
            for (size_t i = 0; i < columns; i++) {
                if (column < i * stride || column >= i * stride + 3)
                    continue;
                const float *tap = taps + (column - i * stride) * MM_DEPTHWISE_STEP;
                even[i] = _mm512_fmadd_ps(low, _mm512_loadu_ps(tap), even[i]);
                odd[i] = _mm512_fmadd_ps(high, _mm512_loadu_ps(tap + 16), odd[i]);
            }
        }
    }
    mm_bf16 *out = d->out + x * d->channels + c;
    for (size_t i = 0; i < columns; i++)
        _mm512_mask_storeu_epi16(out + i * d->channels, exists, interleave(mm_gelu(even[i]), mm_gelu(odd[i])));
}

MM_INLINE void run_channels(const mm_bf16_depthwise *d, size_t columns, size_t stride, size_t x)
{
    size_t c = 0;
    for (; c + MM_DEPTHWISE_STEP <= d->channels; c += MM_DEPTHWISE_STEP)
        run_tile(d, columns, stride, x, c, 0xffffffffu);
    if (c < d->channels)
        run_tile(d, columns, stride, x, c, 0xffffffffu >> (MM_DEPTHWISE_STEP - (d->channels - c)));
}

MM_INLINE void run_row(const mm_bf16_depthwise *d, size_t stride)
{
    size_t x = 0;
    for (; x + COLUMNS <= d->columns; x += COLUMNS)
        run_channels(d, COLUMNS, stride, x);
    for (; x < d->columns; x++)
        run_channels(d, 1, stride, x);
}

void mm_bf16_depthwise_avx512(const mm_bf16_depthwise *d)
{
    if (d->stride == 1)
        run_row(d, 1);
    else
        run_row(d, 2);
}

#endif
