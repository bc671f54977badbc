/* attention_body.h for bf16: products in pairs of k, weights rounded to bf16. */
#include "tensor/bf16_avx512.h"

#ifdef __AVX512BF16__

typedef mm_bf16 value;
typedef mm_bf16_attention attention_call;
enum { GROUP = 2, ROWS = MM_BF16_ROWS, SLACK = MM_BF16_SLACK };

#define tile_multiply mm_tile_multiply
#define exponential mm_exp2

MM_INLINE void store_values(mm_bf16 *out, __mmask16 mask, __m512 x)
{
    _mm256_mask_storeu_epi16(out, mask, (__m256i)_mm512_cvtneps_pbh(x));
}

#include "tensor/attention_body.h"

void mm_bf16_attention_avx512(const mm_bf16_attention *a)
{
    attend_head(a);
}

#endif
