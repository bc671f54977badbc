/* What the shapes of the prompt encoder and the mask decoder tell. */
#include "arch_internal.h"

typedef struct dimension {
    const char *name;
    uint32_t dims, which;
    uint64_t limit;
    const char *what;
    uint32_t *out;
} dimension;

static mm_status probe_dimensions(const mm_checkpoint *checkpoint, const dimension *list, size_t count, mm_error *err)
{
    mm_status status = MM_OK;
    for (size_t i = 0; status == MM_OK && i < count; i++) {
        const mm_tensor *tensor;
        status = mm_arch_probe(checkpoint, list[i].name, list[i].dims, &tensor, err);
        if (status == MM_OK)
            status = mm_arch_limit(list[i].what, tensor->shape[list[i].which], list[i].limit, err);
        if (status == MM_OK)
            *list[i].out = (uint32_t)tensor->shape[list[i].which];
    }
    return status;
}

mm_status mm_arch_probe_decoder(const mm_checkpoint *checkpoint, mm_arch_draft *draft, mm_error *err)
{
    mm_arch *arch = &draft->arch;
    const dimension list[] = {
        {"prompt_encoder.no_mask_embed.weight", 2, 1, MM_ARCH_MAX_WIDTH, "prompt_embed_dim", &arch->prompt_embed_dim},
        {"prompt_encoder.mask_downscaling.3.weight", 4, 0, MM_ARCH_MAX_WIDTH, "mask_in_chans", &arch->mask_in_chans},
        {"mask_decoder.mask_tokens.weight", 2, 0, MM_MAX_MASK_TOKENS, "the number of mask tokens",
         &arch->decoder.mask_tokens},
        {"mask_decoder.transformer.layers.0.mlp.lin1.weight", 2, 0, MM_ARCH_MAX_MLP, "decoder.mlp_dim",
         &arch->decoder.mlp_dim},
        {"mask_decoder.transformer.final_attn_token_to_image.q_proj.weight", 2, 0, MM_ARCH_MAX_WIDTH,
         "the inner width of the decoder's attention", &arch->decoder.cross_dim},
        {"mask_decoder.iou_prediction_head.layers.0.weight", 2, 0, MM_ARCH_MAX_MLP, "decoder.iou_head_hidden_dim",
         &arch->decoder.iou_head_hidden_dim},
    };
    mm_status status = probe_dimensions(checkpoint, list, sizeof list / sizeof list[0], err);
    if (status != MM_OK)
        return status;
    arch->decoder.depth = mm_arch_count(checkpoint, "mask_decoder.transformer.layers.", ".norm1.weight",
                                        MM_ARCH_MAX_DECODER_DEPTH);
    arch->decoder.iou_head_depth = mm_arch_count(checkpoint, "mask_decoder.iou_prediction_head.layers.", ".weight",
                                                 MM_ARCH_MAX_MLP_LAYERS);
    arch->decoder.hyper_depth = mm_arch_count(checkpoint, "mask_decoder.output_hypernetworks_mlps.0.layers.", ".weight",
                                              MM_ARCH_MAX_MLP_LAYERS);
    status = mm_arch_limit("decoder.depth", arch->decoder.depth, MM_ARCH_MAX_DECODER_DEPTH, err);
    if (status == MM_OK)
        status = mm_arch_limit("decoder.iou_head_depth", arch->decoder.iou_head_depth, MM_ARCH_MAX_MLP_LAYERS, err);
    if (status == MM_OK)
        status = mm_arch_limit("the depth of the hypernetworks", arch->decoder.hyper_depth, MM_ARCH_MAX_MLP_LAYERS, err);
    if (status != MM_OK)
        return status;
    /* Upscaling goes to a quarter and an eighth of the width; the mask input comes from a quarter of its channels. */
    if (arch->prompt_embed_dim % 8 != 0)
        return mm_fail(err, MM_ERR_FORMAT, "prompt_embed_dim is %u; it must be a multiple of 8", arch->prompt_embed_dim);
    if (arch->mask_in_chans % 4 != 0)
        return mm_fail(err, MM_ERR_FORMAT, "mask_in_chans is %u; it must be a multiple of 4", arch->mask_in_chans);
    if (arch->decoder.mask_tokens < 2)
        return mm_fail(err, MM_ERR_UNSUPPORTED, "the decoder has one mask token; multimask output needs two or more");
    return MM_OK;
}
