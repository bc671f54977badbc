/* MBConv blocks and merges in bf16: a window of three rows of hidden activations rolls over the image. Row by row it is
 * expanded, filtered and projected; what is hidden stays in the L2 cache. */
#include "model/mbconv.h"

#include <omp.h>
#include <string.h>

static size_t out_side_of(size_t side, size_t stride)
{
    return (side - 1) / stride + 1;
}

/* bf16 values of an expanded row, and of the same after the depthwise convolution. The margin is one pixel on either
 * side. */
static size_t expanded_row(size_t side, size_t hidden)
{
    return (side + 2) * hidden;
}

static size_t filtered_row(size_t side, size_t hidden, size_t stride)
{
    return out_side_of(side, stride) * hidden;
}

size_t mm_mbconv_scratch_bf16(size_t side, size_t hidden, size_t stride)
{
    return (3 * expanded_row(side, hidden) + filtered_row(side, hidden, stride) + 1) / 2;
}

/* Row y of the image expanded, zeros where there is none (y counts from 1, row 0 is the margin). */
static void expand_row(const mm_context *context, const mm_mbconv *block, const mm_bf16 *x, size_t side, size_t y,
                       mm_bf16 *out)
{
    const size_t in = block->expand.in, hidden = block->expand.out;
    if (y == 0 || y > side) {
        memset(out, 0, expanded_row(side, hidden) * sizeof *out);
        return;
    }
    memset(out, 0, hidden * sizeof *out);
    const mm_bf16_product expand = {.a = x + (y - 1) * side * in, .lda = in, .rows = side, .b = block->expand.packed,
                                    .bias = block->expand.bias, .epilogue = MM_GELU_TO_BF16, .out = out + hidden,
                                    .ldout = hidden};
    context->bf16->product(&expand);
    memset(out + (side + 1) * hidden, 0, hidden * sizeof *out);
}

/* Output rows y0 to y1. */
static void run_rows(const mm_context *context, const mm_mbconv *block, const mm_bf16 *x, size_t side, size_t y0,
                     size_t y1, mm_bf16 *scratch, void *y)
{
    const size_t hidden = block->expand.out, out = block->project.out, stride = block->stride;
    const size_t out_side = out_side_of(side, stride), row = expanded_row(side, hidden);
    mm_bf16 *filtered = scratch + 3 * row;
    size_t next = y0 * stride; /* row to expand, counted from the margin */
    for (size_t oy = y0; oy < y1; oy++) {
        for (; next < oy * stride + 3; next++)
            expand_row(context, block, x, side, next, scratch + next % 3 * row);
        mm_bf16_depthwise depthwise = {.packed = block->depthwise_packed, .channels = hidden, .stride = stride,
                                       .columns = out_side, .out = filtered};
        for (size_t ky = 0; ky < 3; ky++)
            depthwise.rows[ky] = scratch + (oy * stride + ky) % 3 * row;
        context->bf16->depthwise(&depthwise);
        mm_bf16_product project = {.a = filtered, .lda = hidden, .rows = out_side, .b = block->project.packed,
                                   .bias = block->project.bias, .ldout = out};
        if (block->residual) {
            project.epilogue = MM_ADD_GELU_TO_BF16;
            project.residual = x + oy * side * out;
            project.out = (mm_bf16 *)y + oy * out_side * out;
        } else {
            project.epilogue = MM_TO_F32;
            project.out = (float *)y + oy * out_side * out;
        }
        context->bf16->product(&project);
    }
}

void mm_mbconv_run_bf16(const mm_context *context, const mm_mbconv *block, const mm_bf16 *x, size_t side, void *y)
{
    const size_t out_side = out_side_of(side, block->stride), threads = context->kernels->threads;
    const size_t step = mm_mbconv_job(out_side, threads);
#pragma omp parallel for num_threads((int)threads) schedule(dynamic)
    for (size_t y0 = 0; y0 < out_side; y0 += step)
        run_rows(context, block, x, side, y0, out_side - y0 < step ? out_side : y0 + step,
                 (mm_bf16 *)context->scratch[omp_get_thread_num()], y);
}
