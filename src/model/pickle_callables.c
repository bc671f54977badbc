/* The callables that a state dict's pickle names, and what each stands for. None of them runs anything. */
#include <string.h>

#include "pickle_machine.h"

typedef struct known_global {
    const char *module, *name;
    mm_pickle_global which;
    mm_dtype dtype;
} known_global;

static const known_global known_globals[] = {
    {"collections", "OrderedDict", MM_PICKLE_ORDERED_DICT, MM_F32},
    {"torch._utils", "_rebuild_tensor_v2", MM_PICKLE_REBUILD_TENSOR, MM_F32},
    {"torch._utils", "_rebuild_parameter", MM_PICKLE_REBUILD_PARAMETER, MM_F32},
    {"torch", "FloatStorage", MM_PICKLE_STORAGE_CLASS, MM_F32},
    {"torch", "HalfStorage", MM_PICKLE_STORAGE_CLASS, MM_F16},
    {"torch", "BFloat16Storage", MM_PICKLE_STORAGE_CLASS, MM_BF16},
    {"torch", "LongStorage", MM_PICKLE_STORAGE_CLASS, MM_I64},
};

static bool text_is(const char *text, size_t length, const char *expected)
{
    return length == strlen(expected) && memcmp(text, expected, length) == 0;
}

static bool ends_in(const char *text, size_t length, const char *suffix)
{
    const size_t n = strlen(suffix);
    return length > n && memcmp(text + length - n, suffix, n) == 0;
}

/* For messages: a name from a hostile file must not steer the terminal that shows it. */
static void copy_printable(char *out, size_t room, const char *text, size_t length)
{
    size_t n = length < room - 1 ? length : room - 1;
    for (size_t i = 0; i < n; i++)
        out[i] = text[i] > 0x20 && text[i] < 0x7f ? text[i] : '?';
    out[n] = '\0';
}

mm_status mm_pickle_find_global(const char *module, size_t module_length, const char *name, size_t name_length,
                                mm_pickle_value *value, mm_error *err)
{
    for (size_t i = 0; i < sizeof known_globals / sizeof known_globals[0]; i++) {
        const known_global *known = &known_globals[i];
        if (text_is(module, module_length, known->module) && text_is(name, name_length, known->name)) {
            value->global.which = known->which;
            value->global.dtype = known->dtype;
            return MM_OK;
        }
    }
    char shown_module[64], shown_name[64];
    copy_printable(shown_module, sizeof shown_module, module, module_length);
    copy_printable(shown_name, sizeof shown_name, name, name_length);
    if (text_is(module, module_length, "torch") && ends_in(name, name_length, "Storage"))
        return mm_fail(err, MM_ERR_UNSUPPORTED, "holds tensors of torch.%s; float32, float16, bfloat16 and int64 can be "
                       "read", shown_name);
    return mm_fail(err, MM_ERR_UNSUPPORTED,
                   "refuses to run %s.%s: a checkpoint must be a plain state dict of tensors, saved with "
                   "torch.save(model.state_dict(), FILE)",
                   shown_module, shown_name);
}

/* _rebuild_tensor_v2(storage, storage_offset, size, stride, requires_grad, backward_hooks, metadata=None) */
static mm_status rebuild_tensor(mm_pickle_machine *machine, mm_pickle_ref arguments, mm_pickle_ref *result,
                                mm_error *err)
{
    const mm_pickle_value *tuple = &machine->values[arguments];
    const mm_pickle_value *offset = mm_pickle_item(machine, tuple, 1, MM_PICKLE_INT);
    if (!mm_pickle_item(machine, tuple, 0, MM_PICKLE_STORAGE) || !offset || offset->integer < 0 ||
        !mm_pickle_item(machine, tuple, 2, MM_PICKLE_TUPLE) || !mm_pickle_item(machine, tuple, 3, MM_PICKLE_TUPLE))
        return mm_fail(err, MM_ERR_FORMAT, "a tensor is not built from storage, offset, size and stride");
    const uint64_t first = (uint64_t)offset->integer;
    const mm_pickle_ref storage = mm_pickle_item_ref(machine, tuple, 0);
    const mm_pickle_ref size = mm_pickle_item_ref(machine, tuple, 2);
    const mm_pickle_ref stride = mm_pickle_item_ref(machine, tuple, 3);
    *result = mm_pickle_new(machine, MM_PICKLE_TENSOR, err); /* may move the values */
    if (!*result)
        return err->status;
    machine->values[*result].tensor.storage = storage;
    machine->values[*result].tensor.size = size;
    machine->values[*result].tensor.stride = stride;
    machine->values[*result].tensor.offset = first;
    return MM_OK;
}

mm_status mm_pickle_reduce(mm_pickle_machine *machine, mm_pickle_ref callable, mm_pickle_ref arguments,
                           mm_pickle_ref *result, mm_error *err)
{
    const mm_pickle_value *function = &machine->values[callable], *tuple = &machine->values[arguments];
    if (function->kind != MM_PICKLE_GLOBAL || tuple->kind != MM_PICKLE_TUPLE)
        return mm_fail(err, MM_ERR_FORMAT, "calls something that is not a function");
    switch (function->global.which) {
    case MM_PICKLE_ORDERED_DICT:
        if (tuple->items.count > 0)
            return mm_fail(err, MM_ERR_UNSUPPORTED, "an OrderedDict is built from arguments; re-save the state dict "
                                                    "with Python 3 and PyTorch 1.6 or later");
        *result = mm_pickle_new(machine, MM_PICKLE_DICT, err);
        return *result ? MM_OK : err->status;
    case MM_PICKLE_REBUILD_TENSOR:
        return rebuild_tensor(machine, arguments, result, err);
    case MM_PICKLE_REBUILD_PARAMETER: /* (tensor, requires_grad, backward_hooks) */
        if (!mm_pickle_item(machine, tuple, 0, MM_PICKLE_TENSOR))
            return mm_fail(err, MM_ERR_FORMAT, "a parameter is not built from a tensor");
        *result = mm_pickle_item_ref(machine, tuple, 0);
        return MM_OK;
    case MM_PICKLE_STORAGE_CLASS:
        break;
    }
    return mm_fail(err, MM_ERR_FORMAT, "calls a storage class, which no state dict does");
}

mm_status mm_pickle_load_storage(mm_pickle_machine *machine, mm_pickle_ref id, mm_pickle_ref *result, mm_error *err)
{
    const mm_pickle_value *tuple = &machine->values[id];
    const mm_pickle_value *word = mm_pickle_item(machine, tuple, 0, MM_PICKLE_TEXT);
    const mm_pickle_value *class = mm_pickle_item(machine, tuple, 1, MM_PICKLE_GLOBAL);
    const mm_pickle_value *elements = mm_pickle_item(machine, tuple, 4, MM_PICKLE_INT);
    if (!word || !text_is(word->text.bytes, word->text.length, "storage") || !class ||
        class->global.which != MM_PICKLE_STORAGE_CLASS || !mm_pickle_item(machine, tuple, 2, MM_PICKLE_TEXT) ||
        !elements || elements->integer < 0)
        return mm_fail(err, MM_ERR_FORMAT, "a persistent id is not that of a tensor's storage");
    const mm_dtype dtype = class->global.dtype;
    const uint64_t count = (uint64_t)elements->integer;
    const mm_pickle_ref key = mm_pickle_item_ref(machine, tuple, 2);
    *result = mm_pickle_new(machine, MM_PICKLE_STORAGE, err); /* may move the values */
    if (!*result)
        return err->status;
    machine->values[*result].storage.key = key;
    machine->values[*result].storage.dtype = dtype;
    machine->values[*result].storage.elements = count;
    return MM_OK;
}
