#include "tensor/f32.h"

#include "tensor/f32_avx512.h"

static size_t round_up(size_t n, size_t step)
{
    return (n + step - 1) / step * step;
}

size_t mm_f32_packed_count(size_t n, size_t k)
{
    return round_up(n, 16) * k;
}

size_t mm_f32_attention_scratch(size_t queries, size_t dim, size_t tile)
{
    /* Logits, which become weights; sums of values, and a maximum and a sum for each query. */
    return MM_F32_ROWS * (round_up(tile, 16) + MM_F32_SLACK) + queries * (round_up(dim, 16) + 2);
}

const mm_f32_ops *mm_f32_get(const mm_kernels *kernels)
{
#ifdef __x86_64__
    if (kernels->isa == MM_ISA_AVX512 && kernels->backend != MM_BACKEND_BLAS)
        return &mm_f32_avx512;
#else
    (void)kernels;
#endif
    return NULL;
}
