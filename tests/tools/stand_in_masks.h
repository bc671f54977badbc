/* Masks that cost next to nothing and depend on the image's number alone: blobs, as many and as large as SA-1B has
 * them, with ragged edges, so that run lengths take about as many bytes as real ones. */
#ifndef MM_TESTS_STAND_IN_MASKS_H
#define MM_TESTS_STAND_IN_MASKS_H

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "maskmill/amg.h"

/* The n-th number of an image's own sequence, 64 mixed bits (splitmix64). */
static inline uint64_t mm_stand_in_bits(uint64_t image_id, uint64_t n)
{
    uint64_t x = (image_id << 20) + n + 0x9E3779B97F4A7C15U;
    x = (x ^ x >> 30) * 0xBF58476D1CE4E5B9U;
    x = (x ^ x >> 27) * 0x94D049BB133111EBU;
    return x ^ x >> 31;
}

static inline double mm_stand_in_uniform(uint64_t image_id, uint64_t n)
{
    return ((double)(mm_stand_in_bits(image_id, n) >> 11) + 0.5) * 0x1p-53;
}

/* Log-normal with the given mean; `spread` is the standard deviation of the logarithm. */
static inline double mm_stand_in_seconds(uint64_t image_id, double mean, double spread)
{
    const double u = mm_stand_in_uniform(image_id, 1), v = mm_stand_in_uniform(image_id, 2);
    const double normal = sqrt(-2 * log(u)) * cos(6.283185307179586 * v);
    return mean * exp(spread * normal - spread * spread / 2);
}

/* One blob in a width x height frame: an ellipse whose upper and lower edge jitter by a pixel or two. */
static inline mm_status mm_stand_in_blob(uint64_t image_id, uint32_t number, uint32_t width, uint32_t height,
                                         mm_annotation *item, mm_error *err)
{
    const uint64_t seed = 16 + (uint64_t)number * 4096;
    const double side = width < height ? width : height;
    /* Half axes from 0.7 % to 13 % of the short side, evenly in the logarithm. */
    const double rx = side * 0.007 * pow(19, mm_stand_in_uniform(image_id, seed)) + 1;
    const double ry = side * 0.007 * pow(19, mm_stand_in_uniform(image_id, seed + 1)) + 1;
    const double cx = rx + (width - 2 * rx - 1) * mm_stand_in_uniform(image_id, seed + 2);
    const double cy = ry + 2 + (height - 2 * ry - 5) * mm_stand_in_uniform(image_id, seed + 3);
    const uint32_t x0 = (uint32_t)ceil(cx - rx * 0.98), x1 = (uint32_t)(cx + rx * 0.98);
    uint32_t *runs = malloc((2 * (size_t)(x1 - x0 + 1) + 1) * sizeof *runs);
    if (!runs)
        return mm_fail_memory(err, "a mask");
    size_t count = 0;
    uint64_t at = 0;
    for (uint32_t x = x0; x <= x1; x++) {
        const double across = (x - cx) / rx, half = ry * sqrt(1 - across * across);
        const uint64_t jitter = mm_stand_in_bits(image_id, seed + 4 + (x - x0) / 2 % 4000);
        const uint64_t top = (uint64_t)(cy - half) + (jitter & 1);
        const uint64_t bottom = (uint64_t)(cy + half) + 1 + (jitter >> 1 & 1);
        const uint64_t start = (uint64_t)x * height + top, end = (uint64_t)x * height + bottom;
        runs[count++] = (uint32_t)(start - at);
        runs[count++] = (uint32_t)(end - start);
        at = end;
    }
    runs[count++] = (uint32_t)((uint64_t)width * height - at);
    item->rle = (mm_rle){.height = height, .width = width, .count = count, .runs = runs};
    uint32_t box[4];
    mm_rle_box(&item->rle, box);
    item->area = (uint32_t)mm_rle_area(&item->rle);
    const float bbox[4] = {(float)box[0], (float)box[1], (float)(box[2] - box[0]), (float)(box[3] - box[1])};
    memcpy(item->bbox, bbox, sizeof bbox);
    item->predicted_iou = 0.88F + 0.12F * (float)mm_stand_in_uniform(image_id, seed + 4001);
    item->stability_score = 0.95F + 0.05F * (float)mm_stand_in_uniform(image_id, seed + 4002);
    item->point_coords[0] = (float)cx;
    item->point_coords[1] = (float)cy;
    item->crop_box[2] = (float)width;
    item->crop_box[3] = (float)height;
    return MM_OK;
}

/* `mean` masks on average, up to twice as many. The caller frees *annotations, also on failure. */
static inline mm_status mm_stand_in_masks(uint64_t image_id, uint32_t mean, uint32_t width, uint32_t height,
                                          mm_annotations *annotations, mm_error *err)
{
    const uint32_t count = (uint32_t)(mm_stand_in_uniform(image_id, 3) * (2 * mean + 1));
    *annotations = (mm_annotations){.width = width, .height = height};
    annotations->items = calloc(count + 1, sizeof *annotations->items);
    if (!annotations->items)
        return mm_fail_memory(err, "masks");
    mm_status status = MM_OK;
    for (uint32_t i = 0; status == MM_OK && i < count; i++) {
        status = mm_stand_in_blob(image_id, i, width, height, &annotations->items[i], err);
        annotations->count += status == MM_OK;
    }
    annotations->funnel = (mm_funnel){3072, 3 * count, 2 * count, 2 * count, 2 * count, count, count, count};
    return status;
}

#endif
