#include "model/layers.h"

#include <omp.h>
#include <string.h>

/* Rows that one thread takes at a time: enough for the products to be efficient, few enough for the cache. */
enum { PIECE = 256 };

static size_t at_least_one(size_t n)
{
    return n ? n : 1;
}

mm_status mm_layer_product(const mm_context *context, const mm_linear *linear, const float *x, size_t rows, float *y,
                           mm_error *err)
{
    return mm_gemm(context->kernels, false, true, rows, linear->out, linear->in, 1, x, linear->in, linear->weight,
                   linear->in, 0, y, linear->out, err);
}

mm_status mm_layer_linear(const mm_context *context, const mm_linear *linear, const float *x, size_t rows, float *y,
                          mm_error *err)
{
    const mm_status status = mm_layer_product(context, linear, x, rows, y, err);
    if (status == MM_OK && linear->bias)
        context->ops->add_bias(y, linear->bias, rows, linear->out);
    return status;
}

void mm_layer_norm(const mm_context *context, const mm_norm *norm, const float *x, size_t rows, size_t channels,
                   float *out)
{
    const size_t pieces = (rows + PIECE - 1) / PIECE;
#pragma omp parallel for num_threads((int)context->kernels->threads)
    for (size_t p = 0; p < pieces; p++) {
        const size_t first = p * PIECE, count = rows - first < PIECE ? rows - first : PIECE;
        context->ops->layer_norm(x + first * channels, norm->weight, norm->bias, norm->eps, out + first * channels,
                                 count, channels);
    }
}

size_t mm_layer_mlp_scratch(size_t channels, size_t hidden)
{
    return PIECE * (channels + hidden);
}

mm_status mm_layer_mlp(const mm_context *context, const mm_norm *norm, const mm_linear *fc1, const mm_linear *fc2,
                       float *x, size_t rows, mm_error *err)
{
    const size_t channels = fc1->in, hidden = fc1->out, pieces = (rows + PIECE - 1) / PIECE;
    mm_status result = MM_OK;
#pragma omp parallel for num_threads((int)context->kernels->threads)
    for (size_t p = 0; p < pieces; p++) {
        const size_t first = p * PIECE, count = rows - first < PIECE ? rows - first : PIECE;
        float *piece = x + first * channels;
        float *normed = context->scratch[omp_get_thread_num()], *inner = normed + PIECE * channels;
        mm_error own = {0};
        context->ops->layer_norm(piece, norm->weight, norm->bias, norm->eps, normed, count, channels);
        mm_status status = mm_layer_product(context, fc1, normed, count, inner, &own);
        if (status == MM_OK) {
            context->ops->bias_gelu(inner, fc1->bias, count, hidden);
            /* beta = 1 adds the residual. */
            status = mm_gemm(context->kernels, false, true, count, channels, hidden, 1, inner, hidden, fc2->weight,
                             hidden, 1, piece, channels, &own);
        }
        if (status == MM_OK)
            context->ops->add_bias(piece, fc2->bias, count, channels);
        else
#pragma omp critical(mm_layer_failure)
            result = mm_fail(err, status, "%s", own.text);
    }
    return result;
}

/* The 3x3 neighbourhoods of output row y, zeros outside: columns[ow][9][channels]. */
static void gather_row(const float *x, size_t ih, size_t iw, size_t channels, size_t stride, size_t y, size_t ow,
                       float *columns)
{
    for (size_t ox = 0; ox < ow; ox++)
        for (size_t ky = 0; ky < 3; ky++) {
            const size_t sy = y * stride + ky; /* one more than the row read */
            for (size_t kx = 0; kx < 3; kx++, columns += channels) {
                const size_t sx = ox * stride + kx;
                if (sy < 1 || sy > ih || sx < 1 || sx > iw)
                    memset(columns, 0, channels * sizeof *columns);
                else
                    memcpy(columns, x + ((sy - 1) * iw + sx - 1) * channels, channels * sizeof *columns);
            }
        }
}

/* Output rows that are gathered for one product. */
static size_t rows_at_once(size_t ow)
{
    return at_least_one(PIECE / at_least_one(ow));
}

size_t mm_layer_conv3x3_scratch(size_t channels, size_t ow)
{
    return rows_at_once(ow) * ow * 9 * channels;
}

mm_status mm_layer_conv3x3(const mm_context *context, const mm_linear *linear, const float *x, size_t ih, size_t iw,
                           size_t channels, size_t stride, bool gelu, float *y, mm_error *err)
{
    const size_t oh = (ih - 1) / stride + 1, ow = (iw - 1) / stride + 1;
    const size_t step = rows_at_once(ow), pieces = (oh + step - 1) / step;
    mm_status result = MM_OK;
#pragma omp parallel for num_threads((int)context->kernels->threads)
    for (size_t p = 0; p < pieces; p++) {
        const size_t first = p * step, count = oh - first < step ? oh - first : step;
        float *columns = context->scratch[omp_get_thread_num()], *to = y + first * ow * linear->out;
        for (size_t r = 0; r < count; r++)
            gather_row(x, ih, iw, channels, stride, first + r, ow, columns + r * ow * 9 * channels);
        mm_error own = {0};
        const mm_status status = mm_layer_product(context, linear, columns, count * ow, to, &own);
        if (status != MM_OK)
#pragma omp critical(mm_layer_failure)
            result = mm_fail(err, status, "%s", own.text);
        else if (gelu)
            context->ops->bias_gelu(to, linear->bias, count * ow, linear->out);
        else if (linear->bias)
            context->ops->add_bias(to, linear->bias, count * ow, linear->out);
    }
    return result;
}

mm_neck mm_neck_load(mm_weights *weights, size_t in, size_t out)
{
    mm_neck neck;
    neck.conv1 = mm_weights_linear(weights, in, out, false, "image_encoder.neck.0");
    neck.norm1 = mm_weights_norm(weights, out, 1e-6f, "image_encoder.neck.1");
    neck.conv2 = mm_weights_linear(weights, out * 9, out, false, "image_encoder.neck.2");
    neck.conv2.weight = mm_weights_channels_last(weights, neck.conv2.weight, out, out);
    neck.norm2 = mm_weights_norm(weights, out, 1e-6f, "image_encoder.neck.3");
    return neck;
}

mm_status mm_neck_run(const mm_context *context, const mm_neck *neck, const float *x, size_t side, float *between,
                      float *out, mm_error *err)
{
    const size_t cells = side * side, channels = neck->conv1.out;
    mm_status status = mm_layer_product(context, &neck->conv1, x, cells, between, err);
    if (status != MM_OK)
        return status;
    mm_layer_norm(context, &neck->norm1, between, cells, channels, between);
    status = mm_layer_conv3x3(context, &neck->conv2, between, side, side, channels, 1, false, out, err);
    if (status != MM_OK)
        return status;
    mm_layer_norm(context, &neck->norm2, out, cells, channels, out);
    return MM_OK;
}
