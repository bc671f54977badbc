/* Row-wise bf16 loops, and the table of all AVX512-BF16 kernels. */
#include "tensor/bf16_avx512.h"

#ifdef __AVX512BF16__

#include <math.h>

enum { NORM_ROWS = 4 };

static void convert(const float *x, mm_bf16 *out, size_t n)
{
    for (size_t i = 0; i < n; i += 16) {
        const __mmask16 exists = mm_lanes_of(n - i);
        _mm256_mask_storeu_epi16(out + i, exists, (__m256i)_mm512_cvtneps_pbh(_mm512_maskz_loadu_ps(exists, x + i)));
    }
}

/* `rows` rows at once, so that the long latencies of their sums overlap. */
MM_INLINE void norm_rows(size_t rows, const float *x, const float *weight, const float *bias, float eps, mm_bf16 *out,
                         size_t n)
{
    __m512 total[NORM_ROWS], square[NORM_ROWS], mean[NORM_ROWS], inverse[NORM_ROWS];
#pragma GCC unroll 4
    for (size_t r = 0; r < rows; r++)
        total[r] = square[r] = _mm512_setzero_ps();
    for (size_t i = 0; i < n; i += 16)
#pragma GCC unroll 4
        for (size_t r = 0; r < rows; r++)
            total[r] = _mm512_add_ps(total[r], _mm512_maskz_loadu_ps(mm_lanes_of(n - i), x + r * n + i));
#pragma GCC unroll 4
    for (size_t r = 0; r < rows; r++)
        mean[r] = _mm512_set1_ps(_mm512_reduce_add_ps(total[r]) / (float)n);
    for (size_t i = 0; i < n; i += 16) {
        const __mmask16 exists = mm_lanes_of(n - i);
#pragma GCC unroll 4
        for (size_t r = 0; r < rows; r++) {
            const __m512 d = _mm512_maskz_sub_ps(exists, _mm512_maskz_loadu_ps(exists, x + r * n + i), mean[r]);
            square[r] = _mm512_fmadd_ps(d, d, square[r]);
        }
    }
#pragma GCC unroll 4
    for (size_t r = 0; r < rows; r++)
        inverse[r] = _mm512_set1_ps(1.0f / sqrtf(_mm512_reduce_add_ps(square[r]) / (float)n + eps));
    for (size_t i = 0; i < n; i += 16) {
        const __mmask16 exists = mm_lanes_of(n - i);
        const __m512 w = _mm512_maskz_loadu_ps(exists, weight + i), b = _mm512_maskz_loadu_ps(exists, bias + i);
#pragma GCC unroll 4
        for (size_t r = 0; r < rows; r++) {
            const __m512 d = _mm512_sub_ps(_mm512_maskz_loadu_ps(exists, x + r * n + i), mean[r]);
            const __m512 y = _mm512_fmadd_ps(_mm512_mul_ps(d, inverse[r]), w, b);
            _mm256_mask_storeu_epi16(out + r * n + i, exists, (__m256i)_mm512_cvtneps_pbh(y));
        }
    }
}

static void norm(const float *x, const float *weight, const float *bias, float eps, mm_bf16 *out, size_t rows, size_t n)
{
    size_t r = 0;
    for (; r + NORM_ROWS <= rows; r += NORM_ROWS)
        norm_rows(NORM_ROWS, x + r * n, weight, bias, eps, out + r * n, n);
    for (; r < rows; r++)
        norm_rows(1, x + r * n, weight, bias, eps, out + r * n, n);
}

static void pack_keys(const mm_bf16 *k, size_t row, size_t keys, size_t dim, mm_bf16 *out)
{
    for (size_t first = 0; first < keys; first += MM_PANEL) {
        const size_t count = keys - first < MM_PANEL ? keys - first : MM_PANEL;
        const size_t width = (count + MM_PANEL_STEP - 1) / MM_PANEL_STEP * MM_PANEL_STEP;
        for (size_t d = 0; d < dim; d += 2, out += 2 * width) {
            for (size_t key = 0; key < count; key++) {
                const mm_bf16 *from = k + (first + key) * row + d;
                out[2 * key] = from[0];
                out[2 * key + 1] = d + 1 < dim ? from[1] : 0;
            }
            memset(out + 2 * count, 0, 2 * (width - count) * sizeof *out);
        }
    }
}

static void pack_values(const mm_bf16 *v, size_t row, size_t keys, size_t dim, mm_bf16 *out)
{
    for (size_t first = 0; first < dim; first += MM_PANEL) {
        const size_t count = dim - first < MM_PANEL ? dim - first : MM_PANEL;
        const size_t width = (count + MM_PANEL_STEP - 1) / MM_PANEL_STEP * MM_PANEL_STEP;
        for (size_t key = 0; key < keys; key += 2, out += 2 * width) {
            const mm_bf16 *even = v + key * row + first, *odd = key + 1 < keys ? even + row : NULL;
            for (size_t d = 0; d < width; d++) {
                out[2 * d] = d < count ? even[d] : 0;
                out[2 * d + 1] = d < count && odd ? odd[d] : 0;
            }
        }
    }
}

const mm_bf16_ops mm_bf16_avx512 = {
    .product = mm_bf16_product_avx512,
    .convolution = mm_bf16_convolution_avx512,
    .depthwise = mm_bf16_depthwise_avx512,
    .attention = mm_bf16_attention_avx512,
    .convert = convert,
    .norm = norm,
    .pack_keys = pack_keys,
    .pack_values = pack_values,
};

#endif
