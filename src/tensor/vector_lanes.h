/* Sixteen f32 at a time, by the compiler's vectors: what the instruction set makes of them is a matter of the including
 * file's flags. */
#ifndef MM_TENSOR_VECTOR_LANES_H
#define MM_TENSOR_VECTOR_LANES_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

enum { LANES = 16 };
typedef float lanes __attribute__((vector_size(LANES * sizeof(float))));
typedef int32_t ints __attribute__((vector_size(LANES * sizeof(int32_t))));

static inline lanes load(const float *p)
{
    lanes v;
    memcpy(&v, p, sizeof v);
    return v;
}

static inline void store(float *p, lanes v)
{
    memcpy(p, &v, sizeof v);
}

/* The last n <= LANES elements; what is missing reads as `fill`. */
static inline lanes load_part(const float *p, size_t n, float fill)
{
    if (n == LANES)
        return load(p);
    lanes v = {0};
    v += fill;
    memcpy(&v, p, n * sizeof *p);
    return v;
}

static inline void store_part(float *p, lanes v, size_t n)
{
    if (n == LANES) {
        store(p, v);
        return;
    }
    memcpy(p, &v, n * sizeof *p);
}

static inline lanes splat(float x)
{
    return (lanes){0} + x;
}

static inline lanes choose(ints condition, lanes yes, lanes no)
{
    return (lanes)((condition & (ints)yes) | (~condition & (ints)no));
}

static inline lanes larger(lanes a, lanes b)
{
    return choose(a > b, a, b);
}

static inline float sum_lanes(lanes v)
{
    float part[LANES];
    memcpy(part, &v, sizeof v);
    for (size_t width = LANES / 2; width; width /= 2)
        for (size_t i = 0; i < width; i++)
            part[i] += part[i + width];
    return part[0];
}

static inline float max_lanes(lanes v)
{
    float part[LANES];
    memcpy(part, &v, sizeof v);
    for (size_t width = LANES / 2; width; width /= 2)
        for (size_t i = 0; i < width; i++)
            part[i] = part[i] > part[i + width] ? part[i] : part[i + width];
    return part[0];
}

/* e^x: x = n ln 2 + r, e^r by a degree-6 minimax polynomial on |r| <= ln 2 / 2 (fitted to 2e-9), n into the exponent.
 * Relative error under 2.3e-7. Below -87.3 the result is 0 to within the smallest normal number. */
static inline lanes exp_lanes(lanes x)
{
    x = choose(x < -87.0f, splat(-87.0f), x);
    x = choose(x > 88.0f, splat(88.0f), x);
    /* Adding 1.5 * 2^23 rounds to an integer in the low bits of the mantissa. */
    const lanes shifted = x * 1.44269504f + 12582912.0f;
    const lanes n = shifted - 12582912.0f;
    const lanes r = (x - n * 0.693359375f) - n * -2.12194440e-4f;
    lanes p = r * 0.0013836834f + 0.008374822f;
    p = p * r + 0.041668225f;
    p = p * r + 0.1666642f;
    p = p * r + 0.4999999f;
    p = p * r + 1.0f;
    p = p * r + 1.0f;
    const ints exponent = ((ints)shifted - 0x4B400000) << 23;
    return (lanes)((ints)p + exponent);
}

/* erf: x P(x^2) below 1, 1 - exp(-Q(x)) above, both minimax fits; absolute error under 1.4e-7. */
static inline lanes erf_lanes(lanes x)
{
    const lanes a = (lanes)((ints)x & 0x7fffffff);
    const lanes t = a * a;
    lanes p = t * 7.853858e-05f - 0.00080101925f;
    p = p * t + 0.0051883277f;
    p = p * t - 0.026853811f;
    p = p * t + 0.112835854f;
    p = p * t - 0.37612626f;
    p = p * t + 1.1283791f;
    const lanes b = choose(a > 4.0f, splat(4.0f), a);
    lanes q = b * -2.5132667e-07f + 2.5314808e-05f;
    q = q * b - 0.00046378802f;
    q = q * b + 0.004282383f;
    q = q * b - 0.025373556f;
    q = q * b + 0.108638994f;
    q = q * b + 0.6330396f;
    q = q * b + 1.1296612f;
    q = q * b - 0.00020435988f;
    const lanes magnitude = choose(a < 1.0f, p * a, 1.0f - exp_lanes(-q));
    return (lanes)((ints)magnitude | ((ints)x & (int32_t)0x80000000));
}

static inline lanes gelu_lanes(lanes x)
{
    return 0.5f * x * (1.0f + erf_lanes(x * 0.70710678f));
}

#endif
