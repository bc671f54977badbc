/* The tensors that the computation reads, with the shapes that follow from the architecture. The order and the names
 * are those of the reference's modules: segment_anything/modeling and, for TinyViT, mobile_sam/modeling. */
#include <stdio.h>
#include <string.h>

#include "arch_internal.h"

typedef struct walk {
    mm_arch_visitor visit;
    void *user;
    mm_error *err;
    mm_status status; /* the first failure; nothing is visited after it */
    char prefix[128];
} walk;

#define SHAPE(...) (const uint64_t[]){__VA_ARGS__}, (uint32_t)(sizeof((const uint64_t[]){__VA_ARGS__}) / sizeof(uint64_t))

static void visit(walk *w, const char *name, const uint64_t *shape, uint32_t dims)
{
    char full[192];
    if (w->status != MM_OK)
        return;
    (void)snprintf(full, sizeof full, "%s%s", w->prefix, name); /* both are short and ours */
    w->status = w->visit(w->user, full, dims, shape, w->err);
}

__attribute__((format(printf, 2, 3))) static void set_prefix(walk *w, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(w->prefix, sizeof w->prefix, format, arguments); /* fits: short constants and numbers */
    va_end(arguments);
}

/* NAME.weight [out][in] and NAME.bias [out] */
static void linear(walk *w, const char *name, uint64_t out, uint64_t in)
{
    char full[64];
    (void)snprintf(full, sizeof full, "%s.weight", name);
    visit(w, full, SHAPE(out, in));
    (void)snprintf(full, sizeof full, "%s.bias", name);
    visit(w, full, SHAPE(out));
}

/* NAME.weight [channels] and NAME.bias [channels]: LayerNorm, LayerNorm2d */
static void norm(walk *w, const char *name, uint64_t channels)
{
    char full[64];
    (void)snprintf(full, sizeof full, "%s.weight", name);
    visit(w, full, SHAPE(channels));
    (void)snprintf(full, sizeof full, "%s.bias", name);
    visit(w, full, SHAPE(channels));
}

/* NAME.weight [a][b][k][k] and NAME.bias [bias] */
static void convolution(walk *w, const char *name, uint64_t a, uint64_t b, uint64_t k, uint64_t bias)
{
    char full[64];
    (void)snprintf(full, sizeof full, "%s.weight", name);
    visit(w, full, SHAPE(a, b, k, k));
    (void)snprintf(full, sizeof full, "%s.bias", name);
    visit(w, full, SHAPE(bias));
}

/* Conv2d_BN: NAME.c.weight [out][in][k][k] and the four vectors of NAME.bn */
static void convolution_bn(walk *w, const char *name, uint64_t out, uint64_t in, uint64_t k)
{
    static const char *const vectors[] = {"weight", "bias", "running_mean", "running_var"};
    char full[64];
    (void)snprintf(full, sizeof full, "%s.c.weight", name);
    visit(w, full, SHAPE(out, in, k, k));
    for (size_t i = 0; i < sizeof vectors / sizeof vectors[0]; i++) {
        (void)snprintf(full, sizeof full, "%s.bn.%s", name, vectors[i]);
        visit(w, full, SHAPE(out));
    }
}

static void neck(walk *w, uint64_t in, uint64_t out)
{
    set_prefix(w, "image_encoder.neck.");
    visit(w, "0.weight", SHAPE(out, in, 1, 1));
    norm(w, "1", out);
    visit(w, "2.weight", SHAPE(out, out, 3, 3));
    norm(w, "3", out);
}

static void vit(walk *w, const mm_arch *arch)
{
    const uint64_t width = arch->vit.embed_dim, side = arch->embedding_side, patch = arch->vit.patch_size;
    set_prefix(w, "image_encoder.");
    visit(w, "patch_embed.proj.weight", SHAPE(width, 3, patch, patch));
    visit(w, "patch_embed.proj.bias", SHAPE(width));
    if (arch->vit.abs_pos)
        visit(w, "pos_embed", SHAPE(1, side, side, width));
    for (uint32_t i = 0; i < arch->vit.depth; i++) {
        const uint64_t span = arch->vit.global_attention[i] ? side : arch->vit.window_size;
        set_prefix(w, "image_encoder.blocks.%u.", i);
        norm(w, "norm1", width);
        visit(w, "attn.qkv.weight", SHAPE(3 * width, width));
        if (arch->vit.qkv_bias)
            visit(w, "attn.qkv.bias", SHAPE(3 * width));
        linear(w, "attn.proj", width, width);
        if (arch->vit.rel_pos) {
            visit(w, "attn.rel_pos_h", SHAPE(2 * span - 1, width / arch->vit.num_heads));
            visit(w, "attn.rel_pos_w", SHAPE(2 * span - 1, width / arch->vit.num_heads));
        }
        norm(w, "norm2", width);
        linear(w, "mlp.lin1", arch->vit.mlp_dim, width);
        linear(w, "mlp.lin2", width, arch->vit.mlp_dim);
    }
    neck(w, width, arch->prompt_embed_dim);
}

static void tiny_vit_block(walk *w, const mm_arch *arch, uint32_t stage)
{
    const uint64_t width = arch->tiny.embed_dims[stage], window = arch->tiny.window_sizes[stage];
    visit(w, "attn.attention_biases", SHAPE(arch->tiny.num_heads[stage], window * window));
    norm(w, "attn.norm", width);
    linear(w, "attn.qkv", 3 * width, width);
    linear(w, "attn.proj", width, width);
    norm(w, "mlp.norm", width);
    linear(w, "mlp.fc1", arch->tiny.mlp_hidden[stage], width);
    linear(w, "mlp.fc2", width, arch->tiny.mlp_hidden[stage]);
    convolution_bn(w, "local_conv", width, 1, arch->tiny.local_conv_size);
}

static void mbconv_block(walk *w, const mm_arch *arch)
{
    const uint64_t width = arch->tiny.embed_dims[0], hidden = arch->tiny.mbconv_hidden;
    convolution_bn(w, "conv1", hidden, width, 1);
    convolution_bn(w, "conv2", hidden, 1, 3);
    convolution_bn(w, "conv3", width, hidden, 1);
}

static void tiny_vit(walk *w, const mm_arch *arch)
{
    const uint32_t *widths = arch->tiny.embed_dims;
    set_prefix(w, "image_encoder.patch_embed.");
    convolution_bn(w, "seq.0", widths[0] / 2, 3, 3);
    convolution_bn(w, "seq.2", widths[0], widths[0] / 2, 3);
    for (uint32_t stage = 0; stage < 4; stage++) {
        for (uint32_t i = 0; i < arch->tiny.depths[stage]; i++) {
            set_prefix(w, "image_encoder.layers.%u.blocks.%u.", stage, i);
            if (stage == 0)
                mbconv_block(w, arch);
            else
                tiny_vit_block(w, arch, stage);
        }
        if (stage < 3) {
            set_prefix(w, "image_encoder.layers.%u.downsample.", stage);
            convolution_bn(w, "conv1", widths[stage + 1], widths[stage], 1);
            convolution_bn(w, "conv2", widths[stage + 1], 1, 3);
            convolution_bn(w, "conv3", widths[stage + 1], widths[stage + 1], 1);
        }
    }
    neck(w, widths[3], arch->prompt_embed_dim);
}

static void prompt_encoder(walk *w, const mm_arch *arch)
{
    const uint64_t width = arch->prompt_embed_dim, channels = arch->mask_in_chans;
    set_prefix(w, "prompt_encoder.");
    visit(w, "pe_layer.positional_encoding_gaussian_matrix", SHAPE(2, width / 2));
    visit(w, "point_embeddings.0.weight", SHAPE(1, width));
    visit(w, "point_embeddings.1.weight", SHAPE(1, width));
    visit(w, "point_embeddings.2.weight", SHAPE(1, width));
    visit(w, "point_embeddings.3.weight", SHAPE(1, width));
    visit(w, "not_a_point_embed.weight", SHAPE(1, width));
    visit(w, "no_mask_embed.weight", SHAPE(1, width));
    convolution(w, "mask_downscaling.0", channels / 4, 1, 2, channels / 4);
    norm(w, "mask_downscaling.1", channels / 4);
    convolution(w, "mask_downscaling.3", channels, channels / 4, 2, channels);
    norm(w, "mask_downscaling.4", channels);
    convolution(w, "mask_downscaling.6", width, channels, 1, width);
}

static void attention(walk *w, const char *name, uint64_t width, uint64_t inner)
{
    static const char *const inward[] = {"q_proj", "k_proj", "v_proj"};
    char full[48];
    for (size_t i = 0; i < sizeof inward / sizeof inward[0]; i++) {
        (void)snprintf(full, sizeof full, "%s.%s", name, inward[i]);
        linear(w, full, inner, width);
    }
    (void)snprintf(full, sizeof full, "%s.out_proj", name);
    linear(w, full, width, inner);
}

/* `depth` linear layers: in -> hidden -> ... -> hidden -> out */
static void mlp(walk *w, uint32_t depth, uint64_t in, uint64_t hidden, uint64_t out)
{
    for (uint32_t i = 0; i < depth; i++) {
        char name[24];
        (void)snprintf(name, sizeof name, "layers.%u", i);
        linear(w, name, i + 1 == depth ? out : hidden, i == 0 ? in : hidden);
    }
}

static void mask_decoder(walk *w, const mm_arch *arch)
{
    const uint64_t width = arch->prompt_embed_dim, inner = arch->decoder.cross_dim, tokens = arch->decoder.mask_tokens;
    for (uint32_t i = 0; i < arch->decoder.depth; i++) {
        set_prefix(w, "mask_decoder.transformer.layers.%u.", i);
        attention(w, "self_attn", width, width);
        norm(w, "norm1", width);
        attention(w, "cross_attn_token_to_image", width, inner);
        norm(w, "norm2", width);
        linear(w, "mlp.lin1", arch->decoder.mlp_dim, width);
        linear(w, "mlp.lin2", width, arch->decoder.mlp_dim);
        norm(w, "norm3", width);
        norm(w, "norm4", width);
        attention(w, "cross_attn_image_to_token", width, inner);
    }
    set_prefix(w, "mask_decoder.");
    attention(w, "transformer.final_attn_token_to_image", width, inner);
    norm(w, "transformer.norm_final_attn", width);
    visit(w, "iou_token.weight", SHAPE(1, width));
    visit(w, "mask_tokens.weight", SHAPE(tokens, width));
    /* Transposed convolutions: [in][out][2][2] */
    convolution(w, "output_upscaling.0", width, width / 4, 2, width / 4);
    norm(w, "output_upscaling.1", width / 4);
    convolution(w, "output_upscaling.3", width / 4, width / 8, 2, width / 8);
    for (uint32_t i = 0; i < tokens; i++) {
        set_prefix(w, "mask_decoder.output_hypernetworks_mlps.%u.", i);
        mlp(w, arch->decoder.hyper_depth, width, width, width / 8);
    }
    set_prefix(w, "mask_decoder.iou_prediction_head.");
    mlp(w, arch->decoder.iou_head_depth, width, arch->decoder.iou_head_hidden_dim, tokens);
}

mm_status mm_arch_each_tensor(const mm_arch *arch, mm_arch_visitor visitor, void *user, mm_error *err)
{
    walk w = {.visit = visitor, .user = user, .err = err, .status = MM_OK};
    if (arch->family == MM_FAMILY_VIT)
        vit(&w, arch);
    else
        tiny_vit(&w, arch);
    prompt_encoder(&w, arch);
    mask_decoder(&w, arch);
    return w.status;
}
