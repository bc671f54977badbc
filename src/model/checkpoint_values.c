/* Storage types to f32 and back; loops without branches, so that compilers vectorise them. */
#include "checkpoint_values.h"

#include <string.h>

#include "checkpoint_internal.h"

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "checkpoints are mapped as they are: little-endian only");

static inline float float_of_bits(uint32_t bits)
{
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

static inline uint32_t bits_of_float(float value)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

/* Moved into f32's exponent field, an f16 is 2^112 too small, subnormal or not; the product is exact. An exponent of
 * all ones (infinity, NaN) comes out as 143 and is set to all ones again. */
static inline float float_of_half(uint16_t half)
{
    const uint32_t magnitude = (uint32_t)(half & 0x7fffu) << 13;
    const float scaled = float_of_bits(magnitude) * 0x1p112f;
    const uint32_t special = magnitude >= (0x7c00u << 13) ? 0x7f800000u : 0;
    return float_of_bits(bits_of_float(scaled) | special | (uint32_t)(half & 0x8000u) << 16);
}

void mm_values_to_f32(mm_dtype dtype, const void *data, size_t count, float *out)
{
    if (dtype == MM_F32) {
        memcpy(out, data, count * sizeof *out);
        return;
    }
    const unsigned char *bytes = data;
    for (size_t i = 0; i < count; i++) {
        uint16_t value;
        memcpy(&value, bytes + 2 * i, sizeof value);
        out[i] = dtype == MM_BF16 ? float_of_bits((uint32_t)value << 16) : float_of_half(value);
    }
}

void mm_values_f32_to_bf16(const float *values, size_t count, uint16_t *out)
{
    for (size_t i = 0; i < count; i++) {
        const uint32_t bits = bits_of_float(values[i]);
        const uint32_t nan = (bits & 0x7fffffffu) > 0x7f800000u;
        const uint32_t rounded = (bits + 0x7fffu + (bits >> 16 & 1u)) >> 16;
        out[i] = (uint16_t)(nan ? bits >> 16 | 0x40u : rounded);
    }
}

mm_status mm_checkpoint_read_f32(const mm_checkpoint *checkpoint, const char *name, float *out, uint64_t elements,
                                 mm_error *err)
{
    const mm_tensor *tensor = mm_checkpoint_find(checkpoint, name);
    if (!tensor)
        return mm_fail(err, MM_ERR_FORMAT, "the checkpoint has no tensor %s", name);
    if (tensor->elements != elements)
        return mm_fail(err, MM_ERR_FORMAT, "tensor %s has %llu elements instead of %llu", name,
                       (unsigned long long)tensor->elements, (unsigned long long)elements);
    if (tensor->dtype == MM_I64)
        return mm_fail(err, MM_ERR_FORMAT, "tensor %s holds integers instead of weights", name);
    if (elements > 0)
        mm_values_to_f32(tensor->dtype, tensor->data, (size_t)elements, out);
    return MM_OK;
}
