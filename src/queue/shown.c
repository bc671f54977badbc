#include "queue/shown.h"

#include <stdlib.h>

mm_status mm_record_rle(const mm_record *record, uint64_t i, mm_rle *rle, mm_error *err)
{
    const uint64_t from = record->rle_offset[i], to = record->rle_offset[i + 1];
    return mm_rle_from_counts(record->rle + from, (size_t)(to - from), record->height, record->width, rle, err);
}

void mm_shown_free(mm_shown *shown)
{
    for (size_t i = 0; i < shown->prefilled + shown->hints; i++)
        mm_rle_free(&shown->masks[i].rle);
    free(shown->masks);
    *shown = (mm_shown){0};
}

/* Compared by areas first: most pairs need no more. */
static bool is_same(const mm_shown_mask *a, const mm_shown_mask *b)
{
    const uint64_t less = a->area < b->area ? a->area : b->area, more = a->area < b->area ? b->area : a->area;
    return (double)less >= MM_SAME_IOU * (double)more && mm_rle_iou(&a->rle, &b->rle) >= MM_SAME_IOU;
}

static mm_status add(mm_shown *shown, const mm_record *record, mm_shown_kind kind, uint64_t i, mm_error *err)
{
    const size_t before = shown->prefilled + shown->hints;
    mm_shown_mask *mask = &shown->masks[before];
    *mask = (mm_shown_mask){.name = {record->image_id, kind, (uint32_t)i}, .record = record};
    mm_status status = mm_shown_check(&mask->name, err);
    if (status == MM_OK)
        status = mm_record_rle(record, i, &mask->rle, err);
    if (status != MM_OK)
        return status;
    mask->area = mm_rle_area(&mask->rle);
    bool drop = mask->area == 0; /* nothing to be seen */
    for (size_t k = 0; kind != MM_SHOWN_MASK && !drop && k < before; k++)
        drop = is_same(mask, &shown->masks[k]);
    if (drop)
        mm_rle_free(&mask->rle);
    else if (kind == MM_SHOWN_HINT)
        shown->hints++;
    else
        shown->prefilled++;
    return MM_OK;
}

mm_status mm_shown_load(const mm_record *record, mm_prefill_mode mode, mm_shown *shown, mm_error *err)
{
    const mm_record *confident = record->confident, *hints = record->hints;
    const uint64_t most =
        record->mask_count + (confident ? confident->mask_count : 0) + (hints ? hints->mask_count : 0);
    *shown = (mm_shown){.masks = calloc((size_t)most + 1, sizeof *shown->masks), .height = record->height,
                        .width = record->width};
    if (!shown->masks)
        return mm_fail_memory(err, "an image's masks");
    mm_status status = MM_OK;
    for (uint64_t i = 0; status == MM_OK && i < record->mask_count; i++)
        if (mode == MM_PREFILL_MASKS || record->source[i] != 0)
            status = add(shown, record, MM_SHOWN_MASK, i, err);
    for (uint64_t i = 0; status == MM_OK && mode != MM_PREFILL_NOTHING && confident && i < confident->mask_count; i++)
        status = add(shown, confident, MM_SHOWN_CONFIDENT, i, err);
    for (uint64_t i = 0; status == MM_OK && mode != MM_PREFILL_NOTHING && hints && i < hints->mask_count; i++)
        status = add(shown, hints, MM_SHOWN_HINT, i, err);
    if (status != MM_OK)
        mm_shown_free(shown);
    return status;
}
