/* Reading a dataset: the list of shards from dataset.h5, images from the shards themselves. */
#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "shard/dataset.h"

void mm_dataset_close(mm_dataset *dataset)
{
    if (!dataset)
        return;
    if (dataset->last && dataset->last->open) {
        const mm_h5_silence before = mm_h5_silence_begin();
        mm_shard_file_close(&dataset->last->file);
        mm_h5_silence_end(before);
    }
    mm_shard_list_free(&dataset->list);
    mm_shard_origin_free(&dataset->origin);
    free(dataset->last);
    free(dataset->checked);
    free(dataset->only);
    free(dataset->folder);
    free(dataset);
}

static mm_status open_index(mm_dataset *dataset, const char *path, mm_error *err)
{
    hid_t file;
    mm_seal seal;
    mm_status status = mm_seal_check_head(path, &seal, err);
    if (status != MM_OK)
        return status;
    file = H5Fopen(path, H5F_ACC_RDONLY, H5P_DEFAULT); /* default properties: see mm_h5_open */
    if (file < 0)
        return mm_h5_fail(err, MM_ERR_FORMAT, "cannot open %s as HDF5", path);
    status = mm_shard_list_read(file, seal.bytes, &dataset->list, err);
    if (status == MM_OK)
        status = mm_origin_read(file, &dataset->origin, err);
    if (status == MM_OK)
        status = mm_statistics_read(file, &dataset->stats, err);
    if (status != MM_OK && err)
        (void)mm_error_prefix(err, "dataset %s", path);
    (void)H5Fclose(file); /* only read from */
    for (size_t k = 0; status == MM_OK && k < dataset->list.count; k++)
        status = mm_shard_list_check(&dataset->list, dataset->folder, k, err);
    if (status != MM_OK)
        return status;
    dataset->checked = calloc(dataset->list.count, sizeof *dataset->checked);
    return dataset->checked ? MM_OK : mm_fail_memory(err, "a dataset");
}

static mm_status open_only_shard(mm_dataset *dataset, const char *path, mm_error *err)
{
    dataset->only = strdup(path);
    mm_status status = dataset->only ? mm_shard_list_new(1, &dataset->list, err) : mm_fail_memory(err, "a path");
    if (status == MM_OK)
        status = mm_shard_file_open(path, &dataset->last->file, err);
    if (status != MM_OK)
        return status;
    dataset->last->open = true;
    const char *name = strrchr(path, '/');
    if (sscanf(name ? name + 1 : path, "sa_%20" SCNu64, &dataset->list.first_shard) != 1)
        dataset->list.first_shard = 0; /* it was given another name */
    dataset->list.columns[SHARD_FIRST_IMAGE][0] = dataset->last->file.first_image;
    dataset->list.columns[SHARD_IMAGES][0] = dataset->last->file.image_count;
    for (int t = 0; t < MASK_TABLES; t++) {
        const mm_shard_table *table = &dataset->last->file.tables[t];
        dataset->list.there[t] = table->there;
        dataset->list.columns[mm_shard_list_masks[t]][0] = table->mask_count;
        dataset->list.columns[mm_shard_list_rle_bytes[t]][0] = table->rle_bytes;
    }
    status = mm_shard_list_sum(&dataset->list, err);
    if (status == MM_OK)
        status = mm_origin_read(dataset->last->file.file, &dataset->origin, err);
    if (status == MM_OK)
        status = mm_statistics_read(dataset->last->file.file, &dataset->stats, err);
    if (status != MM_OK && err)
        (void)mm_error_prefix(err, "shard %s", path);
    return status;
}

static mm_status open_file(mm_dataset *dataset, const char *path, mm_error *err)
{
    mm_seal seal;
    const mm_status status = mm_seal_read(path, &seal, err);
    if (status != MM_OK)
        return status;
    if (strcmp(seal.kind, "shard") == 0)
        return open_only_shard(dataset, path, err);
    if (strcmp(seal.kind, "dataset") == 0)
        return open_index(dataset, path, err);
    return mm_fail(err, MM_ERR_USAGE,
                   "%s is a %s; name the folder that `maskmill run` wrote, its dataset.h5 or a shard", path, seal.kind);
}

static mm_status open_folder(mm_dataset *dataset, const char *folder, mm_error *err)
{
    char *path = NULL;
    if (asprintf(&path, "%s/dataset.h5", folder) < 0)
        return mm_fail_memory(err, "a path");
    struct stat info;
    mm_status status;
    if (stat(path, &info) != 0 && errno == ENOENT)
        status = mm_fail(err, MM_ERR_IO,
                         "%s has no dataset.h5: it is no dataset, its run has not ended (`maskmill run ... --resume` goes "
                         "on), or its parts are not joined (`maskmill merge`)",
                         folder);
    else
        status = open_file(dataset, path, err);
    free(path);
    return status;
}

/* The folder part of a path, without libgen's writing into it. */
static char *folder_of(const char *path)
{
    const char *slash = strrchr(path, '/');
    if (!slash)
        return strdup(".");
    return strndup(path, slash == path ? 1 : (size_t)(slash - path));
}

mm_status mm_dataset_open(const char *path, mm_dataset **dataset, mm_error *err)
{
    struct stat info;
    *dataset = NULL;
    if (stat(path, &info) != 0)
        return mm_fail_errno(err, "cannot open the dataset %s", path);
    mm_dataset *made = calloc(1, sizeof *made);
    if (made) {
        made->folder = S_ISDIR(info.st_mode) ? strdup(path) : folder_of(path);
        made->last = calloc(1, sizeof *made->last);
    }
    if (!made || !made->folder || !made->last) {
        mm_dataset_close(made);
        return mm_fail_memory(err, "a dataset");
    }
    const mm_h5_silence before = mm_h5_silence_begin();
    const mm_status status = S_ISDIR(info.st_mode) ? open_folder(made, path, err) : open_file(made, path, err);
    mm_h5_silence_end(before);
    if (status != MM_OK)
        mm_dataset_close(made);
    else
        *dataset = made;
    return status;
}

uint64_t mm_dataset_images(const mm_dataset *dataset)
{
    return dataset->list.sums[SHARD_IMAGES];
}

uint64_t mm_dataset_masks(const mm_dataset *dataset)
{
    return dataset->list.sums[SHARD_MASKS];
}

uint64_t mm_dataset_shards(const mm_dataset *dataset)
{
    return dataset->list.count;
}

mm_shard_span mm_dataset_span(const mm_dataset *dataset, uint64_t k)
{
    uint64_t *const *columns = dataset->list.columns;
    mm_shard_span span = {.number = dataset->list.first_shard + k,
                          .first_row = columns[SHARD_FIRST_IMAGE][k] - columns[SHARD_FIRST_IMAGE][0],
                          .images = columns[SHARD_IMAGES][k],
                          .masks = columns[SHARD_MASKS][k]};
    for (uint64_t i = 0; i < k; i++)
        span.first_mask += columns[SHARD_MASKS][i];
    return span;
}

const char *mm_dataset_folder(const mm_dataset *dataset)
{
    return dataset->folder;
}

const mm_shard_origin *mm_dataset_origin(const mm_dataset *dataset)
{
    return &dataset->origin;
}

mm_status mm_dataset_config(const mm_dataset *dataset, char **yaml, mm_error *err)
{
    *yaml = strdup(dataset->origin.config_yaml);
    return *yaml ? MM_OK : mm_fail_memory(err, "a configuration");
}

mm_status mm_dataset_statistics(const mm_dataset *dataset, mm_stats *stats, mm_error *err)
{
    (void)err; /* they were read, and could have failed, when the dataset was opened */
    *stats = dataset->stats;
    return MM_OK;
}

/* The shard that holds row `row`, which is there; *row becomes the row within it. */
static size_t shard_of_row(const mm_dataset *dataset, uint64_t *row)
{
    const uint64_t *first = dataset->list.columns[SHARD_FIRST_IMAGE], id = first[0] + *row;
    size_t low = 0, high = dataset->list.count;
    while (high - low > 1) { /* the last shard that starts at or before this image: an empty one never is */
        const size_t middle = low + (high - low) / 2;
        if (first[middle] <= id)
            low = middle;
        else
            high = middle;
    }
    *row = id - first[low];
    return low;
}

mm_status mm_dataset_use_shard(const mm_dataset *dataset, size_t index, const mm_shard_file **shard, mm_error *err)
{
    mm_open_shard *last = dataset->last;
    *shard = &last->file;
    if (last->open && last->index == index)
        return MM_OK;
    char path[PATH_MAX];
    mm_status status = mm_shard_path(dataset->folder, dataset->list.first_shard + index, path, sizeof path, err);
    if (status == MM_OK)
        status = mm_shard_list_check(&dataset->list, dataset->folder, index, err);
    if (status != MM_OK)
        return status;
    if (last->open)
        mm_shard_file_close(&last->file);
    last->open = false;
    /* Its content is read once; whoever goes from shard to shard and back need not wait for that again. */
    if (dataset->checked && dataset->checked[index])
        status = mm_shard_file_open_again(path, dataset->list.columns[SHARD_BYTES][index],
                                          dataset->list.columns[SHARD_DIGEST][index], &last->file, err);
    else
        status = mm_shard_file_open(path, &last->file, err);
    last->open = status == MM_OK;
    if (dataset->checked)
        dataset->checked[index] = dataset->checked[index] || last->open;
    last->index = index;
    if (status == MM_OK && (last->file.image_count != dataset->list.columns[SHARD_IMAGES][index] ||
                            last->file.first_image != dataset->list.columns[SHARD_FIRST_IMAGE][index]))
        status = mm_fail(err, MM_ERR_FORMAT, "%s does not hold the images that dataset.h5 lists for it", path);
    return status;
}

mm_status mm_dataset_read(const mm_dataset *dataset, uint64_t row, mm_record *record, char **file_name, mm_error *err)
{
    *record = (mm_record){0};
    if (file_name)
        *file_name = NULL;
    if (row >= dataset->list.sums[SHARD_IMAGES])
        return mm_fail(err, MM_ERR_USAGE, "there is no row %" PRIu64 "; the dataset has %" PRIu64, row,
                       dataset->list.sums[SHARD_IMAGES]);
    const mm_h5_silence before = mm_h5_silence_begin();
    const mm_shard_file *shard;
    const size_t index = shard_of_row(dataset, &row);
    mm_status status = mm_dataset_use_shard(dataset, index, &shard, err);
    if (status == MM_OK) {
        status = mm_shard_file_read(shard, row, record, file_name, err);
        if (status != MM_OK && err)
            (void)mm_error_prefix(err, "shard %" PRIu64 " of %s", dataset->list.first_shard + index, dataset->folder);
    }
    mm_h5_silence_end(before);
    return status;
}
