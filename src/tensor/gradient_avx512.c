#ifdef __x86_64__
#define MM_GRADIENT_TABLE mm_gradient_avx512
#include "tensor/gradient_body.h"
#endif
