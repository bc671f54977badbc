/* The neck in bf16: the first convolution's normed result has a margin of one cell around it, so that the second one
 * multiplies it as it stands. */
#include "model/layers.h"

#include <omp.h>
#include <string.h>

/* Rows of the grid that a job takes: with the weights of 64 channels they stay in the L2 cache. */
enum { ROWS = 4 };

size_t mm_neck_memory(size_t side, size_t channels)
{
    const size_t cells = side * side * channels, with_margin = ((side + 2) * (side + 2) * channels + 1) / 2;
    return cells > with_margin ? cells : with_margin;
}

/* Rows y0 to y1 of the first convolution and its norm. */
static void first_rows(const mm_context *context, const mm_neck *neck, const float *x, size_t side, size_t y0,
                       size_t y1, mm_bf16 *normed)
{
    const size_t in = neck->conv1.in, channels = neck->conv1.out;
    mm_bf16 *converted = context->converted[omp_get_thread_num()];
    float *row = context->scratch[omp_get_thread_num()];
    for (size_t y = y0; y < y1; y++) {
        mm_bf16 *out = normed + (y + 1) * (side + 2) * channels;
        memset(out, 0, channels * sizeof *out);
        for (size_t first = 0; first < side; first += MM_LAYER_PIECE) {
            const size_t count = side - first < MM_LAYER_PIECE ? side - first : MM_LAYER_PIECE;
            context->bf16->convert(x + (y * side + first) * in, converted, count * in);
            const mm_bf16_product product = {.a = converted, .lda = in, .rows = count, .b = neck->conv1.packed,
                                             .epilogue = MM_TO_F32, .out = row, .ldout = channels};
            context->bf16->product(&product);
            context->bf16->norm(row, neck->norm1.weight, neck->norm1.bias, neck->norm1.eps,
                                out + (first + 1) * channels, count, channels);
        }
        memset(out + (side + 1) * channels, 0, channels * sizeof *out);
    }
}

void mm_neck_run_bf16(const mm_context *context, const mm_neck *neck, const float *x, size_t side, mm_bf16 *between,
                      float *out)
{
    const size_t channels = neck->conv1.out, row = (side + 2) * channels;
    memset(between, 0, row * sizeof *between);
    memset(between + (side + 1) * row, 0, row * sizeof *between);
#pragma omp parallel for num_threads((int)context->kernels->threads)
    for (size_t y = 0; y < side; y += ROWS)
        first_rows(context, neck, x, side, y, side - y < ROWS ? side : y + ROWS, between);
#pragma omp parallel for num_threads((int)context->kernels->threads)
    for (size_t y = 0; y < side; y += ROWS) {
        const size_t count = side - y < ROWS ? side - y : ROWS;
        float *to = out + y * side * channels;
        const mm_bf16_convolution convolution = {.in = between + y * row, .in_row = row, .channels = channels,
                                                 .stride = 1, .rows = count, .columns = side,
                                                 .b = neck->conv2.packed, .epilogue = MM_TO_F32, .out = to,
                                                 .out_row = side * channels};
        context->bf16->convolution(&convolution);
        context->ops->layer_norm(to, neck->norm2.weight, neck->norm2.bias, neck->norm2.eps, to, count * side, channels);
    }
}
