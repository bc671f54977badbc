/* queue: images for people to annotate, and the way of their answers back. This file opens one: its rows, and the dataset
 * that they are about. */
#include <inttypes.h>
#include <jansson.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/path.h"
#include "queue/open.h"

enum { MOST_JSON = 1 << 20 };

mm_status mm_queue_path(const char *folder, const char *name, char path[PATH_MAX], mm_error *err)
{
    const int length = snprintf(path, PATH_MAX, "%s/%s", folder, name);
    return length > 0 && length < PATH_MAX ? MM_OK
                                           : mm_fail(err, MM_ERR_LIMIT, "the path %.100s... is too long", folder);
}

mm_status mm_queue_reference_write(const char *folder, const char *dataset, mm_error *err)
{
    char path[PATH_MAX], *relative = NULL;
    mm_status status = mm_path_relative(folder, dataset, &relative, err);
    if (status == MM_OK)
        status = mm_queue_path(folder, "queue.json", path, err);
    json_t *text = status == MM_OK ? json_string(relative) : NULL;
    if (status == MM_OK && !text)
        status = mm_fail(err, MM_ERR_UNSUPPORTED, "the path of the dataset, %.200s, is no UTF-8; rename it", relative);
    if (status == MM_OK) {
        json_t *object = json_pack("{s:i, s:o}", "format", 1, "dataset", text);
        char *dump = object ? json_dumps(object, JSON_INDENT(2)) : NULL;
        const size_t size = dump ? strlen(dump) : 0;
        if (dump)
            dump[size] = '\n'; /* in place of the terminator: what is written has a size of its own */
        status = dump ? mm_file_commit(path, dump, size + 1, err) : mm_fail_memory(err, path);
        free(dump);
        json_decref(object);
    }
    free(relative);
    return status;
}

static mm_status reference_read(const char *folder, char **dataset, mm_error *err)
{
    char path[PATH_MAX];
    uint8_t *bytes = NULL;
    size_t size = 0;
    json_error_t why;
    mm_status status = mm_queue_path(folder, "queue.json", path, err);
    if (status == MM_OK)
        status = mm_file_read(path, MOST_JSON, &bytes, &size, err);
    if (status != MM_OK)
        return status;
    json_t *object = json_loadb((const char *)bytes, size, JSON_REJECT_DUPLICATES, &why);
    const char *relative = json_string_value(json_object_get(object, "dataset"));
    free(bytes);
    if (!relative)
        status = mm_fail(err, MM_ERR_FORMAT, "%s does not say where the dataset is; --dataset does", path);
    else
        status = mm_path_join(folder, relative, dataset, err);
    json_decref(object);
    return status;
}

static int by_image(const void *a, const void *b, void *user)
{
    const mm_queue_image *items = user;
    const uint64_t x = items[*(const uint32_t *)a].image_id, y = items[*(const uint32_t *)b].image_id;
    return x < y ? -1 : x > y;
}

/* What every queue must satisfy, whoever wrote it. */
static mm_status check_rows(const mm_queue *queue, mm_error *err)
{
    if (queue->origin.batch_size == 0 || queue->origin.batch_size > UINT32_MAX)
        return mm_fail(err, MM_ERR_FORMAT, "%s/queue.h5: batches of %" PRIu64 " images", queue->folder,
                       queue->origin.batch_size);
    for (size_t i = 0; i < queue->rows.count; i++) {
        const mm_queue_image *image = &queue->rows.items[i];
        const bool twice = i > 0 && queue->rows.items[queue->by_id[i]].image_id ==
                                        queue->rows.items[queue->by_id[i - 1]].image_id;
        if (image->row >= mm_dataset_images(queue->dataset) ||
            image->width == 0 || image->height == 0 || image->batch != i / queue->origin.batch_size || twice ||
            !(image->priority >= 0 && image->priority <= 1))
            return mm_fail(err, MM_ERR_FORMAT, "%s/queue.h5: row %zu makes no sense; build the queue again",
                           queue->folder, i);
    }
    return MM_OK;
}

static mm_status sort_ids(mm_queue *queue, mm_error *err)
{
    queue->by_id = malloc((queue->rows.count + 1) * sizeof *queue->by_id);
    if (!queue->by_id)
        return mm_fail_memory(err, "a queue");
    for (size_t i = 0; i < queue->rows.count; i++)
        queue->by_id[i] = (uint32_t)i;
    qsort_r(queue->by_id, queue->rows.count, sizeof *queue->by_id, by_image, queue->rows.items);
    return MM_OK;
}

/* The dataset is the one that the queue was made of. */
static mm_status open_dataset(mm_queue *queue, mm_error *err)
{
    mm_dataset_mark mark;
    mm_status status = mm_dataset_open(queue->dataset_path, &queue->dataset, err);
    if (status == MM_OK)
        status = mm_dataset_mark_read(mm_dataset_folder(queue->dataset), &mark, err);
    if (status == MM_OK && (mark.bytes != queue->origin.dataset.bytes || mark.digest != queue->origin.dataset.digest))
        status = mm_fail(err, MM_ERR_FORMAT,
                         "%s is not the dataset that the queue %s was made of, or was changed since; "
                         "--dataset says where that is",
                         queue->dataset_path, queue->folder);
    else if (status != MM_OK && err)
        (void)mm_error_prefix(err, "the dataset of the queue (--dataset FOLDER if it was moved)"); /* same status */
    return status;
}

static mm_status open_all(mm_queue *queue, const char *path, const char *dataset, mm_error *err)
{
    char file[PATH_MAX];
    mm_seal seal;
    mm_status status = mm_queue_path(path, "queue.h5", file, err);
    queue->folder = strdup(path);
    if (status == MM_OK && !queue->folder)
        status = mm_fail_memory(err, "a queue");
    if (status == MM_OK)
        status = mm_queue_file_read(file, "queue", &queue->origin, &queue->rows, err);
    if (status == MM_OK)
        status = mm_seal_read(file, &seal, err);
    if (status != MM_OK)
        return status;
    queue->mark = (mm_dataset_mark){seal.bytes, seal.digest};
    if (dataset) {
        queue->dataset_path = strdup(dataset);
        status = queue->dataset_path ? MM_OK : mm_fail_memory(err, "a queue");
    } else {
        status = reference_read(path, &queue->dataset_path, err);
    }
    if (status == MM_OK)
        status = open_dataset(queue, err);
    if (status == MM_OK)
        status = sort_ids(queue, err);
    return status == MM_OK ? check_rows(queue, err) : status;
}

mm_status mm_queue_open(const char *path, const char *dataset, mm_queue **queue, mm_error *err)
{
    *queue = NULL;
    mm_queue *made = calloc(1, sizeof *made);
    if (!made)
        return mm_fail_memory(err, "a queue");
    const mm_status status = open_all(made, path, dataset, err);
    if (status == MM_OK)
        *queue = made;
    else
        mm_queue_close(made);
    return status;
}

void mm_queue_close(mm_queue *queue)
{
    if (!queue)
        return;
    mm_dataset_close(queue->dataset);
    free(queue->dataset_path);
    free(queue->by_id);
    free(queue->rows.items);
    free(queue->folder);
    free(queue);
}

uint64_t mm_queue_images(const mm_queue *queue)
{
    return queue->rows.count;
}

uint64_t mm_queue_batches(const mm_queue *queue)
{
    return (queue->rows.count + queue->origin.batch_size - 1) / queue->origin.batch_size;
}

mm_queue_image mm_queue_at(const mm_queue *queue, uint64_t i)
{
    return queue->rows.items[i];
}

const mm_dataset *mm_queue_dataset(const mm_queue *queue)
{
    return queue->dataset;
}

bool mm_queue_find(const mm_queue *queue, uint64_t image_id, uint64_t *index)
{
    size_t low = 0, high = queue->rows.count;
    while (low < high) {
        const size_t middle = low + (high - low) / 2;
        if (queue->rows.items[queue->by_id[middle]].image_id < image_id)
            low = middle + 1;
        else
            high = middle;
    }
    if (low == queue->rows.count || queue->rows.items[queue->by_id[low]].image_id != image_id)
        return false;
    *index = queue->by_id[low];
    return true;
}
