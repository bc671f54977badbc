#include "model/vit.h"

#include <math.h>
#include <omp.h>
#include <string.h>

static size_t largest(size_t a, size_t b)
{
    return a > b ? a : b;
}

/* rel_pos[2 * side - 1][dim] with its rows in reverse: keys then follow each other upwards for each query. */
static const float *reversed(mm_weights *weights, const float *table, size_t rows, size_t dim)
{
    float *copy = mm_weights_new(weights, (uint64_t)rows * dim);
    if (!copy || !table)
        return NULL;
    for (size_t r = 0; r < rows; r++)
        memcpy(copy + r * dim, table + (rows - 1 - r) * dim, dim * sizeof *copy);
    return copy;
}

/* Of a block that looks at the whole grid, or within windows. */
static mm_attention attention_shape(const mm_arch *arch, bool global)
{
    const size_t channels = arch->vit.embed_dim, dim = channels / arch->vit.num_heads;
    return (mm_attention){.side = arch->embedding_side,
                          .window = global ? arch->embedding_side : arch->vit.window_size,
                          .heads = arch->vit.num_heads,
                          .dim = dim,
                          .row = 3 * channels,
                          .head_step = dim,
                          .key = channels,
                          .value = 2 * channels,
                          .scale = (float)(1.0 / sqrt((double)dim))};
}

static bool is_global(const mm_arch *arch, uint32_t index)
{
    return arch->vit.global_attention[index] || !arch->vit.window_size;
}

static void load_block(mm_vit_block *block, const mm_arch *arch, uint32_t index, mm_weights *weights)
{
    const size_t channels = arch->vit.embed_dim, hidden = arch->vit.mlp_dim;
    const char *prefix = "image_encoder.blocks";
    block->norm1 = mm_weights_norm(weights, channels, 1e-6f, "%s.%u.norm1", prefix, index);
    block->qkv = mm_weights_layer(weights, channels, 3 * channels, arch->vit.qkv_bias, "%s.%u.attn.qkv", prefix, index);
    block->proj = mm_weights_layer(weights, channels, channels, true, "%s.%u.attn.proj", prefix, index);
    block->norm2 = mm_weights_norm(weights, channels, 1e-6f, "%s.%u.norm2", prefix, index);
    block->fc1 = mm_weights_layer(weights, channels, hidden, true, "%s.%u.mlp.lin1", prefix, index);
    block->fc2 = mm_weights_layer(weights, hidden, channels, true, "%s.%u.mlp.lin2", prefix, index);
    mm_attention *attention = &block->attention;
    *attention = attention_shape(arch, is_global(arch, index));
    /* Padding comes after the norm: a padded token is zero, its projections the bias. */
    attention->outside = block->qkv.bias;
    if (arch->vit.rel_pos) {
        const size_t rows = 2 * attention->window - 1, dim = attention->dim;
        attention->rel_h = reversed(
            weights, mm_weights_get(weights, (uint64_t)rows * dim, "%s.%u.attn.rel_pos_h", prefix, index), rows, dim);
        attention->rel_w = reversed(
            weights, mm_weights_get(weights, (uint64_t)rows * dim, "%s.%u.attn.rel_pos_w", prefix, index), rows, dim);
    }
    if (weights->bf16)
        block->attention_bf16 = mm_attention_bf16_load(weights, attention);
    else if (weights->f32_kernels)
        block->attention_f32 = mm_attention_f32_load(weights, attention);
}

void mm_vit_load(mm_vit *vit, const mm_arch *arch, mm_weights *weights)
{
    const size_t channels = arch->vit.embed_dim, patch = arch->vit.patch_size, side = arch->embedding_side;
    vit->arch = arch;
    vit->patch_embed = mm_weights_layer(weights, 3 * patch * patch, channels, true, "image_encoder.patch_embed.proj");
    vit->pos_embed = arch->vit.abs_pos ? mm_weights_get(weights, side * side * channels, "image_encoder.pos_embed") : NULL;
    for (uint32_t i = 0; i < arch->vit.depth; i++)
        load_block(&vit->blocks[i], arch, i, weights);
    vit->neck = mm_neck_load(weights, channels, arch->prompt_embed_dim);
}

size_t mm_vit_memory(const mm_arch *arch)
{
    /* tokens, normed tokens or attention output, qkv (which the neck uses later) */
    const size_t cells = (size_t)arch->embedding_side * arch->embedding_side;
    const size_t neck = mm_neck_memory(arch->embedding_side, arch->prompt_embed_dim);
    return cells * arch->vit.embed_dim + largest(4 * cells * arch->vit.embed_dim, neck);
}

size_t mm_vit_scratch(const mm_arch *arch)
{
    const size_t patch = arch->vit.patch_size;
    size_t scratch = mm_layer_mlp_scratch(arch->vit.embed_dim, arch->vit.mlp_dim);
    scratch = largest(scratch, (size_t)arch->embedding_side * 3 * patch * patch);
    scratch = largest(scratch, mm_layer_conv3x3_scratch(arch->prompt_embed_dim, arch->embedding_side));
    for (int global = 0; global <= 1; global++) {
        const mm_attention attention = attention_shape(arch, global || !arch->vit.window_size);
        scratch = largest(scratch, mm_attention_scratch(&attention));
        scratch = largest(scratch, mm_attention_bf16_scratch(&attention));
        scratch = largest(scratch, mm_attention_f32_scratch(&attention));
    }
    return scratch;
}

/* One row of patches, normalised: [S][3][patch][patch], zeros beyond the image as the reference pads after
 * normalising. */
static void gather_patches(const mm_arch *arch, mm_image_view image, size_t grid_y, float *patches)
{
    const size_t patch = arch->vit.patch_size, side = arch->embedding_side;
    memset(patches, 0, side * 3 * patch * patch * sizeof *patches);
    for (size_t dy = 0; dy < patch && grid_y * patch + dy < image.height; dy++) {
        const uint8_t *pixels = image.pixels + (grid_y * patch + dy) * image.stride;
        for (size_t x = 0; x < image.width; x++)
            for (size_t c = 0; c < 3; c++)
                patches[((x / patch * 3 + c) * patch + dy) * patch + x % patch] =
                    ((float)pixels[3 * x + c] - arch->pixel_mean[c]) / arch->pixel_std[c];
    }
}

static mm_status embed_patches(const mm_vit *vit, const mm_context *context, mm_image_view image, float *tokens,
                               mm_error *err)
{
    const size_t side = vit->arch->embedding_side, channels = vit->arch->vit.embed_dim;
    mm_status result = MM_OK;
#pragma omp parallel for num_threads((int)context->kernels->threads)
    for (size_t y = 0; y < side; y++) {
        float *patches = context->scratch[omp_get_thread_num()], *to = tokens + y * side * channels;
        gather_patches(vit->arch, image, y, patches);
        mm_error own = {0};
        const mm_status status = mm_layer_linear(context, &vit->patch_embed, patches, side, to, &own);
        if (status != MM_OK)
#pragma omp critical(mm_vit_failure)
            result = mm_fail(err, status, "%s", own.text);
        else if (vit->pos_embed)
            context->ops->add(to, vit->pos_embed + y * side * channels, side * channels);
    }
    return result;
}

static mm_status run_block(const mm_vit *vit, const mm_vit_block *block, const mm_context *context, float *tokens,
                           float *normed, float *qkv, mm_error *err)
{
    const size_t cells = (size_t)vit->arch->embedding_side * vit->arch->embedding_side;
    const size_t channels = vit->arch->vit.embed_dim;
    if (context->bf16) {
        mm_bf16 *mixed = (mm_bf16 *)normed, *half_qkv = (mm_bf16 *)qkv;
        mm_layer_norm_linear_bf16(context, &block->norm1, &block->qkv, tokens, cells, half_qkv);
        mm_attention_bf16_run(context, &block->attention_bf16, half_qkv, mixed);
        mm_layer_add_linear_bf16(context, &block->proj, mixed, cells, tokens);
        return mm_layer_mlp(context, &block->norm2, &block->fc1, &block->fc2, tokens, cells, err);
    }
    if (context->f32) {
        mm_layer_norm_linear_f32(context, &block->norm1, &block->qkv, tokens, cells, qkv);
        mm_attention_f32_run(context, &block->attention_f32, qkv, normed);
        mm_layer_add_linear_f32(context, &block->proj, normed, cells, tokens);
        return mm_layer_mlp(context, &block->norm2, &block->fc1, &block->fc2, tokens, cells, err);
    }
    mm_layer_norm(context, &block->norm1, tokens, cells, channels, normed);
    mm_status status = mm_layer_linear(context, &block->qkv, normed, cells, qkv, err);
    if (status != MM_OK)
        return status;
    status = mm_attention_run(context, &block->attention, qkv, normed, err);
    if (status != MM_OK)
        return status;
    /* beta = 1 adds the residual. */
    status = mm_gemm(context->kernels, false, true, cells, channels, channels, 1, normed, channels, block->proj.weight,
                     channels, 1, tokens, channels, err);
    if (status != MM_OK)
        return status;
    context->ops->add_bias(tokens, block->proj.bias, cells, channels);
    return mm_layer_mlp(context, &block->norm2, &block->fc1, &block->fc2, tokens, cells, err);
}

mm_status mm_vit_encode(const mm_vit *vit, const mm_context *context, mm_image_view image, float *memory, float *out,
                        mm_error *err)
{
    const size_t side = vit->arch->embedding_side, cells = side * side, channels = vit->arch->vit.embed_dim;
    float *tokens = memory, *normed = tokens + cells * channels, *qkv = normed + cells * channels;
    mm_status status = embed_patches(vit, context, image, tokens, err);
    for (uint32_t i = 0; i < vit->arch->vit.depth && status == MM_OK; i++)
        status = run_block(vit, &vit->blocks[i], context, tokens, normed, qkv, err);
    if (status != MM_OK)
        return status;
    return mm_neck_run(context, &vit->neck, tokens, side, normed, out, err);
}
