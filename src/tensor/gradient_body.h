/* The loops of gradient.h, included once an instruction set by a file that names the table (MM_GRADIENT_TABLE) and is
 * compiled with that set's flags. Sums run in sixteen lanes whatever the registers' width. */
#ifndef MM_GRADIENT_TABLE
#error "define MM_GRADIENT_TABLE before including gradient_body.h"
#endif

#include <float.h>
#include <math.h>

#include "tensor/gradient.h"
#include "tensor/vector_lanes.h"

static inline size_t width_of(size_t left)
{
    return left < LANES ? left : LANES;
}

/* log(1 + e) for e in 0 .. 1: the logarithm of a number in 1 .. 2 by s = (m - 1) / (m + 1), whose series ends early
 * because s <= 1/3. Absolute error under 1e-7. */
static inline lanes log1p_lanes(lanes e)
{
    const lanes s = e / (e + 2.0f), q = s * s;
    lanes p = q * 0.15384615f + 0.18181818f;
    p = p * q + 0.22222222f;
    p = p * q + 0.28571429f;
    p = p * q + 0.4f;
    p = p * q + 0.66666667f;
    return s * (p * q + 2.0f);
}

/* In each lane the sum of all sixteen; in groups of four lanes, of the four. */
static inline lanes sum_of_four(lanes v)
{
    v += __builtin_shufflevector(v, v, 1, 0, 3, 2, 5, 4, 7, 6, 9, 8, 11, 10, 13, 12, 15, 14);
    return v + __builtin_shufflevector(v, v, 2, 3, 0, 1, 6, 7, 4, 5, 10, 11, 8, 9, 14, 15, 12, 13);
}

static inline lanes sum_of_all(lanes v)
{
    v = sum_of_four(v);
    v += __builtin_shufflevector(v, v, 4, 5, 6, 7, 0, 1, 2, 3, 12, 13, 14, 15, 8, 9, 10, 11);
    return v + __builtin_shufflevector(v, v, 8, 9, 10, 11, 12, 13, 14, 15, 0, 1, 2, 3, 4, 5, 6, 7);
}

static inline float total_of(lanes v)
{
    return sum_of_all(v)[0];
}

static inline lanes magnitude(lanes x)
{
    return (lanes)((ints)x & 0x7fffffff);
}

/* gelu(x) = x P(x) with P the normal distribution; its derivative is P(x) + x p(x). Both come from one exp(-x^2 / 2):
 * the tail of P is that times a polynomial in 1 / (1 + c |x|) (Hastings' approximation of erf; absolute error under
 * 8e-8 of P). */
static inline void gelu_part(const float *x, const float *bias, float *y, float *slope, size_t width)
{
    lanes v = load_part(x, width, 0);
    if (bias)
        v += load_part(bias, width, 0);
    const lanes bell = exp_lanes(-0.5f * v * v), t = 1.0f / (1.0f + 0.23164190f * magnitude(v));
    lanes tail = t * 0.53070271f - 0.72657601f;
    tail = tail * t + 0.71070687f;
    tail = tail * t - 0.14224837f;
    tail = tail * t + 0.12741480f;
    tail = tail * t * bell;
    const lanes below = choose(v > 0.0f, 1.0f - tail, tail);
    store_part(y, v * below, width);
    store_part(slope, below + v * 0.39894228f * bell, width);
}

static void gelu(const float *x, const float *bias, float *y, float *slope, size_t rows, size_t n)
{
    for (size_t r = 0; r < rows; r++, x += n, y += n, slope += n) {
        size_t i = 0;
        for (; i + LANES <= n; i += LANES)
            gelu_part(x + i, bias ? bias + i : NULL, y + i, slope + i, LANES);
        if (i < n)
            gelu_part(x + i, bias ? bias + i : NULL, y + i, slope + i, n - i);
    }
}

static void multiply(float *x, const float *y, size_t n)
{
    for (size_t i = 0; i < n; i++)
        x[i] *= y[i];
}

static void add_columns(const float *x, float *sums, size_t rows, size_t n)
{
    for (size_t r = 0; r < rows; r++, x += n)
        for (size_t i = 0; i < n; i++)
            sums[i] += x[i];
}

static void row_sums(const float *x, float *sums, size_t rows, size_t n)
{
    for (size_t r = 0; r < rows; r++, x += n) {
        lanes total = {0};
        for (size_t i = 0; i < n; i += LANES)
            total += load_part(x + i, width_of(n - i), 0);
        sums[r] = total_of(total);
    }
}

/* normal = x + residual + shift; returns the sum. */
static inline float norm_input(const float *x, const float *residual, const float *shift, float *normal, size_t n)
{
    lanes total = {0};
    for (size_t i = 0; i < n; i += LANES) {
        const size_t width = width_of(n - i);
        lanes v = load_part(x + i, width, 0);
        if (residual)
            v += load_part(residual + i, width, 0);
        if (shift)
            v += load_part(shift + i, width, 0);
        total += v;
        store_part(normal + i, v, width);
    }
    return total_of(total);
}

/* Rows of four channels, of which four stand in a vector; `rows` is a multiple of four. */
static void norm_of_four(const float *x, const float *weight, const float *bias, float eps, float *normal,
                         float *inverse, float *y, size_t rows)
{
    const float w[LANES] = {weight[0], weight[1], weight[2], weight[3], weight[0], weight[1], weight[2], weight[3],
                            weight[0], weight[1], weight[2], weight[3], weight[0], weight[1], weight[2], weight[3]};
    const float b[LANES] = {bias[0], bias[1], bias[2], bias[3], bias[0], bias[1], bias[2], bias[3],
                            bias[0], bias[1], bias[2], bias[3], bias[0], bias[1], bias[2], bias[3]};
    for (size_t r = 0; r < rows; r += 4, x += LANES, normal += LANES, y += LANES) {
        const lanes v = load(x), d = v - sum_of_four(v) * 0.25f, square = sum_of_four(d * d) * 0.25f;
        for (size_t i = 0; i < 4; i++)
            inverse[r + i] = 1.0f / sqrtf(square[4 * i] + eps);
        const lanes scale = {inverse[r], inverse[r], inverse[r], inverse[r],
                             inverse[r + 1], inverse[r + 1], inverse[r + 1], inverse[r + 1],
                             inverse[r + 2], inverse[r + 2], inverse[r + 2], inverse[r + 2],
                             inverse[r + 3], inverse[r + 3], inverse[r + 3], inverse[r + 3]};
        store(normal, d * scale);
        store(y, d * scale * load(w) + load(b));
    }
}

static void norm(const float *x, const float *residual, const float *shift, const float *weight, const float *bias,
                 float eps, float *normal, float *inverse, float *y, size_t rows, size_t n)
{
    if (n == 4 && rows % 4 == 0 && !residual && !shift) {
        norm_of_four(x, weight, bias, eps, normal, inverse, y, rows);
        return;
    }
    for (size_t r = 0; r < rows; r++, x += n, normal += n, y += n) {
        const float mean = norm_input(x, residual ? residual + r * n : NULL, shift, normal, n) / (float)n;
        lanes square = {0};
        for (size_t i = 0; i < n; i += LANES) {
            const lanes d = load_part(normal + i, width_of(n - i), mean) - mean;
            square += d * d;
        }
        inverse[r] = 1.0f / sqrtf(total_of(square) / (float)n + eps);
        for (size_t i = 0; i < n; i++) {
            normal[i] = (normal[i] - mean) * inverse[r];
            y[i] = normal[i] * weight[i] + bias[i];
        }
    }
}

/* With g = dy * weight: dx = inverse (g - mean(g) - normal mean(g normal)). */
static void norm_back(const float *dy, const float *normal, const float *inverse, const float *weight, float *dx,
                      float *dweight, float *dbias, size_t rows, size_t n)
{
    for (size_t r = 0; r < rows; r++, dy += n, normal += n, dx += n) {
        lanes plain = {0}, along = {0};
        for (size_t i = 0; i < n; i += LANES) {
            const size_t width = width_of(n - i);
            const lanes d = load_part(dy + i, width, 0), x = load_part(normal + i, width, 0);
            const lanes g = d * load_part(weight + i, width, 0);
            plain += g;
            along += g * x;
            store_part(dweight + i, load_part(dweight + i, width, 0) + d * x, width);
            store_part(dbias + i, load_part(dbias + i, width, 0) + d, width);
        }
        const float mean = total_of(plain) / (float)n, slope = total_of(along) / (float)n, scale = inverse[r];
        for (size_t i = 0; i < n; i++)
            dx[i] = scale * (dy[i] * weight[i] - mean - normal[i] * slope);
    }
}

static void softmax_back(const float *a, float *da, size_t rows, size_t n, size_t ld)
{
    for (size_t r = 0; r < rows; r++, a += ld, da += ld) {
        lanes total = {0};
        for (size_t i = 0; i < n; i += LANES)
            total += load_part(a + i, width_of(n - i), 0) * load_part(da + i, width_of(n - i), 0);
        const float mean = total_of(total);
        for (size_t i = 0; i < n; i++)
            da[i] = a[i] * (da[i] - mean);
    }
}

static void softmax_tokens_back(const float *a, float *da, size_t t, size_t h, size_t n)
{
    for (size_t c = 0; c < h; c++)
        for (size_t j = 0; j < n; j += LANES) {
            const size_t width = width_of(n - j), step = h * n;
            const float *from = a + c * n + j;
            float *to = da + c * n + j;
            lanes mean = {0};
            for (size_t i = 0; i < t; i++)
                mean += load_part(from + i * step, width, 0) * load_part(to + i * step, width, 0);
            for (size_t i = 0; i < t; i++)
                store_part(to + i * step,
                           load_part(from + i * step, width, 0) * (load_part(to + i * step, width, 0) - mean), width);
        }
}

static void spread(const float *dlogits, const float *weights, size_t masks, const float *slope, float *dz, size_t rows,
                   size_t n)
{
    for (size_t r = 0; r < rows; r++, slope += n, dz += n)
        for (size_t i = 0; i < n; i += LANES) {
            const size_t width = width_of(n - i);
            lanes total = {0};
            for (size_t m = 0; m < masks; m++)
                total += dlogits[m * rows + r] * load_part(weights + m * n + i, width, 0);
            store_part(dz + i, total * load_part(slope + i, width, 0), width);
        }
}

/* p = sigmoid(x), on = -log p, off = -log(1 - p), from e = exp(-|x|) so that nothing is lost at either end. */
static inline void probability(lanes x, lanes *p, lanes *q, lanes *on, lanes *off)
{
    const lanes e = exp_lanes(-magnitude(x)), inverse = 1.0f / (1.0f + e), rest = log1p_lanes(e);
    const ints positive = x > 0.0f;
    *p = choose(positive, inverse, e * inverse);
    *q = choose(positive, e * inverse, inverse);
    *on = rest + choose(positive, splat(0), -x);
    *off = rest + choose(positive, x, splat(0));
}

/* Elements whose sums are made in f32 before they are added up in double. */
enum { BLOCK = 2048 };

static void mask_sums(const float *logits, const float *targets, size_t n, mm_mask_sums *sums)
{
    const lanes one = splat(1), none = splat(0);
    for (size_t first = 0; first < n; first += BLOCK) {
        const size_t end = n - first < BLOCK ? n : first + BLOCK;
        lanes focal = {0}, sum_p = {0}, sum_t = {0}, both = {0}, hard = {0}, hard_target = {0}, hard_both = {0};
        for (size_t i = first; i < end; i += LANES) {
            const size_t width = width_of(end - i);
            const lanes x = load_part(logits + i, width, 0), t = load_part(targets + i, width, -1);
            const ints counts = t >= 0.0f;
            lanes p, q, on, off;
            probability(x, &p, &q, &on, &off);
            focal += choose(counts, t * q * q * on + (1.0f - t) * p * p * off, none);
            sum_p += choose(counts, p, none);
            sum_t += choose(counts, t, none);
            both += choose(counts, p * t, none);
            const ints is = (x > 0.0f) & counts, should = t > 0.5f;
            hard += choose(is, one, none);
            hard_target += choose(should, one, none);
            hard_both += choose(is & should, one, none);
        }
        sums->focal += total_of(focal);
        sums->p += total_of(sum_p);
        sums->target += total_of(sum_t);
        sums->both += total_of(both);
        sums->hard += total_of(hard);
        sums->hard_target += total_of(hard_target);
        sums->hard_both += total_of(hard_both);
    }
}

/* d (q^2 on) = -q^2 (2 p on + q), d (p^2 off) = p^2 (2 q off + p), d p = p q. */
static void mask_sums_back(const float *logits, const float *targets, size_t n, float focal, float p_share,
                           float both_share, float *d)
{
    for (size_t i = 0; i < n; i += LANES) {
        const size_t width = width_of(n - i);
        const lanes x = load_part(logits + i, width, 0), t = load_part(targets + i, width, -1);
        lanes p, q, on, off;
        probability(x, &p, &q, &on, &off);
        const lanes sharp = (1.0f - t) * p * p * (2.0f * q * off + p) - t * q * q * (2.0f * p * on + q);
        const lanes total = focal * sharp + (p_share + both_share * t) * p * q;
        store_part(d + i, choose(t >= 0.0f, total, splat(0)), width);
    }
}

const mm_gradient_ops MM_GRADIENT_TABLE = {
    .gelu = gelu,
    .multiply = multiply,
    .add_columns = add_columns,
    .row_sums = row_sums,
    .norm = norm,
    .norm_back = norm_back,
    .softmax_back = softmax_back,
    .softmax_tokens_back = softmax_tokens_back,
    .spread = spread,
    .mask_sums = mask_sums,
    .mask_sums_back = mask_sums_back,
};
