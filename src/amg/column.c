/* The loops in vectors of four floats, the width that every x86-64 and ARM has; column_x86.c has wider ones. Sums are
 * written in the order of the taps, so that every machine finds the same mask. */
#include "amg/column.h"

#include <math.h>
#include <string.h>

#ifdef __SSE2__
#include <emmintrin.h>
#endif

#define LANES 4
#define BLOCK 32
typedef float lanes __attribute__((vector_size(LANES * sizeof(float))));
typedef int32_t flags __attribute__((vector_size(LANES * sizeof(int32_t))));

static inline lanes load(const float *p)
{
    lanes v;
    memcpy(&v, p, sizeof v);
    return v;
}

static inline flags states_of(lanes v, const mm_state_bounds *bounds)
{
    flags state = {0};
    for (int t = 0; t < 3; t++)
        state |= ((v > bounds->some[t]) & 1 << t) | (~(v > bounds->all[t]) & 8 << t);
    return state;
}

/* Most blocks of samples lie wholly outside or wholly inside a mask, which is quickly seen. */
static void classify(const float *samples, size_t n, const mm_state_bounds *bounds, uint8_t *states)
{
    for (size_t i = 0; i < n; i += BLOCK) {
        const size_t count = n - i < BLOCK ? n - i : BLOCK;
        float block[BLOCK] = {0};
        memcpy(block, samples + i, count * sizeof *block);
        flags some = {0}, not_all = {0};
        for (size_t j = 0; j < BLOCK; j += LANES) {
            some |= load(block + j) > bounds->lowest;
            not_all |= ~(load(block + j) > bounds->highest);
        }
        const bool is_some = some[0] | some[1] | some[2] | some[3];
        const bool is_all = !(not_all[0] | not_all[1] | not_all[2] | not_all[3]);
        if (count == BLOCK && (is_all || !is_some)) {
            memset(states + i, is_all ? MM_ABOVE_ALL : MM_ABOVE_NOTHING, BLOCK);
            continue;
        }
        for (size_t j = 0; j < count; j += LANES) {
            const flags state = states_of(load(block + j), bounds);
            for (size_t k = j; k < j + LANES && k < count; k++)
                states[i + k] = (uint8_t)state[k - j];
        }
    }
}

static void resize_row(const mm_column_tile *t, const mm_taps *taps, float out[MM_TILE_COLUMNS])
{
    for (uint32_t k = 0; k < taps->count; k++) {
        const float *sample = t->logits + (size_t)taps->index[k] * t->low;
        float part[MM_TILE_COLUMNS] = {0};
        if (t->columns < MM_TILE_COLUMNS) {
            memcpy(part, sample, t->columns * sizeof *part);
            sample = part;
        }
        for (uint32_t x = 0; x < MM_TILE_COLUMNS; x += LANES) {
            const lanes term = load(sample + x) * taps->weight[k];
            const lanes sum = k ? load(out + x) + term : term;
            memcpy(out + x, &sum, sizeof sum);
        }
    }
}

static void resize(const mm_column_tile *t)
{
    float tile[MM_CELL_ROWS][MM_TILE_COLUMNS];
    for (uint32_t y = 0; y < t->count; y++)
        resize_row(t, &t->rows[y], tile[y]);
    flags states[MM_TILE_COLUMNS / LANES] = {{0}};
    for (uint32_t y = 0; y < t->count; y++)
        for (uint32_t i = 0; i < MM_TILE_COLUMNS / LANES; i++)
            states[i] |= states_of(load(tile[y] + i * LANES), t->bounds);
    for (uint32_t x = 0; x < t->columns; x++) {
        for (uint32_t y = 0; y < MM_CELL_ROWS; y++)
            t->out[x * t->stride + y] = y < t->count ? tile[y][x] : -INFINITY;
        t->states[x * t->state_stride] = (uint8_t)states[x / LANES][x % LANES];
    }
}

/* Bit y of the result: row y of a cell is above. */
static inline uint32_t rows_above(const lanes v[MM_CELL_ROWS / LANES], float threshold)
{
    flags above[MM_CELL_ROWS / LANES]; /* -1 where true */
    for (unsigned i = 0; i < MM_CELL_ROWS / LANES; i++)
        above[i] = v[i] > threshold;
#ifdef __SSE2__
    const __m128i first = _mm_packs_epi32((__m128i)above[0], (__m128i)above[1]);
    const __m128i second = _mm_packs_epi32((__m128i)above[2], (__m128i)above[3]);
    return (uint32_t)_mm_movemask_epi8(_mm_packs_epi16(first, second));
#else
    uint32_t rows = 0;
    for (unsigned y = 0; y < MM_CELL_ROWS; y++)
        rows |= (uint32_t)(above[y / LANES][y % LANES] & 1) << y;
    return rows;
#endif
}

/* Inlined once per number of taps. */
static inline __attribute__((always_inline)) mm_column_counts
scan_taps(unsigned taps_used, const mm_column_group *g, const mm_open_word *open, size_t open_count, float low,
          float high)
{
    const float thresholds[3] = {low, 0, high};
    uint32_t counts[3] = {0};
    for (size_t i = 0; i < open_count * MM_WORD_CELLS; i++) {
        const uint32_t word = open[i / MM_WORD_CELLS].word, cell = i % MM_WORD_CELLS;
        const uint32_t asked = open[i / MM_WORD_CELLS].thresholds >> 8 * cell & 7;
        const size_t at = (size_t)word * MM_WORD_ROWS + cell * MM_CELL_ROWS;
        for (uint32_t x = 0; asked && x < g->columns; x++) {
            const float *weight = g->taps[x].weight;
            lanes v[MM_CELL_ROWS / LANES];
            for (size_t y = 0; y < MM_CELL_ROWS / LANES; y++) {
                v[y] = load(g->samples[0] + at + y * LANES) * weight[0];
                for (unsigned k = 1; k < taps_used; k++)
                    v[y] += load(g->samples[k] + at + y * LANES) * weight[k];
            }
            for (int t = 0; t < 3; t++) {
                if (!(asked >> t & 1))
                    continue;
                const uint32_t rows = rows_above(v, thresholds[t]);
                counts[t] += (uint32_t)__builtin_popcount(rows);
                if (t == 1)
                    g->bits[(size_t)x * g->words + word] |= (uint64_t)rows << cell * MM_CELL_ROWS;
            }
        }
    }
    return (mm_column_counts){counts[0], counts[1], counts[2]};
}

static mm_column_counts scan(const mm_column_group *group, const mm_open_word *open, size_t open_count, float low,
                             float high)
{
    switch (group->taps[0].count) {
    case 1:
        return scan_taps(1, group, open, open_count, low, high);
    case 2:
        return scan_taps(2, group, open, open_count, low, high);
    case 3:
        return scan_taps(3, group, open, open_count, low, high);
    default:
        return scan_taps(4, group, open, open_count, low, high);
    }
}

const mm_column_loops mm_column_portable = {classify, resize, scan};

const mm_column_loops *mm_column_loops_for(mm_isa isa)
{
#ifdef __x86_64__
    if (isa == MM_ISA_AVX512)
        return &mm_column_avx512;
    if (isa == MM_ISA_AVX2)
        return &mm_column_avx2;
#else
    (void)isa;
#endif
    return &mm_column_portable;
}
