/* A mask decoder of any shape with every tensor random, biases and gains too, so that no term of its algebra is small; and an
 * image for it. */
#ifndef MM_TESTS_RANDOM_DECODER_H
#define MM_TESTS_RANDOM_DECODER_H

#include "fused_support.h"

typedef struct decoder_shape {
    uint32_t side, channels, inner, heads, masks;
} decoder_shape;

typedef struct random_decoder {
    pool pool;
    mm_arch arch;
    mm_prompt_encoder prompts;
    mm_mask_decoder decoder;
    mm_fused_weights constants; /* where decoder.fused points */
    mm_kernels kernels;
    mm_context context;
    mm_arena arena;
    mm_weights weights;
    mm_bf16 *converted;
    mm_image_side image;
    mm_fused_image fused;
} random_decoder;

/* Outputs vary as much as inputs do, times `gain`. */
static inline mm_linear random_linear(pool *p, size_t in, size_t out, float gain)
{
    return (mm_linear){.weight = random_floats(p, in * out, 0, gain * sqrtf(3.0f / (float)in)),
                       .bias = random_floats(p, out, 0, 0.5f),
                       .in = in,
                       .out = out};
}

static inline mm_norm random_norm(pool *p, size_t channels, float eps)
{
    return (mm_norm){random_floats(p, channels, 1, 0.5f), random_floats(p, channels, 0, 0.5f), eps};
}

static inline mm_decoder_attention random_attention(pool *p, size_t channels, size_t inner)
{
    /* Logits vary enough for a softmax to prefer something. */
    return (mm_decoder_attention){random_linear(p, channels, inner, 1.4f), random_linear(p, channels, inner, 1.4f),
                                  random_linear(p, channels, inner, 1), random_linear(p, inner, channels, 1.5f)};
}

static inline void random_layers(random_decoder *r)
{
    const size_t channels = r->arch.prompt_embed_dim, inner = r->arch.decoder.cross_dim;
    pool *p = &r->pool;
    for (size_t i = 0; i < 2; i++) {
        r->decoder.layers[i] = (mm_decoder_layer){.self = random_attention(p, channels, channels),
                                                  .token_to_image = random_attention(p, channels, inner),
                                                  .image_to_token = random_attention(p, channels, inner),
                                                  .norm1 = random_norm(p, channels, 1e-5f),
                                                  .norm2 = random_norm(p, channels, 1e-5f),
                                                  .norm3 = random_norm(p, channels, 1e-5f),
                                                  .norm4 = random_norm(p, channels, i ? 0.5f : 0.02f),
                                                  .mlp1 = random_linear(p, channels, r->arch.decoder.mlp_dim, 1),
                                                  .mlp2 = random_linear(p, r->arch.decoder.mlp_dim, channels, 1)};
    }
    r->decoder.final = random_attention(p, channels, inner);
    r->decoder.norm_final = random_norm(p, channels, 1e-5f);
}

static inline void random_heads(random_decoder *r)
{
    const size_t channels = r->arch.prompt_embed_dim, masks = r->arch.decoder.mask_tokens, hidden = channels;
    pool *p = &r->pool;
    r->decoder.iou_token = random_floats(p, channels, 0, 1.7f);
    r->decoder.mask_tokens = random_floats(p, masks * channels, 0, 1.7f);
    for (size_t i = 0; i < 2; i++)
        r->decoder.iou_head[i] = random_linear(p, i ? hidden : channels, i ? masks : hidden, 1);
    for (size_t k = 0; k < masks; k++)
        for (size_t i = 0; i < 3; i++)
            r->decoder.hyper[k][i] = random_linear(p, channels, i < 2 ? channels : channels / 8, 1);
    r->decoder.upscale1 = random_linear(p, channels, channels, 1);
    r->decoder.upscale_norm = random_norm(p, channels / 4, 1e-6f);
    r->decoder.upscale2 = random_linear(p, channels / 4, channels / 2, 1);
    /* A transposed convolution has one bias for all sub-pixels. */
    for (size_t k = 1; k < 4; k++) {
        memcpy((float *)r->decoder.upscale1.bias + k * channels / 4, r->decoder.upscale1.bias, channels / 4 * sizeof(float));
        memcpy((float *)r->decoder.upscale2.bias + k * channels / 8, r->decoder.upscale2.bias, channels / 8 * sizeof(float));
    }
}

static inline void random_prompt_encoder(random_decoder *r)
{
    const size_t channels = r->arch.prompt_embed_dim, cells = (size_t)r->arch.embedding_side * r->arch.embedding_side;
    pool *p = &r->pool;
    r->prompts = (mm_prompt_encoder){.arch = &r->arch,
                                     .gaussian = random_floats(p, channels, 0, 1),
                                     .not_a_point = random_floats(p, channels, 0, 1.7f),
                                     .no_mask = random_floats(p, channels, 0, 1),
                                     .dense_pe = random_floats(p, cells * channels, 0, 1)};
    for (size_t i = 0; i < 4; i++)
        r->prompts.point_embeddings[i] = random_floats(p, channels, 0, 1.7f);
}

/* Everything but the fused decoder's constants: decoder.fused stays NULL, and decoder is f32. */
static inline void random_decoder_make(random_decoder *r, decoder_shape shape, uint32_t seed)
{
    mm_error err = {0};
    *r = (random_decoder){.pool.seed = seed, .kernels = {.threads = 1}};
    ck_assert_msg(mm_kernels_resolve(&r->kernels, &err) == MM_OK, "%s", err.text);
    r->arch.image_size = 16 * shape.side;
    r->arch.embedding_side = shape.side;
    r->arch.prompt_embed_dim = shape.channels;
    r->arch.decoder.depth = 2;
    r->arch.decoder.num_heads = shape.heads;
    r->arch.decoder.mlp_dim = 2 * shape.channels;
    r->arch.decoder.cross_dim = shape.inner;
    r->arch.decoder.mask_tokens = shape.masks;
    r->arch.decoder.iou_head_depth = 2;
    r->arch.decoder.iou_head_hidden_dim = shape.channels;
    r->arch.decoder.hyper_depth = 3;
    r->decoder.arch = &r->arch;
    r->decoder.prompts = &r->prompts;
    random_layers(r);
    random_heads(r);
    random_prompt_encoder(r);
    r->converted = pool_take(&r->pool, MM_LAYER_PIECE * 4 * (size_t)shape.channels * sizeof *r->converted);
    r->context = (mm_context){.kernels = &r->kernels, .ops = mm_vector_get(&r->kernels), .bf16 = mm_bf16_get(),
                              .converted = &r->converted};
}

/* The fused decoder's constants; with `packed` the token side computes in bf16 too, as in a model. */
static inline void random_decoder_fuse(random_decoder *r, bool packed)
{
    static mm_error err;
    ck_assert(mm_fused_supports(&r->arch));
    r->weights = (mm_weights){.arena = &r->arena, .err = &err, .bf16 = packed};
    if (packed)
        mm_mask_decoder_pack(&r->decoder, &r->weights);
    mm_fused_load(&r->constants, &r->decoder, &r->kernels, &r->weights);
    ck_assert_msg(r->weights.status == MM_OK, "%s", err.text);
    r->decoder.fused = &r->constants;
}

/* An image of random cells as both decoders see it. */
static inline void random_image(random_decoder *r)
{
    const size_t channels = r->arch.prompt_embed_dim, inner = r->arch.decoder.cross_dim;
    const size_t cells = (size_t)r->arch.embedding_side * r->arch.embedding_side;
    pool *p = &r->pool;
    mm_error err = {0};
    r->image = (mm_image_side){.embedding = random_floats(p, cells * channels, 0, 1.7f),
                               .keys = pool_floats(p, cells * channels),
                               .key = pool_floats(p, cells * inner),
                               .value = pool_floats(p, cells * inner),
                               .query = pool_floats(p, cells * inner)};
    ck_assert(mm_image_side_prepare(&r->decoder, &r->context, &r->image, pool_floats(p, cells * channels), &err) == MM_OK);
    ck_assert(mm_fused_image_new(&r->fused, &r->arch, &r->arena));
    ck_assert(mm_fused_image_prepare(&r->decoder, &r->context, &r->image, &r->fused, &err) == MM_OK);
}

static inline void random_decoder_free(random_decoder *r)
{
    mm_arena_free(&r->arena);
    pool_free(&r->pool);
}

#endif
