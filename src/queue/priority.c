/* Which images are worth a person's time most. docs/queue.md has the formula and the reasons. */
#include <math.h>
#include <stdlib.h>

#include "queue/shown.h"

/* Weights of uncovered, hint_gain, disagreement; hints at which their gain is half; IoU at which two masks agree. */
#define UNCOVERED_WEIGHT 0.5
#define HINT_WEIGHT 0.3
#define DISAGREEMENT_WEIGHT 0.2
#define HALF_GAIN 4.0
#define AGREE_IOU 0.5

float mm_queue_priority(double uncovered, double hint_gain, double disagreement)
{
    return (float)(UNCOVERED_WEIGHT * uncovered + HINT_WEIGHT * hint_gain + DISAGREEMENT_WEIGHT * disagreement);
}

double mm_queue_hint_gain(double sum)
{
    return sum / (sum + HALF_GAIN);
}

static double unit(float score)
{
    return score >= 0 ? fmin((double)score, 1) : 0; /* NaN is no promise */
}

typedef struct ranked_hint {
    double quality;
    size_t index;
} ranked_hint;

static int by_falling_quality(const void *a, const void *b)
{
    const ranked_hint *x = a, *y = b;
    if (x->quality != y->quality)
        return x->quality > y->quality ? -1 : 1;
    return x->index < y->index ? -1 : x->index > y->index;
}

/* Sum of predicted IoU times stability times the share that neither filled-in masks nor better hints cover. */
static mm_status sum_hints(const mm_shown *shown, const mm_rle *covered, double *sum, mm_error *err)
{
    ranked_hint *hints = calloc(shown->hints + 1, sizeof *hints);
    mm_rle so_far, one;
    *sum = 0;
    if (!hints)
        return mm_fail_memory(err, "hints");
    for (size_t i = 0; i < shown->hints; i++) {
        const mm_shown_mask *mask = &shown->masks[shown->prefilled + i];
        hints[i] = (ranked_hint){unit(mask->record->predicted_iou[mask->name.index]) *
                                     unit(mask->record->stability_score[mask->name.index]), shown->prefilled + i};
    }
    qsort(hints, shown->hints, sizeof *hints, by_falling_quality);
    mm_status status = mm_rle_union(covered, 1, covered->height, covered->width, &so_far, err);
    for (size_t i = 0; status == MM_OK && i < shown->hints; i++) {
        const mm_shown_mask *mask = &shown->masks[hints[i].index];
        const uint64_t fresh = mask->area - mm_rle_shared(&mask->rle, &so_far);
        *sum += hints[i].quality * ((double)fresh / (double)mask->area);
        const mm_rle both[2] = {so_far, mask->rle};
        status = mm_rle_union(both, 2, covered->height, covered->width, &one, err);
        if (status == MM_OK) {
            mm_rle_free(&so_far);
            so_far = one;
        }
    }
    mm_rle_free(&so_far);
    free(hints);
    return status;
}

/* The grid's masks of an image that are not filled in. The caller frees (*grid)[0 .. *count) and *grid, always. */
static mm_status load_grid(const mm_record *record, mm_rle **grid, size_t *count, mm_error *err)
{
    mm_status status = MM_OK;
    *count = 0;
    *grid = calloc((size_t)record->mask_count + 1, sizeof **grid);
    if (!*grid)
        return mm_fail_memory(err, "masks");
    for (uint64_t i = 0; status == MM_OK && i < record->mask_count; i++)
        if (record->source[i] == 0) {
            status = mm_record_rle(record, i, &(*grid)[*count], err);
            *count += status == MM_OK;
        }
    return status;
}

/* Confident masks that the grid has no like of, and grid masks most of which the confident ones leave uncovered, among
 * all of both. */
static mm_status disagree(const mm_record *record, const mm_shown *shown, const mm_rle *covered, double *share,
                          mm_error *err)
{
    mm_rle *grid = NULL;
    size_t count = 0, apart = 0, confident = 0;
    mm_status status = load_grid(record, &grid, &count, err);
    *share = 0;
    for (size_t i = 0; status == MM_OK && count > 0 && i < shown->prefilled; i++) {
        if (shown->masks[i].name.kind != MM_SHOWN_CONFIDENT)
            continue;
        bool found = false;
        for (size_t k = 0; !found && k < count; k++)
            found = mm_rle_iou(&shown->masks[i].rle, &grid[k]) >= AGREE_IOU;
        apart += !found;
        confident++;
    }
    for (size_t k = 0; status == MM_OK && confident > 0 && k < count; k++)
        apart += 2 * mm_rle_shared(&grid[k], covered) < mm_rle_area(&grid[k]);
    if (status == MM_OK && confident > 0)
        *share = (double)apart / (double)(confident + count);
    for (size_t k = 0; k < count; k++)
        mm_rle_free(&grid[k]);
    free(grid);
    return status;
}

static mm_status unite_prefilled(const mm_shown *shown, const mm_record *record, mm_rle *covered, mm_error *err)
{
    mm_rle *masks = calloc(shown->prefilled + 1, sizeof *masks);
    if (!masks)
        return mm_fail_memory(err, "masks");
    for (size_t i = 0; i < shown->prefilled; i++)
        masks[i] = shown->masks[i].rle; /* borrowed */
    const mm_status status = mm_rle_union(masks, shown->prefilled, record->height, record->width, covered, err);
    free(masks);
    return status;
}

static mm_status weigh(const mm_record *record, mm_prefill_mode mode, const mm_shown *shown, mm_queue_image *image,
                       mm_error *err)
{
    mm_rle covered;
    double sum = 0, disagreement = 0;
    mm_status status = unite_prefilled(shown, record, &covered, err);
    if (status != MM_OK)
        return status;
    status = sum_hints(shown, &covered, &sum, err);
    if (status == MM_OK && mode == MM_PREFILL_CONFIDENT)
        status = disagree(record, shown, &covered, &disagreement, err);
    const double pixels = (double)record->width * record->height;
    const double uncovered = 1 - (double)mm_rle_area(&covered) / pixels;
    mm_rle_free(&covered);
    if (status != MM_OK)
        return status;
    image->uncovered = (float)uncovered;
    image->hint_gain = (float)mm_queue_hint_gain(sum);
    image->disagreement = (float)disagreement;
    image->priority = mm_queue_priority(uncovered, mm_queue_hint_gain(sum), disagreement);
    image->prefilled = (uint32_t)shown->prefilled;
    image->hints = (uint32_t)shown->hints;
    return MM_OK;
}

mm_status mm_queue_weigh(const mm_record *record, mm_prefill_mode mode, mm_queue_image *image, mm_error *err)
{
    mm_shown shown;
    *image = (mm_queue_image){.image_id = record->image_id, .width = record->width, .height = record->height};
    if (record->width == 0 || record->height == 0)
        return mm_fail(err, MM_ERR_FORMAT, "an image has no pixels");
    mm_status status = mm_shown_load(record, mode, &shown, err);
    if (status != MM_OK)
        return status;
    status = weigh(record, mode, &shown, image, err);
    mm_shown_free(&shown);
    return status;
}
