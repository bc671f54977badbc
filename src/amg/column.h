/* The two inner loops of mask upsampling. */
#ifndef MM_AMG_COLUMN_H
#define MM_AMG_COLUMN_H

#include <stddef.h>

#include "amg/taps.h"
#include "maskmill/tensor.h"

/* Rows are worked on in groups of this many: one word of bits. */
#define MM_COLUMN_ROWS 64

/* Step one. For each low-res column x in [x0, x1) and row y in [y0, y1):
 * out[x * stride + y] = sum over the taps of rows[y] of weight * logits[index * low + x]. */
void mm_column_resize(const float *logits, uint32_t low, const mm_taps *rows, uint32_t x0, uint32_t x1, uint32_t y0,
                      uint32_t y1, float *out, size_t stride);

typedef struct mm_column_counts {
    uint32_t above_low, above_zero, above_high;
} mm_column_counts;

/* Step two. For y in [0, count), count a multiple of MM_COLUMN_ROWS: v = sum of weight[k] * columns[k][y].
 * Bit y % 64 of bits[y / 64] is v > 0; returns how many v are > low, > 0 and > high. */
typedef mm_column_counts (*mm_column_scanner)(const float *const columns[MM_MAX_TAPS], const mm_taps *taps,
                                              size_t count, float low, float high, uint64_t *bits);

/* The portable loop, and its equals for what the CPU has; all give the same bits. */
mm_column_counts mm_column_scan(const float *const columns[MM_MAX_TAPS], const mm_taps *taps, size_t count, float low,
                                float high, uint64_t *bits);
#ifdef __x86_64__
mm_column_counts mm_column_scan_avx2(const float *const columns[MM_MAX_TAPS], const mm_taps *taps, size_t count,
                                     float low, float high, uint64_t *bits);
mm_column_counts mm_column_scan_avx512(const float *const columns[MM_MAX_TAPS], const mm_taps *taps, size_t count,
                                       float low, float high, uint64_t *bits);
#endif
mm_column_scanner mm_column_scan_for(mm_isa isa);

#endif
