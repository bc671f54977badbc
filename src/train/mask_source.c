#include "train/mask_source.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static const double largest_share = 0.9;

static mm_status open_one(const char *path, mm_mask_source *source, mm_error *err)
{
    mm_record record;
    char *name = NULL;
    const size_t length = strlen(path);
    if (length > 5 && strcmp(path + length - 5, ".json") == 0)
        return mm_fail(err, MM_ERR_UNSUPPORTED,
                       "%s is a COCO file; a decoder is trained on datasets: bring its masks into one "
                                                "with `maskmill queue import`",
                       path);
    mm_dataset *dataset = NULL;
    mm_status status = mm_dataset_open(path, &dataset, err);
    if (status == MM_OK && mm_dataset_images(dataset) > 0) {
        status = mm_dataset_read(dataset, 0, &record, &name, err);
        if (status == MM_OK) {
            source->first[source->count] = record.image_id;
            mm_record_free(&record);
            free(name);
        }
    }
    if (status != MM_OK) {
        mm_dataset_close(dataset);
        return status;
    }
    source->datasets[source->count++] = dataset;
    return MM_OK;
}

mm_status mm_mask_source_add(const char *const *paths, size_t count, mm_mask_source *source, mm_error *err)
{
    const size_t all = source->count + count;
    mm_dataset **datasets = reallocarray(source->datasets, all + 1, sizeof *datasets);
    source->datasets = datasets ? datasets : source->datasets;
    uint64_t *first = reallocarray(source->first, all + 1, sizeof *first);
    source->first = first ? first : source->first;
    if (!datasets || !first)
        return mm_fail_memory(err, "the list of datasets");
    memset(first + source->count, 0, count * sizeof *first);
    mm_status status = MM_OK;
    for (size_t i = 0; i < count && status == MM_OK; i++)
        status = open_one(paths[i], source, err);
    return status;
}

mm_status mm_mask_source_open(const char *const *paths, size_t count, mm_mask_source *source, mm_error *err)
{
    *source = (mm_mask_source){0};
    const mm_status status = mm_mask_source_add(paths, count, source, err);
    if (status != MM_OK)
        mm_mask_source_close(source);
    return status;
}

void mm_mask_source_close(mm_mask_source *source)
{
    for (size_t i = 0; i < source->count; i++)
        mm_dataset_close(source->datasets[i]);
    free(source->datasets);
    free(source->first);
    *source = (mm_mask_source){0};
}

void mm_picked_masks_free(mm_picked_masks *picked)
{
    for (size_t i = 0; i < picked->count + picked->others; i++)
        mm_rle_free(&picked->masks[i]);
    free(picked->masks);
    free(picked->sources);
    *picked = (mm_picked_masks){0};
}

/* The record of an image. Rows are in the order of ids, mostly without gaps: a guess, and then halves. */
static mm_status find_record(const mm_mask_source *source, const mm_sample *sample, mm_record *record, mm_error *err)
{
    const mm_dataset *dataset = source->datasets[sample->source];
    const uint64_t images = mm_dataset_images(dataset), guess = sample->image_id - source->first[sample->source];
    uint64_t low = 0, high = images, row = guess < images ? guess : images / 2;
    while (low < high) {
        char *name = NULL;
        const mm_status status = mm_dataset_read(dataset, row, record, &name, err);
        if (status != MM_OK)
            return status;
        free(name);
        if (record->image_id == sample->image_id)
            return MM_OK;
        if (record->image_id < sample->image_id)
            low = row + 1;
        else
            high = row;
        mm_record_free(record);
        row = low + (high - low) / 2;
    }
    return mm_fail(err, MM_ERR_FORMAT, "%s has no image %" PRIu64 " any more", mm_dataset_folder(dataset),
                   sample->image_id);
}

/* A mask that might be taken, and its key: the largest are taken (Efraimidis and Spirakis, "Weighted random sampling
 * with a reservoir", 2006). */
typedef struct candidate {
    double key;
    uint64_t mask;
} candidate;

static int by_key(const void *a, const void *b)
{
    const candidate *x = a, *y = b;
    if (x->key != y->key)
        return x->key > y->key ? -1 : 1;
    return x->mask < y->mask ? -1 : x->mask > y->mask;
}

static size_t list_candidates(const mm_record *record, const double weights[MM_MASK_SOURCES], mm_draw *draw,
                              candidate *list)
{
    const double most = largest_share * record->width * record->height;
    size_t count = 0;
    for (uint64_t i = 0; i < record->mask_count; i++) {
        const double weight = record->source[i] < MM_MASK_SOURCES ? weights[record->source[i]] : 0;
        const double share = 1 - mm_draw_share(draw); /* above 0; drawn for each, so that a mask's key is its own */
        if (weight > 0 && record->area[i] > 0 && record->area[i] <= most)
            list[count++] = (candidate){log(share) / weight, i};
    }
    qsort(list, count, sizeof *list, by_key);
    return count;
}

/* The first `most` of the list are picked, the rest are others. */
static mm_status take(const mm_record *record, const candidate *list, size_t count, size_t most,
                      mm_picked_masks *picked, mm_error *err)
{
    mm_status status = MM_OK;
    for (size_t i = 0; i < count && status == MM_OK; i++) {
        const uint64_t at = record->rle_offset[list[i].mask], end = record->rle_offset[list[i].mask + 1];
        const size_t place = picked->count + picked->others;
        status = mm_rle_from_counts(record->rle + at, (size_t)(end - at), record->height, record->width,
                                    &picked->masks[place], err);
        if (status != MM_OK)
            break;
        if (mm_rle_area(&picked->masks[place]) == 0) { /* whatever its area column says */
            mm_rle_free(&picked->masks[place]);
            continue;
        }
        picked->sources[place] = record->source[list[i].mask];
        ++*(i < most ? &picked->count : &picked->others);
    }
    return status;
}

mm_status mm_mask_source_pick(const mm_mask_source *source, const mm_sample *sample, size_t most,
                              bool others, const double weights[MM_MASK_SOURCES], mm_draw *draw, mm_picked_masks *picked,
                                  mm_error *err)
{
    mm_record record;
    *picked = (mm_picked_masks){0};
    mm_status status = find_record(source, sample, &record, err);
    if (status != MM_OK)
        return status;
    candidate *list = calloc(record.mask_count + 1, sizeof *list);
    const size_t room = others || most > record.mask_count ? (size_t)record.mask_count : most;
    picked->masks = calloc(room + 1, sizeof *picked->masks);
    picked->sources = calloc(room + 1, sizeof *picked->sources);
    if (list && picked->masks && picked->sources) {
        const size_t count = list_candidates(&record, weights, draw, list);
        status = take(&record, list, count < room ? count : room, most, picked, err);
    } else {
        status = mm_fail_memory(err, "the masks of an image");
    }
    free(list);
    mm_record_free(&record);
    if (status != MM_OK)
        mm_picked_masks_free(picked);
    return status;
}
