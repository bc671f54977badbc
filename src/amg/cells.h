/* What is known of a mask before its pixels are computed: all weights are positive and sum to 1, so that pixels made of
 * samples which are all above a threshold are above it as well, and likewise for those not above it. Only the cells
 * (MM_CELL_ROWS rows of a column) that this leaves open are computed. */
#ifndef MM_AMG_CELLS_H
#define MM_AMG_CELLS_H

#include "amg/column.h"

/* The low-res rows that the rows of a cell are made of, both ends included. */
typedef struct mm_cell_span {
    uint32_t first, last;
} mm_cell_span;

/* States are worked on so many at a time. */
#define MM_OCTET 8

/* How cells lie over the low-res grid. */
typedef struct mm_cell_grid {
    uint32_t low;           /* samples a side */
    uint32_t columns, rows; /* of them that pixels are made of, from the first on */
    uint32_t height;        /* pixels of a column */
    uint32_t cells, words;  /* of a column */
    uint64_t last_word;     /* the rows of a column's last word */
    uint32_t stride;        /* states of a column: cells, rounded up to MM_OCTET */
    mm_cell_span *spans;    /* [cells] */
} mm_cell_grid;

/* rows[height] and columns[width] as mm_taps_compose made them. The caller frees with mm_cell_grid_free. */
MM_RESULT_USED mm_status mm_cell_grid_make(uint32_t low, const mm_taps *rows, uint32_t height, const mm_taps *columns,
                                           uint32_t width, mm_cell_grid *grid, mm_error *err);
void mm_cell_grid_free(mm_cell_grid *grid);

/* Thresholds at -offset, 0 and offset. The slack is some thirty roundings of the two weighted sums on the way, relative to the
 * threshold and, because the weights' products may underflow, absolute. An infinite threshold becomes NaN on one side, which
 * decides nothing wrong: nothing is above +infinity, and what is above -infinity stays open. */
mm_state_bounds mm_bounds_about(float offset);

/* states[rows][low] of the first `columns` samples of each row of logits[rows][low]; those behind are above nothing. */
void mm_classify_samples(const mm_column_loops *loops, const float *logits, uint32_t low, uint32_t columns, uint32_t rows,
                         const mm_state_bounds *bounds, uint8_t *states);

/* The states of one mask's low-res columns. */
typedef struct mm_cell_states {
    uint8_t *samples;    /* [rows][low]: of single samples; working memory */
    uint8_t *octet;      /* [MM_OCTET][low] and as many bytes more: of eight cells; working memory */
    uint8_t *states;     /* [columns][stride]: of each column's samples in each cell's span. Once the column has been
                          * resized there, the state of the results may take its place: it says more */
    uint8_t *any;        /* [columns]: 0 if a column's states are above nothing from top to bottom */
    mm_state_bounds bounds;
    uint32_t first, end; /* cells before and behind are above nothing */
} mm_cell_states;

void mm_cells_classify(const mm_cell_grid *grid, const mm_column_loops *loops, const float *logits, float offset,
                       mm_cell_states *states);

/* The cells that are open if the low-res columns first <= x <= last are taken together: those that some neighbours
 * among them leave open. Into cells[grid->cells], rising; returns how many. */
uint32_t mm_cells_open(const mm_cell_grid *grid, const mm_cell_states *states, uint32_t first, uint32_t last,
                       uint32_t *cells);

/* What output columns with the same taps have in common. */
typedef struct mm_cell_plan {
    mm_column_counts decided; /* pixels of a column in decided cells */
    uint64_t *bits;           /* [words]: those above zero */
    mm_open_word *open;       /* [words]: with the cells to compute, from top to bottom */
    uint32_t *edges;          /* [words]: words in which, or at whose start, a column may change */
    size_t open_count, edge_count;
} mm_cell_plan;

/* Whether a pixel made of these low-res columns may be above a threshold. If not, there is nothing to plan. */
bool mm_cells_any(const mm_cell_states *states, const mm_taps *taps);
void mm_cells_plan(const mm_cell_grid *grid, const mm_cell_states *states, const mm_taps *taps, mm_cell_plan *plan);

#endif
