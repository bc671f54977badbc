#include "model/mbconv.h"

#include <omp.h>
#include <stdio.h>
#include <string.h>

/* Jobs a thread gets, so that one that is held up does not hold up all; and output rows of a job at the least, for each job
 * computes the rows that it shares with its neighbours once more. */
enum { JOBS = 4, LEAST_ROWS = 16 };

size_t mm_mbconv_job(size_t out_side, size_t threads)
{
    const size_t share = (out_side + JOBS * threads - 1) / (JOBS * threads);
    return threads == 1 ? out_side : share > LEAST_ROWS ? share : LEAST_ROWS;
}

void mm_depthwise_load(mm_weights *weights, size_t channels, const char *prefix, const float **weight,
                       const float **bias)
{
    const mm_linear folded = mm_weights_conv_bn(weights, 9, channels, "%s", prefix);
    float *turned = mm_weights_new(weights, 9 * (uint64_t)channels);
    *weight = turned;
    *bias = folded.bias;
    if (!turned || !folded.weight)
        return;
    for (size_t c = 0; c < channels; c++)
        for (size_t k = 0; k < 9; k++)
            turned[k * channels + c] = folded.weight[c * 9 + k];
}

mm_mbconv mm_mbconv_load(mm_weights *weights, size_t in, size_t hidden, size_t out, size_t stride, bool residual,
                         const char *prefix)
{
    mm_mbconv block = {.stride = stride, .residual = residual};
    char depthwise[160];
    if (snprintf(depthwise, sizeof depthwise, "%s.conv2", prefix) < 0)
        depthwise[0] = '\0';
    block.expand = mm_weights_conv_bn(weights, in, hidden, "%s.conv1", prefix);
    mm_depthwise_load(weights, hidden, depthwise, &block.depthwise, &block.depthwise_bias);
    block.project = mm_weights_conv_bn(weights, hidden, out, "%s.conv3", prefix);
    if (!weights->bf16)
        return block;
    mm_weights_pack(weights, &block.expand);
    mm_weights_pack(weights, &block.project);
    float *packed = mm_weights_new(weights, mm_packed_depthwise_count(hidden));
    if (packed && block.depthwise)
        mm_pack_depthwise(block.depthwise, block.depthwise_bias, hidden, packed);
    block.depthwise_packed = packed;
    return block;
}

/* Output rows that are made at a time: enough pixels for the products to be efficient, and few enough that what is hidden
 * stays in the cache. */
static size_t at_once(size_t out_side)
{
    enum { PIXELS = 512 };
    return out_side < PIXELS ? (PIXELS + out_side - 1) / out_side : 1;
}

size_t mm_mbconv_scratch(size_t side, size_t hidden, size_t stride)
{
    const size_t out_side = (side - 1) / stride + 1, step = at_once(out_side);
    const size_t f32 = (step * stride + 2) * side * hidden + step * out_side * hidden;
    const size_t bf16 = mm_mbconv_scratch_bf16(side, hidden, stride);
    return f32 > bf16 ? f32 : bf16;
}

/* Output rows y0 to y1, some at a time: what they expand is kept for the next ones as far as those need it. */
static mm_status run_rows(const mm_context *context, const mm_mbconv *block, const float *x, size_t side, size_t y0,
                          size_t y1, float *scratch, float *y, mm_error *err)
{
    const size_t in = block->expand.in, hidden = block->expand.out, out = block->project.out, stride = block->stride;
    const size_t out_side = (side - 1) / stride + 1, step = at_once(out_side), row = side * hidden;
    float *expanded = scratch, *filtered = expanded + (step * stride + 2) * row;
    size_t from = 0, to = 0; /* rows of the image that are in `expanded`; where the image ends, zeros are seen beyond */
    for (size_t oy = y0; oy < y1; oy += step) {
        const size_t end = y1 - oy < step ? y1 : oy + step;
        const size_t first = oy > 0 ? oy * stride - 1 : 0;
        const size_t last = (end - 1) * stride + 2 < side ? (end - 1) * stride + 2 : side;
        const size_t kept = to > first ? to - first : 0;
        if (kept)
            memmove(expanded, expanded + (first - from) * row, kept * row * sizeof *expanded);
        from = first;
        to = last;
        mm_status status = mm_layer_piece(context, &block->expand, x + (first + kept) * side * in,
                                          (last - first - kept) * side, MM_F32_GELU, NULL, expanded + kept * row, err);
        if (status != MM_OK)
            return status;
        for (size_t r = oy; r < end; r++) {
            float *filtered_row = filtered + (r - oy) * out_side * hidden;
            context->ops->depthwise3x3(expanded, last - first, side, hidden, stride, r * stride - first,
                                       block->depthwise, block->depthwise_bias, filtered_row, out_side);
            context->ops->bias_gelu(filtered_row, NULL, out_side, hidden);
        }
        status = mm_layer_piece(context, &block->project, filtered, (end - oy) * out_side,
                                block->residual ? MM_F32_ADD_GELU : MM_F32_STORE,
                                block->residual ? x + oy * side * in : NULL, y + oy * out_side * out, err);
        if (status != MM_OK)
            return status;
    }
    return MM_OK;
}

mm_status mm_mbconv_run(const mm_context *context, const mm_mbconv *block, const float *x, size_t side, float *y,
                        mm_error *err)
{
    const size_t out_side = (side - 1) / block->stride + 1, threads = context->kernels->threads;
    const size_t job = mm_mbconv_job(out_side, threads);
    mm_status result = MM_OK;
#pragma omp parallel for num_threads((int)threads) schedule(dynamic)
    for (size_t y0 = 0; y0 < out_side; y0 += job) {
        mm_error own = {0};
        const mm_status status = run_rows(context, block, x, side, y0, out_side - y0 < job ? out_side : y0 + job,
                                          context->scratch[omp_get_thread_num()], y, &own);
        if (status != MM_OK)
#pragma omp critical(mm_mbconv_failure)
            result = mm_fail(err, status, "%s", own.text);
    }
    return result;
}
