/* A set of numbers, to notice those that come twice. */
#ifndef MM_QUEUE_ID_SET_H
#define MM_QUEUE_ID_SET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "maskmill/status.h"

typedef struct mm_id_set {
    uint64_t *slots; /* number + 1, 0 for none; so the largest number is kept beside */
    size_t count, room;
    bool has_largest;
} mm_id_set;

/* *fresh: it was not there. */
MM_RESULT_USED mm_status mm_id_set_add(mm_id_set *set, uint64_t number, bool *fresh, mm_error *err);
void mm_id_set_free(mm_id_set *set);

#endif
