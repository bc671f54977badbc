/* Reading a dataset: the list of shards from dataset.h5, images from the shards themselves. */
#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "maskmill/corpus.h"
#include "shard/file.h"
#include "shard/list.h"

/* The shard that was read last stays open, since images are mostly read in order. */
typedef struct open_shard {
    mm_shard_file file;
    size_t index;
    bool open;
} open_shard;

struct mm_dataset {
    char *folder;
    char *only; /* path of the one shard, when that is what was opened */
    mm_shard_list list;
    mm_stats stats;
    mm_shard_origin origin;
    open_shard *last;
};

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
    mm_origin_free(&dataset->origin);
    free(dataset->last);
    free(dataset->only);
    free(dataset->folder);
    free(dataset);
}

static mm_status open_index(mm_dataset *dataset, const char *path, mm_error *err)
{
    hid_t file;
    mm_seal seal;
    mm_status status = mm_seal_read(path, &seal, err);
    if (status == MM_OK)
        status = mm_h5_open(path, "dataset", false, &file, err);
    if (status != MM_OK)
        return status;
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
    return status;
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
    dataset->list.columns[SHARD_FIRST_IMAGE][0] = dataset->last->file.first_image;
    dataset->list.columns[SHARD_IMAGES][0] = dataset->last->file.image_count;
    dataset->list.columns[SHARD_MASKS][0] = dataset->last->file.mask_count;
    dataset->list.columns[SHARD_RLE_BYTES][0] = dataset->last->file.rle_bytes;
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
                         "%s has no dataset.h5: it is no dataset, or its run has not ended yet (finish it with "
                         "`maskmill run ... --resume`)",
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
    return dataset->list.images;
}

uint64_t mm_dataset_masks(const mm_dataset *dataset)
{
    return dataset->list.masks;
}

uint64_t mm_dataset_shards(const mm_dataset *dataset)
{
    return dataset->list.count;
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

static mm_status use_shard(const mm_dataset *dataset, size_t index, const mm_shard_file **shard, mm_error *err)
{
    open_shard *last = dataset->last;
    *shard = &last->file;
    if (last->open && last->index == index)
        return MM_OK;
    char path[PATH_MAX];
    mm_status status = mm_shard_path(dataset->folder, index, path, sizeof path, err);
    if (status == MM_OK)
        status = mm_shard_list_check(&dataset->list, dataset->folder, index, err);
    if (status != MM_OK)
        return status;
    if (last->open)
        mm_shard_file_close(&last->file);
    last->open = false;
    status = mm_shard_file_open(path, &last->file, err);
    last->open = status == MM_OK;
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
    if (row >= dataset->list.images)
        return mm_fail(err, MM_ERR_USAGE, "there is no row %" PRIu64 "; the dataset has %" PRIu64, row,
                       dataset->list.images);
    const mm_h5_silence before = mm_h5_silence_begin();
    const mm_shard_file *shard;
    const size_t index = shard_of_row(dataset, &row);
    mm_status status = use_shard(dataset, index, &shard, err);
    if (status == MM_OK) {
        status = mm_shard_file_read(shard, row, record, file_name, err);
        if (status != MM_OK && err)
            (void)mm_error_prefix(err, "shard %zu of %s", index, dataset->folder);
    }
    mm_h5_silence_end(before);
    return status;
}

/* --- finding an image by name ------------------------------------------------------------------------------------ */

typedef struct name_search {
    const char *what;
    uint64_t whole, last; /* rows whose whole name, or last component, it is; the dataset's length if none */
    uint64_t last_count;
} name_search;

static mm_status search_shard(const mm_shard_file *shard, uint64_t base, name_search *search, mm_error *err)
{
    enum { BLOCK = 4096 };
    char **names = calloc(BLOCK, sizeof *names);
    mm_status status = names ? MM_OK : mm_fail_memory(err, "file names");
    for (uint64_t start = 0; status == MM_OK && start < shard->image_count; start += BLOCK) {
        const uint64_t left = shard->image_count - start, count = left < BLOCK ? left : BLOCK;
        status = mm_h5_column_read(shard->images[IMAGE_FILE_NAME], &mm_image_columns[IMAGE_FILE_NAME], start, count,
                                   names, err);
        if (status != MM_OK)
            break;
        for (uint64_t i = 0; i < count; i++) {
            const char *slash = strrchr(names[i], '/');
            if (strcmp(names[i], search->what) == 0)
                search->whole = base + start + i;
            if (strcmp(slash ? slash + 1 : names[i], search->what) == 0) {
                search->last = base + start + i;
                search->last_count++;
            }
        }
        mm_h5_strings_free(names, count);
    }
    free(names);
    return status;
}

/* The run's manifest has all names in one file; shards have to be opened one by one. It is only a hint. */
static bool find_by_manifest(const mm_dataset *dataset, const char *what, uint64_t *row)
{
    char *path = NULL;
    mm_manifest *manifest = NULL;
    bool found = false;
    if (dataset->only || asprintf(&path, "%s/manifest.h5", dataset->folder) < 0)
        return false;
    if (mm_manifest_open(path, &manifest, NULL) == MM_OK && mm_manifest_count(manifest) == dataset->list.images) {
        const uint64_t id = mm_manifest_find(manifest, what);
        mm_record record;
        char *name = NULL;
        if (id < dataset->list.images && mm_dataset_read(dataset, id, &record, &name, NULL) == MM_OK) {
            found = strcmp(name, mm_manifest_at(manifest, id).path) == 0;
            *row = id;
            mm_record_free(&record);
            free(name);
        }
    }
    mm_manifest_free(manifest);
    free(path);
    return found;
}

static bool find_by_number(const mm_dataset *dataset, const char *what, uint64_t *row)
{
    char *end;
    errno = 0;
    if (*what < '0' || *what > '9')
        return false;
    const unsigned long long id = strtoull(what, &end, 10);
    const uint64_t first = dataset->list.columns[SHARD_FIRST_IMAGE][0];
    if (errno != 0 || *end != '\0' || id < first || id - first >= dataset->list.images)
        return false;
    *row = id - first;
    return true;
}

mm_status mm_dataset_find(const mm_dataset *dataset, const char *what, uint64_t *row, mm_error *err)
{
    if (find_by_manifest(dataset, what, row))
        return MM_OK;
    const uint64_t none = dataset->list.images;
    name_search search = {.what = what, .whole = none, .last = none};
    const mm_h5_silence before = mm_h5_silence_begin();
    mm_status status = MM_OK;
    uint64_t base = 0;
    for (size_t k = 0; status == MM_OK && k < dataset->list.count; k++) {
        const mm_shard_file *shard;
        status = use_shard(dataset, k, &shard, err);
        if (status == MM_OK)
            status = search_shard(shard, base, &search, err);
        base += dataset->list.columns[SHARD_IMAGES][k];
    }
    mm_h5_silence_end(before);
    if (status != MM_OK)
        return status;
    if (search.whole != none || search.last_count == 1) {
        *row = search.whole != none ? search.whole : search.last;
        return MM_OK;
    }
    if (search.last_count > 1)
        return mm_fail(err, MM_ERR_USAGE, "%" PRIu64 " images are named %s; give the whole name or the number",
                       search.last_count, what);
    if (find_by_number(dataset, what, row))
        return MM_OK;
    return mm_fail(err, MM_ERR_USAGE, "no image is named %s, and it is no number from %" PRIu64 " to %" PRIu64, what,
                   dataset->list.columns[SHARD_FIRST_IMAGE][0],
                   dataset->list.columns[SHARD_FIRST_IMAGE][0] + (none ? none - 1 : 0));
}
