/* Non-maximum suppression of boxes, with the arithmetic of torchvision's CPU kernel.
 *
 * IoU > t needs an overlap of more than t times the larger width and height, so the top left corners of two such boxes
 * are near each other. What is kept lies in a grid by its corner; a box is compared with what lies around its own. */
#include <math.h>
#include <stdlib.h>

#include "mask/box.h"
#include "maskmill/mask.h"

typedef struct ranked {
    float score;
    size_t index;
} ranked;

/* torch.sort(descending=True, stable=True): NaN counts as the largest. */
static int by_falling_score(const void *left, const void *right)
{
    const ranked *a = left, *b = right;
    const bool a_nan = isnan(a->score), b_nan = isnan(b->score);
    if (a_nan != b_nan)
        return a_nan ? -1 : 1;
    if (!a_nan && a->score != b->score)
        return a->score > b->score ? -1 : 1;
    return a->index < b->index ? -1 : a->index > b->index;
}

/* What the argument at the head says of a box. It holds where no float overflows or loses digits to underflow, and no
 * side is negative or NaN. */
typedef enum box_kind {
    PLAIN_BOX,
    EMPTY_BOX, /* overlaps nothing: its IoU is 0 or NaN */
    ODD_BOX    /* anything may come out: to be compared with all */
} box_kind;

static box_kind kind_of(const float box[4])
{
    const float width = box[2] - box[0], height = box[3] - box[1], area = width * height;
    if (!(width >= 0 && height >= 0 && area <= 1e30f)) /* an infinite or NaN side comes out as no area to compare */
        return ODD_BOX;
    if (area == 0)
        return EMPTY_BOX;
    return area >= 1e-30f ? PLAIN_BOX : ODD_BOX;
}

/* The boxes kept so far, as positions in `keep`, in chains that end with NONE. */
typedef struct kept_grid {
    double least; /* the IoU threshold, less some hundred roundings; 0 if all must be compared */
    double origin[2], scale[2];
    size_t side;   /* cells */
    size_t *cells; /* [side][side], by corner: heads of the plain ones' chains */
    size_t odd;    /* head of the odd ones' chain */
    size_t *next;  /* [count] */
} kept_grid;

#define NONE SIZE_MAX
#define MAX_SIDE 128
#define LEAST_THRESHOLD 0.05 /* below it, the surroundings of a box are most of the image, and far below it underflow */

static void free_grid(kept_grid *grid)
{
    free(grid->cells);
    free(grid->next);
}

static void find_extent(kept_grid *grid, const float (*boxes)[4], size_t count)
{
    for (int axis = 0; axis < 2; axis++) {
        double low = INFINITY, high = -INFINITY;
        for (size_t i = 0; i < count; i++) {
            if (kind_of(boxes[i]) != PLAIN_BOX)
                continue;
            low = fmin(low, boxes[i][axis]);
            high = fmax(high, boxes[i][axis]);
        }
        grid->origin[axis] = low;
        grid->scale[axis] = high > low ? (double)grid->side / (high - low) : 0;
    }
}

static mm_status make_grid(kept_grid *grid, const float (*boxes)[4], size_t count, double threshold, mm_error *err)
{
    *grid = (kept_grid){.least = threshold >= LEAST_THRESHOLD ? threshold * (1 - 1e-5) : 0, .side = 1, .odd = NONE};
    while (grid->side < MAX_SIDE && grid->side * grid->side < count)
        grid->side *= 2;
    grid->cells = reallocarray(NULL, grid->side * grid->side, sizeof *grid->cells);
    grid->next = reallocarray(NULL, count ? count : 1, sizeof *grid->next);
    if (!grid->cells || !grid->next) {
        free_grid(grid);
        return mm_fail_memory(err, "the grid of boxes in NMS");
    }
    for (size_t i = 0; i < grid->side * grid->side; i++)
        grid->cells[i] = NONE;
    find_extent(grid, boxes, count);
    return MM_OK;
}

/* Rises with the place; places beyond the extent are in the outermost cells. */
static size_t cell_at(const kept_grid *grid, int axis, double place)
{
    const double cell = (place - grid->origin[axis]) * grid->scale[axis];
    if (!(cell > 0))
        return 0;
    return cell < (double)(grid->side - 1) ? (size_t)cell : grid->side - 1;
}

static bool any_suppresses(const kept_grid *grid, size_t chain, const float (*boxes)[4], const size_t *keep,
                           const float box[4], double threshold)
{
    for (; chain != NONE; chain = grid->next[chain])
        if ((double)mm_box_iou(boxes[keep[chain]], box) > threshold)
            return true;
    return false;
}

/* Along each axis, with the box at [a, a + w] and a kept one at [b, b + v], the overlap is more than t * max(w, v). It
 * is at most a + w - b, so b < a + (1 - t) * w; and at most b + v - a, so b > a - (1 - t) * v, where v < w / t. */
static bool is_suppressed_by_plain(const kept_grid *grid, const float (*boxes)[4], const size_t *keep,
                                   const float box[4], double threshold)
{
    size_t first[2], last[2];
    for (int axis = 0; axis < 2; axis++) {
        const double reach = (1 - grid->least) * ((double)box[axis + 2] - (double)box[axis]);
        if (reach < 0) /* no IoU is above 1 */
            return false;
        first[axis] = cell_at(grid, axis, (double)box[axis] - reach / grid->least);
        last[axis] = cell_at(grid, axis, (double)box[axis] + reach);
    }
    for (size_t y = first[1]; y <= last[1]; y++)
        for (size_t x = first[0]; x <= last[0]; x++)
            if (any_suppresses(grid, grid->cells[y * grid->side + x], boxes, keep, box, threshold))
                return true;
    return false;
}

static bool is_suppressed(const kept_grid *grid, box_kind kind, const float (*boxes)[4], const size_t *keep,
                          size_t kept, const float box[4], double threshold)
{
    if (kind == EMPTY_BOX)
        return false;
    if (kind == PLAIN_BOX)
        return any_suppresses(grid, grid->odd, boxes, keep, box, threshold) ||
               is_suppressed_by_plain(grid, boxes, keep, box, threshold);
    for (size_t k = 0; k < kept; k++)
        if ((double)mm_box_iou(boxes[keep[k]], box) > threshold)
            return true;
    return false;
}

static void add_kept(kept_grid *grid, box_kind kind, const float box[4], size_t position)
{
    if (kind == EMPTY_BOX)
        return;
    size_t *chain = &grid->odd;
    if (kind == PLAIN_BOX)
        chain = &grid->cells[cell_at(grid, 1, (double)box[1]) * grid->side + cell_at(grid, 0, (double)box[0])];
    grid->next[position] = *chain;
    *chain = position;
}

mm_status mm_mask_nms(const float (*boxes)[4], const float *scores, size_t count, double threshold, size_t *keep,
                      size_t *kept, mm_error *err)
{
    *kept = 0;
    kept_grid grid;
    mm_status status = make_grid(&grid, boxes, count, threshold, err);
    if (status)
        return status;
    ranked *order = reallocarray(NULL, count ? count : 1, sizeof *order);
    if (!order) {
        free_grid(&grid);
        return mm_fail_memory(err, "the order of boxes in NMS");
    }
    for (size_t i = 0; i < count; i++)
        order[i] = (ranked){scores[i], i};
    qsort(order, count, sizeof *order, by_falling_score);
    for (size_t i = 0; i < count; i++) {
        const float *box = boxes[order[i].index];
        const box_kind kind = grid.least > 0 ? kind_of(box) : ODD_BOX;
        if (is_suppressed(&grid, kind, boxes, keep, *kept, box, threshold))
            continue;
        add_kept(&grid, kind, box, *kept);
        keep[(*kept)++] = order[i].index;
    }
    free(order);
    free_grid(&grid);
    return MM_OK;
}
