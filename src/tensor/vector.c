#include "tensor/vector.h"

bool mm_vector_supports(mm_isa isa)
{
    switch (isa) {
    case MM_ISA_PORTABLE:
        return true;
#ifdef __x86_64__
    case MM_ISA_AVX2:
        return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
    case MM_ISA_AVX512:
        return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") &&
               __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl");
#endif
    default:
        return false;
    }
}

mm_isa mm_vector_best(void)
{
    if (mm_vector_supports(MM_ISA_AVX512))
        return MM_ISA_AVX512;
    return mm_vector_supports(MM_ISA_AVX2) ? MM_ISA_AVX2 : MM_ISA_PORTABLE;
}

const mm_vector *mm_vector_get(const mm_kernels *kernels)
{
#ifdef __x86_64__
    if (kernels->isa == MM_ISA_AVX512)
        return &mm_vector_avx512;
    if (kernels->isa == MM_ISA_AVX2)
        return &mm_vector_avx2;
#else
    (void)kernels;
#endif
    return &mm_vector_portable;
}
