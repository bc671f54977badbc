#include <stdlib.h>

#include "amg/steps.h"

static void drop(mm_candidate *c)
{
    mm_rle_free(&c->rle);
    free(c->parked);
    c->parked = NULL;
}

void mm_candidates_free(mm_candidates *list)
{
    for (size_t i = 0; i < list->count; i++)
        drop(&list->items[i]);
    free(list->items);
    *list = (mm_candidates){0};
}

mm_status mm_candidates_reserve(mm_candidates *list, size_t more, mm_error *err)
{
    if (more <= list->capacity - list->count)
        return MM_OK;
    const size_t capacity = list->count + more;
    mm_candidate *items = reallocarray(list->items, capacity, sizeof *items);
    if (!items)
        return mm_fail_memory(err, "candidate masks");
    list->items = items;
    list->capacity = capacity;
    return MM_OK;
}

void mm_candidates_filter(mm_candidates *list, bool (*keep)(const mm_candidate *, const void *), const void *user)
{
    size_t kept = 0;
    for (size_t i = 0; i < list->count; i++) {
        if (keep(&list->items[i], user))
            list->items[kept++] = list->items[i];
        else
            drop(&list->items[i]);
    }
    list->count = kept;
}

void mm_candidates_cut(mm_candidates *list, size_t count)
{
    while (list->count > count)
        drop(&list->items[--list->count]);
}

mm_status mm_candidates_append(mm_candidates *list, mm_candidates *more, mm_error *err)
{
    mm_status status = mm_candidates_reserve(list, more->count, err);
    if (status)
        return status;
    for (size_t i = 0; i < more->count; i++)
        list->items[list->count++] = more->items[i];
    more->count = 0;
    mm_candidates_free(more);
    return MM_OK;
}

/* Keep the items keep[0 .. kept), in that order. */
static mm_status reorder(mm_candidates *list, const size_t *keep, size_t kept, mm_error *err)
{
    mm_candidates ordered = {0};
    mm_status status = mm_candidates_reserve(&ordered, kept, err);
    if (status)
        return status;
    for (size_t i = 0; i < kept; i++) {
        ordered.items[ordered.count++] = list->items[keep[i]];
        list->items[keep[i]].rle = (mm_rle){0};
        list->items[keep[i]].parked = NULL;
    }
    mm_candidates_free(list);
    *list = ordered;
    return MM_OK;
}

mm_status mm_candidates_nms(mm_candidates *list, const float (*boxes)[4], const float *scores, double threshold,
                            mm_error *err)
{
    size_t *keep = reallocarray(NULL, list->count + 1, sizeof *keep), kept;
    if (!keep)
        return mm_fail_memory(err, "the result of NMS");
    mm_status status = mm_mask_nms(boxes, scores, list->count, threshold, keep, &kept, err);
    if (!status)
        status = reorder(list, keep, kept, err);
    free(keep);
    return status;
}
