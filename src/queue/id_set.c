#include "queue/id_set.h"

#include <stdlib.h>

/* SplitMix64's last step: files may hold any numbers, and must not make all of them meet in one slot by counting on. */
static uint64_t scatter(uint64_t x)
{
    x = (x ^ x >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    x = (x ^ x >> 27) * UINT64_C(0x94d049bb133111eb);
    return x ^ x >> 31;
}

static uint64_t *slot_of(const mm_id_set *set, uint64_t kept)
{
    size_t at = (size_t)scatter(kept) & (set->room - 1);
    while (set->slots[at] && set->slots[at] != kept)
        at = (at + 1) & (set->room - 1);
    return &set->slots[at];
}

static mm_status grow(mm_id_set *set, mm_error *err)
{
    mm_id_set larger = {.room = set->room ? 2 * set->room : 1024, .count = set->count, .has_largest = set->has_largest};
    larger.slots = calloc(larger.room, sizeof *larger.slots);
    if (!larger.slots)
        return mm_fail_memory(err, "ids");
    for (size_t i = 0; i < set->room; i++)
        if (set->slots[i])
            *slot_of(&larger, set->slots[i]) = set->slots[i];
    free(set->slots);
    *set = larger;
    return MM_OK;
}

mm_status mm_id_set_add(mm_id_set *set, uint64_t number, bool *fresh, mm_error *err)
{
    if (number == UINT64_MAX) {
        *fresh = !set->has_largest;
        set->has_largest = true;
        return MM_OK;
    }
    if (2 * set->count >= set->room) {
        const mm_status status = grow(set, err);
        if (status != MM_OK)
            return status;
    }
    uint64_t *slot = slot_of(set, number + 1);
    *fresh = *slot == 0;
    *slot = number + 1;
    set->count += *fresh;
    return MM_OK;
}

void mm_id_set_free(mm_id_set *set)
{
    free(set->slots);
    *set = (mm_id_set){0};
}
