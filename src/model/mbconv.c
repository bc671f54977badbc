#include "model/mbconv.h"

#include <omp.h>
#include <stdio.h>
#include <string.h>

/* Output rows of a strip. The strip's hidden activations never leave the cache for memory; each strip computes the
 * two rows it shares with its neighbours once more. */
enum { STRIP = 16 };

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

/* Output rows that are made at a time: enough pixels that packing weights hardly counts, and few enough that what is hidden
 * stays in the cache. */
static size_t at_once(size_t out_side)
{
    enum { PIXELS = 512 };
    return out_side < PIXELS ? (PIXELS + out_side - 1) / out_side : 1;
}

size_t mm_mbconv_scratch(size_t side, size_t hidden, size_t stride)
{
    const size_t out_side = (side - 1) / stride + 1;
    const size_t held = at_once(out_side) > STRIP ? at_once(out_side) : STRIP;
    const size_t f32 = (held * stride + 2) * side * hidden + held * out_side * hidden;
    const size_t bf16 = mm_mbconv_scratch_bf16(side, hidden, stride);
    return f32 > bf16 ? f32 : bf16;
}

/* Output rows y0 to y1 with kernels of our own, some rows at a time: what they expand is kept for the next ones as far as
 * those need it. */
static void run_rows_f32(const mm_context *context, const mm_mbconv *block, const float *x, size_t side, size_t y0,
                         size_t y1, float *scratch, float *y)
{
    const size_t in = block->expand.in, hidden = block->expand.out, out = block->project.out, stride = block->stride;
    const size_t out_side = (side - 1) / stride + 1, step = at_once(out_side), row = side * hidden;
    float *expanded = scratch, *filtered = expanded + (step * stride + 2) * row;
    size_t from = 0, to = 0; /* rows of the image that are in `expanded` */
    for (size_t oy = y0; oy < y1; oy += step) {
        const size_t end = y1 - oy < step ? y1 : oy + step;
        const size_t first = oy > 0 ? oy * stride - 1 : 0;
        const size_t last = (end - 1) * stride + 2 < side ? (end - 1) * stride + 2 : side;
        const size_t kept = to > first ? to - first : 0;
        if (kept)
            memmove(expanded, expanded + (first - from) * row, kept * row * sizeof *expanded);
        mm_layer_piece_f32(context, &block->expand, x + (first + kept) * side * in, (last - first - kept) * side,
                           MM_F32_GELU, NULL, expanded + kept * row);
        from = first;
        to = last;
        for (size_t r = oy; r < end; r++) {
            float *filtered_row = filtered + (r - oy) * out_side * hidden;
            context->ops->depthwise3x3(expanded, last - first, side, hidden, stride, r * stride - first,
                                       block->depthwise, block->depthwise_bias, filtered_row, out_side);
            context->ops->bias_gelu(filtered_row, NULL, out_side, hidden);
        }
        mm_layer_piece_f32(context, &block->project, filtered, (end - oy) * out_side,
                           block->residual ? MM_F32_ADD_GELU : MM_F32_STORE, x + oy * side * in,
                           y + oy * out_side * out);
    }
}

static mm_status run_strip(const mm_context *context, const mm_mbconv *block, const float *x, size_t side, size_t y0,
                           size_t y1, float *scratch, float *y, mm_error *err)
{
    const size_t in = block->expand.in, hidden = block->expand.out, out = block->project.out, stride = block->stride;
    const size_t out_side = (side - 1) / stride + 1, count = (y1 - y0) * out_side;
    /* Input rows that the strip's depthwise windows touch. */
    const size_t first = y0 > 0 ? y0 * stride - 1 : 0;
    const size_t last = (y1 - 1) * stride + 2 < side ? (y1 - 1) * stride + 2 : side;
    float *expanded = scratch, *filtered = expanded + (STRIP * stride + 2) * side * hidden;
    mm_status status = mm_layer_product(context, &block->expand, x + first * side * in, (last - first) * side, expanded, err);
    if (status != MM_OK)
        return status;
    context->ops->bias_gelu(expanded, block->expand.bias, (last - first) * side, hidden);
    /* Within `expanded` rows count from `first`; where it begins or ends inside the image, the row beyond is not
     * needed by this strip. */
    for (size_t oy = y0; oy < y1; oy++)
        context->ops->depthwise3x3(expanded, last - first, side, hidden, stride, oy * stride - first, block->depthwise,
                                   block->depthwise_bias, filtered + (oy - y0) * out_side * hidden, out_side);
    context->ops->bias_gelu(filtered, NULL, count, hidden);
    float *to = y + y0 * out_side * out;
    status = mm_layer_product(context, &block->project, filtered, count, to, err);
    if (status != MM_OK)
        return status;
    if (block->residual) {
        context->ops->add(to, x + y0 * side * in, count * out);
        context->ops->bias_gelu(to, block->project.bias, count, out);
    } else {
        context->ops->add_bias(to, block->project.bias, count, out);
    }
    return MM_OK;
}

mm_status mm_mbconv_run(const mm_context *context, const mm_mbconv *block, const float *x, size_t side, float *y,
                        mm_error *err)
{
    const size_t out_side = (side - 1) / block->stride + 1, strips = (out_side + STRIP - 1) / STRIP;
    mm_status result = MM_OK;
    if (context->f32 && !block->expand.packed.values) {
        const size_t job = mm_mbconv_job(out_side, context->kernels->threads);
#pragma omp parallel for num_threads((int)context->kernels->threads) schedule(dynamic)
        for (size_t y0 = 0; y0 < out_side; y0 += job)
            run_rows_f32(context, block, x, side, y0, out_side - y0 < job ? out_side : y0 + job,
                         context->scratch[omp_get_thread_num()], y);
        return MM_OK;
    }
#pragma omp parallel for num_threads((int)context->kernels->threads) schedule(dynamic)
    for (size_t s = 0; s < strips; s++) {
        const size_t y0 = s * STRIP, y1 = out_side - y0 < STRIP ? out_side : y0 + STRIP;
        mm_error own = {0};
        const mm_status status =
            run_strip(context, block, x, side, y0, y1, context->scratch[omp_get_thread_num()], y, &own);
        if (status != MM_OK)
#pragma omp critical(mm_mbconv_failure)
            result = mm_fail(err, status, "%s", own.text);
    }
    return result;
}
