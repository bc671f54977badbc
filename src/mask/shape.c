/* What the statistics ask of a mask's shape: its centre and the area of its convex hull. */
#include "mask/runs.h"

/* Sum of the integers a .. b-1. */
static uint64_t sum_of_range(uint32_t a, uint32_t b)
{
    const uint64_t count = b - a, ends = (uint64_t)a + b - 1;
    return count % 2 == 0 ? count / 2 * ends : ends / 2 * count;
}

void mm_rle_centre(const mm_rle *rle, double *x, double *y)
{
    uint64_t area = 0, sum_x = 0, sum_y = 0; /* of at most 2^32 pixels: no sum reaches 2^64 */
    mm_rect rect;
    for (mm_rect_cursor ones = mm_rects_of(rle, true); mm_rects_next(&ones, &rect);) {
        const uint64_t columns = rect.x1 - rect.x0, rows = rect.y1 - rect.y0;
        area += columns * rows;
        sum_x += rows * sum_of_range(rect.x0, rect.x1);
        sum_y += columns * sum_of_range(rect.y0, rect.y1);
    }
    *x = area ? (double)sum_x / (double)area + 0.5 : rle->width / 2.0;
    *y = area ? (double)sum_y / (double)area + 0.5 : rle->height / 2.0;
}

/* A chain of corners of the hull, from left to right, without three in a line. Its edges are distinct primitive
 * vectors whose widths sum to at most the frame's width + 1 and whose heights to twice its height + 2. Of such
 * vectors there are at most about 2.2 cbrt(width * height), that is 3600 when width * height < 2^32. */
#define MAX_CHAIN 8192

typedef struct hull_chain {
    uint32_t x[MAX_CHAIN], y[MAX_CHAIN];
    size_t count;
    int side; /* +1: the chain of the smallest y, -1: of the largest */
} hull_chain;

static void add_corner(hull_chain *chain, uint32_t x, uint32_t y)
{
    size_t n = chain->count;
    if (n > 0 && chain->x[n - 1] == x) { /* two columns meet here: the outer corner stays */
        if (chain->side > 0 ? chain->y[n - 1] <= y : chain->y[n - 1] >= y)
            return;
        n--;
    }
    for (; n >= 2; n--) { /* drop what now lies on the inner side of, or on, the line to the new corner */
        const int64_t ax = (int64_t)chain->x[n - 1] - chain->x[n - 2], ay = (int64_t)chain->y[n - 1] - chain->y[n - 2];
        const int64_t bx = (int64_t)x - chain->x[n - 2], by = (int64_t)y - chain->y[n - 2];
        if ((ax * by - ay * bx) * chain->side > 0)
            break;
    }
    chain->x[n] = x;
    chain->y[n] = y;
    chain->count = n + 1;
}

/* Twice the area between the chain and the line y = 0. */
static uint64_t twice_area_under(const hull_chain *chain)
{
    uint64_t sum = 0;
    for (size_t i = 1; i < chain->count; i++)
        sum += (uint64_t)(chain->x[i] - chain->x[i - 1]) * ((uint64_t)chain->y[i] + chain->y[i - 1]);
    return sum;
}

static void add_columns(hull_chain *top, hull_chain *bottom, const mm_rect *columns)
{
    add_corner(top, columns->x0, columns->y0);
    add_corner(bottom, columns->x0, columns->y1);
    add_corner(top, columns->x1, columns->y0);
    add_corner(bottom, columns->x1, columns->y1);
}

/* Andrew's monotone chain. Columns come in order of x, and of a column only the extent matters; the corners of a
 * block of whole columns are those of its first and last. */
double mm_rle_hull_area(const mm_rle *rle)
{
    hull_chain top, bottom;
    top.count = bottom.count = 0;
    top.side = 1;
    bottom.side = -1;
    mm_rect rect, columns = {0};
    for (mm_rect_cursor ones = mm_rects_of(rle, true); mm_rects_next(&ones, &rect);) {
        if (columns.x1 > 0 && rect.x0 == columns.x0) {
            columns.y1 = rect.y1;
            continue;
        }
        if (columns.x1 > 0)
            add_columns(&top, &bottom, &columns);
        columns = rect;
    }
    if (columns.x1 > 0)
        add_columns(&top, &bottom, &columns);
    return (double)(twice_area_under(&bottom) - twice_area_under(&top)) / 2.0;
}
