#include "train/parameters.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "model/arch_internal.h"
#include "tensor/memory.h"

enum { NAME_SIZE = 192 };

static bool is_trained(const char *name)
{
    return strncmp(name, "image_encoder.", 14) != 0 &&
           strcmp(name, "prompt_encoder.pe_layer.positional_encoding_gaussian_matrix") != 0;
}

static mm_status add_tensor(void *user, const char *name, uint32_t dims, const uint64_t *shape, mm_error *err)
{
    mm_parameters *parameters = user;
    if (!is_trained(name))
        return MM_OK;
    if (parameters->count % 64 == 0) {
        mm_parameter *grown = realloc(parameters->list, (parameters->count + 64) * sizeof *grown);
        if (!grown)
            return mm_fail_memory(err, "the list of trained tensors");
        parameters->list = grown;
    }
    mm_parameter *parameter = &parameters->list[parameters->count];
    *parameter = (mm_parameter){.name = strdup(name), .dims = dims, .offset = parameters->floats, .elements = 1};
    if (!parameter->name)
        return mm_fail_memory(err, "the list of trained tensors");
    parameters->count++;
    for (uint32_t d = 0; d < dims; d++) {
        parameter->shape[d] = shape[d];
        parameter->elements *= (size_t)shape[d];
    }
    /* Each begins on a cache line; what is between stays zero. */
    parameters->floats += (parameter->elements + 15) / 16 * 16;
    return MM_OK;
}

mm_status mm_parameters_make(const mm_arch *arch, mm_parameters *parameters, mm_error *err)
{
    *parameters = (mm_parameters){0};
    const mm_status status = mm_arch_each_tensor(arch, add_tensor, parameters, err);
    if (status != MM_OK)
        mm_parameters_free(parameters);
    return status;
}

void mm_parameters_free(mm_parameters *parameters)
{
    for (size_t i = 0; i < parameters->count; i++)
        free(parameters->list[i].name);
    free(parameters->list);
    *parameters = (mm_parameters){0};
}

const mm_parameter *mm_parameters_find(const mm_parameters *parameters, const char *format, ...)
{
    char name[NAME_SIZE];
    va_list arguments;
    va_start(arguments, format);
    const int length = vsnprintf(name, sizeof name, format, arguments);
    va_end(arguments);
    if (length < 0 || (size_t)length >= sizeof name)
        return NULL;
    for (size_t i = 0; i < parameters->count; i++)
        if (strcmp(parameters->list[i].name, name) == 0)
            return &parameters->list[i];
    return NULL;
}

/* Where element i of a tensor in its file's order stands in ours. */
static size_t place_of(const mm_parameter *parameter, size_t i)
{
    const uint64_t *shape = parameter->shape;
    if (parameter->dims != 4 || shape[2] != 2 || shape[3] != 2)
        return i;
    const size_t k = i % 4, column = i / 4 % (size_t)shape[1], row = i / 4 / (size_t)shape[1];
    if (strncmp(parameter->name, "mask_decoder.output_upscaling.", 30) == 0)
        return (k * (size_t)shape[1] + column) * (size_t)shape[0] + row;
    return (row * 4 + k) * (size_t)shape[1] + column;
}

void mm_parameter_to_file(const mm_parameter *parameter, const float *values, float *out)
{
    for (size_t i = 0; i < parameter->elements; i++)
        out[i] = values[parameter->offset + place_of(parameter, i)];
}

void mm_parameter_from_file(const mm_parameter *parameter, const float *in, float *values)
{
    for (size_t i = 0; i < parameter->elements; i++)
        values[parameter->offset + place_of(parameter, i)] = in[i];
}

mm_status mm_parameters_read(const mm_parameters *parameters, const mm_checkpoint *checkpoint, float *values,
                             mm_error *err)
{
    size_t most = 0;
    for (size_t i = 0; i < parameters->count; i++)
        most = parameters->list[i].elements > most ? parameters->list[i].elements : most;
    float *stored = mm_floats(most);
    if (!stored)
        return mm_fail_memory(err, "the model's weights");
    memset(values, 0, parameters->floats * sizeof *values);
    mm_status status = MM_OK;
    for (size_t i = 0; i < parameters->count && status == MM_OK; i++) {
        const mm_parameter *parameter = &parameters->list[i];
        status = mm_checkpoint_read_f32(checkpoint, parameter->name, stored, parameter->elements, err);
        if (status == MM_OK)
            mm_parameter_from_file(parameter, stored, values);
    }
    free(stored);
    return status;
}

void mm_parameters_decay(const mm_parameters *parameters, float *decay)
{
    memset(decay, 0, parameters->floats * sizeof *decay);
    for (size_t i = 0; i < parameters->count; i++) {
        const mm_parameter *parameter = &parameters->list[i];
        const bool table = strstr(parameter->name, "_embed") || strstr(parameter->name, "_token");
        for (size_t k = 0; parameter->dims >= 2 && !table && k < parameter->elements; k++)
            decay[parameter->offset + k] = 1;
    }
}
