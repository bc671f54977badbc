#define MM_GRADIENT_TABLE mm_gradient_portable
#include "tensor/gradient_body.h"
