#ifdef __x86_64__
#define MM_VECTOR_TABLE mm_vector_avx2
#include "tensor/vector_body.h"
#endif
