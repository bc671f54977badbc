#include "queue/segmentation.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_RINGS = 1 << 16, MOST_PAIRS = 1 << 24 };

void mm_repair_text(unsigned repairs, char *text, size_t size)
{
    static const char *const words[] = {"reaches outside the image and was cut off at its edge",
                                        "crosses itself and was filled by the even-odd rule",
                                        "has a ring that adds nothing to the others (polygons have no holes in COCO; "
                                        "run "
                                        "lengths do)"};
    size_t used = 0;
    text[0] = '\0';
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++)
        if (repairs & 1u << i && used < size)
            used += (size_t)snprintf(text + used, size - used, "%s%s", used ? "; " : "", words[i]);
}

/* --- rings that cross themselves --- */

typedef struct side {
    double a[2], b[2]; /* a is the left end */
    size_t number;
} side;

static int by_left_end(const void *x, const void *y)
{
    const side *a = x, *b = y;
    if (a->a[0] != b->a[0])
        return a->a[0] < b->a[0] ? -1 : 1;
    return a->number < b->number ? -1 : a->number > b->number;
}

/* > 0: c lies left of the way from a to b. */
static double turn(const double a[2], const double b[2], const double c[2])
{
    return (b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0]);
}

static bool cross(const side *s, const side *t)
{
    const double low = fmin(s->a[1], s->b[1]), high = fmax(s->a[1], s->b[1]);
    if (fmax(t->a[1], t->b[1]) < low || fmin(t->a[1], t->b[1]) > high)
        return false;
    const double c = turn(s->a, s->b, t->a), d = turn(s->a, s->b, t->b);
    const double e = turn(t->a, t->b, s->a), f = turn(t->a, t->b, s->b);
    return ((c > 0 && d < 0) || (c < 0 && d > 0)) && ((e > 0 && f < 0) || (e < 0 && f > 0));
}

bool mm_ring_crosses_itself(const double (*points)[2], size_t count)
{
    side *sides = reallocarray(NULL, count + 1, sizeof *sides);
    bool crosses = false;
    if (!sides)
        return false; /* no mask is lost by that, only a note */
    for (size_t i = 0; i < count; i++) {
        const double *from = points[i], *to = points[i + 1 == count ? 0 : i + 1];
        const bool right = from[0] <= to[0];
        memcpy(sides[i].a, right ? from : to, sizeof sides[i].a);
        memcpy(sides[i].b, right ? to : from, sizeof sides[i].b);
        sides[i].number = i;
    }
    qsort(sides, count, sizeof *sides, by_left_end);
    size_t pairs = 0;
    for (size_t i = 0; i < count && !crosses && pairs < MOST_PAIRS; i++)
        for (size_t j = i + 1; j < count && sides[j].a[0] <= sides[i].b[0] && !crosses && pairs < MOST_PAIRS;
             j++, pairs++)
            crosses = cross(&sides[i], &sides[j]);
    free(sides);
    return crosses;
}

/* --- polygons --- */

mm_status mm_segmentation_ring(const double (*points)[2], size_t count, uint32_t height, uint32_t width, mm_rle *rle,
                               unsigned *repairs, mm_error *err)
{
    const double sides[2] = {width, height};
    *rle = (mm_rle){0};
    if (count < 3)
        return mm_fail(err, MM_ERR_FORMAT, "a polygon of %zu points has no inside", count);
    for (size_t i = 0; i < count; i++)
        for (int axis = 0; axis < 2; axis++)
            if (points[i][axis] < -1 || points[i][axis] > sides[axis] + 1) /* within a pixel, tools round */
                *repairs |= MM_REPAIR_CUT_OFF;
    const mm_status status = mm_rle_from_polygon(points, count, height, width, rle, err);
    if (status == MM_OK && mm_ring_crosses_itself(points, count))
        *repairs |= MM_REPAIR_CROSSING;
    return status;
}

static mm_status read_ring(const json_t *list, size_t number, uint32_t height, uint32_t width, mm_rle *rle,
                           unsigned *repairs, mm_error *err)
{
    const size_t count = json_array_size(list);
    *rle = (mm_rle){0};
    if (!json_is_array(list))
        return mm_fail(err, MM_ERR_FORMAT, "ring %zu of its polygon is no list of numbers", number);
    if (count % 2 != 0)
        return mm_fail(err, MM_ERR_FORMAT, "ring %zu of its polygon has an odd number of coordinates", number);
    double (*points)[2] = calloc(count / 2 + 1, sizeof *points);
    mm_status status = points ? MM_OK : mm_fail_memory(err, "a polygon");
    for (size_t i = 0; status == MM_OK && i < count; i++) {
        const json_t *value = json_array_get(list, i);
        if (json_is_number(value))
            points[i / 2][i % 2] = json_number_value(value);
        else
            status = mm_fail(err, MM_ERR_FORMAT, "coordinate %zu of ring %zu of its polygon is no number", i, number);
    }
    if (status == MM_OK)
        status = mm_segmentation_ring((const double (*)[2])points, count / 2, height, width, rle, repairs, err);
    free(points);
    return status;
}

static mm_status read_rings(const json_t *list, uint32_t height, uint32_t width, mm_rle *rle, unsigned *repairs,
                            mm_error *err)
{
    const size_t count = json_array_size(list);
    if (count == 0)
        return mm_fail(err, MM_ERR_FORMAT, "its polygon has no rings");
    if (count > MOST_RINGS)
        return mm_fail(err, MM_ERR_LIMIT, "its polygon has %zu rings, more than %d", count, MOST_RINGS);
    mm_rle *rings = calloc(count, sizeof *rings);
    mm_status status = rings ? MM_OK : mm_fail_memory(err, "a polygon");
    for (size_t i = 0; status == MM_OK && i < count; i++)
        status = read_ring(json_array_get(list, i), i, height, width, &rings[i], repairs, err);
    if (status == MM_OK)
        status = mm_rle_union(rings, count, height, width, rle, err);
    /* A ring inside of another was most likely meant to be a hole. */
    for (size_t i = 0; status == MM_OK && count > 1 && count <= 64 && i < count; i++)
        for (size_t j = 0; j < count; j++)
            if (i != j && mm_rle_area(&rings[i]) > 0 && mm_rle_area(&rings[i]) < mm_rle_area(&rings[j]) &&
                mm_rle_shared(&rings[i], &rings[j]) == mm_rle_area(&rings[i]))
                *repairs |= MM_REPAIR_NO_HOLE;
    for (size_t i = 0; rings && i < count; i++)
        mm_rle_free(&rings[i]);
    free(rings);
    return status;
}

/* --- run lengths --- */

/* Uncompressed run lengths as compressed counts have them: through the same check. */
static mm_status read_runs(const json_t *list, uint32_t height, uint32_t width, mm_rle *rle, mm_error *err)
{
    const uint64_t pixels = (uint64_t)height * width;
    const size_t count = json_array_size(list);
    uint64_t sum = 0;
    if (pixels > UINT32_MAX)
        return mm_fail(err, MM_ERR_LIMIT, "an image of %" PRIu32 " x %" PRIu32 " pixels is too large", width, height);
    uint32_t *runs = reallocarray(NULL, count + 1, sizeof *runs);
    size_t used = 0;
    if (!runs)
        return mm_fail_memory(err, "run lengths");
    runs[used++] = 0;
    for (size_t i = 0; i < count; i++) {
        const json_t *value = json_array_get(list, i);
        const json_int_t length = json_is_integer(value) ? json_integer_value(value) : -1;
        if (length < 0 || (uint64_t)length > pixels - sum) {
            free(runs);
            return mm_fail(err, MM_ERR_FORMAT, "run %zu is no length that fits into %" PRIu32 " x %" PRIu32 " pixels",
                           i, width, height);
        }
        sum += (uint64_t)length;
        if (length > 0 && (i & 1) == ((used - 1) & 1)) /* empty runs join their neighbours */
            runs[used - 1] += (uint32_t)length;
        else if (length > 0)
            runs[used++] = (uint32_t)length;
    }
    if (sum != pixels) {
        free(runs);
        return mm_fail(err, MM_ERR_FORMAT,
                       "its runs sum to %" PRIu64 ", not to the %" PRIu64 " of %" PRIu32 " x %" PRIu32 " pixels", sum,
                       pixels, width, height);
    }
    *rle = (mm_rle){height, width, used, runs};
    return MM_OK;
}

static mm_status read_counts(const json_t *object, uint32_t height, uint32_t width, mm_rle *rle, mm_error *err)
{
    const json_t *size = json_object_get(object, "size"), *counts = json_object_get(object, "counts");
    const json_t *h = json_array_get(size, 0), *w = json_array_get(size, 1);
    if (json_array_size(size) != 2 || !json_is_integer(h) || !json_is_integer(w))
        return mm_fail(err, MM_ERR_FORMAT, "its run lengths have no \"size\": [height, width]");
    if (json_integer_value(h) != (json_int_t)height || json_integer_value(w) != (json_int_t)width)
        return mm_fail(err, MM_ERR_FORMAT,
                       "its run lengths are of %" JSON_INTEGER_FORMAT " x %" JSON_INTEGER_FORMAT
                       " pixels, the image has %" PRIu32 " x %" PRIu32,
                       json_integer_value(w), json_integer_value(h), width, height);
    if (json_is_string(counts))
        return mm_rle_from_counts((const uint8_t *)json_string_value(counts), json_string_length(counts), height, width,
                                  rle, err);
    if (json_is_array(counts))
        return read_runs(counts, height, width, rle, err);
    return mm_fail(err, MM_ERR_FORMAT, "its \"counts\" are neither text nor a list");
}

mm_status mm_segmentation_read(const json_t *value, uint32_t height, uint32_t width, mm_rle *rle, bool *exact,
                               unsigned *repairs, mm_error *err)
{
    mm_status status;
    *rle = (mm_rle){0};
    *repairs = 0;
    *exact = json_is_object(value);
    if (json_is_array(value))
        status = read_rings(value, height, width, rle, repairs, err);
    else if (json_is_object(value))
        status = read_counts(value, height, width, rle, err);
    else
        status = mm_fail(err, MM_ERR_FORMAT, "it has no \"segmentation\": neither polygons nor run lengths");
    if (status == MM_OK && mm_rle_area(rle) == 0) {
        mm_rle_free(rle);
        status = mm_fail(err, MM_ERR_FORMAT, "its mask has no pixel inside the image");
    }
    return status;
}
