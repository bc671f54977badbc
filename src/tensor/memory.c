#include "tensor/memory.h"

#include <stdint.h>
#include <stdlib.h>

enum { CACHE_LINE = 64 };

float *mm_floats(size_t count)
{
    if (count > (SIZE_MAX - CACHE_LINE) / sizeof(float))
        return NULL;
    /* aligned_alloc wants a multiple of the alignment; nothing is never asked of it. */
    const size_t bytes = (count * sizeof(float) + CACHE_LINE - 1) / CACHE_LINE * CACHE_LINE;
    return aligned_alloc(CACHE_LINE, bytes ? bytes : CACHE_LINE);
}

float *mm_arena_floats(mm_arena *arena, size_t count)
{
    if (arena->count == arena->capacity) {
        const size_t capacity = arena->capacity ? 2 * arena->capacity : 32;
        void **blocks = realloc(arena->blocks, capacity * sizeof *blocks);
        if (!blocks)
            return NULL;
        arena->blocks = blocks;
        arena->capacity = capacity;
    }
    float *block = mm_floats(count);
    if (!block)
        return NULL;
    arena->blocks[arena->count++] = block;
    arena->bytes += count * sizeof *block;
    return block;
}

void mm_arena_free(mm_arena *arena)
{
    for (size_t i = 0; i < arena->count; i++)
        free(arena->blocks[i]);
    free(arena->blocks);
    *arena = (mm_arena){0};
}
