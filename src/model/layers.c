#include "model/layers.h"

#include <omp.h>
#include <string.h>

/* PIECE_F32: products that pack their weights on the way want more rows for it. */
enum { PIECE = MM_LAYER_PIECE, PIECE_F32 = 1026 };

static size_t at_least_one(size_t n)
{
    return n ? n : 1;
}

static void multiply_bf16(const mm_context *context, const mm_linear *linear, const mm_bf16 *x, size_t rows,
                          const float *bias, mm_epilogue epilogue, void *y)
{
    const mm_bf16_product product = {.a = x, .lda = (linear->in + 1) / 2 * 2, .rows = rows, .b = linear->packed,
                                     .bias = bias, .epilogue = epilogue, .out = y, .ldout = linear->out};
    context->bf16->product(&product);
}

/* Piece p of a product from f32 to f32 by way of bf16, in the calling thread's scratch. */
static void convert_and_multiply_piece(const mm_context *context, const mm_linear *linear, const float *x, size_t rows,
                                       size_t p, float *y)
{
    const size_t in = linear->in, row = (in + 1) / 2 * 2;
    const size_t first = p * PIECE, count = rows - first < PIECE ? rows - first : PIECE;
    mm_bf16 *converted = context->converted[omp_get_thread_num()];
    if (row == in)
        context->bf16->convert(x + first * in, converted, count * in);
    for (size_t r = 0; r < count && row != in; r++) {
        context->bf16->convert(x + (first + r) * in, converted + r * row, in);
        converted[r * row + in] = 0;
    }
    multiply_bf16(context, linear, converted, count, NULL, MM_TO_F32, y + first * linear->out);
}

/* Within a parallel region every thread multiplies its own rows. One thread alone does without a region, whose end costs
 * a system call even then: a decoder's thousands of small products would spend two per cent of an image on them. */
static void convert_and_multiply(const mm_context *context, const mm_linear *linear, const float *x, size_t rows,
                                 float *y)
{
    const size_t pieces = (rows + PIECE - 1) / PIECE;
    if (context->kernels->threads == 1 || pieces == 1 || omp_in_parallel()) {
        for (size_t p = 0; p < pieces; p++)
            convert_and_multiply_piece(context, linear, x, rows, p, y);
        return;
    }
#pragma omp parallel for num_threads((int)context->kernels->threads)
    for (size_t p = 0; p < pieces; p++)
        convert_and_multiply_piece(context, linear, x, rows, p, y);
}

mm_status mm_layer_product(const mm_context *context, const mm_linear *linear, const float *x, size_t rows, float *y,
                           mm_error *err)
{
    if (linear->packed.values) {
        convert_and_multiply(context, linear, x, rows, y);
        return MM_OK;
    }
    return mm_gemm(context->kernels, false, true, rows, linear->out, linear->in, 1, x, linear->in, linear->weight,
                   linear->in, 0, y, linear->out, err);
}

/* The residual is laid out as y; NULL: it is in y. */
static void multiply_f32(const mm_context *context, const mm_linear *linear, const float *x, size_t rows, mm_f32_end end,
                         const float *residual, float *y)
{
    const mm_f32_product product = {.a = x, .lda = linear->in, .rows = rows, .w = linear->weight, .ldw = linear->in,
                                    .n = linear->out, .k = linear->in, .bias = linear->bias, .end = end,
                                    .residual = residual, .out = y, .ldout = linear->out,
                                    .scratch = context->panels[omp_get_thread_num()]};
    context->f32->product(&product);
}

mm_status mm_layer_piece(const mm_context *context, const mm_linear *linear, const float *x, size_t rows, mm_f32_end end,
                         const float *residual, float *y, mm_error *err)
{
    if (context->f32 && !linear->packed.values) {
        multiply_f32(context, linear, x, rows, end, residual, y);
        return MM_OK;
    }
    const mm_status status = mm_layer_product(context, linear, x, rows, y, err);
    if (status != MM_OK)
        return status;
    if (mm_f32_adds(end))
        context->ops->add(y, residual, rows * linear->out);
    if (mm_f32_gelus(end))
        context->ops->bias_gelu(y, linear->bias, rows, linear->out);
    else if (linear->bias)
        context->ops->add_bias(y, linear->bias, rows, linear->out);
    return MM_OK;
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

void mm_layer_norm_linear_bf16(const mm_context *context, const mm_norm *norm, const mm_linear *linear, const float *x,
                               size_t rows, mm_bf16 *y)
{
    const size_t channels = linear->in, pieces = (rows + PIECE - 1) / PIECE;
#pragma omp parallel for num_threads((int)context->kernels->threads)
    for (size_t p = 0; p < pieces; p++) {
        const size_t first = p * PIECE, count = rows - first < PIECE ? rows - first : PIECE;
        mm_bf16 *normed = context->converted[omp_get_thread_num()];
        context->bf16->norm(x + first * channels, norm->weight, norm->bias, norm->eps, normed, count, channels);
        multiply_bf16(context, linear, normed, count, linear->bias, MM_TO_BF16, y + first * linear->out);
    }
}

void mm_layer_add_linear_bf16(const mm_context *context, const mm_linear *linear, const mm_bf16 *x, size_t rows,
                              float *y)
{
    const size_t pieces = (rows + PIECE - 1) / PIECE;
#pragma omp parallel for num_threads((int)context->kernels->threads)
    for (size_t p = 0; p < pieces; p++) {
        const size_t first = p * PIECE, count = rows - first < PIECE ? rows - first : PIECE;
        multiply_bf16(context, linear, x + first * linear->in, count, linear->bias, MM_ADD_TO_F32,
                      y + first * linear->out);
    }
}

/* Rows of a piece where f32 kernels pack: every thread gets as many pieces, whole register tiles but for the last. */
static size_t piece_f32(const mm_context *context, size_t rows)
{
    const size_t threads = context->kernels->threads, tile = 6;
    const size_t rounds = (rows + PIECE_F32 * threads - 1) / (PIECE_F32 * threads), share = rounds * threads;
    return rows ? ((rows + share - 1) / share + tile - 1) / tile * tile : tile;
}

void mm_layer_norm_linear_f32(const mm_context *context, const mm_norm *norm, const mm_linear *linear, const float *x,
                              size_t rows, float *y)
{
    const size_t channels = linear->in, step = piece_f32(context, rows), pieces = (rows + step - 1) / step;
#pragma omp parallel for num_threads((int)context->kernels->threads)
    for (size_t p = 0; p < pieces; p++) {
        const size_t first = p * step, count = rows - first < step ? rows - first : step;
        float *normed = context->scratch[omp_get_thread_num()];
        context->ops->layer_norm(x + first * channels, norm->weight, norm->bias, norm->eps, normed, count, channels);
        multiply_f32(context, linear, normed, count, MM_F32_STORE, NULL, y + first * linear->out);
    }
}

void mm_layer_add_linear_f32(const mm_context *context, const mm_linear *linear, const float *x, size_t rows, float *y)
{
    const size_t step = piece_f32(context, rows), pieces = (rows + step - 1) / step;
#pragma omp parallel for num_threads((int)context->kernels->threads)
    for (size_t p = 0; p < pieces; p++) {
        const size_t first = p * step, count = rows - first < step ? rows - first : step;
        multiply_f32(context, linear, x + first * linear->in, count, MM_F32_ADD, NULL, y + first * linear->out);
    }
}

void mm_layer_convert_bf16(const mm_context *context, const float *x, size_t n, mm_bf16 *out)
{
    enum { AT_ONCE = 16384 };
#pragma omp parallel for num_threads((int)context->kernels->threads)
    for (size_t first = 0; first < n; first += AT_ONCE)
        context->bf16->convert(x + first, out + first, n - first < AT_ONCE ? n - first : AT_ONCE);
}

size_t mm_layer_mlp_scratch(size_t channels, size_t hidden)
{
    return PIECE_F32 * (channels + hidden);
}

/* Normed and inner take half of the f32 scratch. */
void mm_layer_mlp_piece_bf16(const mm_context *context, const mm_norm *norm, const mm_linear *fc1, const mm_linear *fc2,
                             float *x, size_t rows, float *scratch)
{
    mm_bf16 *normed = (mm_bf16 *)scratch, *inner = normed + PIECE * fc1->in;
    context->bf16->norm(x, norm->weight, norm->bias, norm->eps, normed, rows, fc1->in);
    multiply_bf16(context, fc1, normed, rows, fc1->bias, MM_GELU_TO_BF16, inner);
    multiply_bf16(context, fc2, inner, rows, fc2->bias, MM_ADD_TO_F32, x);
}

mm_status mm_layer_mlp(const mm_context *context, const mm_norm *norm, const mm_linear *fc1, const mm_linear *fc2,
                       float *x, size_t rows, mm_error *err)
{
    const size_t channels = fc1->in, hidden = fc1->out, step = context->f32 ? piece_f32(context, rows) : PIECE;
    const size_t pieces = (rows + step - 1) / step;
    mm_status result = MM_OK;
#pragma omp parallel for num_threads((int)context->kernels->threads)
    for (size_t p = 0; p < pieces; p++) {
        const size_t first = p * step, count = rows - first < step ? rows - first : step;
        float *piece = x + first * channels;
        float *normed = context->scratch[omp_get_thread_num()], *inner = normed + step * channels;
        if (fc1->packed.values) {
            mm_layer_mlp_piece_bf16(context, norm, fc1, fc2, piece, count, normed);
            continue;
        }
        context->ops->layer_norm(piece, norm->weight, norm->bias, norm->eps, normed, count, channels);
        if (context->f32) {
            multiply_f32(context, fc1, normed, count, MM_F32_GELU, NULL, inner);
            multiply_f32(context, fc2, inner, count, MM_F32_ADD, NULL, piece);
            continue;
        }
        mm_error own = {0};
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
        for (size_t ky = 0; ky < 3; ky++, columns += 3 * channels) {
            const size_t sy = y * stride + ky, sx = ox * stride; /* one more than the row and the first column read */
            if (sy < 1 || sy > ih) {
                memset(columns, 0, 3 * channels * sizeof *columns);
                continue;
            }
            const size_t first = sx < 1, last = iw + 1 - sx < 3 ? iw + 1 - sx : 3; /* of the three pixels those that exist */
            memset(columns, 0, first * channels * sizeof *columns);
            memcpy(columns + first * channels, x + ((sy - 1) * iw + sx + first - 1) * channels,
                   (last - first) * channels * sizeof *columns);
            memset(columns + last * channels, 0, (3 - last) * channels * sizeof *columns);
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
        const mm_status status = mm_layer_piece(context, linear, columns, count * ow, gelu ? MM_F32_GELU : MM_F32_STORE,
                                                NULL, to, &own);
        if (status != MM_OK)
#pragma omp critical(mm_layer_failure)
            result = mm_fail(err, status, "%s", own.text);
    }
    return result;
}

mm_neck mm_neck_load(mm_weights *weights, size_t in, size_t out)
{
    mm_neck neck;
    neck.conv1 = mm_weights_layer(weights, in, out, false, "image_encoder.neck.0");
    neck.norm1 = mm_weights_norm(weights, out, 1e-6f, "image_encoder.neck.1");
    neck.conv2 = mm_weights_linear(weights, out * 9, out, false, "image_encoder.neck.2");
    neck.conv2.weight = mm_weights_channels_last(weights, neck.conv2.weight, out, out);
    mm_weights_pack(weights, &neck.conv2);
    neck.norm2 = mm_weights_norm(weights, out, 1e-6f, "image_encoder.neck.3");
    return neck;
}

mm_status mm_neck_run(const mm_context *context, const mm_neck *neck, const float *x, size_t side, float *between,
                      float *out, mm_error *err)
{
    const size_t cells = side * side, channels = neck->conv1.out;
    if (neck->conv2.packed.values) {
        mm_neck_run_bf16(context, neck, x, side, (mm_bf16 *)between, out);
        return MM_OK;
    }
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
