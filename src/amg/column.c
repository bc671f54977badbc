/* Written in vectors of four floats, the width that every x86-64 and ARM has; column_x86.c has the scan in wider ones. Sums
 * are written in the order of the taps, so that every machine finds the same mask. */
#include "amg/column.h"

#include <string.h>

#ifdef __SSE2__
#include <emmintrin.h>
#endif

#define LANES 4
typedef float lanes __attribute__((vector_size(LANES * sizeof(float))));
typedef int32_t flags __attribute__((vector_size(LANES * sizeof(int32_t))));

static inline lanes load(const float *p)
{
    lanes v;
    memcpy(&v, p, sizeof v);
    return v;
}

/* Low-res columns and rows that are turned together: a cache line of floats. */
#define TILE 16

static void resize_row(const float *logits, uint32_t low, const mm_taps *taps, uint32_t columns, float out[TILE])
{
    for (uint32_t k = 0; k < taps->count; k++) {
        const float *sample = logits + (size_t)taps->index[k] * low;
        float part[TILE] = {0};
        if (columns < TILE) {
            memcpy(part, sample, columns * sizeof *part);
            sample = part;
        }
        for (uint32_t i = 0; i < TILE; i += LANES) {
            const lanes term = load(sample + i) * taps->weight[k];
            const lanes sum = k ? load(out + i) + term : term;
            memcpy(out + i, &sum, sizeof sum);
        }
    }
}

void mm_column_resize(const float *logits, uint32_t low, const mm_taps *rows, uint32_t x0, uint32_t x1, uint32_t y0,
                      uint32_t y1, float *out, size_t stride)
{
    for (uint32_t x = x0; x < x1; x += TILE) {
        const uint32_t tile_columns = x1 - x < TILE ? x1 - x : TILE;
        for (uint32_t y = y0; y < y1; y += TILE) {
            const uint32_t tile_rows = y1 - y < TILE ? y1 - y : TILE;
            float tile[TILE][TILE];
            for (uint32_t j = 0; j < tile_rows; j++)
                resize_row(logits + x, low, &rows[y + j], tile_columns, tile[j]);
            for (uint32_t i = 0; i < tile_columns; i++)
                for (uint32_t j = 0; j < tile_rows; j++)
                    out[(x + i) * stride + y + j] = tile[j][i];
        }
    }
}

/* Bit i of the result is the sign of flag i. */
static inline uint64_t pack_flags(const int32_t flag[MM_COLUMN_ROWS])
{
    uint64_t word = 0;
#ifdef __SSE2__
    for (unsigned i = 0; i < MM_COLUMN_ROWS; i += 16) {
        const __m128i *four = (const __m128i *)(flag + i);
        const __m128i low = _mm_packs_epi32(_mm_loadu_si128(four), _mm_loadu_si128(four + 1));
        const __m128i high = _mm_packs_epi32(_mm_loadu_si128(four + 2), _mm_loadu_si128(four + 3));
        word |= (uint64_t)(unsigned)_mm_movemask_epi8(_mm_packs_epi16(low, high)) << i;
    }
#else
    for (unsigned i = 0; i < MM_COLUMN_ROWS; i++)
        word |= (uint64_t)(flag[i] < 0) << i;
#endif
    return word;
}

/* Inlined once per number of taps. */
static inline __attribute__((always_inline)) mm_column_counts scan(unsigned taps_used,
                                                                   const float *const columns[MM_MAX_TAPS],
                                                                   const mm_taps *taps, size_t count, float low,
                                                                   float high, uint64_t *bits)
{
    flags above_low = {0}, above_zero = {0}, above_high = {0};
    for (size_t y = 0; y < count; y += MM_COLUMN_ROWS) {
        int32_t set[MM_COLUMN_ROWS]; /* -1 where true */
        for (size_t i = 0; i < MM_COLUMN_ROWS; i += LANES) {
            lanes v = load(columns[0] + y + i) * taps->weight[0];
            if (taps_used > 1)
                v += load(columns[1] + y + i) * taps->weight[1];
            if (taps_used > 2)
                v += load(columns[2] + y + i) * taps->weight[2];
            if (taps_used > 3)
                v += load(columns[3] + y + i) * taps->weight[3];
            const flags positive = v > 0;
            above_low -= v > low;
            above_zero -= positive;
            above_high -= v > high;
            memcpy(set + i, &positive, sizeof positive);
        }
        bits[y / MM_COLUMN_ROWS] = pack_flags(set);
    }
    mm_column_counts counts = {0};
    for (int i = 0; i < LANES; i++) {
        counts.above_low += (uint32_t)above_low[i];
        counts.above_zero += (uint32_t)above_zero[i];
        counts.above_high += (uint32_t)above_high[i];
    }
    return counts;
}

mm_column_counts mm_column_scan(const float *const columns[MM_MAX_TAPS], const mm_taps *taps, size_t count, float low,
                                float high, uint64_t *bits)
{
    switch (taps->count) {
    case 1:
        return scan(1, columns, taps, count, low, high, bits);
    case 2:
        return scan(2, columns, taps, count, low, high, bits);
    case 3:
        return scan(3, columns, taps, count, low, high, bits);
    default:
        return scan(4, columns, taps, count, low, high, bits);
    }
}
