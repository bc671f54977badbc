#include "model/tiny_vit.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "model/mbconv.h"
#include "model/tiny_vit_bf16.h"

static size_t largest(size_t a, size_t b)
{
    return a > b ? a : b;
}

/* A pair of tokens |dy|, |dx| apart has bias |dy| * window + |dx| of its head. */
static const float *expand_biases(mm_weights *weights, const float *biases, size_t heads, size_t window)
{
    const size_t tokens = window * window;
    float *table = mm_weights_new(weights, (uint64_t)heads * tokens * tokens);
    if (!table || !biases)
        return NULL;
    float *to = table;
    for (size_t h = 0; h < heads; h++)
        for (size_t a = 0; a < tokens; a++)
            for (size_t b = 0; b < tokens; b++) {
                const long dy = labs((long)(a / window) - (long)(b / window));
                const long dx = labs((long)(a % window) - (long)(b % window));
                *to++ = biases[h * tokens + (size_t)dy * window + (size_t)dx];
            }
    return table;
}

/* Padding comes before the norm here: the norm of a zero token is its bias. */
static const float *padded_token(mm_weights *weights, const mm_norm *norm, const mm_linear *qkv)
{
    float *row = mm_weights_new(weights, qkv->out);
    if (!row || weights->status != MM_OK)
        return NULL;
    for (size_t o = 0; o < qkv->out; o++) {
        double total = (double)qkv->bias[o];
        for (size_t i = 0; i < qkv->in; i++)
            total += (double)qkv->weight[o * qkv->in + i] * (double)norm->bias[i];
        row[o] = (float)total;
    }
    return row;
}

static mm_attention attention_shape(const mm_arch *arch, size_t stage)
{
    const size_t channels = arch->tiny.embed_dims[stage], dim = channels / arch->tiny.num_heads[stage];
    return (mm_attention){.side = arch->tiny.resolution[stage],
                          .window = arch->tiny.window_sizes[stage],
                          .heads = arch->tiny.num_heads[stage],
                          .dim = dim,
                          .row = 3 * channels,
                          .head_step = 3 * dim,
                          .key = dim,
                          .value = 2 * dim,
                          .scale = (float)(1.0 / sqrt((double)dim))};
}

static void load_block(mm_tiny_block *block, const mm_arch *arch, size_t stage, size_t index, mm_weights *weights)
{
    const size_t channels = arch->tiny.embed_dims[stage], hidden = arch->tiny.mlp_hidden[stage];
    const size_t heads = arch->tiny.num_heads[stage], window = arch->tiny.window_sizes[stage];
    char prefix[96], local[128];
    if (snprintf(prefix, sizeof prefix, "image_encoder.layers.%zu.blocks.%zu", stage, index) < 0 ||
        snprintf(local, sizeof local, "%s.local_conv", prefix) < 0)
        prefix[0] = local[0] = '\0';
    block->attention_norm = mm_weights_norm(weights, channels, 1e-5f, "%s.attn.norm", prefix);
    block->qkv = mm_weights_linear(weights, channels, 3 * channels, true, "%s.attn.qkv", prefix);
    block->proj = mm_weights_layer(weights, channels, channels, true, "%s.attn.proj", prefix);
    block->mlp_norm = mm_weights_norm(weights, channels, 1e-5f, "%s.mlp.norm", prefix);
    block->fc1 = mm_weights_layer(weights, channels, hidden, true, "%s.mlp.fc1", prefix);
    block->fc2 = mm_weights_layer(weights, hidden, channels, true, "%s.mlp.fc2", prefix);
    const float *biases =
        mm_weights_get(weights, (uint64_t)heads * window * window, "%s.attn.attention_biases", prefix);
    mm_attention shape = attention_shape(arch, stage);
    shape.bias = expand_biases(weights, biases, heads, window);
    shape.outside = padded_token(weights, &block->attention_norm, &block->qkv);
    block->attention.shape = shape;
    if (weights->bf16) {
        mm_weights_pack(weights, &block->qkv);
        block->attention = mm_attention_bf16_load(weights, &shape);
    } else if (weights->f32_kernels) {
        block->attention_f32 = mm_attention_f32_load(weights, &shape);
    }
    mm_depthwise_load(weights, channels, local, &block->local_conv, &block->local_conv_bias);
}

/* The bf16 kernels take pairs of channels. Odd widths, which no known model has, are computed in f32. */
static bool has_even_widths(const mm_arch *arch)
{
    bool even = arch->tiny.mbconv_hidden % 2 == 0 && arch->tiny.embed_dims[0] / 2 % 2 == 0;
    for (size_t stage = 0; stage < 4; stage++)
        even = even && arch->tiny.embed_dims[stage] % 2 == 0 && (!stage || arch->tiny.mlp_hidden[stage] % 2 == 0);
    return even;
}

/* Pack stem1 with its three input channels filled up to MM_TINY_STEM_CHANNELS. */
static void pack_stem1(mm_weights *weights, mm_linear *stem1)
{
    enum { FILLED = MM_TINY_STEM_CHANNELS };
    float *filled = mm_weights_new(weights, 9 * FILLED * (uint64_t)stem1->out);
    if (!filled || !stem1->weight)
        return;
    memset(filled, 0, 9 * FILLED * stem1->out * sizeof *filled);
    for (size_t i = 0; i < 9 * stem1->out; i++)
        memcpy(filled + i * FILLED, stem1->weight + i * 3, 3 * sizeof *filled);
    stem1->weight = filled;
    stem1->in = 9 * FILLED;
    mm_weights_pack(weights, stem1);
}

static void load_layers(mm_tiny_vit *tiny, const mm_arch *arch, mm_weights *weights)
{
    const uint32_t *dims = arch->tiny.embed_dims;
    tiny->stem1 = mm_weights_conv_bn(weights, 27, dims[0] / 2, "image_encoder.patch_embed.seq.0");
    tiny->stem1.weight = mm_weights_channels_last(weights, tiny->stem1.weight, 3, dims[0] / 2);
    tiny->stem2 = mm_weights_conv_bn(weights, 9 * (size_t)(dims[0] / 2), dims[0], "image_encoder.patch_embed.seq.2");
    tiny->stem2.weight = mm_weights_channels_last(weights, tiny->stem2.weight, dims[0] / 2, dims[0]);
    if (weights->bf16) {
        pack_stem1(weights, &tiny->stem1);
        mm_weights_pack(weights, &tiny->stem2);
    }
    char prefix[96];
    for (uint32_t i = 0; i < arch->tiny.depths[0]; i++) {
        if (snprintf(prefix, sizeof prefix, "image_encoder.layers.0.blocks.%u", i) < 0)
            prefix[0] = '\0';
        tiny->mbconv[i] = mm_mbconv_load(weights, dims[0], arch->tiny.mbconv_hidden, dims[0], 1, true, prefix);
    }
    for (size_t stage = 0; stage < 4; stage++) {
        for (size_t i = 0; stage && i < arch->tiny.depths[stage]; i++)
            load_block(&tiny->blocks[stage][i], arch, stage, i, weights);
        if (stage == 3)
            break;
        if (snprintf(prefix, sizeof prefix, "image_encoder.layers.%zu.downsample", stage) < 0)
            prefix[0] = '\0';
        tiny->merge[stage] = mm_mbconv_load(weights, dims[stage], dims[stage + 1], dims[stage + 1],
                                            arch->tiny.downsample_between[stage] ? 2 : 1, false, prefix);
    }
    tiny->neck = mm_neck_load(weights, dims[3], arch->prompt_embed_dim);
}

void mm_tiny_vit_load(mm_tiny_vit *tiny, const mm_arch *arch, mm_weights *weights)
{
    const bool bf16 = weights->bf16;
    tiny->arch = arch;
    tiny->in_bf16 = weights->bf16 = bf16 && has_even_widths(arch);
    load_layers(tiny, arch, weights);
    weights->bf16 = bf16;
}

/* Three regions: activations, the next layer's activations, and qkv or the normed tokens. */
typedef struct layout {
    size_t activations, work;
} layout;

static layout layout_of(const mm_arch *arch)
{
    const size_t size = arch->image_size, half = (size - 1) / 2 + 1;
    layout sizes = {.activations = size * size * 3, .work = half * half * (arch->tiny.embed_dims[0] / 2)};
    for (size_t stage = 0; stage < 4; stage++) {
        const size_t side = arch->tiny.resolution[stage], channels = arch->tiny.embed_dims[stage];
        sizes.activations = largest(sizes.activations, side * side * channels);
        if (stage)
            sizes.work = largest(sizes.work, 3 * side * side * channels);
    }
    sizes.activations = largest(sizes.activations, mm_neck_memory(arch->embedding_side, arch->prompt_embed_dim));
    return sizes;
}

size_t mm_tiny_vit_memory(const mm_arch *arch)
{
    const layout sizes = layout_of(arch);
    return 2 * sizes.activations + sizes.work;
}

size_t mm_tiny_vit_scratch(const mm_arch *arch)
{
    const uint32_t *dims = arch->tiny.embed_dims, *resolution = arch->tiny.resolution;
    const size_t half = (arch->image_size - 1) / 2 + 1;
    size_t scratch = largest(mm_layer_conv3x3_scratch(3, half), mm_tiny_stem_scratch(arch));
    scratch = largest(scratch, mm_layer_conv3x3_scratch(dims[0] / 2, resolution[0]));
    scratch = largest(scratch, mm_mbconv_scratch(resolution[0], arch->tiny.mbconv_hidden, 1));
    for (size_t stage = 0; stage < 4; stage++) {
        if (stage < 3)
            scratch = largest(scratch, mm_mbconv_scratch(resolution[stage], dims[stage + 1],
                                                         arch->tiny.downsample_between[stage] ? 2 : 1));
        if (!stage)
            continue;
        mm_attention attention = attention_shape(arch, stage);
        attention.bias = &(const float){0}; /* any bias will do: it says that windows are not tiled */
        scratch = largest(scratch, mm_attention_scratch(&attention));
        scratch = largest(scratch, mm_attention_f32_scratch(&attention));
        scratch = largest(scratch, mm_tiny_block_scratch_bf16(&attention, arch->tiny.mlp_hidden[stage]));
        scratch = largest(scratch, mm_layer_mlp_scratch(dims[stage], arch->tiny.mlp_hidden[stage]));
    }
    return largest(scratch, mm_layer_conv3x3_scratch(arch->prompt_embed_dim, arch->embedding_side));
}

/* The padded square as floats: [size][size][3]. */
static void normalise(const mm_arch *arch, mm_image_view image, float *square)
{
    const size_t size = arch->image_size;
    float levels[256][3]; /* of each byte, by channel */
    for (size_t v = 0; v < 256; v++)
        for (size_t c = 0; c < 3; c++)
            levels[v][c] = ((float)v - arch->pixel_mean[c]) / arch->pixel_std[c];
    for (size_t y = 0; y < image.height; y++) {
        float *row = square + y * size * 3;
        for (size_t i = 0; i < 3 * image.width; i += 3)
            for (size_t c = 0; c < 3; c++)
                row[i + c] = levels[image.pixels[y * image.stride + i + c]][c];
        memset(row + 3 * image.width, 0, 3 * (size - image.width) * sizeof *row);
    }
    memset(square + image.height * size * 3, 0, (size - image.height) * size * 3 * sizeof *square);
}

/* x += proj(attention(qkv(norm(x)))), y is working memory */
static mm_status attend(const mm_tiny_block *block, const mm_context *context, size_t cells, float *x, float *y, float *qkv,
                        mm_error *err)
{
    const size_t channels = block->proj.out;
    if (context->f32) {
        mm_layer_norm_linear_f32(context, &block->attention_norm, &block->qkv, x, cells, qkv);
        mm_attention_f32_run(context, &block->attention_f32, qkv, y);
        mm_layer_add_linear_f32(context, &block->proj, y, cells, x);
        return MM_OK;
    }
    mm_layer_norm(context, &block->attention_norm, x, cells, channels, y);
    mm_status status = mm_layer_linear(context, &block->qkv, y, cells, qkv, err);
    if (status != MM_OK)
        return status;
    status = mm_attention_run(context, &block->attention.shape, qkv, y, err);
    if (status != MM_OK)
        return status;
    status = mm_gemm(context->kernels, false, true, cells, channels, channels, 1, y, channels, block->proj.weight,
                     channels, 1, x, channels, err);
    if (status == MM_OK)
        context->ops->add_bias(x, block->proj.bias, cells, channels);
    return status;
}

/* x: the tokens, changed in place until the local convolution, which writes to y. */
static mm_status run_block(const mm_tiny_vit *tiny, size_t stage, size_t index, const mm_context *context, float *x,
                           float *y, float *qkv, mm_error *err)
{
    const mm_tiny_block *block = &tiny->blocks[stage][index];
    const size_t side = tiny->arch->tiny.resolution[stage], cells = side * side, channels = block->proj.out;
    const mm_status status = attend(block, context, cells, x, y, qkv, err);
    if (status != MM_OK)
        return status;
#pragma omp parallel for num_threads((int)context->kernels->threads)
    for (size_t row = 0; row < side; row++)
        context->ops->depthwise3x3(x, side, side, channels, 1, row, block->local_conv, block->local_conv_bias,
                                   y + row * side * channels, side);
    return mm_layer_mlp(context, &block->mlp_norm, &block->fc1, &block->fc2, y, cells, err);
}

static void swap(float **a, float **b)
{
    float *t = *a;
    *a = *b;
    *b = t;
}

mm_status mm_tiny_vit_encode(const mm_tiny_vit *tiny, const mm_context *context, mm_image_view image, float *memory,
                             float *out, mm_error *err)
{
    const mm_arch *arch = tiny->arch;
    const layout sizes = layout_of(arch);
    const size_t size = arch->image_size, half = (size - 1) / 2 + 1;
    float *x = memory, *y = x + sizes.activations, *work = y + sizes.activations;
    if (tiny->in_bf16)
        return mm_tiny_vit_encode_bf16(tiny, context, image, x, y, out, err);
    normalise(arch, image, x);
    mm_status status = mm_layer_conv3x3(context, &tiny->stem1, x, size, size, 3, 2, true, work, err);
    if (status == MM_OK)
        status = mm_layer_conv3x3(context, &tiny->stem2, work, half, half, arch->tiny.embed_dims[0] / 2, 2, false, x, err);
    for (size_t stage = 0; stage < 4 && status == MM_OK; stage++) {
        for (size_t i = 0; i < arch->tiny.depths[stage] && status == MM_OK; i++) {
            status = stage ? run_block(tiny, stage, i, context, x, y, work, err)
                           : mm_mbconv_run(context, &tiny->mbconv[i], x, arch->tiny.resolution[0], y, err);
            swap(&x, &y);
        }
        if (stage < 3 && status == MM_OK) {
            status = mm_mbconv_run(context, &tiny->merge[stage], x, arch->tiny.resolution[stage], y, err);
            swap(&x, &y);
        }
    }
    if (status != MM_OK)
        return status;
    return mm_neck_run(context, &tiny->neck, x, arch->embedding_side, y, out, err);
}
