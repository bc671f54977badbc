/* Which cells of a mask are decided by the samples they are made of, and which must be computed. States are bytes that
 * are worked on eight at a time, as octets in 64-bit integers. */
#include "amg/cells.h"

#include <endian.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define OCTET_WORDS (MM_OCTET / MM_WORD_CELLS)
#define EACH(byte) (UINT64_C(0x0101010101010101) * (byte))

mm_status mm_cell_grid_make(uint32_t low, const mm_taps *rows, uint32_t height, const mm_taps *columns, uint32_t width,
                            mm_cell_grid *grid, mm_error *err)
{
    *grid = (mm_cell_grid){.low = low, .height = height};
    grid->cells = (height - 1) / MM_CELL_ROWS + 1;
    grid->words = (height - 1) / MM_WORD_ROWS + 1;
    const uint32_t rest = height % MM_WORD_ROWS;
    grid->last_word = rest ? (UINT64_C(1) << rest) - 1 : ~UINT64_C(0);
    grid->stride = (grid->cells + MM_OCTET - 1) / MM_OCTET * MM_OCTET;
    grid->spans = calloc(grid->cells, sizeof *grid->spans);
    if (!grid->spans)
        return mm_fail_memory(err, "the cells of masks");
    for (uint32_t y = 0; y < height; y++) {
        mm_cell_span *span = &grid->spans[y / MM_CELL_ROWS];
        const uint32_t first = rows[y].index[0], last = rows[y].index[MM_MAX_TAPS - 1];
        const bool fresh = y % MM_CELL_ROWS == 0;
        span->first = fresh || first < span->first ? first : span->first;
        span->last = fresh || last > span->last ? last : span->last;
        grid->rows = last >= grid->rows ? last + 1 : grid->rows;
    }
    for (uint32_t x = 0; x < width; x++) {
        const uint32_t last = columns[x].index[MM_MAX_TAPS - 1];
        grid->columns = last >= grid->columns ? last + 1 : grid->columns;
    }
    return MM_OK;
}

void mm_cell_grid_free(mm_cell_grid *grid)
{
    free(grid->spans);
    *grid = (mm_cell_grid){0};
}

static uint64_t load_octet(const uint8_t *states)
{
    uint64_t octet;
    memcpy(&octet, states, sizeof octet);
    return le64toh(octet);
}

static void store_octet(uint8_t *states, uint64_t octet)
{
    octet = htole64(octet);
    memcpy(states, &octet, sizeof octet);
}

/* Swaps the bytes of `high` in `mask` with those of `low` that lie `shift` bits higher. */
static void swap_bytes(uint64_t *low, uint64_t *high, int shift, uint64_t mask)
{
    const uint64_t differ = (*low >> shift ^ *high) & mask;
    *high ^= differ;
    *low ^= differ << shift;
}

static void transpose_octets(uint64_t octets[MM_OCTET])
{
    for (int i = 0; i < 4; i++)
        swap_bytes(&octets[i], &octets[i + 4], 32, UINT64_C(0x00000000ffffffff));
    for (int i = 0; i < MM_OCTET; i += 4)
        for (int j = 0; j < 2; j++)
            swap_bytes(&octets[i + j], &octets[i + j + 2], 16, UINT64_C(0x0000ffff0000ffff));
    for (int i = 0; i < MM_OCTET; i += 2)
        swap_bytes(&octets[i], &octets[i + 1], 8, UINT64_C(0x00ff00ff00ff00ff));
}

/* The states of cell `cell` in all columns; true if one is above something. */
static bool merge_rows(const mm_cell_grid *grid, const uint8_t *samples, uint32_t cell, uint8_t *restrict merged)
{
    const mm_cell_span span = grid->spans[cell];
    memcpy(merged, samples + (size_t)span.first * grid->low, grid->columns);
    for (uint32_t row = span.first + 1; row <= span.last; row++) {
        const uint8_t *more = samples + (size_t)row * grid->low;
        for (uint32_t x = 0; x < grid->columns; x++)
            merged[x] |= more[x];
    }
    uint8_t all = 0;
    for (uint32_t x = 0; x < grid->columns; x++)
        all |= merged[x];
    return all & MM_ABOVE_ALL;
}

mm_state_bounds mm_bounds_about(float offset)
{
    const float thresholds[3] = {-offset, 0, offset};
    mm_state_bounds bounds = {.lowest = INFINITY, .highest = -INFINITY};
    for (int t = 0; t < 3; t++) {
        const float slack = 2e-6f * fabsf(thresholds[t]) + 1e-30f;
        const float some = thresholds[t] - slack, all = thresholds[t] + slack;
        bounds.some[t] = some;
        bounds.all[t] = all;
        bounds.lowest = some < bounds.lowest ? some : bounds.lowest;
        bounds.highest = all > bounds.highest || isnan(all) ? all : bounds.highest;
    }
    return bounds;
}

/* The states of eight cells, from [cell][column] to [column][cell]. */
static void turn_octet(const mm_cell_grid *grid, uint32_t cell, mm_cell_states *states)
{
    for (uint32_t x0 = 0; x0 < grid->columns; x0 += MM_OCTET) {
        uint64_t octets[MM_OCTET];
        for (uint32_t i = 0; i < MM_OCTET; i++)
            octets[i] = load_octet(states->octet + (size_t)i * grid->low + x0);
        transpose_octets(octets);
        for (uint32_t i = 0; i < MM_OCTET && x0 + i < grid->columns; i++) {
            states->any[x0 + i] |= octets[i] != EACH(MM_ABOVE_NOTHING);
            store_octet(states->states + (size_t)(x0 + i) * grid->stride + cell, octets[i]);
        }
    }
}

void mm_classify_samples(const mm_column_loops *loops, const float *logits, uint32_t low, uint32_t columns, uint32_t rows,
                         const mm_state_bounds *bounds, uint8_t *states)
{
    if (columns == low) {
        loops->classify(logits, (size_t)rows * low, bounds, states);
        return;
    }
    for (size_t row = 0; row < (size_t)rows * low; row += low) {
        loops->classify(logits + row, columns, bounds, states + row);
        memset(states + row + columns, MM_ABOVE_NOTHING, low - columns);
    }
}

void mm_cells_classify(const mm_cell_grid *grid, const mm_column_loops *loops, const float *logits, float offset,
                       mm_cell_states *states)
{
    states->bounds = mm_bounds_about(offset);
    mm_classify_samples(loops, logits, grid->low, grid->columns, grid->rows, &states->bounds, states->samples);
    memset(states->any, 0, grid->columns);
    states->first = grid->cells;
    states->end = 0;
    for (uint32_t cell = 0; cell < grid->stride; cell += MM_OCTET) {
        const uint32_t end_before = states->end;
        for (uint32_t i = 0; i < MM_OCTET; i++) {
            uint8_t *merged = states->octet + (size_t)i * grid->low;
            if (cell + i >= grid->cells) {
                memset(merged, MM_ABOVE_NOTHING, grid->columns);
            } else if (merge_rows(grid, states->samples, cell + i, merged)) {
                states->first = states->end ? states->first : cell + i;
                states->end = cell + i + 1;
            }
        }
        if (states->end > end_before)
            turn_octet(grid, cell, states);
        else if (states->end)
            for (uint32_t x = 0; x < grid->columns; x++)
                store_octet(states->states + (size_t)x * grid->stride + cell, EACH(MM_ABOVE_NOTHING));
    }
}

uint32_t mm_cells_open(const mm_cell_grid *grid, const mm_cell_states *states, uint32_t first, uint32_t last,
                       uint32_t *cells)
{
    uint32_t count = 0;
    for (uint32_t from = states->first / MM_OCTET * MM_OCTET; from < states->end; from += MM_OCTET) {
        uint64_t octet = 0;
        for (uint32_t x = first; x <= last; x++)
            octet |= load_octet(states->states + (size_t)x * grid->stride + from);
        uint64_t open = octet & octet >> 3 & EACH(MM_ABOVE_ALL);
        for (uint32_t cell = from; open; cell++, open >>= 8)
            if (open & 0xff)
                cells[count++] = cell;
    }
    return count;
}

/* How many bytes, 0 or 1, are 1. */
static uint32_t sum_octet(uint64_t octet)
{
    return (uint32_t)(octet * EACH(1) >> 56);
}

/* The rows of those of four cells that are decided to be above zero. */
static uint64_t spread_cells(uint32_t above)
{
    uint64_t first_rows = 0;
    for (int i = 0; i < MM_WORD_CELLS; i++)
        first_rows |= (uint64_t)(above >> (8 * i + 1) & 1) << MM_CELL_ROWS * i;
    return first_rows * 0xffff;
}

/* Rows beyond the height were counted with the last cell. */
static void discount_last_cell(const mm_cell_grid *grid, uint64_t octet, mm_column_counts *decided)
{
    const uint32_t beyond = grid->cells * MM_CELL_ROWS - grid->height;
    const unsigned state = octet >> (grid->cells - 1) % MM_OCTET * 8 & 0xff;
    const unsigned above = state & ~(state >> 3);
    decided->above_low -= above & MM_SOME_ABOVE_LOW ? beyond : 0;
    decided->above_zero -= above & MM_SOME_ABOVE_ZERO ? beyond : 0;
    decided->above_high -= above & MM_SOME_ABOVE_HIGH ? beyond : 0;
}

bool mm_cells_any(const mm_cell_states *states, const mm_taps *taps)
{
    unsigned any = 0;
    for (uint32_t k = 0; k < taps->count; k++)
        any |= states->any[taps->index[k]];
    return any;
}

/* From top to bottom, knowing of the pixel before a word: `before`, in all bits, or that it is open. */
void mm_cells_plan(const mm_cell_grid *grid, const mm_cell_states *states, const mm_taps *taps, mm_cell_plan *plan)
{
    const uint8_t *column[MM_MAX_TAPS];
    for (uint32_t k = 0; k < taps->count; k++)
        column[k] = states->states + (size_t)taps->index[k] * grid->stride;
    const uint64_t all = ~UINT64_C(0);
    mm_column_counts decided = {0};
    uint32_t full = 0; /* pixels of octets that are above all */
    size_t open_count = 0, edge_count = 0;
    plan->edges[edge_count++] = 0; /* the pixel before it is another column's */
    memset(plan->bits, 0, grid->words * sizeof *plan->bits);
    uint64_t octet = EACH(MM_ABOVE_NOTHING), before = 0;
    bool unsure = false;
    uint32_t word = states->first / MM_OCTET * OCTET_WORDS;
    for (; word * MM_WORD_CELLS < states->end; word += OCTET_WORDS) {
        octet = load_octet(column[0] + word * MM_WORD_CELLS);
        for (uint32_t k = 1; k < taps->count; k++)
            octet |= load_octet(column[k] + word * MM_WORD_CELLS);
        if (octet == EACH(MM_ABOVE_NOTHING) && !before && !unsure)
            continue;
        if (octet == EACH(MM_ABOVE_ALL) && before && !unsure && word + OCTET_WORDS < grid->words) {
            for (uint32_t i = word; i < word + OCTET_WORDS; i++)
                plan->bits[i] = all;
            full += MM_OCTET * MM_CELL_ROWS;
            continue;
        }
        const uint64_t open = octet & octet >> 3 & EACH(MM_ABOVE_ALL), above = octet & ~(octet >> 3);
        decided.above_low += sum_octet(above & EACH(1)) * MM_CELL_ROWS;
        decided.above_zero += sum_octet(above >> 1 & EACH(1)) * MM_CELL_ROWS;
        decided.above_high += sum_octet(above >> 2 & EACH(1)) * MM_CELL_ROWS;
        for (uint32_t i = 0; i < OCTET_WORDS && word + i < grid->words; i++) {
            const uint32_t thresholds = (uint32_t)(open >> 32 * i);
            const uint64_t valid = word + i + 1 < grid->words ? all : grid->last_word;
            const uint64_t bits = spread_cells((uint32_t)(above >> 32 * i)) & valid;
            const uint32_t unsure_cells = thresholds & (uint32_t)EACH(MM_SOME_ABOVE_ZERO);
            plan->bits[word + i] = bits;
            if (thresholds)
                plan->open[open_count++] = (mm_open_word){word + i, thresholds};
            if (word + i > 0 && (unsure || unsure_cells || bits != before))
                plan->edges[edge_count++] = word + i;
            unsure = unsure_cells >> 24;
            before = bits >> (MM_WORD_ROWS - 1) ? all : 0;
        }
    }
    if ((unsure || before) && word < grid->words)
        plan->edges[edge_count++] = word;
    if (states->end == grid->cells)
        discount_last_cell(grid, octet, &decided);
    plan->decided = (mm_column_counts){decided.above_low + full, decided.above_zero + full, decided.above_high + full};
    plan->open_count = open_count;
    plan->edge_count = edge_count;
}
