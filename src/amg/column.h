/* The inner loops of mask upsampling. Columns are worked on in cells of MM_CELL_ROWS rows, a cache line of floats;
 * low-res columns are resized MM_TILE_COLUMNS at a time. */
#ifndef MM_AMG_COLUMN_H
#define MM_AMG_COLUMN_H

#include <stddef.h>

#include "amg/taps.h"
#include "maskmill/tensor.h"

#define MM_CELL_ROWS 16
#define MM_TILE_COLUMNS 16

/* Masks are words of bits, a bit a row; cell c is part c % MM_WORD_CELLS of word c / MM_WORD_CELLS. */
#define MM_WORD_ROWS 64
#define MM_WORD_CELLS (MM_WORD_ROWS / MM_CELL_ROWS)

/* What is known of a set of samples, a byte of bits; the state of two sets together is the OR of theirs. NaN is above
 * nothing. The bits of a threshold are three apart. */
enum {
    MM_SOME_ABOVE_LOW = 1,
    MM_SOME_ABOVE_ZERO = 2,
    MM_SOME_ABOVE_HIGH = 4,
    MM_SOME_NOT_ABOVE_LOW = 8,
    MM_SOME_NOT_ABOVE_ZERO = 16,
    MM_SOME_NOT_ABOVE_HIGH = 32,
    MM_ABOVE_NOTHING = 56,
    MM_ABOVE_ALL = 7
};

/* The thresholds that the bits are about, in the order low, zero, high. Those for "some above" lie a little below the
 * thresholds proper, those for "not above" a little above. */
typedef struct mm_state_bounds {
    float some[3], all[3];
    float lowest, highest; /* what is not above `lowest` is above nothing, what is above `highest` above all */
} mm_state_bounds;

/* How many pixels are above each threshold. */
typedef struct mm_column_counts {
    uint32_t above_low, above_zero, above_high;
} mm_column_counts;

/* A word of a column with cells to compute: byte i has for its cell i the thresholds whose outcome is open, as
 * MM_SOME_ABOVE bits. */
typedef struct mm_open_word {
    uint32_t word, thresholds;
} mm_open_word;

/* Step one for a cell of a few low-res columns: out[x * stride + y] = sum over the taps of rows[y] of
 * weight * logits[index * low + x]. */
typedef struct mm_column_tile {
    const float *logits; /* the first column's */
    uint32_t low;
    uint32_t columns; /* x < columns <= MM_TILE_COLUMNS */
    uint32_t count;   /* y < count <= MM_CELL_ROWS; rows of the cell beyond it become -infinity: above no threshold */
    const mm_taps *rows;
    float *out;
    size_t stride;
    const mm_state_bounds *bounds;
    uint8_t *states; /* states[x * state_stride] becomes the state of column x's `count` results */
    size_t state_stride;
} mm_column_tile;

/* Step two for some output columns that are made of the same low-res columns. For each cell and column x:
 * v[y] = sum of taps[x].weight[k] * samples[k][y]. Where zero is open, the bits of v > 0 are added to the column's
 * words, which have none there. Returns how many v are > low, > 0 and > high, each of the cells where that is open. */
typedef struct mm_column_group {
    const float *samples[MM_MAX_TAPS]; /* resized low-res columns */
    const mm_taps *taps;               /* [columns] */
    uint32_t columns;
    uint32_t words; /* of a column */
    uint64_t *bits; /* [columns][words] */
} mm_column_group;

typedef struct mm_column_loops {
    /* The states of n samples. */
    void (*classify)(const float *samples, size_t n, const mm_state_bounds *bounds, uint8_t *states);
    void (*resize)(const mm_column_tile *tile);
    mm_column_counts (*scan)(const mm_column_group *group, const mm_open_word *open, size_t open_count, float low,
                             float high);
} mm_column_loops;

/* The loops for an instruction set that the CPU has. All give the same bits. */
const mm_column_loops *mm_column_loops_for(mm_isa isa);

extern const mm_column_loops mm_column_portable;
#ifdef __x86_64__
extern const mm_column_loops mm_column_avx2, mm_column_avx512;
#endif

#endif
