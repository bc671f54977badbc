#include "tensor/gradient.h"

const mm_gradient_ops *mm_gradient_get(const mm_kernels *kernels)
{
#ifdef __x86_64__
    if (kernels->isa == MM_ISA_AVX512)
        return &mm_gradient_avx512;
    if (kernels->isa == MM_ISA_AVX2)
        return &mm_gradient_avx2;
#else
    (void)kernels;
#endif
    return &mm_gradient_portable;
}
