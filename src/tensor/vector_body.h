/* The loops of vector.h. Included once per instruction set by a file that names the table (MM_VECTOR_TABLE) and is
 * compiled with that set's flags: the sixteen lanes below become one, two or four registers.
 *
 * Sums run in sixteen lanes whatever the registers' width, so the order of additions is the same everywhere. */
#ifndef MM_VECTOR_TABLE
#error "define MM_VECTOR_TABLE before including vector_body.h"
#endif

#include <float.h>
#include <math.h>
#include <stdbool.h>

#include "tensor/vector.h"
#include "tensor/vector_lanes.h"

static void add(float *x, const float *y, size_t n)
{
    for (size_t i = 0; i < n; i++)
        x[i] += y[i];
}

static void sum(const float *x, const float *y, float *out, size_t n)
{
    for (size_t i = 0; i < n; i++)
        out[i] = x[i] + y[i];
}

static void add_bias(float *x, const float *bias, size_t rows, size_t n)
{
    for (size_t r = 0; r < rows; r++)
        add(x + r * n, bias, n);
}

static void bias_gelu(float *x, const float *bias, size_t rows, size_t n)
{
    for (size_t r = 0; r < rows; r++, x += n) {
        size_t i = 0;
        for (; i + LANES <= n; i += LANES)
            store(x + i, gelu_lanes(bias ? load(x + i) + load(bias + i) : load(x + i)));
        if (i < n) {
            const lanes v = load_part(x + i, n - i, 0);
            store_part(x + i, gelu_lanes(bias ? v + load_part(bias + i, n - i, 0) : v), n - i);
        }
    }
}

static void bias_relu(float *x, const float *bias, size_t rows, size_t n)
{
    for (size_t r = 0; r < rows; r++, x += n)
        for (size_t i = 0; i < n; i++) {
            const float v = x[i] + bias[i];
            x[i] = v > 0 ? v : 0;
        }
}

static void add_outer(float *x, const float *row_term, const float *column_term, size_t rows, size_t columns)
{
    for (size_t r = 0; r < rows; r++, x += columns)
        for (size_t c = 0; c < columns; c++)
            x[c] += row_term[r] + column_term[c];
}

/* Mean of a row and 1 / sqrt(variance + eps). */
static inline void moments(const float *x, size_t n, float eps, float *mean, float *inverse)
{
    lanes total = {0}, square = {0};
    for (size_t i = 0; i < n; i += LANES)
        total += load_part(x + i, n - i < LANES ? n - i : LANES, 0);
    *mean = sum_lanes(total) / (float)n;
    for (size_t i = 0; i < n; i += LANES) {
        const lanes d = load_part(x + i, n - i < LANES ? n - i : LANES, *mean) - *mean;
        square += d * d;
    }
    *inverse = 1.0f / sqrtf(sum_lanes(square) / (float)n + eps);
}

static void layer_norm(const float *x, const float *weight, const float *bias, float eps, float *out, size_t rows,
                       size_t n)
{
    for (size_t r = 0; r < rows; r++, x += n, out += n) {
        float mean, inverse;
        moments(x, n, eps, &mean, &inverse);
        for (size_t i = 0; i < n; i++)
            out[i] = (x[i] - mean) * inverse * weight[i] + bias[i];
    }
}

static void residual_norm(const float *y, const float *residual, const float *bias, const float *norm_weight,
                          const float *norm_bias, float eps, const float *positions, float *keys, float *with_positions,
                          size_t rows, size_t n)
{
    for (size_t r = 0; r < rows; r++, y += n, residual += n, positions += n, keys += n, with_positions += n) {
        float mean, inverse;
        for (size_t i = 0; i < n; i++)
            keys[i] = y[i] + residual[i] + bias[i];
        moments(keys, n, eps, &mean, &inverse);
        for (size_t i = 0; i < n; i++) {
            keys[i] = (keys[i] - mean) * inverse * norm_weight[i] + norm_bias[i];
            with_positions[i] = keys[i] + positions[i];
        }
    }
}

static inline float row_maximum(const float *x, size_t n)
{
    lanes top = splat(-FLT_MAX);
    size_t i = 0;
    for (; i + LANES <= n; i += LANES)
        top = larger(load(x + i), top);
    if (i < n)
        top = larger(load_part(x + i, n - i, -FLT_MAX), top);
    return max_lanes(top);
}

/* x = exp(x - maximum); returns the sum. */
static inline float row_exp(float *x, size_t n, float maximum)
{
    lanes total = {0};
    size_t i = 0;
    for (; i + LANES <= n; i += LANES) {
        const lanes e = exp_lanes(load(x + i) - maximum);
        store(x + i, e);
        total += e;
    }
    float sum = sum_lanes(total);
    if (i < n) {
        float tail[LANES];
        store(tail, exp_lanes(load_part(x + i, n - i, maximum) - maximum));
        for (size_t j = 0; i + j < n; j++) {
            x[i + j] = tail[j];
            sum += tail[j];
        }
    }
    return sum;
}

static void softmax(float *x, size_t rows, size_t n, size_t ld)
{
    for (size_t r = 0; r < rows; r++, x += ld) {
        const float scale = 1.0f / row_exp(x, n, row_maximum(x, n));
        for (size_t i = 0; i < n; i++)
            x[i] *= scale;
    }
}

static void softmax_step(float *x, size_t rows, size_t n, size_t ld, float *maximum, float *sum, float *scale)
{
    for (size_t r = 0; r < rows; r++, x += ld) {
        const float here = row_maximum(x, n);
        const float top = here > maximum[r] ? here : maximum[r];
        scale[r] = expf(maximum[r] - top);
        sum[r] = sum[r] * scale[r] + row_exp(x, n, top);
        maximum[r] = top;
    }
}

static void softmax_tokens(float *x, const float *bias, size_t t, size_t h, size_t n)
{
    for (size_t c = 0; c < h; c++)
        for (size_t j = 0; j < n; j += LANES) {
            const size_t width = n - j < LANES ? n - j : LANES;
            float *column = x + c * n + j;
            lanes top = splat(-FLT_MAX), total = {0};
            for (size_t i = 0; i < t; i++) {
                const lanes v = load_part(column + i * h * n, width, 0) + (bias ? bias[i * h + c] : 0);
                store_part(column + i * h * n, v, width);
                top = larger(v, top);
            }
            for (size_t i = 0; i < t; i++) {
                const lanes e = exp_lanes(load_part(column + i * h * n, width, 0) - top);
                total += e;
                store_part(column + i * h * n, e, width);
            }
            const lanes scale = 1.0f / total;
            for (size_t i = 0; i < t; i++)
                store_part(column + i * h * n, load_part(column + i * h * n, width, 0) * scale, width);
        }
}

static void scale_rows(float *x, const float *scale, size_t rows, size_t n, size_t ld)
{
    for (size_t r = 0; r < rows; r++, x += ld)
        for (size_t i = 0; i < n; i++)
            x[i] *= scale[r];
}

/* What every pixel of a row of the result has in common: the image, the row that its window's first row is one below. */
typedef struct depthwise_row {
    const float *in;
    size_t ih, iw, channels, stride, centre;
    const float *weight, *bias;
} depthwise_row;

/* `columns` pixels of the result from column x on, `width` <= LANES channels from c on. Inside the image no column needs to be
 * looked at; the order of additions is the same everywhere. */
static inline __attribute__((always_inline)) void depthwise_pixels(const depthwise_row *row, size_t columns, bool inside,
                                                                   size_t x, size_t c, size_t width, float *out)
{
    lanes total[4];
#pragma GCC unroll 4
    for (size_t i = 0; i < columns; i++)
        total[i] = load_part(row->bias + c, width, 0);
    for (size_t ky = 0; ky < 3; ky++) {
        const size_t sy = row->centre + ky; /* one more than the row read */
        if (sy < 1 || sy > row->ih)
            continue;
#pragma GCC unroll 3
        for (size_t kx = 0; kx < 3; kx++) {
            const lanes w = load_part(row->weight + (ky * 3 + kx) * row->channels + c, width, 0);
#pragma GCC unroll 4
            for (size_t i = 0; i < columns; i++) {
                const size_t sx = (x + i) * row->stride + kx;
                if (!inside && (sx < 1 || sx > row->iw))
                    continue;
                const float *from = row->in + ((sy - 1) * row->iw + sx - 1) * row->channels + c;
                total[i] += load_part(from, width, 0) * w;
            }
        }
    }
#pragma GCC unroll 4
    for (size_t i = 0; i < columns; i++)
        store_part(out + (x + i) * row->channels + c, total[i], width);
}

static void depthwise3x3(const float *in, size_t ih, size_t iw, size_t channels, size_t stride, size_t centre,
                         const float *weight, const float *bias, float *out, size_t ow)
{
    const depthwise_row row = {in, ih, iw, channels, stride, centre, weight, bias};
    for (size_t x = 0; x < ow;) {
        const bool inside = x >= 1 && x + 4 <= ow && (x + 3) * stride + 2 <= iw;
        for (size_t c = 0; c < channels; c += LANES) {
            const size_t width = channels - c < LANES ? channels - c : LANES;
            if (inside && width == LANES)
                depthwise_pixels(&row, 4, true, x, c, LANES, out);
            else if (inside)
                depthwise_pixels(&row, 4, true, x, c, width, out);
            else
                depthwise_pixels(&row, 1, false, x, c, width, out);
        }
        x += inside ? 4 : 1;
    }
}

const mm_vector MM_VECTOR_TABLE = {
    .add_bias = add_bias,
    .bias_gelu = bias_gelu,
    .bias_relu = bias_relu,
    .add = add,
    .sum = sum,
    .add_outer = add_outer,
    .layer_norm = layer_norm,
    .residual_norm = residual_norm,
    .softmax = softmax,
    .softmax_step = softmax_step,
    .softmax_tokens = softmax_tokens,
    .scale_rows = scale_rows,
    .depthwise3x3 = depthwise3x3,
};
