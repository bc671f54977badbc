/* An answered image's new record. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "journal/columns.h"
#include "queue/verdict.h"

enum { SOURCE_HUMAN = 2 };

/* A mask of the new record: a row of an old one, with its pixels and scores, or one that a person drew. */
typedef struct new_mask {
    const mm_record *from; /* NULL: drawn */
    uint64_t row;
    const mm_rle *rle; /* of what is drawn, or of the row */
    const mm_answer_mask *drawn; /* whoever drew or accepted it; NULL: it was only left */
} new_mask;

typedef struct new_masks {
    new_mask *items;
    size_t count;
    mm_rle *grid; /* of automatic masks that stay */
    size_t grid_count;
} new_masks;

/* --- which masks --- */

/* Filled-in masks in their order, left or corrected, then what was added in the order of the answer. */
static void list_answered(const mm_shown *shown, const mm_answer *answer, const mm_verdict *verdict, new_masks *list)
{
    for (size_t s = 0; s < shown->prefilled; s++) {
        const size_t a = verdict->of_shown[s];
        const mm_shown_mask *mask = &shown->masks[s];
        if (a == MM_NO_PARTNER)
            continue;
        if (verdict->same[a])
            list->items[list->count++] = (new_mask){mask->record, mask->name.index, &mask->rle, NULL};
        else
            list->items[list->count++] = (new_mask){NULL, 0, &verdict->rles[a], &answer->masks[a]};
    }
    for (size_t a = 0; a < answer->count; a++) {
        const size_t s = verdict->of_answer[a];
        if (!mm_answer_mask_counts(&answer->masks[a]) || (s != MM_NO_PARTNER && s < shown->prefilled))
            continue;
        if (s != MM_NO_PARTNER && verdict->same[a])
            list->items[list->count++] =
                (new_mask){shown->masks[s].record, shown->masks[s].name.index, &shown->masks[s].rle, &answer->masks[a]};
        else
            list->items[list->count++] = (new_mask){NULL, 0, &verdict->rles[a], &answer->masks[a]};
    }
}

static bool was_shown(const mm_shown *shown, uint64_t row)
{
    for (size_t s = 0; s < shown->prefilled; s++)
        if (shown->masks[s].name.kind == MM_SHOWN_MASK && shown->masks[s].name.index == row)
            return true;
    return false;
}

/* Grid masks that nobody was shown, where no better mask is the same. */
static mm_status list_grid(const mm_record *record, const mm_shown *shown, new_masks *list, mm_error *err)
{
    const size_t answered = list->count;
    mm_status status = MM_OK;
    list->grid = calloc((size_t)record->mask_count + 1, sizeof *list->grid);
    if (!list->grid)
        return mm_fail_memory(err, "masks");
    for (uint64_t i = 0; status == MM_OK && i < record->mask_count; i++) {
        if (record->source[i] != 0 || was_shown(shown, i))
            continue;
        mm_rle *rle = &list->grid[list->grid_count];
        status = mm_record_rle(record, i, rle, err);
        if (status != MM_OK)
            break;
        list->grid_count++;
        bool same = false;
        for (size_t k = 0; !same && k < answered; k++)
            same = mm_rle_iou(rle, list->items[k].rle) >= MM_SAME_IOU;
        if (!same)
            list->items[list->count++] = (new_mask){record, i, rle, NULL};
    }
    return status;
}

/* --- the record --- */

static void copy_row(const mm_record *from, uint64_t row, mm_record *to, uint64_t i)
{
    for (int c = 0; c < MM_MASK_COLUMNS; c++) {
        const mm_mask_column *column = &mm_mask_columns[c];
        const char *values = mm_record_column(from, column);
        char *into = mm_record_column(to, column);
        const size_t size = mm_mask_column_row(column);
        if (values && into)
            memcpy(into + i * size, values + row * size, size);
    }
}

/* No prompt, no crop but the image, and nobody predicted anything. */
static void draw_row(const mm_rle *rle, mm_record *to, uint64_t i)
{
    uint32_t box[4];
    mm_rle_box(rle, box);
    for (int k = 0; k < 2; k++) {
        to->bbox[i][k] = (float)box[k];
        to->bbox[i][k + 2] = (float)(box[k + 2] - box[k]);
        to->point_coords[i][k] = (float)NAN;
        to->crop_box[i][k] = 0;
    }
    to->crop_box[i][2] = (float)to->width;
    to->crop_box[i][3] = (float)to->height;
    to->area[i] = (uint32_t)mm_rle_area(rle);
    to->predicted_iou[i] = to->stability_score[i] = (float)NAN;
}

static void sign_row(const new_mask *mask, const mm_answer *answer, const uint16_t *numbers, size_t human,
                     mm_record *to, uint64_t i)
{
    const mm_answer_mask *drawn = mask->drawn;
    const double share = human ? answer->seconds / (double)human : 0;
    to->source[i] = SOURCE_HUMAN;
    to->annotator[i] = drawn->annotator ? numbers[drawn->annotator - 1] : 0;
    to->seconds[i] = drawn->seconds > 0 ? drawn->seconds : (float)share;
    to->clicks[i] = drawn->clicks;
}

static mm_status fill(const new_masks *list, const mm_answer *answer, const uint16_t *numbers, mm_record *made,
                      mm_error *err)
{
    size_t human = 0, used = 0;
    mm_status status = MM_OK;
    for (size_t i = 0; i < list->count; i++)
        human += list->items[i].drawn != NULL;
    for (size_t i = 0; status == MM_OK && i < list->count; i++) {
        const new_mask *mask = &list->items[i];
        uint8_t *counts = NULL;
        size_t size = 0;
        made->annotator[i] = made->clicks[i] = 0;
        made->seconds[i] = 0;
        if (mask->from)
            copy_row(mask->from, mask->row, made, i);
        else
            draw_row(mask->rle, made, i);
        if (mask->drawn)
            sign_row(mask, answer, numbers, human, made, i);
        status = mm_rle_to_counts(mask->rle, &counts, &size, err);
        uint8_t *more = status == MM_OK ? realloc(made->rle, used + size + 1) : NULL;
        if (more) {
            made->rle = more;
            memcpy(made->rle + used, counts, size);
            used += size;
            made->rle_offset[i + 1] = used;
        } else if (status == MM_OK) {
            status = mm_fail_memory(err, "an image's masks");
        }
        free(counts);
    }
    return status;
}

/* Further masks that are there, and are none: the answer has said what they are. */
static mm_status empty_further(const mm_record *old, const mm_record *record, mm_record **slot, mm_error *err)
{
    if (!old)
        return MM_OK;
    *slot = calloc(1, sizeof **slot);
    if (!*slot)
        return mm_fail_memory(err, "an image's masks");
    **slot = (mm_record){.image_id = record->image_id, .width = record->width, .height = record->height,
                         .status = record->status};
    const mm_status status = mm_record_allocate(*slot, mm_record_sets(old), 0, 0, err);
    if (status != MM_OK) {
        free(*slot);
        *slot = NULL;
    }
    return status;
}

mm_status mm_verdict_apply(const mm_record *record, const mm_shown *shown, const mm_answer *answer,
                           const mm_verdict *verdict, const uint16_t *numbers, bool keep_automatic, mm_record *made,
                           mm_error *err)
{
    new_masks list = {.items = calloc(shown->prefilled + answer->count + (size_t)record->mask_count + 1,
                                      sizeof *list.items)};
    *made = (mm_record){.image_id = record->image_id, .width = record->width, .height = record->height,
                        .status = MM_IMAGE_DONE, .funnel = record->funnel};
    if (!list.items)
        return mm_fail_memory(err, "an image's masks");
    list_answered(shown, answer, verdict, &list);
    mm_status status = keep_automatic ? list_grid(record, shown, &list, err) : MM_OK;
    if (status == MM_OK)
        status = mm_record_allocate(made, MM_SET_HUMAN, list.count, 0, err);
    if (status == MM_OK)
        status = fill(&list, answer, numbers, made, err);
    if (status == MM_OK)
        status = empty_further(record->confident, record, &made->confident, err);
    if (status == MM_OK)
        status = empty_further(record->hints, record, &made->hints, err);
    for (size_t i = 0; i < list.grid_count; i++)
        mm_rle_free(&list.grid[i]);
    free(list.grid);
    free(list.items);
    if (status != MM_OK)
        mm_record_free(made);
    return status;
}
