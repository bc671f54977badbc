#ifdef __x86_64__
#define MM_VECTOR_TABLE mm_vector_avx512
#include "tensor/vector_body.h"
#endif
