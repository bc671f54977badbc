#include "model/tiny_vit_bf16.h"

#include <omp.h>
#include <string.h>

#include "model/mbconv.h"

static size_t minimum(size_t a, size_t b)
{
    return a < b ? a : b;
}

/* Where the parts of a window's scratch begin, in floats; each has the window's tokens in rows. */
typedef struct layout {
    size_t qkv, normed, added, attention, total; /* normed: later what attention gives */
} layout;

static layout lay_out(const mm_attention *shape)
{
    const size_t tokens = shape->window * shape->window, channels = shape->heads * shape->dim;
    layout at = {.normed = tokens * 3 * channels / 2};
    at.added = at.normed + tokens * channels / 2;
    at.attention = at.added + tokens * channels;
    at.total = at.attention + mm_attention_bf16_scratch(shape);
    return at;
}

size_t mm_tiny_block_scratch_bf16(const mm_attention *shape, size_t mlp_hidden)
{
    const size_t mlp = mm_layer_mlp_scratch(shape->heads * shape->dim, mlp_hidden), window = lay_out(shape).total;
    return mlp > window ? mlp : window;
}

static void multiply(const mm_context *context, const mm_linear *linear, const mm_bf16 *x, size_t rows,
                     mm_epilogue epilogue, void *y)
{
    const mm_bf16_product product = {.a = x, .lda = linear->in, .rows = rows, .b = linear->packed, .bias = linear->bias,
                                     .epilogue = epilogue, .out = y, .ldout = linear->out};
    context->bf16->product(&product);
}

/* x += proj(attention(qkv(norm(x)))) of one window. Tokens beyond the grid's right edge are computed like the others, from a
 * norm that is its bias; what their attention gives goes nowhere. Those below the lower edge are only looked at. */
static void attend_window(const mm_context *context, const mm_tiny_block *block, size_t y0, size_t x0, float *x)
{
    const mm_attention *shape = &block->attention.shape;
    const mm_norm *norm = &block->attention_norm;
    const size_t side = shape->side, window = shape->window, channels = block->proj.in;
    const size_t rows = minimum(window, side - y0), columns = minimum(window, side - x0), queries = rows * window;
    const layout at = lay_out(shape);
    float *scratch = context->scratch[omp_get_thread_num()], *added = scratch + at.added;
    mm_bf16 *qkv = (mm_bf16 *)scratch + 2 * at.qkv, *normed = (mm_bf16 *)scratch + 2 * at.normed;
    for (size_t row = 0; row < rows; row++) {
        mm_bf16 *to = normed + row * window * channels;
        context->bf16->norm(x + ((y0 + row) * side + x0) * channels, norm->weight, norm->bias, norm->eps, to, columns,
                            channels);
        for (size_t column = columns; column < window; column++)
            context->bf16->convert(norm->bias, to + column * channels, channels);
    }
    multiply(context, &block->qkv, normed, queries, MM_TO_BF16, qkv);
    for (size_t token = queries; token < window * window; token++)
        memcpy(qkv + token * shape->row, block->attention.outside, shape->row * sizeof *qkv);
    mm_attention_bf16_window(context, &block->attention, qkv, queries, scratch + at.attention, normed);
    multiply(context, &block->proj, normed, queries, MM_TO_F32, added);
    for (size_t row = 0; row < rows; row++)
        context->ops->add(x + ((y0 + row) * side + x0) * channels, added + row * window * channels, columns * channels);
}

/* y = z + mlp(z) of some rows of the grid, z = local_conv(x). */
static void run_rows(const mm_context *context, const mm_tiny_block *block, const float *x, size_t side, size_t y0,
                     size_t y1, float *y)
{
    const size_t channels = block->fc1.in, tokens = (y1 - y0) * side;
    float *to = y + y0 * side * channels, *scratch = context->scratch[omp_get_thread_num()];
    for (size_t row = y0; row < y1; row++)
        context->ops->depthwise3x3(x, side, side, channels, 1, row, block->local_conv, block->local_conv_bias,
                                   y + row * side * channels, side);
    for (size_t first = 0; first < tokens; first += MM_LAYER_PIECE)
        mm_layer_mlp_piece_bf16(context, &block->mlp_norm, &block->fc1, &block->fc2, to + first * channels,
                                minimum(MM_LAYER_PIECE, tokens - first), scratch);
}

/* x: the tokens, changed in place by the attention; y: what the block gives. */
static void run_block(const mm_context *context, const mm_tiny_block *block, float *x, float *y)
{
    const mm_attention *shape = &block->attention.shape;
    const size_t side = shape->side, windows = (side + shape->window - 1) / shape->window;
    const size_t step = side < MM_LAYER_PIECE ? MM_LAYER_PIECE / side : 1;
#pragma omp parallel for num_threads((int)context->kernels->threads) schedule(dynamic)
    for (size_t i = 0; i < windows * windows; i++)
        attend_window(context, block, i / windows * shape->window, i % windows * shape->window, x);
#pragma omp parallel for num_threads((int)context->kernels->threads)
    for (size_t y0 = 0; y0 < side; y0 += step)
        run_rows(context, block, x, side, y0, minimum(y0 + step, side), y);
}

static void swap(float **a, float **b)
{
    float *t = *a;
    *a = *b;
    *b = t;
}

mm_status mm_tiny_vit_encode_bf16(const mm_tiny_vit *tiny, const mm_context *context, mm_image_view image, float *x,
                                  float *y, float *out, mm_error *err)
{
    const mm_arch *arch = tiny->arch;
    mm_tiny_stem_run(tiny, context, image, (mm_bf16 *)x);
    for (size_t i = 0; i < arch->tiny.depths[0]; i++) {
        mm_mbconv_run_bf16(context, &tiny->mbconv[i], (mm_bf16 *)x, arch->tiny.resolution[0], y);
        swap(&x, &y);
    }
    for (size_t stage = 1; stage < 4; stage++) {
        const size_t side = arch->tiny.resolution[stage - 1];
        if (stage > 1) {
            mm_layer_convert_bf16(context, x, side * side * arch->tiny.embed_dims[stage - 1], (mm_bf16 *)y);
            swap(&x, &y);
        }
        mm_mbconv_run_bf16(context, &tiny->merge[stage - 1], (mm_bf16 *)x, side, y);
        swap(&x, &y);
        for (size_t i = 0; i < arch->tiny.depths[stage]; i++) {
            run_block(context, &tiny->blocks[stage][i], x, y);
            swap(&x, &y);
        }
    }
    return mm_neck_run(context, &tiny->neck, x, arch->embedding_side, y, out, err);
}
