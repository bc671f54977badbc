/* What the tests of the fused decoder share: random numbers, blocks of exactly the size that a header promises, and the
 * packed forms made and undone. */
#ifndef MM_TESTS_FUSED_SUPPORT_H
#define MM_TESTS_FUSED_SUPPORT_H

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "check_main.h"
#include "model/decoder_fused.h"

/* Blocks that are freed together. They come from malloc one by one and as short as can be, so that the address sanitizer
 * sees what is read or written beyond, and hold NaNs, so that what nobody wrote spoils what is made of it. */
typedef struct pool {
    void *blocks[512];
    size_t count;
    uint32_t seed;
} pool;

static inline void *pool_take(pool *p, size_t bytes)
{
    ck_assert_uint_lt(p->count, sizeof p->blocks / sizeof p->blocks[0]);
    void *block = malloc(bytes ? bytes : 1);
    ck_assert_ptr_nonnull(block);
    memset(block, 0xff, bytes);
    return p->blocks[p->count++] = block;
}

static inline float *pool_floats(pool *p, size_t count)
{
    return pool_take(p, count * sizeof(float));
}

static inline mm_pair *pool_pairs(pool *p, size_t count)
{
    return pool_take(p, count * sizeof(mm_pair));
}

static inline double *pool_doubles(pool *p, size_t count)
{
    return pool_take(p, count * sizeof(double));
}

static inline void pool_free(pool *p)
{
    for (size_t i = 0; i < p->count; i++)
        free(p->blocks[i]);
    *p = (pool){0};
}

/* Uniform in [-1, 1). */
static inline float noise(pool *p)
{
    p->seed = p->seed * 1664525u + 1013904223u;
    return (float)(int32_t)p->seed / 2147483648.0f;
}

static inline float *random_floats(pool *p, size_t count, float middle, float spread)
{
    float *x = pool_floats(p, count);
    for (size_t i = 0; i < count; i++)
        x[i] = middle + spread * noise(p);
    return x;
}

/* The same, of numbers that bf16 holds exactly: packing them loses nothing. */
static inline float *random_exact(pool *p, size_t count, float spread)
{
    float *x = random_floats(p, count, 0, spread);
    for (size_t i = 0; i < count; i++)
        x[i] = mm_bf16_to_float(mm_bf16_from(x[i]));
    return x;
}

/* A NaN is near nothing. An assertion of check costs a system call, so only one that fails is made. */
static inline void assert_near(double got, double expected, double tolerance, const char *what)
{
    if (!(fabs(got - expected) <= tolerance))
        ck_abort_msg("%s: %g instead of %g, more than %g off", what, got, expected, tolerance);
}

static inline mm_fused_sizes fused_sizes(size_t tokens, size_t outputs, size_t heads, size_t dim, size_t channels,
                                         size_t cells)
{
    mm_fused_sizes sizes = {.tokens = tokens, .outputs = outputs, .heads = heads, .dim = dim, .inner = heads * dim,
                            .vectors = heads * tokens, .coordinates = heads * (tokens - 1), .channels = channels,
                            .cells = cells, .padded = (cells + 63) / 64 * 64, .eps1 = 0.02f, .eps2 = 0.05f};
    sizes.pairs = (sizes.coordinates + 1) / 2;
    sizes.wide = (sizes.coordinates + 15) / 16 * 16;
    return sizes;
}

/* Half `which` of a pair. */
static inline float half_of(mm_pair pair, size_t which)
{
    return mm_bf16_to_float((mm_bf16)(which ? pair >> 16 : pair));
}

static inline mm_pair pair_of(float even, float odd)
{
    return (mm_pair)mm_bf16_from(even) | (mm_pair)mm_bf16_from(odd) << 16;
}

/* [rows][ceil(columns / 2)] pairs of x[rows][columns]; an odd row ends with a zero. */
static inline mm_pair *pack_rows(pool *p, const float *x, size_t rows, size_t columns)
{
    const size_t pairs = (columns + 1) / 2;
    mm_pair *packed = pool_pairs(p, rows * pairs);
    for (size_t r = 0; r < rows; r++)
        for (size_t i = 0; i < pairs; i++)
            packed[r * pairs + i] = pair_of(x[r * columns + 2 * i], 2 * i + 1 < columns ? x[r * columns + 2 * i + 1] : 0);
    return packed;
}

/* Planes and values of decoder_fused.h, of x[cells][c]. */
static inline mm_pair *pack_plane(pool *p, const mm_fused_sizes *sizes, const float *x)
{
    mm_pair *plane = pool_pairs(p, sizes->padded * sizes->inner / 2);
    for (size_t first = 0; first < sizes->padded; first += MM_FUSED_CELLS)
        mm_fused_pack_plane(x, sizes->inner, sizes->cells, sizes->inner, first, plane);
    return plane;
}

static inline mm_pair *pack_values(pool *p, const mm_fused_sizes *sizes, const float *x)
{
    mm_pair *values = pool_pairs(p, sizes->padded * sizes->inner / 2);
    for (size_t n = 0; n < sizes->padded; n += 2)
        for (size_t c = 0; c < sizes->inner; c++)
            values[n / 2 * sizes->inner + c] = pair_of(n < sizes->cells ? x[n * sizes->inner + c] : 0,
                                                       n + 1 < sizes->cells ? x[(n + 1) * sizes->inner + c] : 0);
    return values;
}

/* Channel c of cell n of a plane. */
static inline float plane_at(const mm_fused_sizes *sizes, const mm_pair *plane, size_t n, size_t c)
{
    return half_of(plane[(n / 32 * (sizes->inner / 2) + c / 2) * 32 + n % 32], c % 2);
}

/* Coordinate f of cell n of a layer's weights, [cells / 32][pairs][32]. */
static inline float weight_at(const mm_fused_sizes *sizes, const mm_pair *weights, size_t n, size_t f)
{
    return half_of(weights[(n / 32 * sizes->pairs + f / 2) * 32 + n % 32], f % 2);
}

#endif
