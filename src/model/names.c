/* Names of tensors: the public SAM checkpoints' are canonical; wrappers' prefixes and transformers' names are changed
 * into them. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "checkpoint_internal.h"

typedef struct rename_rule {
    const char *from, *to; /* `#` stands for a number, which is carried over; the rest of the name is kept */
} rename_rule;

/* transformers' SamModel (modeling_sam.py) to segment_anything's Sam. The first rule that fits is applied. */
static const rename_rule transformers_rules[] = {
    {"vision_encoder.patch_embed.projection.", "image_encoder.patch_embed.proj."},
    {"vision_encoder.layers.#.layer_norm1.", "image_encoder.blocks.#.norm1."},
    {"vision_encoder.layers.#.layer_norm2.", "image_encoder.blocks.#.norm2."},
    {"vision_encoder.layers.#.", "image_encoder.blocks.#."},
    {"vision_encoder.neck.conv1.", "image_encoder.neck.0."},
    {"vision_encoder.neck.layer_norm1.", "image_encoder.neck.1."},
    {"vision_encoder.neck.conv2.", "image_encoder.neck.2."},
    {"vision_encoder.neck.layer_norm2.", "image_encoder.neck.3."},
    {"vision_encoder.", "image_encoder."},
    {"shared_image_embedding.positional_embedding", "prompt_encoder.pe_layer.positional_encoding_gaussian_matrix"},
    {"prompt_encoder.shared_embedding.positional_embedding",
     "prompt_encoder.pe_layer.positional_encoding_gaussian_matrix"},
    {"prompt_encoder.point_embed.#.", "prompt_encoder.point_embeddings.#."},
    {"prompt_encoder.mask_embed.conv1.", "prompt_encoder.mask_downscaling.0."},
    {"prompt_encoder.mask_embed.layer_norm1.", "prompt_encoder.mask_downscaling.1."},
    {"prompt_encoder.mask_embed.conv2.", "prompt_encoder.mask_downscaling.3."},
    {"prompt_encoder.mask_embed.layer_norm2.", "prompt_encoder.mask_downscaling.4."},
    {"prompt_encoder.mask_embed.conv3.", "prompt_encoder.mask_downscaling.6."},
    {"mask_decoder.transformer.layers.#.layer_norm1.", "mask_decoder.transformer.layers.#.norm1."},
    {"mask_decoder.transformer.layers.#.layer_norm2.", "mask_decoder.transformer.layers.#.norm2."},
    {"mask_decoder.transformer.layers.#.layer_norm3.", "mask_decoder.transformer.layers.#.norm3."},
    {"mask_decoder.transformer.layers.#.layer_norm4.", "mask_decoder.transformer.layers.#.norm4."},
    {"mask_decoder.transformer.layer_norm_final_attn.", "mask_decoder.transformer.norm_final_attn."},
    {"mask_decoder.upscale_conv1.", "mask_decoder.output_upscaling.0."},
    {"mask_decoder.upscale_layer_norm.", "mask_decoder.output_upscaling.1."},
    {"mask_decoder.upscale_conv2.", "mask_decoder.output_upscaling.3."},
};

static size_t digits(const char *text)
{
    return strspn(text, "0123456789");
}

/* If `name` begins as `rule->from`, write the new name (MM_CHECKPOINT_MAX_NAME + 1 bytes) and return true. */
static bool apply_rule(const rename_rule *rule, const char *name, char *out)
{
    char number[12] = "";
    const char *at = name;
    for (const char *p = rule->from; *p; p++) {
        if (*p != '#') {
            if (*at++ != *p)
                return false;
            continue;
        }
        const size_t n = digits(at);
        if (n == 0 || n >= sizeof number)
            return false;
        memcpy(number, at, n);
        number[n] = '\0';
        at += n;
    }
    const char *hole = strchr(rule->to, '#');
    const int before = hole ? (int)(hole - rule->to) : (int)strlen(rule->to);
    const int length = snprintf(out, MM_CHECKPOINT_MAX_NAME + 1, "%.*s%s%s%s", before, rule->to, hole ? number : "",
                                hole ? hole + 1 : "", at);
    return length > 0 && length <= (int)MM_CHECKPOINT_MAX_NAME;
}

static mm_status set_name(mm_checkpoint *checkpoint, size_t index, const char *name, mm_error *err)
{
    char *copy = mm_checkpoint_alloc(checkpoint, strlen(name) + 1);
    if (!copy)
        return mm_fail_memory(err, "the table of tensors");
    strcpy(copy, name);
    checkpoint->tensors[index].name = copy;
    return MM_OK;
}

/* How many layers of the MLP `prefix` other than proj_out have a tensor that ends in `kind` ("weight", "bias"). */
static unsigned count_layers(const mm_checkpoint *checkpoint, const char *prefix, size_t length, const char *kind)
{
    unsigned layers = 0;
    for (size_t i = 0; i < checkpoint->count; i++) {
        const char *name = checkpoint->tensors[i].name;
        const size_t n = strlen(name), k = strlen(kind);
        if (strncmp(name, prefix, length) == 0 && strncmp(name + length, "proj_out.", 9) != 0 && n > length + k &&
            strcmp(name + n - k, kind) == 0)
            layers++;
    }
    return layers;
}

/* transformers numbers an MLP's layers proj_in, layers.0, layers.1, ..., proj_out; SAM counts them through. The first
 * `length` bytes of the name are the MLP's own, with the dot behind it. */
static mm_status rename_mlp(mm_checkpoint *checkpoint, size_t index, size_t length, mm_error *err)
{
    const char *name = checkpoint->tensors[index].name, *rest = name + length, *kind;
    unsigned layer = 0;
    if (strncmp(rest, "proj_in.", 8) == 0) {
        kind = rest + 8;
    } else if (strncmp(rest, "proj_out.", 9) == 0) {
        kind = rest + 9;
        layer = count_layers(checkpoint, name, length, kind);
    } else {
        int used = 0;
        if (sscanf(rest, "layers.%3u.%n", &layer, &used) != 1 || used == 0)
            return MM_OK;
        kind = rest + used;
        layer++;
    }
    char renamed[MM_CHECKPOINT_MAX_NAME + 1];
    const int written = snprintf(renamed, sizeof renamed, "%.*slayers.%u.%s", (int)length, name, layer, kind);
    if (written < 0 || (size_t)written >= sizeof renamed)
        return mm_fail(err, MM_ERR_FORMAT, "the name of tensor %s is too long", name);
    return set_name(checkpoint, index, renamed, err);
}

static mm_status rename_mlps(mm_checkpoint *checkpoint, mm_error *err)
{
    static const char head[] = "mask_decoder.iou_prediction_head.", hyper[] = "mask_decoder.output_hypernetworks_mlps.";
    mm_status status = MM_OK;
    for (size_t i = 0; status == MM_OK && i < checkpoint->count; i++) {
        const char *name = checkpoint->tensors[i].name;
        if (strncmp(name, head, sizeof head - 1) == 0) {
            status = rename_mlp(checkpoint, i, sizeof head - 1, err);
        } else if (strncmp(name, hyper, sizeof hyper - 1) == 0) {
            const size_t n = sizeof hyper - 1 + digits(name + sizeof hyper - 1);
            if (name[n] == '.')
                status = rename_mlp(checkpoint, i, n + 1, err);
        }
    }
    return status;
}

static bool same_values(const mm_tensor *a, const mm_tensor *b)
{
    return a->dtype == b->dtype && a->elements == b->elements && a->dims == b->dims &&
           memcmp(a->shape, b->shape, a->dims * sizeof a->shape[0]) == 0 &&
           memcmp(a->data, b->data, (size_t)a->elements * mm_dtype_size(a->dtype)) == 0;
}

/* The positional matrix lies there twice, once for the image and once for prompts: one is enough if they are equal. */
static mm_status merge_positional(mm_checkpoint *checkpoint, mm_error *err)
{
    static const char name[] = "prompt_encoder.pe_layer.positional_encoding_gaussian_matrix";
    const mm_tensor *first = NULL;
    for (size_t i = 0; i < checkpoint->count; i++) {
        mm_tensor *tensor = &checkpoint->tensors[i];
        if (strcmp(tensor->name, name) != 0)
            continue;
        if (!first) {
            first = tensor;
            continue;
        }
        if (!same_values(first, tensor))
            return mm_fail(err, MM_ERR_FORMAT, "shared_image_embedding.positional_embedding and "
                                               "prompt_encoder.shared_embedding.positional_embedding differ");
        *tensor = checkpoint->tensors[--checkpoint->count];
        i--;
    }
    return MM_OK;
}

static mm_status from_transformers(mm_checkpoint *checkpoint, mm_error *err)
{
    mm_status status = MM_OK;
    for (size_t i = 0; status == MM_OK && i < checkpoint->count; i++) {
        char renamed[MM_CHECKPOINT_MAX_NAME + 1];
        for (size_t r = 0; r < sizeof transformers_rules / sizeof transformers_rules[0]; r++)
            if (apply_rule(&transformers_rules[r], checkpoint->tensors[i].name, renamed)) {
                status = set_name(checkpoint, i, renamed, err);
                break;
            }
    }
    if (status == MM_OK)
        status = rename_mlps(checkpoint, err);
    return status == MM_OK ? merge_positional(checkpoint, err) : status;
}

static bool all_begin_with(const mm_checkpoint *checkpoint, const char *prefix)
{
    for (size_t i = 0; i < checkpoint->count; i++)
        if (strncmp(checkpoint->tensors[i].name, prefix, strlen(prefix)) != 0 ||
            checkpoint->tensors[i].name[strlen(prefix)] == '\0')
            return false;
    return checkpoint->count > 0;
}

/* Wrappers put their attribute's name before every other: DataParallel "module.", others "sam." or "model.". */
static void strip_prefixes(mm_checkpoint *checkpoint)
{
    static const char *const prefixes[] = {"module.", "sam.", "model."};
    const size_t count = sizeof prefixes / sizeof prefixes[0];
    for (size_t p = 0; p < count; p++) {
        if (!all_begin_with(checkpoint, prefixes[p]))
            continue;
        for (size_t i = 0; i < checkpoint->count; i++)
            checkpoint->tensors[i].name += strlen(prefixes[p]);
        p = (size_t)-1; /* another may stand behind it; names only get shorter, so this ends */
    }
}

mm_status mm_names_canonicalise(mm_checkpoint *checkpoint, mm_error *err)
{
    strip_prefixes(checkpoint);
    for (size_t i = 0; i < checkpoint->count; i++)
        if (strncmp(checkpoint->tensors[i].name, "vision_encoder.", 15) == 0)
            return from_transformers(checkpoint, err);
    return MM_OK;
}
