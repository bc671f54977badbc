/* Values between the storage types of checkpoints. Sources and targets may be unaligned. */
#ifndef MM_MODEL_CHECKPOINT_VALUES_H
#define MM_MODEL_CHECKPOINT_VALUES_H

#include "maskmill/checkpoint.h"

/* count elements of a floating dtype, little-endian, to f32; exact. `dtype` must not be MM_I64. */
void mm_values_to_f32(mm_dtype dtype, const void *data, size_t count, float *out);

/* f32 to bf16, to nearest, ties to even; NaN stays NaN (made quiet), out[count] in little-endian pairs of bytes. */
void mm_values_f32_to_bf16(const float *values, size_t count, uint16_t *out);

#endif
