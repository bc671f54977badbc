/* The JSON form of an architecture: --model-config, and maskmill.config in a safetensors file's metadata.
 *
 * Every key is optional as far as the shapes tell the same; what is given must agree with them. */
#include <inttypes.h>
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "arch_internal.h"

typedef struct reader {
    const char *source; /* for messages: a path, or "metadata maskmill.config" */
    mm_arch_draft *draft;
    mm_error *err;
    mm_status status; /* the first failure; nothing is read after it */
} reader;

__attribute__((format(printf, 2, 3))) static void complain(reader *r, const char *format, ...)
{
    char text[256];
    va_list arguments;
    if (r->status != MM_OK)
        return;
    va_start(arguments, format);
    (void)vsnprintf(text, sizeof text, format, arguments); /* an overlong key is cut in the message */
    va_end(arguments);
    r->status = mm_fail(r->err, MM_ERR_USAGE, "%s: %s", r->source, text);
}

/* `value` as a whole number of 0 .. limit; false after a complaint. */
static bool whole(reader *r, const char *key, const json_t *value, uint64_t limit, uint32_t *out)
{
    if (!json_is_integer(value) || json_integer_value(value) < 0 || (uint64_t)json_integer_value(value) > limit) {
        complain(r, "%s is not a whole number up to %" PRIu64, key, limit);
        return false;
    }
    *out = (uint32_t)json_integer_value(value);
    return true;
}

/* A number that the shapes may have told: then the two must agree. */
static void merge(reader *r, const char *key, const json_t *value, uint64_t limit, uint32_t *known)
{
    uint32_t said;
    if (!whole(r, key, value, limit, &said))
        return;
    if (said == 0)
        complain(r, "%s is 0", key);
    else if (*known != 0 && *known != said)
        complain(r, "%s is %u, but the tensors say %u", key, said, *known);
    *known = said;
}

/* Four numbers, one a stage. From `first_told` on a value of 0 is an error; before it the computation does not use
 * the number, and 0 says that it is not known. */
static void merge_stages(reader *r, const char *key, const json_t *value, uint32_t known[4], size_t first_told)
{
    if (!json_is_array(value) || json_array_size(value) != 4) {
        complain(r, "%s is not a list of 4 numbers", key);
        return;
    }
    for (size_t i = 0; i < 4; i++) {
        const json_t *item = json_array_get(value, i);
        if (i >= first_told)
            merge(r, key, item, MM_ARCH_MAX_WIDTH, &known[i]);
        else if (!whole(r, key, item, MM_ARCH_MAX_WIDTH, &known[i]))
            return;
    }
}

static void check_flag(reader *r, const char *key, const json_t *value, bool known)
{
    if (!json_is_boolean(value))
        complain(r, "%s is not true or false", key);
    else if (json_is_true(value) != known)
        complain(r, "%s is %s, but the tensors say %s", key, known ? "false" : "true", known ? "true" : "false");
}

/* width * ratio, rounded down as Python's int() does, must be the hidden width; 1 is left for a ratio's own rounding. */
static void check_ratio(reader *r, const char *key, const json_t *value, uint32_t width, uint32_t hidden)
{
    if (!json_is_number(value) || json_number_value(value) <= 0)
        complain(r, "%s is not a positive number", key);
    else if (fabs(json_number_value(value) * width - hidden) >= 1)
        complain(r, "%s is %g, but the tensors say %u / %u", key, json_number_value(value), hidden, width);
}

static void read_colours(reader *r, const char *key, const json_t *value, bool positive, float out[3])
{
    if (!json_is_array(value) || json_array_size(value) != 3) {
        complain(r, "%s is not a list of 3 numbers", key);
        return;
    }
    for (size_t i = 0; i < 3; i++) {
        const json_t *item = json_array_get(value, i);
        const double number = json_number_value(item);
        if (!json_is_number(item) || number > 1e6 || (positive ? number < 1e-6 : number < -1e6)) {
            complain(r, "%s is out of range", key);
            return;
        }
        out[i] = (float)number;
    }
}

static void read_halving(reader *r, const json_t *value)
{
    if (!json_is_array(value) || json_array_size(value) != 3) {
        complain(r, "downsample_between_stages is not a list of 3 times true or false");
        return;
    }
    for (size_t i = 0; i < 3; i++) {
        const json_t *item = json_array_get(value, i);
        if (!json_is_boolean(item))
            complain(r, "downsample_between_stages is not a list of 3 times true or false");
        r->draft->arch.tiny.downsample_between[i] = json_is_true(item);
    }
    r->draft->halving_told = true;
}

static void read_global_blocks(reader *r, const json_t *value)
{
    if (!json_is_array(value)) {
        complain(r, "global_attention is not a list of block numbers");
        return;
    }
    for (size_t i = 0; i < json_array_size(value); i++) {
        uint32_t block;
        if (!whole(r, "global_attention", json_array_get(value, i), r->draft->arch.vit.depth - 1, &block))
            return;
        r->draft->said_global[block] = true;
    }
    r->draft->global_said = true;
}

static void read_decoder(reader *r, json_t *object)
{
    mm_arch *arch = &r->draft->arch;
    const char *key;
    json_t *value;
    uint32_t number;
    if (!json_is_object(object)) {
        complain(r, "decoder is not an object");
        return;
    }
    json_object_foreach(object, key, value) {
        if (strcmp(key, "depth") == 0) {
            merge(r, "decoder.depth", value, MM_ARCH_MAX_DECODER_DEPTH, &arch->decoder.depth);
        } else if (strcmp(key, "num_heads") == 0) {
            merge(r, "decoder.num_heads", value, MM_ARCH_MAX_HEADS, &arch->decoder.num_heads);
        } else if (strcmp(key, "mlp_dim") == 0) {
            merge(r, "decoder.mlp_dim", value, MM_ARCH_MAX_MLP, &arch->decoder.mlp_dim);
        } else if (strcmp(key, "attention_downsample_rate") == 0) {
            if (whole(r, "decoder.attention_downsample_rate", value, MM_ARCH_MAX_WIDTH, &number) &&
                (number == 0 || arch->prompt_embed_dim / number != arch->decoder.cross_dim))
                complain(r, "decoder.attention_downsample_rate is %u, but the tensors say %u / %u", number,
                         arch->prompt_embed_dim, arch->decoder.cross_dim);
        } else if (strcmp(key, "num_multimask_outputs") == 0) {
            if (whole(r, "decoder.num_multimask_outputs", value, MM_MAX_MASK_TOKENS, &number) &&
                number + 1 != arch->decoder.mask_tokens)
                complain(r, "decoder.num_multimask_outputs is %u, but the tensors say %u", number,
                         arch->decoder.mask_tokens - 1);
        } else if (strcmp(key, "iou_head_depth") == 0) {
            merge(r, "decoder.iou_head_depth", value, MM_ARCH_MAX_MLP_LAYERS, &arch->decoder.iou_head_depth);
        } else if (strcmp(key, "iou_head_hidden_dim") == 0) {
            merge(r, "decoder.iou_head_hidden_dim", value, MM_ARCH_MAX_MLP, &arch->decoder.iou_head_hidden_dim);
        } else {
            complain(r, "unknown key decoder.%s", key);
        }
    }
}

static bool read_vit_key(reader *r, const char *key, const json_t *value)
{
    mm_arch *arch = &r->draft->arch;
    if (strcmp(key, "patch_size") == 0) {
        merge(r, key, value, MM_ARCH_MAX_PATCH, &arch->vit.patch_size);
    } else if (strcmp(key, "embed_dim") == 0) {
        merge(r, key, value, MM_ARCH_MAX_WIDTH, &arch->vit.embed_dim);
    } else if (strcmp(key, "depth") == 0) {
        merge(r, key, value, MM_MAX_DEPTH, &arch->vit.depth);
    } else if (strcmp(key, "num_heads") == 0) {
        merge(r, key, value, MM_ARCH_MAX_HEADS, &arch->vit.num_heads);
    } else if (strcmp(key, "mlp_ratio") == 0) {
        check_ratio(r, key, value, arch->vit.embed_dim, arch->vit.mlp_dim);
    } else if (strcmp(key, "window_size") == 0) {
        r->draft->window_said = whole(r, key, value, MM_ARCH_MAX_SIDE, &r->draft->said_window);
    } else if (strcmp(key, "global_attention") == 0) {
        read_global_blocks(r, value);
    } else if (strcmp(key, "qkv_bias") == 0) {
        check_flag(r, key, value, arch->vit.qkv_bias);
    } else if (strcmp(key, "abs_pos") == 0) {
        check_flag(r, key, value, arch->vit.abs_pos);
    } else if (strcmp(key, "rel_pos") == 0) {
        check_flag(r, key, value, arch->vit.rel_pos);
    } else {
        return false;
    }
    return true;
}

static bool read_tiny_vit_key(reader *r, const char *key, const json_t *value)
{
    mm_arch *arch = &r->draft->arch;
    if (strcmp(key, "embed_dims") == 0) {
        merge_stages(r, key, value, arch->tiny.embed_dims, 0);
    } else if (strcmp(key, "depths") == 0) {
        merge_stages(r, key, value, arch->tiny.depths, 0);
    } else if (strcmp(key, "num_heads") == 0) {
        merge_stages(r, key, value, arch->tiny.num_heads, 1);
    } else if (strcmp(key, "window_sizes") == 0) {
        merge_stages(r, key, value, arch->tiny.window_sizes, 1);
    } else if (strcmp(key, "mlp_ratio") == 0) {
        for (int i = 1; i < 4; i++)
            check_ratio(r, key, value, arch->tiny.embed_dims[i], arch->tiny.mlp_hidden[i]);
    } else if (strcmp(key, "mbconv_expand_ratio") == 0) {
        check_ratio(r, key, value, arch->tiny.embed_dims[0], arch->tiny.mbconv_hidden);
    } else if (strcmp(key, "local_conv_size") == 0) {
        merge(r, key, value, MM_ARCH_MAX_PATCH, &arch->tiny.local_conv_size);
    } else if (strcmp(key, "downsample_between_stages") == 0) {
        read_halving(r, value);
    } else {
        return false;
    }
    return true;
}

static const char *family_name(mm_family family)
{
    return family == MM_FAMILY_VIT ? "vit" : "tiny_vit";
}

static void read_key(reader *r, const char *key, json_t *value, uint32_t *stride)
{
    mm_arch *arch = &r->draft->arch;
    if (strcmp(key, "family") == 0) {
        if (!json_is_string(value) || strcmp(json_string_value(value), family_name(arch->family)) != 0)
            complain(r, "family is not \"%s\", as the tensors say", family_name(arch->family));
    } else if (strcmp(key, "image_size") == 0) {
        merge(r, key, value, MM_ARCH_MAX_IMAGE, &arch->image_size);
    } else if (strcmp(key, "embedding_stride") == 0) {
        if (whole(r, key, value, MM_ARCH_MAX_PATCH, stride) && *stride == 0)
            complain(r, "embedding_stride is 0");
    } else if (strcmp(key, "prompt_embed_dim") == 0) {
        merge(r, key, value, MM_ARCH_MAX_WIDTH, &arch->prompt_embed_dim);
    } else if (strcmp(key, "mask_in_chans") == 0) {
        merge(r, key, value, MM_ARCH_MAX_WIDTH, &arch->mask_in_chans);
    } else if (strcmp(key, "decoder") == 0) {
        read_decoder(r, value);
    } else if (strcmp(key, "pixel_mean") == 0) {
        read_colours(r, key, value, false, arch->pixel_mean);
        r->draft->mean_said = true;
    } else if (strcmp(key, "pixel_std") == 0) {
        read_colours(r, key, value, true, arch->pixel_std);
    } else if (!(arch->family == MM_FAMILY_VIT ? read_vit_key(r, key, value) : read_tiny_vit_key(r, key, value))) {
        complain(r, "unknown key %s for the family %s", key, family_name(arch->family));
    }
}

/* The stride follows from what halves the grid; given, it must agree. */
static void check_stride(reader *r, uint32_t stride)
{
    const mm_arch *arch = &r->draft->arch;
    uint32_t actual = arch->vit.patch_size;
    if (arch->family == MM_FAMILY_TINY_VIT) {
        actual = 4;
        for (int i = 0; i < 3; i++)
            actual *= arch->tiny.downsample_between[i] ? 2 : 1;
        if (!r->draft->halving_told)
            return;
    }
    if (stride != 0 && stride != actual)
        complain(r, "embedding_stride is %u, but the stages say %u", stride, actual);
}

mm_status mm_arch_apply_config(const char *json, size_t length, const char *source, mm_arch_draft *draft,
                               mm_error *err)
{
    json_error_t where;
    json_t *root = json_loadb(json, length, JSON_REJECT_DUPLICATES, &where);
    if (!root)
        return mm_fail(err, MM_ERR_USAGE, "%s: line %d: %s", source, where.line, where.text);
    reader r = {.source = source, .draft = draft, .err = err, .status = MM_OK};
    if (!json_is_object(root))
        complain(&r, "is not a JSON object");
    const char *key;
    json_t *value;
    uint32_t stride = 0;
    json_object_foreach(root, key, value)
        read_key(&r, key, value, &stride);
    check_stride(&r, stride);
    json_decref(root);
    return r.status;
}

/* The shortest decimal that gives this f32 back, as the double nearest to that decimal. */
static json_t *colour_json(float value)
{
    char text[32];
    for (int precision = 6; precision <= 9; precision++) {
        (void)snprintf(text, sizeof text, "%.*g", precision, (double)value);
        if (strtof(text, NULL) == value)
            break;
    }
    return json_real(strtod(text, NULL));
}

static json_t *colours_json(const float colours[3])
{
    return json_pack("[o,o,o]", colour_json(colours[0]), colour_json(colours[1]), colour_json(colours[2]));
}

static json_t *stages_json(const uint32_t values[4])
{
    return json_pack("[i,i,i,i]", values[0], values[1], values[2], values[3]);
}

static json_t *vit_json(const mm_arch *arch)
{
    json_t *blocks = json_array();
    for (uint32_t i = 0; blocks && i < arch->vit.depth; i++)
        if (arch->vit.global_attention[i] && json_array_append_new(blocks, json_integer(i)) != 0) {
            json_decref(blocks);
            return NULL;
        }
    return json_pack("{s:i,s:i,s:i,s:i,s:f,s:i,s:o,s:b,s:b,s:b,s:i}", "patch_size", arch->vit.patch_size, "embed_dim",
                     arch->vit.embed_dim, "depth", arch->vit.depth, "num_heads", arch->vit.num_heads, "mlp_ratio",
                     (double)arch->vit.mlp_dim / arch->vit.embed_dim, "window_size", arch->vit.window_size,
                     "global_attention", blocks, "qkv_bias", arch->vit.qkv_bias, "abs_pos", arch->vit.abs_pos,
                     "rel_pos", arch->vit.rel_pos, "embedding_stride", arch->vit.patch_size);
}

static json_t *tiny_vit_json(const mm_arch *arch)
{
    const bool *halves = arch->tiny.downsample_between;
    return json_pack("{s:o,s:o,s:o,s:o,s:f,s:i,s:[b,b,b],s:i}", "embed_dims", stages_json(arch->tiny.embed_dims),
                     "depths", stages_json(arch->tiny.depths), "num_heads", stages_json(arch->tiny.num_heads),
                     "window_sizes", stages_json(arch->tiny.window_sizes), "mbconv_expand_ratio",
                     (double)arch->tiny.mbconv_hidden / arch->tiny.embed_dims[0], "local_conv_size",
                     arch->tiny.local_conv_size, "downsample_between_stages", halves[0], halves[1], halves[2],
                     "embedding_stride", arch->image_size / arch->embedding_side);
}

mm_status mm_arch_to_json(const mm_arch *arch, char **json, mm_error *err)
{
    *json = NULL;
    json_t *decoder = json_pack("{s:i,s:i,s:i,s:i,s:i,s:i}", "depth", arch->decoder.depth, "num_heads",
                                arch->decoder.num_heads, "mlp_dim", arch->decoder.mlp_dim, "num_multimask_outputs",
                                arch->decoder.mask_tokens - 1, "iou_head_depth", arch->decoder.iou_head_depth,
                                "iou_head_hidden_dim", arch->decoder.iou_head_hidden_dim);
    json_t *root = json_pack("{s:s,s:i,s:i,s:i,s:o,s:o,s:o}", "family", family_name(arch->family), "image_size",
                             arch->image_size, "prompt_embed_dim", arch->prompt_embed_dim, "mask_in_chans",
                             arch->mask_in_chans, "decoder", decoder, "pixel_mean", colours_json(arch->pixel_mean),
                             "pixel_std", colours_json(arch->pixel_std));
    json_t *encoder = arch->family == MM_FAMILY_VIT ? vit_json(arch) : tiny_vit_json(arch);
    if (root && encoder && json_object_update(root, encoder) == 0)
        *json = json_dumps(root, JSON_COMPACT | JSON_REAL_PRECISION(9));
    json_decref(root);
    json_decref(encoder);
    return *json ? MM_OK : mm_fail_memory(err, "a model's description");
}
