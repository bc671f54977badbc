/* Aligned memory for kernels, and a set of blocks that are freed together. */
#ifndef MM_TENSOR_MEMORY_H
#define MM_TENSOR_MEMORY_H

#include <stddef.h>

#include "maskmill/status.h"

/* `count` floats at a cache line's start, NULL if they cannot be had or the size overflows. Freed with free(). */
float *mm_floats(size_t count) MM_RESULT_USED;

/* Blocks that live as long as their owner: a model's converted weights, an embedding's buffers. */
typedef struct mm_arena {
    void **blocks;
    size_t count, capacity;
    size_t bytes; /* handed out so far */
} mm_arena;

/* As mm_floats, but owned by the arena. */
float *mm_arena_floats(mm_arena *arena, size_t count) MM_RESULT_USED;
void mm_arena_free(mm_arena *arena);

#endif
