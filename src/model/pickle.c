/* From the graph of values that the pickle machine made to the list of tensors of the state dict. */
#include "pickle.h"

#include <stdlib.h>
#include <string.h>

#include "checkpoint_internal.h"
#include "pickle_machine.h"

static bool is_text(const mm_pickle_value *value, const char *expected)
{
    return value->kind == MM_PICKLE_TEXT && value->text.length == strlen(expected) &&
           memcmp(value->text.bytes, expected, value->text.length) == 0;
}

/* The dict under `key` in `dict`, or 0. */
static mm_pickle_ref dict_under(const mm_pickle_machine *machine, mm_pickle_ref dict, const char *key)
{
    mm_pickle_ref cell = machine->values[dict].items.first;
    while (cell) {
        const mm_pickle_ref value = machine->cells[machine->cells[cell].next].value;
        if (is_text(&machine->values[machine->cells[cell].value], key) &&
            machine->values[value].kind == MM_PICKLE_DICT)
            return value;
        cell = machine->cells[machine->cells[cell].next].next;
    }
    return 0;
}

static mm_status find_state_dict(const mm_pickle_machine *machine, mm_pickle_ref root, mm_pickle_ref *dict,
                                 mm_error *err)
{
    static const char *const wrappers[] = {"model", "state_dict", "model_state_dict"};
    if (machine->values[root].kind != MM_PICKLE_DICT)
        return mm_fail(err, MM_ERR_FORMAT, "holds no state dict; save it with torch.save(model.state_dict(), FILE)");
    *dict = root;
    for (size_t i = 0; i < sizeof wrappers / sizeof wrappers[0]; i++) {
        const mm_pickle_ref inner = dict_under(machine, root, wrappers[i]);
        if (inner) {
            *dict = inner;
            break;
        }
    }
    return MM_OK;
}

static bool copy_integers(const mm_pickle_machine *machine, mm_pickle_ref tuple, uint64_t *out, uint32_t *count)
{
    const mm_pickle_value *value = &machine->values[tuple];
    if (value->items.count > MM_MAX_DIMS)
        return false;
    *count = value->items.count;
    for (uint32_t i = 0; i < *count; i++) {
        const mm_pickle_value *item = mm_pickle_item(machine, value, i, MM_PICKLE_INT);
        if (!item || item->integer < 0)
            return false;
        out[i] = (uint64_t)item->integer;
    }
    return true;
}

/* Whether the last element that the view reaches lies in the storage, and the view is no larger than the storage
 * (a stride of 0 could claim any size). */
static bool view_fits(const mm_pickle_tensor *tensor)
{
    uint64_t elements, last = tensor->offset;
    if (!mm_shape_elements(tensor->shape, tensor->dims, &elements) || elements > tensor->storage_elements)
        return false;
    if (elements == 0)
        return tensor->offset <= tensor->storage_elements;
    for (uint32_t d = 0; d < tensor->dims; d++) {
        uint64_t reach;
        if (__builtin_mul_overflow(tensor->shape[d] - 1, tensor->stride[d], &reach) ||
            __builtin_add_overflow(last, reach, &last))
            return false;
    }
    return last < tensor->storage_elements;
}

static mm_status describe(const mm_pickle_machine *machine, const mm_pickle_value *key, const mm_pickle_value *value,
                          mm_pickle_tensor *out, mm_error *err)
{
    if (key->kind != MM_PICKLE_TEXT)
        return mm_fail(err, MM_ERR_FORMAT, "a key of the state dict is no text");
    const mm_status status = mm_checkpoint_check_name(key->text.bytes, key->text.length, err);
    if (status != MM_OK)
        return status;
    const int length = (int)key->text.length;
    const char *name = key->text.bytes;
    if (value->kind != MM_PICKLE_TENSOR)
        return mm_fail(err, MM_ERR_FORMAT, "%.*s is no tensor; save only model.state_dict()", length, name);
    const mm_pickle_value *storage = &machine->values[value->tensor.storage];
    const mm_pickle_value *storage_key = &machine->values[storage->storage.key];
    *out = (mm_pickle_tensor){.name = name, .name_length = key->text.length, .key = storage_key->text.bytes,
                              .key_length = storage_key->text.length, .dtype = storage->storage.dtype,
                              .storage_elements = storage->storage.elements, .offset = value->tensor.offset};
    uint32_t strides = 0;
    if (!copy_integers(machine, value->tensor.size, out->shape, &out->dims) ||
        !copy_integers(machine, value->tensor.stride, out->stride, &strides) || strides != out->dims)
        return mm_fail(err, MM_ERR_FORMAT, "tensor %.*s: its sizes and strides are not lists of up to %d counts", length,
                       name, MM_MAX_DIMS);
    if (!view_fits(out))
        return mm_fail(err, MM_ERR_FORMAT, "tensor %.*s reaches beyond its storage", length, name);
    return MM_OK;
}

mm_status mm_pickle_read(const unsigned char *data, size_t size, mm_pickle_tensor **tensors, size_t *count,
                         mm_error *err)
{
    *tensors = NULL;
    *count = 0;
    mm_pickle_machine machine;
    mm_pickle_ref root = 0, dict = 0;
    mm_status status = mm_pickle_run(&machine, data, size, &root, err);
    if (status == MM_OK)
        status = find_state_dict(&machine, root, &dict, err);
    const size_t entries = status == MM_OK ? machine.values[dict].items.count / 2 : 0;
    if (entries > MM_CHECKPOINT_MAX_TENSORS)
        status = mm_fail(err, MM_ERR_LIMIT, "more than %u tensors; no Segment Anything model has so many",
                         MM_CHECKPOINT_MAX_TENSORS);
    mm_pickle_tensor *list = NULL;
    if (status == MM_OK) {
        list = calloc(entries + 1, sizeof *list);
        if (!list)
            status = mm_fail_memory(err, "the table of tensors");
    }
    mm_pickle_ref cell = status == MM_OK ? machine.values[dict].items.first : 0;
    for (size_t i = 0; status == MM_OK && i < entries; i++) {
        const mm_pickle_ref value = machine.cells[cell].next;
        status = describe(&machine, &machine.values[machine.cells[cell].value],
                          &machine.values[machine.cells[value].value], &list[i], err);
        cell = machine.cells[value].next;
    }
    mm_pickle_free(&machine);
    if (status != MM_OK) {
        free(list);
        return status;
    }
    *tensors = list;
    *count = entries;
    return MM_OK;
}
