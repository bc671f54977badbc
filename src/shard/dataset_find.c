/* Finding an image of a dataset by its name or number. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "maskmill/corpus.h"
#include "shard/dataset.h"

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
    if (mm_manifest_open(path, &manifest, NULL) == MM_OK && mm_manifest_count(manifest) == dataset->list.sums[SHARD_IMAGES]) {
        const uint64_t id = mm_manifest_find(manifest, what);
        mm_record record;
        char *name = NULL;
        if (id < dataset->list.sums[SHARD_IMAGES] && mm_dataset_read(dataset, id, &record, &name, NULL) == MM_OK) {
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
    if (errno != 0 || *end != '\0' || id < first || id - first >= dataset->list.sums[SHARD_IMAGES])
        return false;
    *row = id - first;
    return true;
}

mm_status mm_dataset_find(const mm_dataset *dataset, const char *what, uint64_t *row, mm_error *err)
{
    if (find_by_manifest(dataset, what, row))
        return MM_OK;
    const uint64_t none = dataset->list.sums[SHARD_IMAGES];
    name_search search = {.what = what, .whole = none, .last = none};
    const mm_h5_silence before = mm_h5_silence_begin();
    mm_status status = MM_OK;
    uint64_t base = 0;
    for (size_t k = 0; status == MM_OK && k < dataset->list.count; k++) {
        const mm_shard_file *shard;
        status = mm_dataset_use_shard(dataset, k, &shard, err);
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
