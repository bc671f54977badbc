/* attention_body.h for f32, the packing of its keys and values, and the table of all AVX-512 f32 kernels. */
#include "tensor/f32_avx512.h"

#ifdef __AVX512DQ__

typedef float value;
typedef mm_f32_attention attention_call;
enum { GROUP = 1, ROWS = MM_F32_ROWS, SLACK = MM_F32_SLACK };

#define tile_multiply mm_f32_tile_multiply

/* 2^x to 2.1e-7 of its value, for x <= 0: a minimax polynomial of degree 5 on [-1/2, 1/2] (good to 7.5e-8), and rounding. */
MM_INLINE __m512 exponential(__m512 x)
{
    const __m512 whole = _mm512_roundscale_ps(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
    const __m512 part = _mm512_sub_ps(x, whole);
    __m512 p = _mm512_fmadd_ps(part, _mm512_set1_ps(0.00132764725f), _mm512_set1_ps(0.00967554189f));
    p = _mm512_fmadd_ps(p, part, _mm512_set1_ps(0.0555071309f));
    p = _mm512_fmadd_ps(p, part, _mm512_set1_ps(0.240221202f));
    p = _mm512_fmadd_ps(p, part, _mm512_set1_ps(0.693146944f));
    p = _mm512_fmadd_ps(p, part, _mm512_set1_ps(1.00000012f));
    return _mm512_scalef_ps(p, whole);
}

MM_INLINE void store_values(float *out, __mmask16 mask, __m512 x)
{
    _mm512_mask_storeu_ps(out, mask, x);
}

#include "tensor/attention_body.h"

static void pack_keys(const float *k, size_t row, size_t keys, size_t dim, float *out)
{
    for (size_t first = 0; first < keys; first += MM_PANEL) {
        const size_t left = keys - first, width = left < MM_PANEL ? (left + 15) / 16 * 16 : MM_PANEL;
        for (size_t d = 0; d < dim; d += 16)
            for (size_t key = 0; key < width; key += 16)
                mm_transpose(k + (first + key) * row + d, row, left - key < 16 ? left - key : 16,
                             dim - d < 16 ? dim - d : 16, out + d * width + key, width);
        out += width * dim;
    }
}

static void pack_values(const float *v, size_t row, size_t keys, size_t dim, float *out)
{
    for (size_t first = 0; first < dim; first += MM_PANEL) {
        const size_t left = dim - first, width = left < MM_PANEL ? (left + 15) / 16 * 16 : MM_PANEL;
        for (size_t key = 0; key < keys; key++, out += width)
            for (size_t d = 0; d < width; d += 16)
                _mm512_storeu_ps(out + d, _mm512_maskz_loadu_ps(lanes_of(left - d), v + key * row + first + d));
    }
}

const mm_f32_ops mm_f32_avx512 = {
    .product = mm_f32_product_avx512,
    .attention = attend_head,
    .pack_keys = pack_keys,
    .pack_values = pack_values,
};

#endif
