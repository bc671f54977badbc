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
    const size_t dim = sizes->dim, others = sizes->tokens - 1;
    for (size_t f = 0; f < sizes->coordinates; f++)
        combine(y + f * dim, dim, constant + f / others * dim * n, n, n, false, expanded + f * n);
}

void mm_fused_expand_last(const mm_fused_sizes *sizes, const float *last, const float *constant, size_t n, float *out)
{
    combine(last, sizes->inner, constant, n, n, false, out);
}

void mm_fused_pack(const float *x, size_t n, mm_pair *pairs)
{
    pack_row(x, n, pairs);
}

void mm_fused_matrix(const mm_fused_sizes *sizes, const float *x, size_t tokens, const float *expanded, bool triangle,
                     float *work, mm_pair *matrix)
{
    const size_t dim = sizes->dim, inner = sizes->inner, width = 2 * sizes->pairs, others = sizes->tokens - 1;
    float *turned = work, *row = work + inner * width; /* [c][2 pairs], [2 pairs] */
    for (size_t f = 0; f < width; f++)
        for (size_t i = 0; i < inner; i++)
            turned[i * width + f] = f < sizes->coordinates ? expanded[f * inner + i] : 0;
    for (size_t j = 0; j < sizes->heads * tokens; j++) {
        const size_t head = j / tokens;
        combine(x + j * dim, dim, turned + head * dim * width, width, width, false, row);
        if (triangle) {
            memset(row, 0, head * others * sizeof *row);
            for (size_t f = (head + 1) * others; f < width; f++)
                row[f] *= 2;
        }
        pack_row(row, width, matrix + j * sizes->pairs);
    }
}

void mm_fused_columns(const mm_fused_sizes *sizes, const float *expanded, size_t n, mm_pair *matrix)
{
    for (size_t p = 0; p < sizes->pairs; p++) {
        const float *even = expanded + 2 * p * n, *odd = 2 * p + 1 < sizes->coordinates ? even + n : NULL;
        for (size_t o = 0; o < n; o += 16) {
            mm_pair pairs[16];
            const __m512 second = odd ? _mm512_loadu_ps(odd + o) : _mm512_setzero_ps();
            _mm512_storeu_si512(pairs, mm_interleave_bf16(_mm512_loadu_ps(even + o), second));
            for (size_t i = 0; i < 16; i++)
                matrix[(o + i) * sizes->pairs + p] = pairs[i];
        }
    }
}

void mm_fused_add_outer(const mm_fused_sizes *sizes, const float *outer, const float *expanded, float *out)
{
    const size_t dim = sizes->dim;
    for (size_t j = 0; j < sizes->vectors; j++)
        combine(outer + j * sizes->wide, sizes->coordinates, expanded + j / sizes->tokens * dim, sizes->inner, dim, true,
                out + j * dim);
}

#endif
