/* Masks with masks: union, shared pixels, IoU; on runs, without a bitmap. */
#include <stdlib.h>
#include <string.h>

#include "mask/runs.h"

/* Walks two masks of one size side by side, in stretches in which neither changes. */
typedef struct pair_cursor {
    const mm_rle *rle[2];
    size_t run[2];
    uint32_t left[2];
} pair_cursor;

static pair_cursor pair_of(const mm_rle *a, const mm_rle *b)
{
    return (pair_cursor){.rle = {a, b}, .left = {a->count ? a->runs[0] : 0, b->count ? b->runs[0] : 0}};
}

static bool pair_next(pair_cursor *pair, uint32_t *length, bool value[2])
{
    for (int i = 0; i < 2; i++) {
        while (pair->left[i] == 0 && pair->run[i] + 1 < pair->rle[i]->count)
            pair->left[i] = pair->rle[i]->runs[++pair->run[i]];
        if (pair->left[i] == 0)
            return false; /* both end together: they are of one size */
        value[i] = pair->run[i] & 1;
    }
    *length = pair->left[0] < pair->left[1] ? pair->left[0] : pair->left[1];
    pair->left[0] -= *length;
    pair->left[1] -= *length;
    return true;
}

static bool same_size(const mm_rle *a, const mm_rle *b)
{
    return a->height == b->height && a->width == b->width;
}

static mm_status unite(const mm_rle *a, const mm_rle *b, mm_rle *out, mm_error *err)
{
    mm_run_builder builder;
    uint32_t length;
    bool value[2];
    mm_runs_start(&builder, a->count + b->count);
    for (pair_cursor pair = pair_of(a, b); pair_next(&pair, &length, value);)
        mm_runs_append(&builder, value[0] || value[1], length);
    return mm_runs_finish(&builder, a->height, a->width, out, err);
}

/* As one adds in binary: level k holds the union of 2^k masks, so that each mask is merged log(count) times. */
mm_status mm_rle_union(const mm_rle *masks, size_t count, uint32_t height, uint32_t width, mm_rle *out, mm_error *err)
{
    enum { LEVELS = 48 };
    mm_rle level[LEVELS] = {{0}};
    *out = (mm_rle){0};
    mm_status status = mm_mask_check_size(height, width, err);
    mm_run_builder nothing;
    if (status == MM_OK) {
        mm_runs_start(&nothing, 1);
        mm_runs_append(&nothing, false, height * width);
        status = mm_runs_finish(&nothing, height, width, out, err);
    }
    for (size_t i = 0; status == MM_OK && i < count; i++) {
        mm_rle carry = {0}, sum;
        if (masks[i].height != height || masks[i].width != width) {
            status = mm_fail(err, MM_ERR_INTERNAL, "masks of several sizes have no union");
            break;
        }
        status = unite(&masks[i], out, &carry, err); /* a copy: `out` is empty so far */
        for (int k = 0; status == MM_OK && carry.runs; k++) {
            if (!level[k].runs) {
                level[k] = carry;
                break;
            }
            status = unite(&level[k], &carry, &sum, err);
            mm_rle_free(&level[k]);
            mm_rle_free(&carry);
            carry = status == MM_OK ? sum : (mm_rle){0};
        }
    }
    for (int k = 0; k < LEVELS; k++) {
        mm_rle sum;
        if (status == MM_OK && level[k].runs) {
            status = unite(out, &level[k], &sum, err);
            mm_rle_free(out);
            *out = status == MM_OK ? sum : (mm_rle){0};
        }
        mm_rle_free(&level[k]);
    }
    if (status != MM_OK)
        mm_rle_free(out);
    return status;
}

uint64_t mm_rle_shared(const mm_rle *a, const mm_rle *b)
{
    uint64_t shared = 0;
    uint32_t length;
    bool value[2];
    if (!same_size(a, b))
        return 0;
    for (pair_cursor pair = pair_of(a, b); pair_next(&pair, &length, value);)
        shared += value[0] && value[1] ? length : 0;
    return shared;
}

double mm_rle_iou(const mm_rle *a, const mm_rle *b)
{
    const uint64_t shared = mm_rle_shared(a, b), all = mm_rle_area(a) + mm_rle_area(b) - shared;
    return all ? (double)shared / (double)all : 0;
}

bool mm_rle_equal(const mm_rle *a, const mm_rle *b)
{
    return same_size(a, b) && a->count == b->count && memcmp(a->runs, b->runs, a->count * sizeof *a->runs) == 0;
}
