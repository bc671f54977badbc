#include "model/weights.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "model/checkpoint_internal.h"

enum { NAME_SIZE = 192 };

static float *out_of_memory(mm_weights *weights)
{
    weights->status = mm_fail_memory(weights->err, "the model's weights");
    return NULL;
}

float *mm_weights_new(mm_weights *weights, uint64_t elements)
{
    if (weights->status != MM_OK)
        return NULL;
    float *block = mm_arena_floats(weights->arena, elements);
    return block ? block : out_of_memory(weights);
}

static float *copy_named(mm_weights *weights, uint64_t elements, const char *name)
{
    float *block = mm_weights_new(weights, elements);
    if (!block)
        return NULL;
    weights->status = mm_checkpoint_read_f32(weights->checkpoint, name, block, elements, weights->err);
    return weights->status == MM_OK ? block : NULL;
}

static const float *get_named(mm_weights *weights, uint64_t elements, const char *name)
{
    if (weights->status != MM_OK)
        return NULL;
    const mm_tensor *tensor = mm_checkpoint_find(weights->checkpoint, name);
    if (tensor && tensor->dtype == MM_F32 && tensor->elements == elements &&
        (uintptr_t)tensor->data % sizeof(float) == 0)
        return tensor->data;
    return copy_named(weights, elements, name);
}

static void format_name(char *name, const char *format, va_list arguments)
{
    /* Names are short and ours; one that were cut would not be found, which is reported. */
    if (vsnprintf(name, NAME_SIZE, format, arguments) < 0)
        name[0] = '\0';
}

const float *mm_weights_get(mm_weights *weights, uint64_t elements, const char *name_format, ...)
{
    char name[NAME_SIZE];
    va_list arguments;
    va_start(arguments, name_format);
    format_name(name, name_format, arguments);
    va_end(arguments);
    return get_named(weights, elements, name);
}

static const float *get_suffixed(mm_weights *weights, uint64_t elements, const char *prefix, const char *suffix)
{
    char name[NAME_SIZE + 32];
    if (snprintf(name, sizeof name, "%s.%s", prefix, suffix) < 0)
        name[0] = '\0';
    return get_named(weights, elements, name);
}

mm_linear mm_weights_linear(mm_weights *weights, size_t in, size_t out, bool bias, const char *prefix_format, ...)
{
    char prefix[NAME_SIZE];
    va_list arguments;
    va_start(arguments, prefix_format);
    format_name(prefix, prefix_format, arguments);
    va_end(arguments);
    return (mm_linear){.weight = get_suffixed(weights, (uint64_t)in * out, prefix, "weight"),
                       .bias = bias ? get_suffixed(weights, out, prefix, "bias") : NULL,
                       .in = in,
                       .out = out};
}

mm_bf16 *mm_weights_new_bf16(mm_weights *weights, uint64_t elements)
{
    return (mm_bf16 *)mm_weights_new(weights, (elements + 1) / 2);
}

static void pack(mm_weights *weights, mm_linear *linear, const float *weight)
{
    const size_t count = mm_packed_count(linear->out, linear->in);
    mm_bf16 *values = mm_weights_new_bf16(weights, count);
    if (!values || !weight)
        return;
    mm_pack_weight(weight, linear->in, linear->out, linear->in, values);
    linear->packed = (mm_packed){.n = linear->out, .k = linear->in, .values = values};
    if (weights->widest < linear->in)
        weights->widest = linear->in;
}

void mm_weights_pack(mm_weights *weights, mm_linear *linear)
{
    if (weights->bf16)
        pack(weights, linear, linear->weight);
}

mm_linear mm_weights_layer(mm_weights *weights, size_t in, size_t out, bool bias, const char *prefix_format, ...)
{
    char prefix[NAME_SIZE];
    va_list arguments;
    va_start(arguments, prefix_format);
    format_name(prefix, prefix_format, arguments);
    va_end(arguments);
    if (!weights->bf16)
        return mm_weights_linear(weights, in, out, bias, "%s", prefix);
    mm_linear linear = {.bias = bias ? get_suffixed(weights, out, prefix, "bias") : NULL, .in = in, .out = out};
    /* What has to be converted to f32 on the way lives in an arena of its own, so that it does not stay. */
    mm_arena passing = {0}, *const arena = weights->arena;
    weights->arena = &passing;
    const float *weight = get_suffixed(weights, (uint64_t)in * out, prefix, "weight");
    weights->arena = arena;
    pack(weights, &linear, weight);
    mm_arena_free(&passing);
    /* One layer of the file at a time: what was packed is not read again. */
    mm_checkpoint_release_pages(weights->checkpoint);
    return linear;
}

mm_norm mm_weights_norm(mm_weights *weights, size_t channels, float eps, const char *prefix_format, ...)
{
    char prefix[NAME_SIZE];
    va_list arguments;
    va_start(arguments, prefix_format);
    format_name(prefix, prefix_format, arguments);
    va_end(arguments);
    return (mm_norm){.weight = get_suffixed(weights, channels, prefix, "weight"),
                     .bias = get_suffixed(weights, channels, prefix, "bias"),
                     .eps = eps};
}

mm_linear mm_weights_conv_bn(mm_weights *weights, size_t per, size_t out, const char *prefix_format, ...)
{
    char prefix[NAME_SIZE];
    va_list arguments;
    va_start(arguments, prefix_format);
    format_name(prefix, prefix_format, arguments);
    va_end(arguments);
    const float *conv = get_suffixed(weights, (uint64_t)per * out, prefix, "c.weight");
    const float *gamma = get_suffixed(weights, out, prefix, "bn.weight");
    const float *beta = get_suffixed(weights, out, prefix, "bn.bias");
    const float *mean = get_suffixed(weights, out, prefix, "bn.running_mean");
    const float *variance = get_suffixed(weights, out, prefix, "bn.running_var");
    float *folded = mm_weights_new(weights, (uint64_t)per * out);
    float *bias = mm_weights_new(weights, out);
    if (weights->status != MM_OK)
        return (mm_linear){.in = per, .out = out};
    for (size_t o = 0; o < out; o++) {
        const double scale = (double)gamma[o] / sqrt((double)variance[o] + 1e-5);
        for (size_t i = 0; i < per; i++)
            folded[o * per + i] = (float)((double)conv[o * per + i] * scale);
        bias[o] = (float)((double)beta[o] - (double)mean[o] * scale);
    }
    return (mm_linear){.weight = folded, .bias = bias, .in = per, .out = out};
}

const float *mm_weights_channels_last(mm_weights *weights, const float *weight, size_t in, size_t out)
{
    float *turned = mm_weights_new(weights, (uint64_t)in * out * 9);
    if (!turned || !weight)
        return NULL;
    for (size_t o = 0; o < out; o++)
        for (size_t i = 0; i < in; i++)
            for (size_t k = 0; k < 9; k++)
                turned[(o * 9 + k) * in + i] = weight[(o * in + i) * 9 + k];
    return turned;
}
