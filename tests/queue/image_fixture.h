/* Records of one image, with boxes for masks. */
#ifndef MM_TESTS_QUEUE_IMAGE_FIXTURE_H
#define MM_TESTS_QUEUE_IMAGE_FIXTURE_H

#include <check.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "queue/verdict.h"

enum { SIDE = 40, MOST = 16, IMAGE = 17 };

typedef struct box {
    uint32_t x0, y0, x1, y1; /* ends exclusive */
} box;

static inline mm_rle box_mask(box b)
{
    uint8_t bits[SIDE * SIDE] = {0};
    mm_rle rle;
    for (uint32_t y = b.y0; y < b.y1; y++)
        memset(bits + y * SIDE + b.x0, 1, b.x1 - b.x0);
    ck_assert_int_eq(mm_rle_from_bits(bits, SIDE, SIDE, &rle, NULL), MM_OK);
    return rle;
}

static inline void boxes(const box *list, size_t count, float iou, mm_annotations *all, mm_annotation items[MOST])
{
    memset(items, 0, MOST * sizeof *items);
    for (size_t i = 0; i < count; i++) {
        items[i].rle = box_mask(list[i]);
        items[i].area = (uint32_t)mm_rle_area(&items[i].rle);
        items[i].predicted_iou = iou;
        items[i].stability_score = 1;
    }
    *all = (mm_annotations){.width = SIDE, .height = SIDE, .items = items, .count = count};
}

static inline void drop(mm_annotations *all)
{
    for (size_t i = 0; i < all->count; i++)
        mm_rle_free(&all->items[i].rle);
}

typedef struct scene {
    const box *grid, *confident, *hints;
    size_t grid_count, confident_count, hint_count;
    float hint_iou;
} scene;

static inline mm_record record_of(const scene *s)
{
    static const float score[MOST] = {0.9f, 0.9f, 0.9f, 0.9f};
    mm_annotation items[MOST];
    mm_annotations all;
    mm_record record;
    boxes(s->grid, s->grid_count, 0.9f, &all, items);
    ck_assert_int_eq(mm_record_from_annotations(IMAGE, &all, &record, NULL), MM_OK);
    drop(&all);
    boxes(s->confident, s->confident_count, 0.95f, &all, items);
    ck_assert_int_eq(mm_record_set_confident(&record, &all, score, NULL), MM_OK);
    drop(&all);
    boxes(s->hints, s->hint_count, s->hint_iou, &all, items);
    ck_assert_int_eq(mm_record_set_hints(&record, &all, NULL), MM_OK);
    drop(&all);
    return record;
}

#endif
