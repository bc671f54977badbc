/* Reading and writing runs: every operation on masks goes through these two, none needs a bitmap. */
#ifndef MM_MASK_RUNS_H
#define MM_MASK_RUNS_H

#include "maskmill/mask.h"

/* Columns x0 <= x < x1, rows y0 <= y < y1. */
typedef struct mm_rect {
    uint32_t x0, x1, y0, y1;
} mm_rect;

/* Walks the runs of one value as rectangles, in column-major order: a run is a part of a column, whole columns and
 * another part, so it gives at most three. */
typedef struct mm_rect_cursor {
    const mm_rle *rle;
    size_t next;   /* the run after the current one */
    uint32_t left; /* pixels of the current run that have not been given yet */
    uint32_t x, y; /* where they start */
    bool value;
} mm_rect_cursor;

mm_rect_cursor mm_rects_of(const mm_rle *rle, bool value);
bool mm_rects_next(mm_rect_cursor *cursor, mm_rect *rect);

/* Collects runs; neighbours of the same value are joined. A failed allocation is remembered and told by finish, so
 * that loops need no check. The caller sees to it that the runs sum to height * width. */
typedef struct mm_run_builder {
    uint32_t *runs;
    size_t count, capacity;
    bool failed;
} mm_run_builder;

void mm_runs_start(mm_run_builder *builder, size_t expected);
void mm_runs_append(mm_run_builder *builder, bool value, uint32_t length);
/* Hands the runs over to *rle; the builder is empty afterwards, in every case. */
MM_RESULT_USED mm_status mm_runs_finish(mm_run_builder *builder, uint32_t height, uint32_t width, mm_rle *rle,
                                        mm_error *err);
void mm_runs_abandon(mm_run_builder *builder);

/* MM_ERR_LIMIT unless height * width fits the 32-bit runs. */
MM_RESULT_USED mm_status mm_mask_check_size(uint32_t height, uint32_t width, mm_error *err);

#endif
