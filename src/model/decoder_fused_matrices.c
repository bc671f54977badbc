/* What a prompt's vectors make of a checkpoint's constants. decoder_fused.h says what each function gives. */
#include "model/decoder_fused.h"

#ifdef __AVX512BF16__

#include <string.h>

#include "tensor/bf16_avx512.h"

/* Registers of sums at a time. */
enum { SUMS = 8 };

/* out[n] = sum_i x[i] rows[i], rows `stride` apart; out += for `add`. */
MM_INLINE void combine(const float *x, size_t count, const float *rows, size_t stride, size_t n, bool add, float *out)
{
    size_t first = 0;
    for (; first + 16 * SUMS <= n; first += 16 * SUMS) {
        __m512 sums[SUMS];
        for (size_t v = 0; v < SUMS; v++)
            sums[v] = add ? _mm512_loadu_ps(out + first + 16 * v) : _mm512_setzero_ps();
        for (size_t i = 0; i < count; i++)
            for (size_t v = 0; v < SUMS; v++)
                sums[v] = _mm512_fmadd_ps(_mm512_set1_ps(x[i]), _mm512_loadu_ps(rows + i * stride + first + 16 * v), sums[v]);
        for (size_t v = 0; v < SUMS; v++)
            _mm512_storeu_ps(out + first + 16 * v, sums[v]);
    }
    for (; first < n; first += 16) {
        const __mmask16 exists = n - first < 16 ? (__mmask16)(0xffffu >> (16 - (n - first))) : 0xffff;
        __m512 sum = add ? _mm512_maskz_loadu_ps(exists, out + first) : _mm512_setzero_ps();
        for (size_t i = 0; i < count; i++)
            sum = _mm512_fmadd_ps(_mm512_set1_ps(x[i]), _mm512_maskz_loadu_ps(exists, rows + i * stride + first), sum);
        _mm512_mask_storeu_ps(out + first, exists, sum);
    }
}

/* pairs[n / 2] of x[n], n even */
static void pack_row(const float *x, size_t n, mm_pair *pairs)
{
    mm_bf16 *to = (mm_bf16 *)pairs;
    for (size_t i = 0; i < n; i += 16) {
        const __mmask16 exists = n - i < 16 ? (__mmask16)(0xffffu >> (16 - (n - i))) : 0xffff;
        _mm256_mask_storeu_epi16(to + i, exists, (__m256i)_mm512_cvtneps_pbh(_mm512_maskz_loadu_ps(exists, x + i)));
    }
}

void mm_fused_expand(const mm_fused_sizes *sizes, const float *y, const float *constant, size_t n, float *expanded)
{
    const size_t dim = sizes->dim;
    for (size_t j = 0; j < sizes->vectors; j++)
        combine(y + j * dim, dim, constant + j / sizes->tokens * dim * n, n, n, false, expanded + j * n);
}

void mm_fused_vectors(const mm_fused_sizes *sizes, const float *x, mm_pair *vectors)
{
    pack_row(x, sizes->vectors * sizes->dim, vectors);
}

void mm_fused_matrix(const mm_fused_sizes *sizes, const float *x, const float *expanded, bool triangle, float *work,
                     mm_pair *matrix)
{
    const size_t vectors = sizes->vectors, tokens = sizes->tokens, dim = sizes->dim, inner = sizes->inner;
    const size_t width = 2 * sizes->pairs;
    float *turned = work, *row = work + inner * width; /* [c][2 pairs], [2 pairs] */
    for (size_t j = 0; j < width; j++)
        for (size_t i = 0; i < inner; i++)
            turned[i * width + j] = j < vectors ? expanded[j * inner + i] : 0;
    for (size_t j = 0; j < vectors; j++) {
        const size_t head = j / tokens;
        combine(x + j * dim, dim, turned + head * dim * width, width, width, false, row);
        if (triangle) {
            memset(row, 0, head * tokens * sizeof *row);
            for (size_t i = (head + 1) * tokens; i < width; i++)
                row[i] *= 2;
        }
        pack_row(row, width, matrix + j * sizes->pairs);
    }
}

void mm_fused_columns(const mm_fused_sizes *sizes, const float *expanded, size_t n, mm_pair *matrix)
{
    for (size_t p = 0; p < sizes->pairs; p++) {
        const float *even = expanded + 2 * p * n, *odd = 2 * p + 1 < sizes->vectors ? even + n : NULL;
        for (size_t o = 0; o < n; o += 16) {
            mm_pair pairs[16];
            const __m512i low = _mm512_cvtepu16_epi32((__m256i)_mm512_cvtneps_pbh(_mm512_loadu_ps(even + o)));
            const __m512 second = odd ? _mm512_loadu_ps(odd + o) : _mm512_setzero_ps();
            const __m512i high = _mm512_cvtepu16_epi32((__m256i)_mm512_cvtneps_pbh(second));
            _mm512_storeu_si512(pairs, _mm512_or_si512(low, _mm512_slli_epi32(high, 16)));
            for (size_t i = 0; i < 16; i++)
                matrix[(o + i) * sizes->pairs + p] = pairs[i];
        }
    }
}

void mm_fused_add_outer(const mm_fused_sizes *sizes, const float *outer, const float *expanded, float *out)
{
    const size_t dim = sizes->dim;
    for (size_t j = 0; j < sizes->vectors; j++)
        combine(outer + j * sizes->wide, sizes->vectors, expanded + j / sizes->tokens * dim, sizes->inner, dim, true,
                out + j * dim);
}

#endif
