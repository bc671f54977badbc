#include "tensor/bf16.h"

#include <string.h>

#include "tensor/bf16_avx512.h"
#include "tensor/bf16_gemm.h"

mm_bf16 mm_bf16_from(float x)
{
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    if ((bits & 0x7fffffffu) > 0x7f800000u) /* a NaN could round to infinity */
        return (mm_bf16)(bits >> 16 | 0x40u);
    return (mm_bf16)((bits + 0x7fffu + (bits >> 16 & 1u)) >> 16);
}

float mm_bf16_to_float(mm_bf16 x)
{
    const uint32_t bits = (uint32_t)x << 16;
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

static size_t round_up(size_t n, size_t step)
{
    return (n + step - 1) / step * step;
}

size_t mm_packed_count(size_t n, size_t k)
{
    return round_up(n, MM_PANEL_STEP) * round_up(k, 2);
}

void mm_pack_weight(const float *w, size_t ldw, size_t n, size_t k, mm_bf16 *out)
{
    for (size_t first = 0; first < n; first += MM_PANEL) {
        const size_t width = n - first < MM_PANEL ? round_up(n - first, MM_PANEL_STEP) : MM_PANEL;
        for (size_t pair = 0; pair < k; pair += 2)
            for (size_t column = first; column < first + width; column++)
                for (size_t i = pair; i < pair + 2; i++)
                    *out++ = column < n && i < k ? mm_bf16_from(w[column * ldw + i]) : 0;
    }
}

size_t mm_packed_depthwise_count(size_t channels)
{
    return 10 * round_up(channels, MM_DEPTHWISE_STEP);
}

void mm_pack_depthwise(const float *weight, const float *bias, size_t channels, float *out)
{
    for (size_t first = 0; first < channels; first += MM_DEPTHWISE_STEP)
        for (size_t k = 0; k < 10; k++)
            for (size_t i = 0; i < MM_DEPTHWISE_STEP; i++) {
                const size_t c = first + i % 16 * 2 + i / 16;
                const float *from = k < 9 ? weight + k * channels : bias;
                *out++ = c < channels ? from[c] : 0;
            }
}

size_t mm_bf16_attention_scratch(size_t queries, size_t dim, size_t tile)
{
    const size_t keys = round_up(tile, MM_PANEL_STEP) + MM_BF16_SLACK;
    /* Logits, weights (half as wide, in floats), sums of values, and a maximum and a sum for each query. */
    return MM_BF16_ROWS * (keys + keys / 2) + queries * (round_up(dim, MM_PANEL_STEP) + 2) + 3 * MM_PANEL_STEP;
}

const mm_bf16_ops *mm_bf16_get(void)
{
#ifdef MM_HAVE_AVX512_BF16
    if (__builtin_cpu_supports("avx512bf16") && __builtin_cpu_supports("avx512bw") &&
        __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq"))
        return &mm_bf16_avx512;
#endif
    return NULL;
}

mm_bf16_gemm *mm_bf16_gemm_get(const mm_kernels *kernels)
{
#ifdef MM_HAVE_AVX512_BF16
    if (kernels->precision == MM_PRECISION_BF16 && mm_bf16_get())
        return mm_bf16_gemm_avx512;
#else
    (void)kernels;
#endif
    return NULL;
}
