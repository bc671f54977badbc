#include "mask/runs.h"

#include <stdlib.h>

mm_rect_cursor mm_rects_of(const mm_rle *rle, bool value)
{
    return (mm_rect_cursor){.rle = rle, .value = value};
}

static void advance(mm_rect_cursor *cursor, uint32_t length)
{
    const uint64_t y = (uint64_t)cursor->y + length;
    const uint32_t height = cursor->rle->height;
    if (y < height) {
        cursor->y = (uint32_t)y;
    } else if (length > 0) {
        cursor->x += (uint32_t)(y / height);
        cursor->y = (uint32_t)(y % height);
    }
}

bool mm_rects_next(mm_rect_cursor *cursor, mm_rect *rect)
{
    const mm_rle *rle = cursor->rle;
    while (cursor->left == 0) {
        if (cursor->next == rle->count)
            return false;
        const size_t run = cursor->next++;
        if ((run & 1) == (size_t)cursor->value)
            cursor->left = rle->runs[run];
        else
            advance(cursor, rle->runs[run]);
    }
    const uint32_t height = rle->height, x = cursor->x, y = cursor->y;
    uint32_t length;
    if (y > 0 || cursor->left < height) {
        length = cursor->left < height - y ? cursor->left : height - y;
        *rect = (mm_rect){x, x + 1, y, y + length};
    } else {
        const uint32_t columns = cursor->left / height;
        length = columns * height;
        *rect = (mm_rect){x, x + columns, 0, height};
    }
    cursor->left -= length;
    advance(cursor, length);
    return true;
}

void mm_runs_start(mm_run_builder *builder, size_t expected)
{
    const size_t capacity = expected < 16 ? 16 : expected;
    *builder = (mm_run_builder){.capacity = capacity};
    builder->runs = reallocarray(NULL, capacity, sizeof *builder->runs);
    builder->failed = !builder->runs;
    if (builder->runs)
        builder->runs[builder->count++] = 0;
}

void mm_runs_append(mm_run_builder *builder, bool value, uint32_t length)
{
    if (length == 0 || builder->failed)
        return;
    const size_t last = builder->count - 1;
    if ((last & 1) == (size_t)value) {
        builder->runs[last] += length;
        return;
    }
    if (builder->count == builder->capacity) {
        uint32_t *more = reallocarray(builder->runs, builder->capacity, 2 * sizeof *more);
        if (!more) {
            builder->failed = true;
            return;
        }
        builder->runs = more;
        builder->capacity *= 2;
    }
    builder->runs[builder->count++] = length;
}

mm_status mm_runs_finish(mm_run_builder *builder, uint32_t height, uint32_t width, mm_rle *rle, mm_error *err)
{
    if (builder->failed) {
        mm_runs_abandon(builder);
        return mm_fail_memory(err, "the runs of a mask");
    }
    uint32_t *fitted = reallocarray(builder->runs, builder->count, sizeof *fitted);
    *rle = (mm_rle){height, width, builder->count, fitted ? fitted : builder->runs};
    *builder = (mm_run_builder){0};
    return MM_OK;
}

void mm_runs_abandon(mm_run_builder *builder)
{
    free(builder->runs);
    *builder = (mm_run_builder){0};
}

mm_status mm_mask_check_size(uint32_t height, uint32_t width, mm_error *err)
{
    if ((uint64_t)height * width > UINT32_MAX)
        return mm_fail(err, MM_ERR_LIMIT, "a mask of %u x %u pixels is too large: 32-bit run lengths end at %u pixels",
                       width, height, UINT32_MAX);
    return MM_OK;
}
