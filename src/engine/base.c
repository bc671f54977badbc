#include "engine/base.h"

#include <inttypes.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "corpus/h5.h"
#include "engine/config_keys.h"
#include "engine/output.h"

mm_status mm_base_open(const char *path, mm_dataset **dataset, mm_error *err)
{
    const mm_status status = mm_dataset_open(path, dataset, err);
    if (status != MM_OK)
        return status;
    char index[PATH_MAX];
    const bool whole = mm_output_path(mm_dataset_folder(*dataset), "dataset.h5", index, sizeof index, NULL) == MM_OK &&
                       mm_file_exists(index);
    if (whole && mm_dataset_span(*dataset, 0).number == 0)
        return MM_OK;
    mm_dataset_close(*dataset);
    *dataset = NULL;
    return mm_fail(err, MM_ERR_USAGE, "%s is only a part of a dataset; name a whole one (`maskmill merge` makes it)", path);
}

mm_status mm_base_config(const mm_dataset *dataset, const char *const *sets, size_t set_count, mm_config *config,
                         mm_error *err)
{
    char *before = NULL, *after = NULL;
    mm_config plain;
    mm_status status = mm_config_from_yaml(mm_dataset_origin(dataset)->config_yaml, config, err);
    if (status != MM_OK)
        return mm_error_prefix(err, "dataset %s", mm_dataset_folder(dataset));
    config->detect = mm_config_defaults().detect; /* an earlier detector's say nothing about this one */
    status = mm_config_to_yaml(config, &before, err);
    if (status == MM_OK)
        status = mm_config_load_over(NULL, sets, set_count, config, err);
    if (status == MM_OK) {
        plain = *config;
        plain.detect.enabled = false;
        status = mm_config_to_yaml(&plain, &after, err);
    }
    if (status == MM_OK && strcmp(before, after) != 0)
        status = mm_fail(err, MM_ERR_USAGE, "--set can only change detect.* and journal.* here: the masks of %s, which are "
                         "kept, were made with its own configuration", mm_dataset_folder(dataset));
    config->detect.enabled = true;
    free(before);
    free(after);
    return status;
}

mm_status mm_base_digest(const mm_dataset *dataset, uint64_t *digest, mm_error *err)
{
    char path[PATH_MAX];
    mm_seal seal = {.bytes = 0};
    mm_status status = mm_output_path(mm_dataset_folder(dataset), "dataset.h5", path, sizeof path, err);
    if (status == MM_OK)
        status = mm_seal_read(path, &seal, err);
    *digest = seal.digest ? seal.digest : 1; /* 0 means that there is none */
    return status;
}

static void drop_confident(mm_record *record)
{
    if (record->confident)
        mm_record_free(record->confident);
    free(record->confident);
    record->confident = NULL;
}

mm_status mm_base_read(const mm_dataset *dataset, pthread_mutex_t *hdf5, uint64_t image_id, mm_record *record,
                       mm_error *err)
{
    mm_error why = {0};
    if (hdf5)
        pthread_mutex_lock(hdf5);
    const mm_status status = mm_dataset_read(dataset, image_id, record, NULL, &why);
    if (hdf5)
        pthread_mutex_unlock(hdf5);
    if (status != MM_OK)
        return mm_fail(err, status == MM_ERR_NOMEM ? status : MM_ERR_USAGE, "%.300s; `maskmill verify` says what is wrong "
                       "with it", why.text);
    drop_confident(record);
    return MM_OK;
}

mm_status mm_base_add_funnel(const mm_dataset *dataset, uint64_t shard, const mm_record *records, size_t count,
                             mm_record **copy, mm_error *err)
{
    char path[PATH_MAX];
    mm_dataset *one = NULL;
    *copy = calloc(count + 1, sizeof **copy);
    mm_stats *stats = calloc(1, sizeof *stats);
    mm_status status = *copy && stats ? MM_OK : mm_fail_memory(err, "the statistics of a shard");
    if (status == MM_OK)
        status = mm_shard_path(mm_dataset_folder(dataset), shard, path, sizeof path, err);
    if (status == MM_OK)
        status = mm_dataset_open(path, &one, err);
    if (status == MM_OK)
        status = mm_dataset_statistics(one, stats, err);
    mm_dataset_close(one);
    for (size_t i = 0; status == MM_OK && i < count; i++)
        (*copy)[i] = records[i];
    for (size_t i = 0; status == MM_OK && i < count; i++)
        if (records[i].status == MM_IMAGE_DONE) {
            memcpy(&(*copy)[i].funnel, stats->funnel, sizeof stats->funnel);
            break;
        }
    free(stats);
    if (status != MM_OK) {
        free(*copy);
        *copy = NULL;
    }
    return status;
}
