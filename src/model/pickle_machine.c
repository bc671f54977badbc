/* The opcodes that torch.save writes (pickle protocol 2, and 4's few others), one small step each.
 *
 * Bounds: every opcode makes at most one value and as many cells as it takes off the stack, so memory is limited by the
 * pickle's length; the limits below cut off long before that. Values may form cycles through the memo; nothing here
 * or in pickle.c follows references deeper than a fixed few levels, so neither cycles nor deep nesting matter. */
#include "pickle_machine.h"

#include <stdlib.h>
#include <string.h>

#define MAX_VALUES (1u << 18) /* ViT-H makes some 12000 */
#define MAX_CELLS (1u << 19)
#define MAX_STACK (1u << 16) /* SETITEMS comes in batches of 1000 pairs */
#define MAX_MARKS 256u
#define MAX_MEMO (1u << 18)
#define MAX_GLOBAL 128u

static mm_status too_large(mm_error *err, const char *what)
{
    return mm_fail(err, MM_ERR_LIMIT, "%s beyond what a state dict needs", what);
}

/* Room for one more element in an array of `room` elements, up to `limit`. */
static mm_status grow(void **array, uint32_t count, uint32_t *room, uint32_t limit, size_t size, const char *what,
                      mm_error *err)
{
    if (count < *room)
        return MM_OK;
    if (count >= limit)
        return too_large(err, what);
    const uint32_t wanted = *room ? (*room > limit / 2 ? limit : 2 * *room) : 64;
    void *grown = realloc(*array, wanted * size);
    if (!grown)
        return mm_fail_memory(err, "a checkpoint's table of contents");
    *array = grown;
    *room = wanted;
    return MM_OK;
}

mm_pickle_ref mm_pickle_new(mm_pickle_machine *machine, mm_pickle_kind kind, mm_error *err)
{
    if (grow((void **)&machine->values, machine->value_count, &machine->value_room, MAX_VALUES,
             sizeof *machine->values, "more values", err) != MM_OK)
        return 0;
    machine->values[machine->value_count] = (mm_pickle_value){.kind = kind};
    return machine->value_count++;
}

static mm_status append_cell(mm_pickle_machine *machine, mm_pickle_ref container, mm_pickle_ref value, mm_error *err)
{
    const mm_status status = grow((void **)&machine->cells, machine->cell_count, &machine->cell_room, MAX_CELLS,
                                  sizeof *machine->cells, "more items", err);
    if (status != MM_OK)
        return status;
    const mm_pickle_ref cell = machine->cell_count++;
    machine->cells[cell] = (mm_pickle_cell){.value = value};
    mm_pickle_value *holder = &machine->values[container];
    if (holder->items.last)
        machine->cells[holder->items.last].next = cell;
    else
        holder->items.first = cell;
    holder->items.last = cell;
    holder->items.count++;
    return MM_OK;
}

mm_pickle_ref mm_pickle_item_ref(const mm_pickle_machine *machine, const mm_pickle_value *tuple, uint32_t index)
{
    if (tuple->kind != MM_PICKLE_TUPLE || index >= tuple->items.count)
        return 0;
    mm_pickle_ref cell = tuple->items.first;
    for (uint32_t i = 0; i < index; i++)
        cell = machine->cells[cell].next;
    return machine->cells[cell].value;
}

const mm_pickle_value *mm_pickle_item(const mm_pickle_machine *machine, const mm_pickle_value *tuple, uint32_t index,
                                      mm_pickle_kind kind)
{
    const mm_pickle_ref ref = mm_pickle_item_ref(machine, tuple, index);
    return ref && machine->values[ref].kind == kind ? &machine->values[ref] : NULL;
}

static mm_status push(mm_pickle_machine *machine, mm_pickle_ref value, mm_error *err)
{
    const mm_status status = grow((void **)&machine->stack, machine->stack_count, &machine->stack_room, MAX_STACK,
                                  sizeof *machine->stack, "a deeper stack", err);
    if (status == MM_OK)
        machine->stack[machine->stack_count++] = value;
    return status;
}

static mm_status push_new(mm_pickle_machine *machine, mm_pickle_kind kind, mm_pickle_ref *ref, mm_error *err)
{
    *ref = mm_pickle_new(machine, kind, err);
    return *ref ? push(machine, *ref, err) : err->status;
}

static mm_status push_integer(mm_pickle_machine *machine, int64_t integer, mm_error *err)
{
    mm_pickle_ref ref = 0;
    const mm_status status = push_new(machine, MM_PICKLE_INT, &ref, err);
    if (status == MM_OK)
        machine->values[ref].integer = integer;
    return status;
}

/* How many values lie above the topmost mark, or on the whole stack. */
static uint32_t above_mark(const mm_pickle_machine *machine)
{
    return machine->stack_count - (machine->mark_count ? machine->marks[machine->mark_count - 1] : 0);
}

static mm_status need(const mm_pickle_machine *machine, uint32_t values, mm_error *err)
{
    if (above_mark(machine) < values)
        return mm_fail(err, MM_ERR_FORMAT, "takes more from the stack than is there");
    return MM_OK;
}

/* Take the topmost mark away; *count values lie above where it was. */
static mm_status pop_mark(mm_pickle_machine *machine, uint32_t *count, mm_error *err)
{
    if (machine->mark_count == 0)
        return mm_fail(err, MM_ERR_FORMAT, "closes a group that was not opened");
    *count = above_mark(machine);
    machine->mark_count--;
    return MM_OK;
}

static mm_status take(mm_pickle_machine *machine, size_t length, const unsigned char **bytes, mm_error *err)
{
    if (length > machine->size - machine->at)
        return mm_fail(err, MM_ERR_FORMAT, "ends in the middle: the file was cut");
    *bytes = machine->data + machine->at;
    machine->at += length;
    return MM_OK;
}

/* A little-endian unsigned integer of `length` <= 8 bytes. */
static mm_status take_number(mm_pickle_machine *machine, uint32_t length, uint64_t *number, mm_error *err)
{
    const unsigned char *bytes = NULL;
    const mm_status status = take(machine, length, &bytes, err);
    *number = 0;
    for (uint32_t i = 0; status == MM_OK && i < length; i++)
        *number |= (uint64_t)bytes[i] << (8 * i);
    return status;
}

/* LONG1: a length byte and that many bytes in two's complement. */
static mm_status push_long(mm_pickle_machine *machine, mm_error *err)
{
    uint64_t length = 0, number = 0;
    mm_status status = take_number(machine, 1, &length, err);
    if (status == MM_OK && length > 8)
        return too_large(err, "an integer");
    if (status == MM_OK)
        status = take_number(machine, (uint32_t)length, &number, err);
    if (status != MM_OK)
        return status;
    if (length > 0 && length < 8 && number >> (8 * length - 1))
        number |= UINT64_MAX << (8 * length);
    return push_integer(machine, (int64_t)number, err);
}

/* A text with its length in `width` bytes before it. */
static mm_status push_text(mm_pickle_machine *machine, uint32_t width, mm_error *err)
{
    uint64_t length = 0;
    const unsigned char *bytes = NULL;
    mm_pickle_ref ref = 0;
    mm_status status = take_number(machine, width, &length, err);
    if (status == MM_OK)
        status = take(machine, (size_t)length, &bytes, err);
    if (status == MM_OK)
        status = push_new(machine, MM_PICKLE_TEXT, &ref, err);
    if (status != MM_OK)
        return status;
    machine->values[ref].text.bytes = (const char *)bytes;
    machine->values[ref].text.length = (size_t)length;
    return MM_OK;
}

static mm_status take_line(mm_pickle_machine *machine, const char **line, size_t *length, mm_error *err)
{
    const unsigned char *start = machine->data + machine->at;
    const size_t left = machine->size - machine->at, reach = left < MAX_GLOBAL ? left : MAX_GLOBAL;
    const unsigned char *end = memchr(start, '\n', reach);
    if (!end)
        return mm_fail(err, MM_ERR_FORMAT, "names a function without an end");
    *line = (const char *)start;
    *length = (size_t)(end - start);
    machine->at += *length + 1;
    return MM_OK;
}

static mm_status push_found_global(mm_pickle_machine *machine, const char *module, size_t module_length,
                                   const char *name, size_t name_length, mm_error *err)
{
    mm_pickle_value found = {.kind = MM_PICKLE_GLOBAL};
    mm_status status = mm_pickle_find_global(module, module_length, name, name_length, &found, err);
    mm_pickle_ref ref = 0;
    if (status == MM_OK)
        status = push_new(machine, MM_PICKLE_GLOBAL, &ref, err);
    if (status == MM_OK)
        machine->values[ref] = found;
    return status;
}

static mm_status push_global(mm_pickle_machine *machine, mm_error *err)
{
    const char *module = NULL, *name = NULL;
    size_t module_length = 0, name_length = 0;
    mm_status status = take_line(machine, &module, &module_length, err);
    if (status == MM_OK)
        status = take_line(machine, &name, &name_length, err);
    return status == MM_OK ? push_found_global(machine, module, module_length, name, name_length, err) : status;
}

/* STACK_GLOBAL: module and name are the two topmost texts. */
static mm_status push_stack_global(mm_pickle_machine *machine, mm_error *err)
{
    const mm_status status = need(machine, 2, err);
    if (status != MM_OK)
        return status;
    machine->stack_count -= 2;
    const mm_pickle_value *module = &machine->values[machine->stack[machine->stack_count]];
    const mm_pickle_value *name = &machine->values[machine->stack[machine->stack_count + 1]];
    if (module->kind != MM_PICKLE_TEXT || name->kind != MM_PICKLE_TEXT)
        return mm_fail(err, MM_ERR_FORMAT, "names a function by something that is no text");
    return push_found_global(machine, module->text.bytes, module->text.length, name->text.bytes, name->text.length,
                             err);
}

/* The topmost `count` values, in their order, become the items of a new tuple. */
static mm_status push_tuple(mm_pickle_machine *machine, uint32_t count, mm_error *err)
{
    mm_status status = need(machine, count, err);
    if (status != MM_OK)
        return status;
    const mm_pickle_ref tuple = mm_pickle_new(machine, MM_PICKLE_TUPLE, err);
    if (!tuple)
        return err->status;
    machine->stack_count -= count;
    for (uint32_t i = 0; status == MM_OK && i < count; i++)
        status = append_cell(machine, tuple, machine->stack[machine->stack_count + i], err);
    return status == MM_OK ? push(machine, tuple, err) : status;
}

/* The topmost `count` values are appended to the list or dict below them. */
static mm_status append_items(mm_pickle_machine *machine, uint32_t count, mm_pickle_kind kind, mm_error *err)
{
    mm_status status = need(machine, count + 1, err);
    if (status != MM_OK)
        return status;
    machine->stack_count -= count;
    const mm_pickle_ref container = machine->stack[machine->stack_count - 1];
    if (machine->values[container].kind != kind || (kind == MM_PICKLE_DICT && count % 2 != 0))
        return mm_fail(err, MM_ERR_FORMAT, "appends to what is no list or dict");
    for (uint32_t i = 0; status == MM_OK && i < count; i++)
        status = append_cell(machine, container, machine->stack[machine->stack_count + i], err);
    return status;
}

static mm_status memo_put(mm_pickle_machine *machine, uint64_t index, mm_error *err)
{
    mm_status status = need(machine, 1, err);
    if (status != MM_OK)
        return status;
    if (index >= MAX_MEMO)
        return too_large(err, "a memo index");
    if (index >= machine->memo_room) {
        uint32_t room = machine->memo_room ? machine->memo_room : 256;
        while (room <= index)
            room *= 2;
        mm_pickle_ref *memo = realloc(machine->memo, room * sizeof *memo);
        if (!memo)
            return mm_fail_memory(err, "a checkpoint's table of contents");
        memset(memo + machine->memo_room, 0, (room - machine->memo_room) * sizeof *memo);
        machine->memo = memo;
        machine->memo_room = room;
    }
    machine->memo[index] = machine->stack[machine->stack_count - 1];
    return MM_OK;
}

static mm_status memo_get(mm_pickle_machine *machine, uint64_t index, mm_error *err)
{
    if (index >= machine->memo_room || !machine->memo[index])
        return mm_fail(err, MM_ERR_FORMAT, "asks for a value that was not stored");
    return push(machine, machine->memo[index], err);
}

/* REDUCE, BUILD and BINPERSID replace what they take by what comes of it. */
static mm_status reduce(mm_pickle_machine *machine, mm_error *err)
{
    mm_pickle_ref result = 0;
    mm_status status = need(machine, 2, err);
    if (status != MM_OK)
        return status;
    machine->stack_count -= 2;
    status = mm_pickle_reduce(machine, machine->stack[machine->stack_count], machine->stack[machine->stack_count + 1],
                              &result, err);
    return status == MM_OK ? push(machine, result, err) : status;
}

/* An OrderedDict's attributes (PyTorch's _metadata): dropped. */
static mm_status build(mm_pickle_machine *machine, mm_error *err)
{
    const mm_status status = need(machine, 2, err);
    if (status != MM_OK)
        return status;
    machine->stack_count--;
    if (machine->values[machine->stack[machine->stack_count - 1]].kind != MM_PICKLE_DICT)
        return mm_fail(err, MM_ERR_FORMAT, "sets attributes of something that is no dict");
    return MM_OK;
}

static mm_status persistent_id(mm_pickle_machine *machine, mm_error *err)
{
    mm_pickle_ref result = 0;
    mm_status status = need(machine, 1, err);
    if (status != MM_OK)
        return status;
    status = mm_pickle_load_storage(machine, machine->stack[--machine->stack_count], &result, err);
    return status == MM_OK ? push(machine, result, err) : status;
}

static mm_status push_mark(mm_pickle_machine *machine, mm_error *err)
{
    const mm_status status = grow((void **)&machine->marks, machine->mark_count, &machine->mark_room, MAX_MARKS,
                                  sizeof *machine->marks, "groups nested", err);
    if (status == MM_OK)
        machine->marks[machine->mark_count++] = machine->stack_count;
    return status;
}

static mm_status skip(mm_pickle_machine *machine, size_t length, mm_error *err)
{
    const unsigned char *unused = NULL;
    return take(machine, length, &unused, err);
}

/* INST: the class is named as GLOBAL names it, so the refusal can say which. */
static mm_status refuse_instance(mm_pickle_machine *machine, mm_error *err)
{
    const mm_status status = push_global(machine, err);
    return status == MM_OK ? mm_fail(err, MM_ERR_UNSUPPORTED, "makes an object, which no state dict needs") : status;
}

static mm_status step(mm_pickle_machine *machine, unsigned char opcode, mm_error *err)
{
    uint64_t number = 0;
    uint32_t count = 0;
    mm_pickle_ref ref = 0;
    mm_status status = MM_OK;
    switch (opcode) {
    case 0x80: /* PROTO */
        status = take_number(machine, 1, &number, err);
        if (status == MM_OK && (number < 2 || number > 5))
            return mm_fail(err, MM_ERR_UNSUPPORTED, "is of pickle protocol %u; re-save it with PyTorch's default",
                           (unsigned)number);
        return status;
    case 0x95: /* FRAME */
        return skip(machine, 8, err);
    case '(':
        return push_mark(machine, err);
    case ')':
        return push_new(machine, MM_PICKLE_TUPLE, &ref, err);
    case ']':
        return push_new(machine, MM_PICKLE_LIST, &ref, err);
    case '}':
        return push_new(machine, MM_PICKLE_DICT, &ref, err);
    case 'N':
        return push_new(machine, MM_PICKLE_NONE, &ref, err);
    case 'G': /* BINFLOAT: no tensor needs it, but a training checkpoint's other entries hold them */
        status = skip(machine, 8, err);
        return status == MM_OK ? push_new(machine, MM_PICKLE_NONE, &ref, err) : status;
    case 0x88: /* NEWTRUE, NEWFALSE */
    case 0x89:
        return push_integer(machine, opcode == 0x88, err);
    case 'K': /* BININT1, BININT2, BININT */
    case 'M':
    case 'J':
        status = take_number(machine, opcode == 'K' ? 1 : opcode == 'M' ? 2 : 4, &number, err);
        if (status != MM_OK)
            return status;
        return push_integer(machine, opcode == 'J' ? (int64_t)(int32_t)(uint32_t)number : (int64_t)number, err);
    case 0x8a:
        return push_long(machine, err);
    case 'X': /* BINUNICODE, SHORT_BINUNICODE */
        return push_text(machine, 4, err);
    case 0x8c:
        return push_text(machine, 1, err);
    case 't':
        status = pop_mark(machine, &count, err);
        return status == MM_OK ? push_tuple(machine, count, err) : status;
    case 0x85: /* TUPLE1 .. TUPLE3 */
    case 0x86:
    case 0x87:
        return push_tuple(machine, opcode - 0x84u, err);
    case 'a':
        return append_items(machine, 1, MM_PICKLE_LIST, err);
    case 's':
        return append_items(machine, 2, MM_PICKLE_DICT, err);
    case 'e': /* APPENDS, SETITEMS */
    case 'u':
        status = pop_mark(machine, &count, err);
        if (status != MM_OK)
            return status;
        return append_items(machine, count, opcode == 'e' ? MM_PICKLE_LIST : MM_PICKLE_DICT, err);
    case 'q': /* BINPUT, LONG_BINPUT */
    case 'r':
        status = take_number(machine, opcode == 'q' ? 1 : 4, &number, err);
        return status == MM_OK ? memo_put(machine, number, err) : status;
    case 0x94: /* MEMOIZE */
        return memo_put(machine, machine->memo_next++, err);
    case 'h': /* BINGET, LONG_BINGET */
    case 'j':
        status = take_number(machine, opcode == 'h' ? 1 : 4, &number, err);
        return status == MM_OK ? memo_get(machine, number, err) : status;
    case 'c':
        return push_global(machine, err);
    case 0x93:
        return push_stack_global(machine, err);
    case 'i':
        return refuse_instance(machine, err);
    case 'Q':
        return persistent_id(machine, err);
    case 'R':
        return reduce(machine, err);
    case 'b':
        return build(machine, err);
    default:
        return mm_fail(err, MM_ERR_UNSUPPORTED, "has the opcode 0x%02x, which no state dict needs", opcode);
    }
}

mm_status mm_pickle_run(mm_pickle_machine *machine, const unsigned char *data, size_t size, mm_pickle_ref *result,
                        mm_error *err)
{
    *machine = (mm_pickle_machine){.data = data, .size = size};
    mm_error local;
    if (!err)
        err = &local;
    /* Index 0 means none, of values as of cells. */
    machine->value_count = machine->cell_count = 1;
    mm_status status = grow((void **)&machine->values, 0, &machine->value_room, MAX_VALUES, sizeof *machine->values,
                            "more values", err);
    if (status == MM_OK)
        status = grow((void **)&machine->cells, 0, &machine->cell_room, MAX_CELLS, sizeof *machine->cells,
                      "more items", err);
    if (status == MM_OK)
        machine->values[0] = (mm_pickle_value){.kind = MM_PICKLE_NONE};
    while (status == MM_OK) {
        const size_t start = machine->at;
        const unsigned char *opcode = NULL;
        status = take(machine, 1, &opcode, err);
        const bool stop = status == MM_OK && *opcode == '.';
        if (stop)
            status = need(machine, 1, err);
        else if (status == MM_OK)
            status = step(machine, *opcode, err);
        if (stop && status == MM_OK) {
            *result = machine->stack[machine->stack_count - 1];
            break;
        }
        if (status != MM_OK)
            status = mm_error_prefix(err, "byte %zu", start);
    }
    return status;
}

void mm_pickle_free(mm_pickle_machine *machine)
{
    free(machine->values);
    free(machine->cells);
    free(machine->stack);
    free(machine->marks);
    free(machine->memo);
}
