/* mm_gemm with operands rounded to bf16 and sums in f32, for the large products of training: all layouts, f32 in and out. An
 * element's sum is made in one order whatever its neighbours. */
#ifndef MM_TENSOR_BF16_GEMM_H
#define MM_TENSOR_BF16_GEMM_H

#include "tensor/gemm.h"

/* Sequential; takes 100 KB of stack. */
typedef void mm_bf16_gemm(const mm_gemm_call *call);

/* That of a resolved kernel set in bf16; NULL for others. */
mm_bf16_gemm *mm_bf16_gemm_get(const mm_kernels *kernels);

#ifdef __x86_64__
mm_bf16_gemm mm_bf16_gemm_avx512;
#endif

#endif
