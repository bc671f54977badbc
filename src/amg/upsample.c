/* From low-res logits to a mask: upsample, count, threshold and run-length encode, a few output columns at a time.
 *
 * Only the cells of columns that cells.h leaves open are computed, and step one of the resampling only for those. */
#include "amg/upsample.h"

#include <stdlib.h>
#include <string.h>

#include "amg/cells.h"
#include "tensor/vector.h"

/* Neighbouring output columns made of the same low-res columns, at most MAX_GROUP. */
#define MAX_GROUP 32

typedef struct column_group {
    uint32_t x0, x1;
} column_group;

/* The low-res columns of all groups that read from a tile. */
typedef struct tile_reach {
    uint32_t first, last;
} tile_reach;

struct mm_upsampler {
    uint32_t width, height;
    uint32_t group_count, tile_count;
    size_t stride; /* of a resized low-res column; an odd number of cells, so that columns meet in no cache set */
    mm_cell_grid grid;
    mm_taps *rows, *columns; /* [height], [width] */
    column_group *groups;    /* [group_count], from left to right */
    tile_reach *tiles;       /* [tile_count]: MM_TILE_COLUMNS low-res columns each */
    const mm_column_loops *loops;
};

static bool same_samples(const mm_taps *a, const mm_taps *b)
{
    return a->count == b->count && memcmp(a->index, b->index, sizeof a->index) == 0;
}

static mm_status group_columns(mm_upsampler *u, mm_error *err)
{
    u->groups = calloc(u->width, sizeof *u->groups);
    if (!u->groups)
        return mm_fail_memory(err, "the column groups of masks");
    for (uint32_t x = 0; x < u->width; x++) {
        const column_group *last = u->group_count ? &u->groups[u->group_count - 1] : NULL;
        if (!last || x - last->x0 == MAX_GROUP || !same_samples(&u->columns[x], &u->columns[last->x0]))
            u->groups[u->group_count++].x0 = x;
        u->groups[u->group_count - 1].x1 = x + 1;
    }
    return MM_OK;
}

static uint32_t last_sample(const mm_upsampler *u, const column_group *group)
{
    return u->columns[group->x0].index[MM_MAX_TAPS - 1];
}

static mm_status reach_of_tiles(mm_upsampler *u, mm_error *err)
{
    u->tile_count = (u->grid.columns - 1) / MM_TILE_COLUMNS + 1;
    u->tiles = calloc(u->tile_count, sizeof *u->tiles);
    if (!u->tiles)
        return mm_fail_memory(err, "the tiles of masks");
    for (uint32_t i = 0; i < u->tile_count; i++)
        u->tiles[i] = (tile_reach){i * MM_TILE_COLUMNS, i * MM_TILE_COLUMNS};
    for (uint32_t i = 0; i < u->group_count; i++) {
        const mm_taps *taps = &u->columns[u->groups[i].x0];
        for (uint32_t k = 0; k < taps->count; k++) {
            tile_reach *tile = &u->tiles[taps->index[k] / MM_TILE_COLUMNS];
            tile->first = taps->index[0] < tile->first ? taps->index[0] : tile->first;
            tile->last = last_sample(u, &u->groups[i]) > tile->last ? last_sample(u, &u->groups[i]) : tile->last;
        }
    }
    return MM_OK;
}

static mm_status lay_geometry(mm_upsampler *u, const mm_frame *frame, mm_error *err)
{
    const uint32_t low = frame->low_res, size = frame->image_size;
    mm_status status = mm_taps_compose(low, size, frame->input_height, frame->height, &u->rows, err);
    if (!status)
        status = mm_taps_compose(low, size, frame->input_width, frame->width, &u->columns, err);
    if (!status)
        status = mm_cell_grid_make(low, u->rows, u->height, u->columns, u->width, &u->grid, err);
    if (status)
        return status;
    u->stride = (u->grid.cells | 1) * (size_t)MM_CELL_ROWS;
    status = group_columns(u, err);
    if (!status)
        status = reach_of_tiles(u, err);
    return status;
}

mm_status mm_upsampler_new_for(const mm_frame *frame, mm_isa isa, mm_upsampler **upsampler, mm_error *err)
{
    *upsampler = NULL;
    if (frame->width == 0 || frame->height == 0 || frame->input_width == 0 || frame->input_height == 0)
        return mm_fail(err, MM_ERR_UNSUPPORTED, "an image of %u x %u pixels is too thin to be resized to %u",
                       frame->width, frame->height, frame->image_size);
    if (frame->low_res == 0 || frame->input_width > frame->image_size || frame->input_height > frame->image_size)
        return mm_fail(err, MM_ERR_INTERNAL, "an input of %u x %u pixels does not fit into %u x %u", frame->input_width,
                       frame->input_height, frame->image_size, frame->image_size);
    if ((uint64_t)frame->width * frame->height > UINT32_MAX)
        return mm_fail(err, MM_ERR_LIMIT, "masks of %u x %u pixels are too large: set output.short_side", frame->width,
                       frame->height);
    mm_upsampler *u = calloc(1, sizeof *u);
    if (!u)
        return mm_fail_memory(err, "an upsampler");
    u->width = frame->width;
    u->height = frame->height;
    u->loops = mm_column_loops_for(isa);
    const mm_status status = lay_geometry(u, frame, err);
    if (status) {
        mm_upsampler_free(u);
        return status;
    }
    *upsampler = u;
    return MM_OK;
}

mm_status mm_upsampler_new(const mm_frame *frame, mm_upsampler **upsampler, mm_error *err)
{
    return mm_upsampler_new_for(frame, mm_vector_best(), upsampler, err);
}

void mm_upsampler_free(mm_upsampler *upsampler)
{
    if (!upsampler)
        return;
    mm_cell_grid_free(&upsampler->grid);
    free(upsampler->rows);
    free(upsampler->columns);
    free(upsampler->groups);
    free(upsampler->tiles);
    free(upsampler);
}

/* Working memory of a scan. */
typedef struct workspace {
    float *resized;    /* [low][stride]: low-res columns at full height, where they are needed */
    uint32_t *cells;   /* [cells]: numbers of the cells where they are */
    uint64_t *bits;    /* [MAX_GROUP][words]: the mask of a group's columns, in the plan's edge words only */
    uint64_t *covered; /* [words]: all columns' masks together, for the box */
    mm_cell_states states;
    mm_cell_plan plan;
} workspace;

#define CACHE_LINE 64

/* The next part of working memory, at a cache line; NULL if only the size is asked for. */
static void *take(char *memory, size_t *used, size_t size)
{
    void *part = memory ? memory + *used : NULL;
    *used += (size + CACHE_LINE - 1) / CACHE_LINE * CACHE_LINE;
    return part;
}

static size_t lay_out(const mm_upsampler *u, char *memory, workspace *w)
{
    const mm_cell_grid *g = &u->grid;
    size_t used = 0;
    w->resized = take(memory, &used, g->low * u->stride * sizeof *w->resized);
    w->cells = take(memory, &used, g->cells * sizeof *w->cells);
    w->bits = take(memory, &used, (size_t)MAX_GROUP * g->words * sizeof *w->bits);
    w->covered = take(memory, &used, g->words * sizeof *w->covered);
    w->states.samples = take(memory, &used, (size_t)g->rows * g->low);
    w->states.octet = take(memory, &used, (size_t)MM_OCTET * g->low + MM_OCTET);
    w->states.states = take(memory, &used, (size_t)g->columns * g->stride);
    w->states.any = take(memory, &used, g->columns);
    w->plan.bits = take(memory, &used, g->words * sizeof *w->plan.bits);
    w->plan.open = take(memory, &used, g->words * sizeof *w->plan.open);
    w->plan.edges = take(memory, &used, g->words * sizeof *w->plan.edges);
    return used;
}

size_t mm_upsampler_scratch(const mm_upsampler *u)
{
    workspace unused;
    return lay_out(u, NULL, &unused) + CACHE_LINE;
}

/* Step one for a tile, where a column group that reads it may need it. The states of its columns are refined: after
 * that, no more is open than before. */
static void resize_tile(const mm_upsampler *u, const float *logits, uint32_t number, workspace *w)
{
    const mm_cell_grid *g = &u->grid;
    const uint32_t x = number * MM_TILE_COLUMNS;
    mm_column_tile tile = {.logits = logits + x, .low = g->low, .stride = u->stride, .state_stride = g->stride};
    tile.columns = g->columns - x < MM_TILE_COLUMNS ? g->columns - x : MM_TILE_COLUMNS;
    tile.bounds = &w->states.bounds;
    const uint32_t count = mm_cells_open(g, &w->states, u->tiles[number].first, u->tiles[number].last, w->cells);
    for (uint32_t i = 0; i < count; i++) {
        const uint32_t y = w->cells[i] * MM_CELL_ROWS;
        tile.rows = u->rows + y;
        tile.count = g->height - y < MM_CELL_ROWS ? g->height - y : MM_CELL_ROWS;
        tile.out = w->resized + x * u->stride + y;
        tile.states = w->states.states + (size_t)x * g->stride + w->cells[i];
        u->loops->resize(&tile);
    }
}

/* Run lengths in the making: positions where the mask changes, column-major. */
typedef struct run_writer {
    uint32_t *runs;
    size_t count, capacity;
    uint32_t last; /* position of the last change */
    bool set;      /* the pixel before the current one */
} run_writer;

/* A column has at most height changes; behind the last one come the change back, before empty columns, and the end. */
static mm_status reserve(run_writer *writer, uint32_t height, mm_error *err)
{
    const size_t needed = writer->count + height + 2;
    if (needed <= writer->capacity)
        return MM_OK;
    const size_t capacity = needed + writer->capacity;
    uint32_t *runs = reallocarray(writer->runs, capacity, sizeof *runs);
    if (!runs)
        return mm_fail_memory(err, "the runs of a mask");
    writer->runs = runs;
    writer->capacity = capacity;
    return MM_OK;
}

static void change_at(run_writer *writer, uint32_t position)
{
    writer->runs[writer->count++] = position - writer->last;
    writer->last = position;
    writer->set = !writer->set;
}

/* A column that starts at `position`. Words that are no edges go on as the ones before them end. */
static void write_column(run_writer *writer, uint32_t position, uint32_t height, const uint64_t *bits,
                         const mm_cell_plan *plan)
{
    run_writer w = *writer; /* runs could alias the writer's numbers, but not these */
    for (size_t i = 0; i < plan->edge_count; i++) {
        const uint32_t word = plan->edges[i];
        const uint32_t rows = height - word * MM_WORD_ROWS;
        uint64_t changes = bits[word] ^ (bits[word] << 1 | w.set);
        if (rows < MM_WORD_ROWS) /* what follows the last row is the next column's first */
            changes &= (UINT64_C(1) << rows) - 1;
        for (; changes; changes &= changes - 1)
            change_at(&w, position + word * MM_WORD_ROWS + (uint32_t)__builtin_ctzll(changes));
    }
    *writer = w;
}

/* The columns of the box so far, and the rows that the columns together cover, for a group with a pixel of the mask. */
static void extend_box(const column_group *group, workspace *w, uint32_t words, bool is_first, mm_mask_scan *scan)
{
    const mm_cell_plan *plan = &w->plan;
    for (uint32_t word = 0; word < words; word++)
        w->covered[word] |= plan->bits[word];
    for (uint32_t x = group->x0; x < group->x1; x++) {
        const uint64_t *bits = w->bits + (size_t)(x - group->x0) * words;
        uint64_t some = plan->decided.above_zero;
        for (size_t i = 0; i < plan->edge_count; i++) {
            some |= bits[plan->edges[i]];
            w->covered[plan->edges[i]] |= bits[plan->edges[i]];
        }
        if (!some)
            continue;
        if (is_first)
            scan->box[0] = x;
        is_first = false;
        scan->box[2] = x;
    }
}

static void find_rows_of_box(const workspace *w, uint32_t words, mm_mask_scan *scan)
{
    uint32_t first = 0, last = words - 1;
    while (!w->covered[first])
        first++;
    while (!w->covered[last])
        last--;
    scan->box[1] = first * MM_WORD_ROWS + (uint32_t)__builtin_ctzll(w->covered[first]);
    scan->box[3] = last * MM_WORD_ROWS + 63 - (uint32_t)__builtin_clzll(w->covered[last]);
}

/* Step two for a group of output columns. writer is NULL if no runs are wanted. */
static mm_status scan_group(const mm_upsampler *u, const column_group *group, float offset, workspace *w,
                            mm_mask_scan *scan, run_writer *writer, mm_error *err)
{
    const mm_cell_plan *plan = &w->plan;
    const uint32_t words = u->grid.words, columns = group->x1 - group->x0;
    mm_column_group g = {.taps = u->columns + group->x0, .columns = columns, .words = words, .bits = w->bits};
    for (uint32_t k = 0; k < MM_MAX_TAPS; k++)
        g.samples[k] = w->resized + g.taps->index[k] * u->stride;
    for (uint32_t x = 0; x < columns; x++)
        for (size_t i = 0; i < plan->edge_count; i++) /* all words that the scan adds to are among them */
            w->bits[(size_t)x * words + plan->edges[i]] = plan->bits[plan->edges[i]];
    mm_column_counts counts = {0};
    if (plan->open_count)
        counts = u->loops->scan(&g, plan->open, plan->open_count, -offset, offset);
    scan->above_low += counts.above_low + (uint64_t)plan->decided.above_low * columns;
    scan->above_high += counts.above_high + (uint64_t)plan->decided.above_high * columns;
    const uint64_t area_before = scan->area;
    scan->area += counts.above_zero + (uint64_t)plan->decided.above_zero * columns;
    if (scan->area > area_before)
        extend_box(group, w, words, area_before == 0, scan);
    for (uint32_t x = 0; writer && x < columns; x++) {
        mm_status status = reserve(writer, u->height, err);
        if (status)
            return status;
        write_column(writer, (group->x0 + x) * u->height, u->height, w->bits + (size_t)x * words, plan);
    }
    return MM_OK;
}

/* The pixels of a group that may be above a threshold. */
static uint64_t possible_pixels(const mm_upsampler *u, const column_group *group, const mm_cell_states *states)
{
    if (!mm_cells_any(states, &u->columns[group->x0]))
        return 0;
    return (uint64_t)(group->x1 - group->x0) * (states->end - states->first) * MM_CELL_ROWS;
}

/* Whether the score stays below the threshold even if all pixels that are left are above both offsets, and by more than
 * its rounding to float. */
static bool is_hopeless(const mm_mask_scan *scan, uint64_t left, float min_stability)
{
    const double least = (double)min_stability * (1 - 1e-6);
    return (double)(scan->above_high + left) < least * (double)(scan->above_low + left);
}

mm_status mm_upsampler_scan_stable(const mm_upsampler *u, const float *logits, float offset, float min_stability,
                                   void *scratch, mm_mask_scan *scan, mm_rle *rle, mm_error *err)
{
    *scan = (mm_mask_scan){0};
    workspace w;
    char *memory = scratch;
    (void)lay_out(u, memory + (CACHE_LINE - (uintptr_t)memory % CACHE_LINE), &w);
    memset(w.covered, 0, u->grid.words * sizeof *w.covered);
    mm_cells_classify(&u->grid, u->loops, logits, offset, &w.states);
    const bool may_give_up = rle && min_stability > 0 && offset >= 0; /* else more may be above high than above low */
    uint64_t left = 0;
    for (uint32_t i = 0; i < u->group_count && may_give_up; i++)
        left += possible_pixels(u, &u->groups[i], &w.states);
    run_writer writer = {0};
    mm_status status = rle ? reserve(&writer, u->height, err) : MM_OK;
    uint32_t resized = 0; /* tiles */
    for (uint32_t i = 0; i < u->group_count && !status; i++) {
        const column_group *group = &u->groups[i];
        const mm_taps *taps = &u->columns[group->x0];
        if (!mm_cells_any(&w.states, taps)) {
            if (writer.set)
                change_at(&writer, group->x0 * u->height);
            continue;
        }
        for (; resized <= last_sample(u, group) / MM_TILE_COLUMNS; resized++)
            resize_tile(u, logits, resized, &w);
        mm_cells_plan(&u->grid, &w.states, taps, &w.plan);
        status = scan_group(u, group, offset, &w, scan, rle ? &writer : NULL, err);
        if (!may_give_up || status)
            continue;
        left -= possible_pixels(u, group, &w.states);
        if (is_hopeless(scan, left, min_stability)) {
            free(writer.runs);
            *rle = (mm_rle){0};
            return MM_OK;
        }
    }
    if (status) {
        free(writer.runs);
        return status;
    }
    if (scan->area > 0)
        find_rows_of_box(&w, u->grid.words, scan);
    if (rle) {
        writer.runs[writer.count++] = u->width * u->height - writer.last;
        uint32_t *fitted = reallocarray(writer.runs, writer.count, sizeof *fitted);
        *rle = (mm_rle){u->height, u->width, writer.count, fitted ? fitted : writer.runs};
    }
    return MM_OK;
}

mm_status mm_upsampler_scan(const mm_upsampler *u, const float *logits, float offset, void *scratch,
                            mm_mask_scan *scan, mm_rle *rle, mm_error *err)
{
    return mm_upsampler_scan_stable(u, logits, offset, 0, scratch, scan, rle, err);
}
