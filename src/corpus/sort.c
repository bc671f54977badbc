/* The order of the manifest. */
#include <stdlib.h>
#include <string.h>

#include "corpus/manifest.h"

static int descending(uint64_t a, uint64_t b)
{
    return (a < b) - (a > b);
}

static int compare_rows(const mm_manifest *manifest, uint64_t a, uint64_t b)
{
    const int order = strcmp(manifest->text + manifest->name[a], manifest->text + manifest->name[b]);
    if (order != 0)
        return order;
    return descending(manifest->offset[b], manifest->offset[a]);
}

/* Rows of one image are ordered as well (the one that knows most is kept), or what is kept would depend on which rank
 * was first. */
static int compare(const void *a, const void *b, void *user)
{
    const mm_manifest *manifest = user;
    const uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    int order = compare_rows(manifest, x, y);
    if (order == 0)
        order = descending(manifest->phash[x], manifest->phash[y]);
    if (order == 0)
        order = descending(manifest->width[x], manifest->width[y]);
    if (order == 0)
        order = descending(manifest->height[x], manifest->height[y]);
    return order ? order : descending(manifest->length[x], manifest->length[y]);
}

static void reorder_u64(uint64_t *column, const uint64_t *order, size_t count, uint64_t *scratch)
{
    for (size_t i = 0; i < count; i++)
        scratch[i] = column[order[i]];
    memcpy(column, scratch, count * sizeof *column);
}

static void reorder_u32(uint32_t *column, const uint64_t *order, size_t count, uint64_t *scratch)
{
    uint32_t *values = (uint32_t *)(void *)scratch;
    for (size_t i = 0; i < count; i++)
        values[i] = column[order[i]];
    memcpy(column, values, count * sizeof *column);
}

static bool is_sorted(const mm_manifest *manifest)
{
    for (size_t i = 1; i < manifest->count; i++)
        if (compare_rows(manifest, i - 1, i) >= 0)
            return false;
    return true;
}

mm_status mm_manifest_sort(mm_manifest *manifest, uint64_t *duplicates, mm_error *err)
{
    *duplicates = 0;
    free(manifest->duplicate_of);
    manifest->duplicate_of = NULL;
    const size_t count = manifest->count;
    if (is_sorted(manifest))
        return MM_OK;
    uint64_t *order = malloc(count * sizeof *order), *scratch = malloc(count * sizeof *scratch);
    if (!order || !scratch) {
        free(order);
        free(scratch);
        return mm_fail_memory(err, "sorting a manifest");
    }
    for (size_t i = 0; i < count; i++)
        order[i] = i;
    qsort_r(order, count, sizeof *order, compare, manifest);
    size_t kept = 1;
    for (size_t i = 1; i < count; i++)
        if (compare_rows(manifest, order[kept - 1], order[i]) != 0)
            order[kept++] = order[i];
    reorder_u64(manifest->name, order, kept, scratch);
    reorder_u64(manifest->offset, order, kept, scratch);
    reorder_u64(manifest->length, order, kept, scratch);
    reorder_u64(manifest->phash, order, kept, scratch);
    reorder_u32(manifest->width, order, kept, scratch);
    reorder_u32(manifest->height, order, kept, scratch);
    manifest->count = kept;
    *duplicates = count - kept;
    free(order);
    free(scratch);
    return MM_OK;
}
