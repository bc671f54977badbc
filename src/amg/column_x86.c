/* The loops in AVX2 and AVX-512. Products and sums are rounded one by one in the order of the taps, as in the portable
 * loops: every machine finds the same mask. */
#include "amg/column.h"

#ifdef __x86_64__
#include <immintrin.h>
#include <math.h>

#define AVX2 __attribute__((target("avx2,popcnt")))
#define AVX512 __attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,popcnt")))

/* In eight lanes, the states of sets of samples with this least and greatest one; NaN in `least` is no sample above. */
AVX2 static inline __m256i states_avx2(__m256 least, __m256 most, const mm_state_bounds *bounds)
{
    __m256i state = _mm256_set1_epi32(MM_ABOVE_NOTHING);
    for (int t = 0; t < 3; t++) {
        const __m256 some = _mm256_cmp_ps(most, _mm256_set1_ps(bounds->some[t]), _CMP_GT_OQ);
        const __m256 all = _mm256_cmp_ps(least, _mm256_set1_ps(bounds->all[t]), _CMP_GT_OQ);
        state = _mm256_or_si256(state, _mm256_and_si256(_mm256_castps_si256(some), _mm256_set1_epi32(1 << t)));
        state = _mm256_andnot_si256(_mm256_and_si256(_mm256_castps_si256(all), _mm256_set1_epi32(8 << t)), state);
    }
    return state;
}

AVX2 static inline __m128i bytes_of_16(__m256i first, __m256i second)
{
    /* Packing works within halves: 0-3 8-11 | 4-7 12-15. */
    const __m256i words = _mm256_permute4x64_epi64(_mm256_packus_epi32(first, second), 0xd8);
    return _mm_packus_epi16(_mm256_castsi256_si128(words), _mm256_extracti128_si256(words, 1));
}

/* Most blocks of samples lie wholly outside or wholly inside a mask, which is quickly seen. */
AVX2 static void classify_avx2(const float *samples, size_t n, const mm_state_bounds *bounds, uint8_t *states)
{
    const __m256 lowest = _mm256_set1_ps(bounds->lowest), highest = _mm256_set1_ps(bounds->highest);
    size_t i = 0;
    for (; i + 32 <= n; i += 32) {
        __m256 v[4], some = _mm256_setzero_ps(), all = _mm256_castsi256_ps(_mm256_set1_epi32(-1));
        for (int j = 0; j < 4; j++) {
            v[j] = _mm256_loadu_ps(samples + i + 8 * j);
            some = _mm256_or_ps(some, _mm256_cmp_ps(v[j], lowest, _CMP_GT_OQ));
            all = _mm256_and_ps(all, _mm256_cmp_ps(v[j], highest, _CMP_GT_OQ));
        }
        if (!_mm256_movemask_ps(some) || _mm256_movemask_ps(all) == 0xff) {
            const int state = _mm256_movemask_ps(some) ? MM_ABOVE_ALL : MM_ABOVE_NOTHING;
            _mm256_storeu_si256((__m256i *)(states + i), _mm256_set1_epi8((char)state));
            continue;
        }
        for (int j = 0; j < 4; j += 2) {
            const __m128i bytes =
                bytes_of_16(states_avx2(v[j], v[j], bounds), states_avx2(v[j + 1], v[j + 1], bounds));
            _mm_storeu_si128((__m128i *)(states + i + 8 * j), bytes);
        }
    }
    if (i < n)
        mm_column_portable.classify(samples + i, n - i, bounds, states + i);
}

AVX512 static inline __m512i states_avx512(__m512 least, __m512 most, const mm_state_bounds *bounds)
{
    __m512i state = _mm512_set1_epi32(MM_ABOVE_NOTHING);
    for (int t = 0; t < 3; t++) {
        const __mmask16 some = _mm512_cmp_ps_mask(most, _mm512_set1_ps(bounds->some[t]), _CMP_GT_OQ);
        const __mmask16 all = _mm512_cmp_ps_mask(least, _mm512_set1_ps(bounds->all[t]), _CMP_GT_OQ);
        state = _mm512_mask_or_epi32(state, some, state, _mm512_set1_epi32(1 << t));
        state = _mm512_mask_andnot_epi32(state, all, _mm512_set1_epi32(8 << t), state);
    }
    return state;
}

AVX512 static void classify_avx512(const float *samples, size_t n, const mm_state_bounds *bounds, uint8_t *states)
{
    const __m512 lowest = _mm512_set1_ps(bounds->lowest), highest = _mm512_set1_ps(bounds->highest);
    size_t i = 0;
    for (; i + 64 <= n; i += 64) {
        __m512 v[4];
        __mmask16 some = 0, all = 0xffff;
        for (int j = 0; j < 4; j++) {
            v[j] = _mm512_loadu_ps(samples + i + 16 * j);
            some |= _mm512_cmp_ps_mask(v[j], lowest, _CMP_GT_OQ);
            all &= _mm512_cmp_ps_mask(v[j], highest, _CMP_GT_OQ);
        }
        if (!some || all == 0xffff) {
            _mm512_storeu_si512(states + i, _mm512_set1_epi8(some ? MM_ABOVE_ALL : MM_ABOVE_NOTHING));
            continue;
        }
        for (int j = 0; j < 4; j++)
            _mm_storeu_si128((__m128i *)(states + i + 16 * j),
                             _mm512_cvtepi32_epi8(states_avx512(v[j], v[j], bounds)));
    }
    for (; i < n; i += 16) {
        const __mmask16 valid = (__mmask16)(n - i < 16 ? (1u << (n - i)) - 1 : 0xffff);
        const __m512 v = _mm512_maskz_loadu_ps(valid, samples + i);
        _mm512_mask_cvtepi32_storeu_epi8(states + i, valid, states_avx512(v, v, bounds));
    }
}

/* Rows of a tile of 8 by 8 to its columns. */
AVX2 static inline void transpose_8x8(__m256 v[8])
{
    __m256 pairs[8], fours[8];
    for (int i = 0; i < 8; i += 2) {
        pairs[i] = _mm256_unpacklo_ps(v[i], v[i + 1]);
        pairs[i + 1] = _mm256_unpackhi_ps(v[i], v[i + 1]);
    }
    for (int i = 0; i < 8; i += 4)
        for (int j = 0; j < 2; j++) {
            fours[i + 2 * j] = _mm256_shuffle_ps(pairs[i + j], pairs[i + j + 2], 0x44);
            fours[i + 2 * j + 1] = _mm256_shuffle_ps(pairs[i + j], pairs[i + j + 2], 0xee);
        }
    for (int i = 0; i < 4; i++) {
        v[i] = _mm256_permute2f128_ps(fours[i], fours[i + 4], 0x20);
        v[i + 4] = _mm256_permute2f128_ps(fours[i], fours[i + 4], 0x31);
    }
}

AVX2 static void resize_avx2(const mm_column_tile *t)
{
    __m256i states[2];
    for (uint32_t x = 0; x < MM_TILE_COLUMNS; x += 8) {
        const __m256i lane = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
        const __m256i valid = _mm256_cmpgt_epi32(_mm256_set1_epi32((int)t->columns - (int)x), lane);
        __m256 least = _mm256_set1_ps(INFINITY), most = _mm256_set1_ps(-INFINITY), nan = _mm256_setzero_ps();
        for (uint32_t y = 0; y < MM_CELL_ROWS; y += 8) {
            __m256 v[8];
            for (uint32_t i = 0; i < 8; i++) {
                v[i] = _mm256_set1_ps(-INFINITY);
                if (y + i >= t->count)
                    continue;
                const mm_taps *taps = &t->rows[y + i];
                for (uint32_t k = 0; k < taps->count; k++) {
                    const float *sample = t->logits + (size_t)taps->index[k] * t->low + x;
                    const __m256 term =
                        _mm256_mul_ps(_mm256_maskload_ps(sample, valid), _mm256_set1_ps(taps->weight[k]));
                    v[i] = k ? _mm256_add_ps(v[i], term) : term;
                }
                nan = _mm256_or_ps(nan, _mm256_cmp_ps(v[i], v[i], _CMP_UNORD_Q));
                least = _mm256_min_ps(v[i], least); /* the second operand where one is NaN */
                most = _mm256_max_ps(v[i], most);
            }
            transpose_8x8(v);
            for (uint32_t i = 0; i < 8 && x + i < t->columns; i++)
                _mm256_storeu_ps(t->out + (x + i) * t->stride + y, v[i]);
        }
        states[x / 8] = states_avx2(_mm256_or_ps(least, nan), most, t->bounds);
    }
    uint8_t bytes[MM_TILE_COLUMNS];
    _mm_storeu_si128((__m128i *)bytes, bytes_of_16(states[0], states[1]));
    for (uint32_t x = 0; x < t->columns; x++)
        t->states[x * t->state_stride] = bytes[x];
}

AVX512 static inline void transpose_16x16(__m512 v[16])
{
    __m512 w[16];
    for (int i = 0; i < 16; i += 2) {
        w[i] = _mm512_unpacklo_ps(v[i], v[i + 1]);
        w[i + 1] = _mm512_unpackhi_ps(v[i], v[i + 1]);
    }
    for (int i = 0; i < 16; i += 4)
        for (int j = 0; j < 2; j++) {
            v[i + 2 * j] = _mm512_shuffle_ps(w[i + j], w[i + j + 2], 0x44);
            v[i + 2 * j + 1] = _mm512_shuffle_ps(w[i + j], w[i + j + 2], 0xee);
        }
    /* Now v[4 * r + c] has, of rows 4 * r to 4 * r + 3, column c in its first quarter, c + 4 in the next and so on. */
    for (int c = 0; c < 4; c++) {
        w[c] = _mm512_shuffle_f32x4(v[c], v[4 + c], 0x88);
        w[4 + c] = _mm512_shuffle_f32x4(v[8 + c], v[12 + c], 0x88);
        w[8 + c] = _mm512_shuffle_f32x4(v[c], v[4 + c], 0xdd);
        w[12 + c] = _mm512_shuffle_f32x4(v[8 + c], v[12 + c], 0xdd);
    }
    for (int c = 0; c < 4; c++) {
        v[c] = _mm512_shuffle_f32x4(w[c], w[4 + c], 0x88);
        v[8 + c] = _mm512_shuffle_f32x4(w[c], w[4 + c], 0xdd);
        v[4 + c] = _mm512_shuffle_f32x4(w[8 + c], w[12 + c], 0x88);
        v[12 + c] = _mm512_shuffle_f32x4(w[8 + c], w[12 + c], 0xdd);
    }
}

AVX512 static void resize_avx512(const mm_column_tile *t)
{
    const __mmask16 valid = (__mmask16)((1u << t->columns) - 1);
    __m512 v[MM_CELL_ROWS], least = _mm512_set1_ps(INFINITY), most = _mm512_set1_ps(-INFINITY);
    __mmask16 nan = 0;
    for (uint32_t y = 0; y < MM_CELL_ROWS; y++) {
        v[y] = _mm512_set1_ps(-INFINITY);
        if (y >= t->count)
            continue;
        const mm_taps *taps = &t->rows[y];
        for (uint32_t k = 0; k < taps->count; k++) {
            const __m512 sample = _mm512_maskz_loadu_ps(valid, t->logits + (size_t)taps->index[k] * t->low);
            const __m512 term = _mm512_mul_ps(sample, _mm512_set1_ps(taps->weight[k]));
            v[y] = k ? _mm512_add_ps(v[y], term) : term;
        }
        nan |= _mm512_cmp_ps_mask(v[y], v[y], _CMP_UNORD_Q);
        least = _mm512_min_ps(v[y], least); /* the second operand where one is NaN */
        most = _mm512_max_ps(v[y], most);
    }
    least = _mm512_mask_mov_ps(least, nan, _mm512_set1_ps(NAN));
    uint8_t states[MM_TILE_COLUMNS];
    _mm_storeu_si128((__m128i *)states, _mm512_cvtepi32_epi8(states_avx512(least, most, t->bounds)));
    transpose_16x16(v);
    for (uint32_t x = 0; x < t->columns; x++) {
        _mm512_storeu_ps(t->out + x * t->stride, v[x]);
        t->states[x * t->state_stride] = states[x];
    }
}

/* Which rows of a cell are above a threshold. */
AVX2 static inline uint32_t rows_above_avx2(const __m256 v[2], float threshold)
{
    const __m256 bound = _mm256_set1_ps(threshold);
    return (uint32_t)_mm256_movemask_ps(_mm256_cmp_ps(v[0], bound, _CMP_GT_OQ)) |
           (uint32_t)_mm256_movemask_ps(_mm256_cmp_ps(v[1], bound, _CMP_GT_OQ)) << 8;
}

AVX512 static inline uint32_t rows_above_avx512(const __m512 v[1], float threshold)
{
    return _mm512_cmp_ps_mask(v[0], _mm512_set1_ps(threshold), _CMP_GT_OQ);
}

/* Step two for one cell, whose samples stay in registers; inlined for each number of taps and for those sets of open
 * thresholds that are common. And the loop over cells around it. */
#define SCAN(isa, features, vector, lanes, load, set1, mul, add)                                                       \
    __attribute__((target(features), always_inline)) static inline void scan_cell_##isa(                               \
        unsigned taps_used, unsigned asked, const mm_column_group *g, size_t at, float low, float high,                \
        mm_column_counts *counts)                                                                                      \
    {                                                                                                                  \
        vector samples[MM_MAX_TAPS][MM_CELL_ROWS / lanes], v[MM_CELL_ROWS / lanes];                                    \
        for (unsigned k = 0; k < taps_used; k++)                                                                       \
            for (unsigned i = 0; i < MM_CELL_ROWS / lanes; i++)                                                        \
                samples[k][i] = load(g->samples[k] + at + i * lanes);                                                  \
        uint64_t *bits = g->bits + at / MM_WORD_ROWS;                                                                  \
        for (const mm_taps *taps = g->taps, *end = taps + g->columns; taps < end; taps++, bits += g->words) {          \
            for (unsigned i = 0; i < MM_CELL_ROWS / lanes; i++) {                                                      \
                v[i] = mul(samples[0][i], set1(taps->weight[0]));                                                      \
                for (unsigned k = 1; k < taps_used; k++)                                                               \
                    v[i] = add(v[i], mul(samples[k][i], set1(taps->weight[k])));                                       \
            }                                                                                                          \
            if (asked & MM_SOME_ABOVE_LOW)                                                                             \
                counts->above_low += (uint32_t)_mm_popcnt_u32(rows_above_##isa(v, low));                               \
            if (asked & MM_SOME_ABOVE_HIGH)                                                                            \
                counts->above_high += (uint32_t)_mm_popcnt_u32(rows_above_##isa(v, high));                             \
            if (asked & MM_SOME_ABOVE_ZERO) {                                                                          \
                const uint32_t rows = rows_above_##isa(v, 0);                                                          \
                counts->above_zero += (uint32_t)_mm_popcnt_u32(rows);                                                  \
                *bits |= (uint64_t)rows << at % MM_WORD_ROWS;                                                          \
            }                                                                                                          \
        }                                                                                                              \
    }                                                                                                                  \
    __attribute__((target(features), always_inline)) static inline mm_column_counts scan_##isa##_taps(                 \
        unsigned taps_used, const mm_column_group *group, const mm_open_word *open, size_t open_count, float low,      \
        float high)                                                                                                    \
    {                                                                                                                  \
        mm_column_counts counts = {0};                                                                                 \
        for (size_t i = 0; i < open_count; i++) {                                                                      \
            size_t at = (size_t)open[i].word * MM_WORD_ROWS;                                                           \
            for (uint32_t left = open[i].thresholds; left; left >>= 8, at += MM_CELL_ROWS) {                           \
                const unsigned asked = left & 7;                                                                       \
                if (asked == MM_SOME_ABOVE_LOW)                                                                        \
                    scan_cell_##isa(taps_used, MM_SOME_ABOVE_LOW, group, at, low, high, &counts);                      \
                else if (asked == MM_SOME_ABOVE_ZERO)                                                                  \
                    scan_cell_##isa(taps_used, MM_SOME_ABOVE_ZERO, group, at, low, high, &counts);                     \
                else if (asked == MM_SOME_ABOVE_HIGH)                                                                  \
                    scan_cell_##isa(taps_used, MM_SOME_ABOVE_HIGH, group, at, low, high, &counts);                     \
                else if (asked == MM_ABOVE_ALL)                                                                        \
                    scan_cell_##isa(taps_used, MM_ABOVE_ALL, group, at, low, high, &counts);                           \
                else if (asked)                                                                                        \
                    scan_cell_##isa(taps_used, asked, group, at, low, high, &counts);                                  \
            }                                                                                                          \
        }                                                                                                              \
        return counts;                                                                                                 \
    }                                                                                                                  \
    __attribute__((target(features))) static mm_column_counts scan_##isa(                                              \
        const mm_column_group *group, const mm_open_word *open, size_t open_count, float low, float high)              \
    {                                                                                                                  \
        switch (group->taps[0].count) {                                                                                \
        case 1:                                                                                                        \
            return scan_##isa##_taps(1, group, open, open_count, low, high);                                           \
        case 2:                                                                                                        \
            return scan_##isa##_taps(2, group, open, open_count, low, high);                                           \
        case 3:                                                                                                        \
            return scan_##isa##_taps(3, group, open, open_count, low, high);                                           \
        default:                                                                                                       \
            return scan_##isa##_taps(4, group, open, open_count, low, high);                                           \
        }                                                                                                              \
    }

SCAN(avx2, "avx2,popcnt", __m256, 8, _mm256_loadu_ps, _mm256_set1_ps, _mm256_mul_ps, _mm256_add_ps)
SCAN(avx512, "avx512f,avx512bw,avx512dq,avx512vl,popcnt", __m512, 16, _mm512_loadu_ps, _mm512_set1_ps, _mm512_mul_ps,
     _mm512_add_ps)

const mm_column_loops mm_column_avx2 = {classify_avx2, resize_avx2, scan_avx2};
const mm_column_loops mm_column_avx512 = {classify_avx512, resize_avx512, scan_avx512};

#endif
