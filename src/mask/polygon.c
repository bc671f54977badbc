/* Polygons to masks as pycocotools fills them (cocoapi's rleFrPoly): the outline is walked on a grid five times as
 * fine, where it crosses a pixel's column, the column changes between outside and inside. So a ring that crosses itself
 * is filled by the even-odd rule, and a pixel is inside if its centre is, up to the rounding of that walk. */
#include <math.h>
#include <stdlib.h>

#include "mask/runs.h"

enum { FINE = 5 };
/* Steps of the walk, in all: 2^27 are a second or two, and 2^25 crossings are 128 MiB. */
#define MOST_STEPS (UINT64_C(1) << 27)
#define MOST_CROSSINGS (UINT64_C(1) << 25)

typedef struct walk {
    uint32_t height, width;
    bool begun;
    int64_t u, v; /* the point before, on the fine grid */
    uint32_t *crossings; /* column-major positions at which inside and outside change */
    size_t count, room;
    bool failed;
} walk;

static void add_crossing(walk *w, uint32_t position)
{
    if (w->count == w->room && !w->failed) {
        const size_t room = w->room ? 2 * w->room : 256;
        uint32_t *more = reallocarray(w->crossings, room, sizeof *more);
        w->failed = !more;
        if (more) {
            w->crossings = more;
            w->room = room;
        }
    }
    if (!w->failed)
        w->crossings[w->count++] = position;
}

/* The next point of the outline. What is left or right of the image crosses no column of it; what is above or below
 * crosses at its edge. */
static void step_to(walk *w, int64_t u, int64_t v)
{
    const int64_t u0 = w->u, v0 = w->v;
    const bool begun = w->begun;
    w->u = u;
    w->v = v;
    w->begun = true;
    if (!begun || u == u0)
        return;
    const double x = ((double)(u < u0 ? u : u - 1) + 0.5) / FINE - 0.5;
    if (floor(x) != x || x < 0 || x > (double)w->width - 1)
        return;
    double y = ((double)(v < v0 ? v : v0) + 0.5) / FINE - 0.5;
    y = y < 0 ? 0 : y > w->height ? w->height : ceil(y);
    add_crossing(w, (uint32_t)x * w->height + (uint32_t)y);
}

/* Rounding is C's own towards zero, left of the image as well, as in the original. */
static int64_t fine(double coordinate)
{
    return (int64_t)(FINE * coordinate + 0.5);
}

static void walk_edge(walk *w, int64_t x0, int64_t y0, int64_t x1, int64_t y1)
{
    const int64_t dx = llabs(x1 - x0), dy = llabs(y1 - y0);
    const bool flat = dx >= dy, flip = flat ? x0 > x1 : y0 > y1;
    const int64_t xs = flip ? x1 : x0, ys = flip ? y1 : y0, xe = flip ? x0 : x1, ye = flip ? y0 : y1;
    const int64_t steps = flat ? dx : dy;
    const double slope = steps == 0 ? 0 : flat ? (double)(ye - ys) / (double)dx : (double)(xe - xs) / (double)dy;
    for (int64_t d = 0; d <= steps && !w->failed; d++) {
        const int64_t t = flip ? steps - d : d;
        if (flat)
            step_to(w, xs + t, (int64_t)((double)ys + slope * (double)t + 0.5));
        else
            step_to(w, (int64_t)((double)xs + slope * (double)t + 0.5), ys + t);
    }
}

static int rising(const void *a, const void *b)
{
    const uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return x < y ? -1 : x > y;
}

static mm_status check(const double (*points)[2], size_t count, uint32_t height, uint32_t width, mm_error *err)
{
    const mm_status status = mm_mask_check_size(height, width, err);
    if (status != MM_OK)
        return status;
    const double sides[2] = {width, height};
    uint64_t steps = 0;
    for (size_t i = 0; i < count; i++) {
        for (int axis = 0; axis < 2; axis++)
            if (!(points[i][axis] >= -sides[axis] && points[i][axis] <= 2 * sides[axis]))
                return mm_fail(err, MM_ERR_FORMAT,
                               "point %zu of the polygon, (%g, %g), is far outside the image of %u x "
                               "%u pixels",
                               i, points[i][0], points[i][1], width, height);
        const double *next = points[i + 1 == count ? 0 : i + 1];
        const double across = fabs(next[0] - points[i][0]), down = fabs(next[1] - points[i][1]);
        const double longer = across > down ? across : down;
        steps +=
            longer <= 3 * (sides[0] + sides[1]) ? (uint64_t)(FINE * longer) + 2 : 0; /* else the next point fails */
        if (steps > MOST_STEPS)
            return mm_fail(err, MM_ERR_LIMIT, "the polygon's outline is longer than %llu pixels",
                           (unsigned long long)(MOST_STEPS / FINE));
    }
    return MM_OK;
}

mm_status mm_rle_from_polygon(const double (*points)[2], size_t count, uint32_t height, uint32_t width, mm_rle *rle,
                              mm_error *err)
{
    walk w = {.height = height, .width = width};
    *rle = (mm_rle){0};
    mm_status status = check(points, count, height, width, err);
    if (status != MM_OK)
        return status;
    for (size_t i = 0; i < count && !w.failed && w.count <= MOST_CROSSINGS; i++) {
        const double *from = points[i], *to = points[i + 1 == count ? 0 : i + 1];
        walk_edge(&w, fine(from[0]), fine(from[1]), fine(to[0]), fine(to[1]));
    }
    if (w.failed || w.count > MOST_CROSSINGS) {
        status =
            w.failed ? mm_fail_memory(err, "a polygon") : mm_fail(err, MM_ERR_LIMIT, "the polygon is too intricate");
        free(w.crossings);
        return status;
    }
    if (w.count > 0)
        qsort(w.crossings, w.count, sizeof *w.crossings, rising);
    mm_run_builder builder;
    mm_runs_start(&builder, w.count + 1);
    uint32_t at = 0;
    for (size_t i = 0; i < w.count; i++) {
        mm_runs_append(&builder, i & 1, w.crossings[i] - at);
        at = w.crossings[i];
    }
    mm_runs_append(&builder, w.count & 1, height * width - at);
    free(w.crossings);
    return mm_runs_finish(&builder, height, width, rle, err);
}
