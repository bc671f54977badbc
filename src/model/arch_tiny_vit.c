/* What the shapes of a MobileSAM image encoder (TinyViT) tell. */
#include <stdio.h>

#include "arch_internal.h"

static mm_status probe_dimension(const mm_checkpoint *checkpoint, const char *name, uint32_t dims, uint32_t which,
                                 uint64_t limit, const char *what, uint32_t *out, mm_error *err)
{
    const mm_tensor *tensor;
    mm_status status = mm_arch_probe(checkpoint, name, dims, &tensor, err);
    if (status == MM_OK)
        status = mm_arch_limit(what, tensor->shape[which], limit, err);
    if (status == MM_OK)
        *out = (uint32_t)tensor->shape[which];
    return status;
}

static mm_status probe_widths(const mm_checkpoint *checkpoint, mm_arch *arch, mm_error *err)
{
    mm_status status = probe_dimension(checkpoint, "image_encoder.patch_embed.seq.2.c.weight", 4, 0, MM_ARCH_MAX_WIDTH,
                                       "embed_dims[0]", &arch->tiny.embed_dims[0], err);
    for (uint32_t i = 0; status == MM_OK && i < 3; i++) {
        char name[96], what[24];
        (void)snprintf(name, sizeof name, "image_encoder.layers.%u.downsample.conv1.c.weight", i); /* both fit */
        (void)snprintf(what, sizeof what, "embed_dims[%u]", i + 1);
        status = probe_dimension(checkpoint, name, 4, 0, MM_ARCH_MAX_WIDTH, what, &arch->tiny.embed_dims[i + 1], err);
    }
    if (status == MM_OK)
        status = probe_dimension(checkpoint, "image_encoder.layers.0.blocks.0.conv1.c.weight", 4, 0, MM_ARCH_MAX_MLP,
                                 "the width inside the MBConv blocks", &arch->tiny.mbconv_hidden, err);
    if (status == MM_OK && arch->tiny.embed_dims[0] % 2 != 0)
        status = mm_fail(err, MM_ERR_FORMAT, "embed_dims[0] is %u, which is odd", arch->tiny.embed_dims[0]);
    return status;
}

/* attention_biases has a row a head and a column for each distance (|dy|, |dx|) in the window: window^2 of them. */
static mm_status probe_attention(const mm_checkpoint *checkpoint, uint32_t stage, mm_arch *arch, mm_error *err)
{
    char name[96];
    const mm_tensor *biases;
    (void)snprintf(name, sizeof name, "image_encoder.layers.%u.blocks.0.attn.attention_biases", stage); /* fits */
    mm_status status = mm_arch_probe(checkpoint, name, 2, &biases, err);
    if (status != MM_OK)
        return status;
    uint32_t window = 1;
    while (window < MM_ARCH_MAX_WINDOW && (uint64_t)window * window < biases->shape[1])
        window++;
    if ((uint64_t)window * window != biases->shape[1])
        return mm_fail(err, MM_ERR_FORMAT, "tensor %s has %llu columns, which is no square of a window up to %u", name,
                       (unsigned long long)biases->shape[1], MM_ARCH_MAX_WINDOW);
    if (biases->shape[0] > MM_ARCH_MAX_HEADS || arch->tiny.embed_dims[stage] % biases->shape[0] != 0)
        return mm_fail(err, MM_ERR_FORMAT, "tensor %s has %llu rows (heads), which do not divide the width %u", name,
                       (unsigned long long)biases->shape[0], arch->tiny.embed_dims[stage]);
    arch->tiny.num_heads[stage] = (uint32_t)biases->shape[0];
    arch->tiny.window_sizes[stage] = window;
    return MM_OK;
}

static mm_status probe_stage(const mm_checkpoint *checkpoint, uint32_t stage, mm_arch *arch, mm_error *err)
{
    char name[96], what[24];
    uint32_t kernel = 0;
    (void)snprintf(name, sizeof name, "image_encoder.layers.%u.blocks.", stage); /* all fit */
    (void)snprintf(what, sizeof what, "depths[%u]", stage);
    arch->tiny.depths[stage] = mm_arch_count(checkpoint, name, stage == 0 ? ".conv1.c.weight" : ".attn.qkv.weight",
                                             MM_MAX_DEPTH);
    mm_status status = mm_arch_limit(what, arch->tiny.depths[stage], MM_MAX_DEPTH, err);
    if (status != MM_OK || stage == 0)
        return status;
    status = probe_attention(checkpoint, stage, arch, err);
    if (status != MM_OK)
        return status;
    (void)snprintf(name, sizeof name, "image_encoder.layers.%u.blocks.0.mlp.fc1.weight", stage);
    status = probe_dimension(checkpoint, name, 2, 0, MM_ARCH_MAX_MLP, "a stage's MLP width",
                             &arch->tiny.mlp_hidden[stage], err);
    if (status != MM_OK)
        return status;
    (void)snprintf(name, sizeof name, "image_encoder.layers.%u.blocks.0.local_conv.c.weight", stage);
    status = probe_dimension(checkpoint, name, 4, 2, 15, "local_conv_size", &kernel, err);
    if (status == MM_OK && kernel % 2 == 0)
        return mm_fail(err, MM_ERR_UNSUPPORTED, "local_conv_size is %u; it must be odd", kernel);
    if (status == MM_OK && stage > 1 && kernel != arch->tiny.local_conv_size)
        return mm_fail(err, MM_ERR_UNSUPPORTED, "local_conv_size differs between stages: %u and %u",
                       arch->tiny.local_conv_size, kernel);
    arch->tiny.local_conv_size = kernel;
    return status;
}

mm_status mm_arch_probe_tiny_vit(const mm_checkpoint *checkpoint, mm_arch_draft *draft, mm_error *err)
{
    draft->arch.family = MM_FAMILY_TINY_VIT;
    mm_status status = probe_widths(checkpoint, &draft->arch, err);
    for (uint32_t stage = 0; status == MM_OK && stage < 4; stage++)
        status = probe_stage(checkpoint, stage, &draft->arch, err);
    return status;
}
