/* What the shapes of a SAM image encoder (ViTDet's plain ViT) tell. */
#include <stdio.h>

#include "arch_internal.h"

static mm_status probe_widths(const mm_checkpoint *checkpoint, mm_arch *arch, mm_error *err)
{
    const mm_tensor *patch, *hidden;
    mm_status status = mm_arch_probe(checkpoint, "image_encoder.patch_embed.proj.weight", 4, &patch, err);
    if (status == MM_OK)
        status = mm_arch_limit("embed_dim", patch->shape[0], MM_ARCH_MAX_WIDTH, err);
    if (status == MM_OK)
        status = mm_arch_limit("patch_size", patch->shape[2], MM_ARCH_MAX_PATCH, err);
    if (status == MM_OK)
        status = mm_arch_probe(checkpoint, "image_encoder.blocks.0.mlp.lin1.weight", 2, &hidden, err);
    if (status == MM_OK)
        status = mm_arch_limit("mlp_dim", hidden->shape[0], MM_ARCH_MAX_MLP, err);
    if (status != MM_OK)
        return status;
    arch->vit.embed_dim = (uint32_t)patch->shape[0];
    arch->vit.patch_size = (uint32_t)patch->shape[2];
    arch->vit.mlp_dim = (uint32_t)hidden->shape[0];
    arch->vit.depth = mm_arch_count(checkpoint, "image_encoder.blocks.", ".norm1.weight", MM_MAX_DEPTH);
    arch->vit.qkv_bias = mm_checkpoint_find(checkpoint, "image_encoder.blocks.0.attn.qkv.bias") != NULL;
    arch->vit.rel_pos = mm_checkpoint_find(checkpoint, "image_encoder.blocks.0.attn.rel_pos_h") != NULL;
    arch->vit.abs_pos = mm_checkpoint_find(checkpoint, "image_encoder.pos_embed") != NULL;
    return mm_arch_limit("depth", arch->vit.depth, MM_MAX_DEPTH, err);
}

static mm_status probe_side(const mm_checkpoint *checkpoint, mm_arch *arch, mm_error *err)
{
    const mm_tensor *positions;
    if (!arch->vit.abs_pos)
        return MM_OK; /* a config must tell image_size */
    mm_status status = mm_arch_probe(checkpoint, "image_encoder.pos_embed", 4, &positions, err);
    if (status == MM_OK)
        status = mm_arch_limit("the embedding's side in cells", positions->shape[1], MM_ARCH_MAX_SIDE, err);
    if (status == MM_OK)
        arch->image_size = (uint32_t)positions->shape[1] * arch->vit.patch_size;
    return status;
}

/* rel_pos_h of a block has 2 * side - 1 rows, where side is that of the grid that its attention spans: the embedding's
 * for global attention, the window's otherwise. A window as large as the embedding is the same as global attention. */
static mm_status probe_positions(const mm_checkpoint *checkpoint, mm_arch_draft *draft, mm_error *err)
{
    mm_arch *arch = &draft->arch;
    for (uint32_t i = 0; i < arch->vit.depth; i++) {
        char name[96];
        const mm_tensor *rows;
        (void)snprintf(name, sizeof name, "image_encoder.blocks.%u.attn.rel_pos_h", i); /* fits */
        mm_status status = mm_arch_probe(checkpoint, name, 2, &rows, err);
        if (status == MM_OK && (rows->shape[0] % 2 == 0 || rows->shape[0] >= 2 * MM_ARCH_MAX_SIDE))
            status = mm_fail(err, MM_ERR_FORMAT, "tensor %s has %llu rows, which no window has", name,
                             (unsigned long long)rows->shape[0]);
        if (status == MM_OK && (rows->shape[1] > arch->vit.embed_dim || arch->vit.embed_dim % rows->shape[1] != 0))
            status = mm_fail(err, MM_ERR_FORMAT, "tensor %s: embed_dim %u is not a multiple of its %llu columns", name,
                             arch->vit.embed_dim, (unsigned long long)rows->shape[1]);
        if (status != MM_OK)
            return status;
        if (i == 0)
            arch->vit.num_heads = arch->vit.embed_dim / (uint32_t)rows->shape[1];
        draft->vit_spans[i] = ((uint32_t)rows->shape[0] + 1) / 2;
    }
    return mm_arch_limit("num_heads", arch->vit.num_heads, MM_ARCH_MAX_HEADS, err);
}

mm_status mm_arch_tell_windows(mm_arch_draft *draft, mm_error *err)
{
    mm_arch *arch = &draft->arch;
    const uint32_t side = arch->image_size / arch->vit.patch_size;
    for (uint32_t i = 0; i < arch->vit.depth; i++) {
        const uint32_t span = arch->vit.rel_pos ? draft->vit_spans[i]
                              : draft->said_global[i] || draft->said_window == 0 ? side : draft->said_window;
        arch->vit.global_attention[i] = span == side;
        if (span == side)
            continue;
        if (arch->vit.window_size != 0 && arch->vit.window_size != span)
            return mm_fail(err, MM_ERR_UNSUPPORTED, "blocks have windows of %u and of %u cells; one size is supported",
                           arch->vit.window_size, span);
        arch->vit.window_size = span;
    }
    /* A window as large as the embedding is global attention, however a config lists it. */
    if (!arch->vit.rel_pos || draft->said_window == side)
        return MM_OK;
    if (draft->window_said && draft->said_window != arch->vit.window_size)
        return mm_fail(err, MM_ERR_USAGE, "window_size is %u in the config, but %u by the tensors", draft->said_window,
                       arch->vit.window_size);
    for (uint32_t i = 0; draft->global_said && i < arch->vit.depth; i++)
        if (draft->said_global[i] != arch->vit.global_attention[i])
            return mm_fail(err, MM_ERR_USAGE, "global_attention contradicts the tensors: block %u attends to %s", i,
                           arch->vit.global_attention[i] ? "the whole image" : "windows");
    return MM_OK;
}

mm_status mm_arch_probe_vit(const mm_checkpoint *checkpoint, mm_arch_draft *draft, mm_error *err)
{
    draft->arch.family = MM_FAMILY_VIT;
    mm_status status = probe_widths(checkpoint, &draft->arch, err);
    if (status == MM_OK)
        status = probe_side(checkpoint, &draft->arch, err);
    if (status == MM_OK && draft->arch.vit.rel_pos)
        status = probe_positions(checkpoint, draft, err);
    return status;
}
