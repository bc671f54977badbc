/* A small world for tests of queues: what is in each image is known, what the detector and the grid found of it is made
 * up, and so is what a person who knows the truth answers.
 *
 * Six objects an image. The detector is right about 0 and 1, off about 2, and sees one thing that is not there; a hint
 * is right about 3, another is wrong; nobody found 4 and 5. The grid found 0, most of 4, and a part of 1. */
#ifndef MM_TESTS_QUEUE_WORLD_H
#define MM_TESTS_QUEUE_WORLD_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "maskmill/amg.h"
#include "maskmill/mask.h"

enum { WORLD_IMAGES = 11, WORLD_PER_SHARD = 4, WORLD_BROKEN = 6, WORLD_LARGE = 3, WORLD_OBJECTS = 6 };
/* Of the masks of an image. */
enum { WORLD_CONFIDENT = 4, WORLD_HINTS = 2, WORLD_GRID = 3 };

typedef struct world_box {
    uint32_t x0, y0, x1, y1; /* ends exclusive */
} world_box;

static inline uint32_t world_width(uint64_t image) { return 96 + 8 * (uint32_t)(image % 3); }
static inline uint32_t world_height(uint64_t image) { return 80 + 4 * (uint32_t)(image % 4); }

/* Object k lies in cell (k % 3, k / 3) of 3 x 2; the first image has the largest objects. */
static inline world_box world_object(uint64_t image, int k)
{
    const uint32_t x = 32 * (uint32_t)(k % 3) + 3 + (uint32_t)image % 2, y = 40 * (uint32_t)(k / 3) + 4;
    return (world_box){x, y, x + 14 + (uint32_t)(11 - image), y + 16 + 2 * (uint32_t)(k % 2) + (uint32_t)image % 5};
}

static inline world_box world_confident(uint64_t image, int i)
{
    world_box box = world_object(image, i < 3 ? i : 5);
    if (i == 2) { /* off by some columns: IoU between 0.5 and 0.9 */
        box.x0 += 3;
        box.x1 += 3;
    }
    if (i == 3) /* between the rows of objects: nothing is there */
        box = (world_box){40, 33, 60, 38};
    return box;
}

static inline world_box world_hint(uint64_t image, int i)
{
    return i == 0 ? world_object(image, 3) : (world_box){70, 34, 80, 39};
}

static inline world_box world_grid(uint64_t image, int i)
{
    world_box box = world_object(image, i == 0 ? 0 : i == 1 ? 4 : 1);
    if (i == 1)
        box.y1 -= 5;
    if (i == 2)
        box.x1 = box.x0 + 6;
    return box;
}

/* An ellipse for odd objects' numbers would be prettier; boxes are exact as polygons, too. */
static inline mm_rle world_mask(uint64_t image, world_box box)
{
    const uint32_t width = world_width(image), height = world_height(image);
    uint8_t *bits = calloc(height, width);
    mm_rle rle = {0};
    mm_error err = {0};
    for (uint32_t y = box.y0; bits && y < box.y1; y++)
        memset(bits + (size_t)y * width + box.x0, 1, box.x1 - box.x0);
    if (!bits || mm_rle_from_bits(bits, height, width, &rle, &err) != MM_OK) {
        (void)fprintf(stderr, "a mask could not be made: %s\n", err.text);
        exit(1);
    }
    free(bits);
    return rle;
}

static inline mm_annotation world_annotation(uint64_t image, world_box box, float iou, float stability)
{
    mm_annotation item = {
        .rle = world_mask(image, box),
        .bbox = {(float)box.x0, (float)box.y0, (float)(box.x1 - box.x0 - 1), (float)(box.y1 - box.y0 - 1)},
        .predicted_iou = iou,
        .stability_score = stability,
        .point_coords = {(float)box.x0 + 0.5f, (float)box.y0 + 0.5f},
        .crop_box = {0, 0, (float)world_width(image), (float)world_height(image)}};
    item.area = (uint32_t)mm_rle_area(&item.rle);
    return item;
}

#endif
