#define MM_VECTOR_TABLE mm_vector_portable
#include "tensor/vector_body.h"
