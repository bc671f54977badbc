/* What the suites of the bf16 kernels share: fixed noise, rows of bf16 values, and canaries behind what is written. */
#ifndef MM_TESTS_BF16_TESTING_H
#define MM_TESTS_BF16_TESTING_H

#include <math.h>
#include <string.h>

#include "check_main.h"
#include "tensor/bf16.h"
#include "tensor/memory.h"

/* Half a unit in the last place of a bf16, of the value's size: what one rounding costs. */
static const double half_ulp = 1.0 / 256;
/* The same of an f32. */
static const double half_ulp_f32 = 1.0 / (1 << 24);

static inline float noise(uint32_t *seed)
{
    *seed = *seed * 1664525u + 1013904223u;
    return (float)(int32_t)*seed / 2147483648.0f;
}

static inline float *random_floats(size_t n, float scale, uint32_t seed)
{
    float *x = mm_floats(n);
    ck_assert_ptr_nonnull(x);
    for (size_t i = 0; i < n; i++)
        x[i] = scale * noise(&seed);
    return x;
}

static inline mm_bf16 *new_bf16(size_t n)
{
    mm_bf16 *x = malloc((n ? n : 1) * sizeof *x);
    ck_assert_ptr_nonnull(x);
    return x;
}

static inline mm_bf16 *random_bf16(size_t n, float scale, uint32_t seed)
{
    mm_bf16 *x = new_bf16(n);
    for (size_t i = 0; i < n; i++)
        x[i] = mm_bf16_from(scale * noise(&seed));
    return x;
}

static inline double value(mm_bf16 x)
{
    return (double)mm_bf16_to_float(x);
}

enum { CANARY = 0xa5 };

/* Whether `bytes` bytes still are as memset(at, CANARY, bytes) left them. */
static inline bool untouched(const void *at, size_t bytes)
{
    const unsigned char *byte = at;
    for (size_t i = 0; i < bytes; i++)
        if (byte[i] != CANARY)
            return false;
    return true;
}

#endif
