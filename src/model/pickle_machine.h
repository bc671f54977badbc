/* The stack machine under pickle.h: bytes in, a graph of values out. */
#ifndef MM_MODEL_PICKLE_MACHINE_H
#define MM_MODEL_PICKLE_MACHINE_H

#include "pickle.h"

typedef enum mm_pickle_kind {
    MM_PICKLE_NONE = 0, /* also floats and whatever else a state dict carries but no tensor needs */
    MM_PICKLE_INT,      /* and booleans */
    MM_PICKLE_TEXT,
    MM_PICKLE_GLOBAL,
    MM_PICKLE_TUPLE,
    MM_PICKLE_LIST,
    MM_PICKLE_DICT, /* cells in turn key and value */
    MM_PICKLE_STORAGE,
    MM_PICKLE_TENSOR
} mm_pickle_kind;

typedef enum mm_pickle_global {
    MM_PICKLE_ORDERED_DICT = 0,
    MM_PICKLE_REBUILD_TENSOR,
    MM_PICKLE_REBUILD_PARAMETER,
    MM_PICKLE_STORAGE_CLASS
} mm_pickle_global;

typedef uint32_t mm_pickle_ref; /* index of a value or a cell; 0 is none */

typedef struct mm_pickle_value {
    mm_pickle_kind kind;
    union {
        int64_t integer;
        struct {
            const char *bytes;
            size_t length;
        } text;
        struct {
            mm_pickle_global which;
            mm_dtype dtype; /* of a storage class */
        } global;
        struct {
            mm_pickle_ref first, last; /* cells */
            uint32_t count;            /* of cells */
        } items;                       /* TUPLE, LIST, DICT */
        struct {
            mm_pickle_ref key; /* a TEXT */
            mm_dtype dtype;
            uint64_t elements;
        } storage;
        struct {
            mm_pickle_ref storage, size, stride; /* size and stride are TUPLEs of INT */
            uint64_t offset;
        } tensor;
    };
} mm_pickle_value;

typedef struct mm_pickle_cell {
    mm_pickle_ref value, next;
} mm_pickle_cell;

typedef struct mm_pickle_machine {
    const unsigned char *data;
    size_t size, at;
    mm_pickle_value *values;
    mm_pickle_cell *cells;
    mm_pickle_ref *stack, *marks, *memo; /* marks hold stack depths */
    uint32_t value_count, value_room, cell_count, cell_room;
    uint32_t stack_count, stack_room, mark_count, mark_room, memo_room, memo_next;
} mm_pickle_machine;

/* Run to the end; *result is the value that STOP leaves. Free the machine in any case. */
MM_RESULT_USED mm_status mm_pickle_run(mm_pickle_machine *machine, const unsigned char *data, size_t size,
                                       mm_pickle_ref *result, mm_error *err);
void mm_pickle_free(mm_pickle_machine *machine);

/* For the callables (pickle_callables.c); `err` is never NULL in these. mm_pickle_new gives 0 and fills err if there is
 * no room. */
mm_pickle_ref mm_pickle_new(mm_pickle_machine *machine, mm_pickle_kind kind, mm_error *err);
/* Item `index` of a TUPLE if that is of the kind asked for, else NULL. */
const mm_pickle_value *mm_pickle_item(const mm_pickle_machine *machine, const mm_pickle_value *tuple, uint32_t index,
                                      mm_pickle_kind kind);
mm_pickle_ref mm_pickle_item_ref(const mm_pickle_machine *machine, const mm_pickle_value *tuple, uint32_t index);

/* Which of the few known callables this is; any other is an error that names it. */
MM_RESULT_USED mm_status mm_pickle_find_global(const char *module, size_t module_length, const char *name,
                                               size_t name_length, mm_pickle_value *value, mm_error *err);
/* callable(*arguments), for the known callables. */
MM_RESULT_USED mm_status mm_pickle_reduce(mm_pickle_machine *machine, mm_pickle_ref callable, mm_pickle_ref arguments,
                                          mm_pickle_ref *result, mm_error *err);
/* The storage that a persistent id ("storage", class, key, location, elements) stands for. */
MM_RESULT_USED mm_status mm_pickle_load_storage(mm_pickle_machine *machine, mm_pickle_ref id, mm_pickle_ref *result,
                                                mm_error *err);

#endif
