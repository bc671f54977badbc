/* What the files of the fused decoder's passes share. */
#ifndef MM_MODEL_DECODER_FUSED_PASS_H
#define MM_MODEL_DECODER_FUSED_PASS_H

#include "model/decoder_fused.h"
#include "tensor/bf16_avx512.h"

/* Rows of a register tile, which is as wide as half a step: 16 sums, two vectors of cells and a broadcast. */
enum { MM_FUSED_ROWS = 8 };

#ifdef __AVX512BF16__
/* sums += a b: `rows` rows of pairs `a_row` apart, against b[steps][32]. Constant numbers of rows make a register tile. */
MM_INLINE void mm_fused_multiply_add(size_t rows, const mm_pair *a, size_t a_row, const mm_pair *b, size_t steps,
                                     __m512 sums[MM_FUSED_ROWS][2])
{
    for (size_t s = 0; s < steps; s++) {
        const __m512bh b0 = (__m512bh)_mm512_loadu_si512(b + s * MM_FUSED_HALF);
        const __m512bh b1 = (__m512bh)_mm512_loadu_si512(b + s * MM_FUSED_HALF + 16);
        for (size_t r = 0; r < rows; r++) {
            const __m512bh x = (__m512bh)_mm512_set1_epi32((int)a[r * a_row + s]);
            sums[r][0] = _mm512_dpbf16_ps(sums[r][0], x, b0);
            sums[r][1] = _mm512_dpbf16_ps(sums[r][1], x, b1);
        }
    }
}
#endif

/* The first `count` of the `stride` rows of each head, in blocks of at most ROWS that do not cross a head: body(rows, s, head,
 * j). Constant numbers of rows make register tiles. */
#define MM_FOR_BLOCKS(count, stride, s, body)                                                                          \
    for (size_t head = 0; head < (s)->sizes->heads; head++)                                                            \
        for (size_t t = 0; t < (count);) {                                                                             \
            const size_t left = (count)-t, j = head * (stride) + t;                                                    \
            if (left >= 8) {                                                                                           \
                body(8, s, head, j);                                                                                   \
                t += 8;                                                                                                \
            } else if (left == 7) {                                                                                    \
                body(7, s, head, j);                                                                                   \
                t += 7;                                                                                                \
            } else if (left == 6) {                                                                                    \
                body(6, s, head, j);                                                                                   \
                t += 6;                                                                                                \
            } else if (left == 5) {                                                                                    \
                body(5, s, head, j);                                                                                   \
                t += 5;                                                                                                \
            } else {                                                                                                   \
                body(1, s, head, j);                                                                                   \
                t += 1;                                                                                                \
            }                                                                                                          \
        }

/* One step of the softmax over the cells, logits[J][CELLS] times log2(e), of which `cells` exist: out1 = bf16(w r1 r2),
 * out2 = bf16(w r2), [J][CELLS]; where r1 or r2 is NULL it counts as 1, and without r2 there is no out2. Of each head the
 * first `tokens` tokens. */
void mm_fused_weigh(const mm_fused_sizes *sizes, size_t tokens, const mm_fused_gathering *g, const float *logits,
                    size_t cells, const float *r1, const float *r2, mm_bf16 *out1, mm_bf16 *out2);

/* Weights as pairs of neighbouring coordinates, [2][pairs][32], to pairs of neighbouring cells, turned[CELLS / 2][wide]. */
void mm_fused_turn(const mm_fused_sizes *sizes, const mm_pair *weights, mm_pair *turned);

/* Everything that one set of weights is for; either part may be NULL. */
typedef struct mm_fused_summing {
    const mm_fused_sizes *sizes;
    const mm_pair *weights; /* [J][CELLS / 2] */
    const mm_pair *values;  /* [CELLS / 2][c] */
    float *sums;            /* [J][d] += weights x values, in the channels of j's head */
    const mm_pair *turned;  /* [CELLS / 2][wide] */
    float *outer;           /* [J][wide] += weights x turned */
} mm_fused_summing;
void mm_fused_sum(const mm_fused_summing *summing, size_t tokens);

#endif
