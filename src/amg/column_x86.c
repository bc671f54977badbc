/* Step two of mask upsampling in AVX2 and AVX-512. Products and sums are rounded one by one in the order of the taps, as
 * in the portable loop: every machine finds the same mask. */
#include "amg/column.h"

#ifdef __x86_64__
#include <immintrin.h>

typedef struct words {
    uint64_t low, zero, high; /* bit i: row i of 64 is above */
} words;

/* The three comparisons of 64 rows. Inlined once per number of taps. */
__attribute__((target("avx512f"), always_inline)) static inline words
compare_avx512(unsigned taps_used, const float *const columns[MM_MAX_TAPS], const mm_taps *taps, size_t y, float low,
               float high)
{
    words above = {0};
    for (unsigned i = 0; i < MM_COLUMN_ROWS; i += 16) {
        __m512 v = _mm512_mul_ps(_mm512_loadu_ps(columns[0] + y + i), _mm512_set1_ps(taps->weight[0]));
        for (unsigned k = 1; k < taps_used; k++)
            v = _mm512_add_ps(
                v, _mm512_mul_ps(_mm512_loadu_ps(columns[k] + y + i), _mm512_set1_ps(taps->weight[k])));
        above.low |= (uint64_t)_mm512_cmp_ps_mask(v, _mm512_set1_ps(low), _CMP_GT_OQ) << i;
        above.zero |= (uint64_t)_mm512_cmp_ps_mask(v, _mm512_setzero_ps(), _CMP_GT_OQ) << i;
        above.high |= (uint64_t)_mm512_cmp_ps_mask(v, _mm512_set1_ps(high), _CMP_GT_OQ) << i;
    }
    return above;
}

__attribute__((target("avx2"), always_inline)) static inline words
compare_avx2(unsigned taps_used, const float *const columns[MM_MAX_TAPS], const mm_taps *taps, size_t y, float low,
             float high)
{
    words above = {0};
    for (unsigned i = 0; i < MM_COLUMN_ROWS; i += 8) {
        __m256 v = _mm256_mul_ps(_mm256_loadu_ps(columns[0] + y + i), _mm256_set1_ps(taps->weight[0]));
        for (unsigned k = 1; k < taps_used; k++)
            v = _mm256_add_ps(
                v, _mm256_mul_ps(_mm256_loadu_ps(columns[k] + y + i), _mm256_set1_ps(taps->weight[k])));
        const __m256 over_low = _mm256_cmp_ps(v, _mm256_set1_ps(low), _CMP_GT_OQ);
        const __m256 over_zero = _mm256_cmp_ps(v, _mm256_setzero_ps(), _CMP_GT_OQ);
        const __m256 over_high = _mm256_cmp_ps(v, _mm256_set1_ps(high), _CMP_GT_OQ);
        above.low |= (uint64_t)(unsigned)_mm256_movemask_ps(over_low) << i;
        above.zero |= (uint64_t)(unsigned)_mm256_movemask_ps(over_zero) << i;
        above.high |= (uint64_t)(unsigned)_mm256_movemask_ps(over_high) << i;
    }
    return above;
}

#define SCAN(name, features, compare)                                                                                  \
    __attribute__((target(features), always_inline)) static inline mm_column_counts name##_taps(                       \
        unsigned taps_used, const float *const columns[MM_MAX_TAPS], const mm_taps *taps, size_t count, float low,     \
        float high, uint64_t *bits)                                                                                    \
    {                                                                                                                  \
        mm_column_counts counts = {0};                                                                                 \
        for (size_t y = 0; y < count; y += MM_COLUMN_ROWS) {                                                           \
            const words above = compare(taps_used, columns, taps, y, low, high);                                       \
            bits[y / MM_COLUMN_ROWS] = above.zero;                                                                     \
            counts.above_low += (uint32_t)_mm_popcnt_u64(above.low);                                                   \
            counts.above_zero += (uint32_t)_mm_popcnt_u64(above.zero);                                                 \
            counts.above_high += (uint32_t)_mm_popcnt_u64(above.high);                                                 \
        }                                                                                                              \
        return counts;                                                                                                 \
    }                                                                                                                  \
    __attribute__((target(features))) mm_column_counts name(const float *const columns[MM_MAX_TAPS],                   \
                                                            const mm_taps *taps, size_t count, float low, float high,  \
                                                            uint64_t *bits)                                            \
    {                                                                                                                  \
        switch (taps->count) {                                                                                         \
        case 1:                                                                                                        \
            return name##_taps(1, columns, taps, count, low, high, bits);                                              \
        case 2:                                                                                                        \
            return name##_taps(2, columns, taps, count, low, high, bits);                                              \
        case 3:                                                                                                        \
            return name##_taps(3, columns, taps, count, low, high, bits);                                              \
        default:                                                                                                       \
            return name##_taps(4, columns, taps, count, low, high, bits);                                              \
        }                                                                                                              \
    }

SCAN(mm_column_scan_avx2, "avx2,popcnt", compare_avx2)
SCAN(mm_column_scan_avx512, "avx512f,popcnt", compare_avx512)

#endif

mm_column_scanner mm_column_scan_for(mm_isa isa)
{
#ifdef __x86_64__
    if (isa == MM_ISA_AVX512)
        return mm_column_scan_avx512;
    if (isa == MM_ISA_AVX2)
        return mm_column_scan_avx2;
#else
    (void)isa;
#endif
    return mm_column_scan;
}
