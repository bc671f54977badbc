/* What a dataset was made with and what it has beyond masks: the same in each of its shards and in dataset.h5. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "shard/layout.h"

static const mm_h5_column annotators_column = {"annotators", MM_H5_STRING, 0};
enum { MOST_ANNOTATORS = UINT16_MAX };

/* --- in memory --- */

static mm_status copy_names(const char *const *names, size_t count, const char *const **copy, mm_error *err)
{
    char **made = calloc(count ? count : 1, sizeof *made);
    bool whole = made != NULL;
    for (size_t i = 0; whole && i < count; i++) {
        made[i] = strdup(names[i]);
        whole = made[i] != NULL;
    }
    *copy = (const char *const *)made; /* freed by mm_shard_origin_free, whole or not */
    return whole ? MM_OK : mm_fail_memory(err, "a dataset's origin");
}

mm_status mm_shard_origin_copy(const mm_shard_origin *origin, mm_shard_origin *copy, mm_error *err)
{
    *copy = *origin;
    copy->annotators = NULL;
    copy->detector_sha256 = origin->detector_sha256 ? strdup(origin->detector_sha256) : NULL;
    copy->config_yaml = strdup(origin->config_yaml);
    copy->model_name = strdup(origin->model_name);
    copy->model_sha256 = strdup(origin->model_sha256);
    mm_status status = copy->config_yaml && copy->model_name && copy->model_sha256 &&
                               (copy->detector_sha256 || !origin->detector_sha256)
                           ? MM_OK
                           : mm_fail_memory(err, "a dataset's origin");
    if (status == MM_OK && origin->annotator_count)
        status = copy_names(origin->annotators, origin->annotator_count, &copy->annotators, err);
    if (status != MM_OK)
        mm_shard_origin_free(copy);
    return status;
}

void mm_shard_origin_free(mm_shard_origin *origin)
{
    for (size_t i = 0; origin->annotators && i < origin->annotator_count; i++)
        free((char *)origin->annotators[i]);
    free((void *)origin->annotators);
    free((char *)origin->config_yaml);
    free((char *)origin->model_name);
    free((char *)origin->model_sha256);
    free((char *)origin->detector_sha256);
    *origin = (mm_shard_origin){0};
}

static bool same_text(const char *a, const char *b)
{
    return a && b ? strcmp(a, b) == 0 : a == b;
}

static bool same_annotators(const mm_shard_origin *a, const mm_shard_origin *b)
{
    bool same = a->annotator_count == b->annotator_count;
    for (size_t i = 0; same && i < a->annotator_count; i++)
        same = strcmp(a->annotators[i], b->annotators[i]) == 0;
    return same;
}

const char *mm_shard_origin_difference(const mm_shard_origin *a, const mm_shard_origin *b)
{
    return strcmp(a->config_yaml, b->config_yaml) != 0     ? "configuration"
           : strcmp(a->model_name, b->model_name) != 0     ? "model"
           : strcmp(a->model_sha256, b->model_sha256) != 0 ? "model file"
           : !same_text(a->detector_sha256, b->detector_sha256) ? "detector"
           : a->confident != b->confident                  ? "set of groups (confident masks)"
           : a->hints != b->hints                          ? "set of groups (hints)"
           : a->human != b->human                          ? "set of columns (annotators)"
           : !same_annotators(a, b)                        ? "list of annotators"
                                                           : NULL;
}

/* --- in a file --- */

static mm_status write_annotators(hid_t file, const mm_shard_origin *origin, mm_error *err)
{
    if (origin->annotator_count == 0)
        return MM_OK;
    if (origin->annotator_count > MOST_ANNOTATORS || !origin->human)
        return mm_fail(err, MM_ERR_LIMIT, "%zu annotators cannot be written: there may be %d, and only where masks "
                       "have a column for them", origin->annotator_count, MOST_ANNOTATORS);
    for (size_t i = 0; i < origin->annotator_count; i++)
        if (!origin->annotators[i] || !*origin->annotators[i])
            return mm_fail(err, MM_ERR_INTERNAL, "annotator %zu has no name", i + 1);
    return mm_h5_column_put(file, &annotators_column, origin->annotator_count, origin->annotators, err);
}

mm_status mm_origin_write(hid_t file, const mm_shard_origin *origin, mm_error *err)
{
    mm_status status = mm_h5_put_u64(file, "format_version", MM_FORMAT_VERSION, err);
    if (status == MM_OK)
        status = mm_h5_put_text(file, "config", origin->config_yaml, err);
    if (status == MM_OK)
        status = mm_h5_put_text(file, "model", origin->model_name, err);
    if (status == MM_OK)
        status = mm_h5_put_text(file, "model_sha256", origin->model_sha256, err);
    if (status == MM_OK && origin->detector_sha256)
        status = mm_h5_put_text(file, "detector_sha256", origin->detector_sha256, err);
    return status == MM_OK ? write_annotators(file, origin, err) : status;
}

static mm_status read_attributes(hid_t file, mm_shard_origin *origin, mm_error *err)
{
    char *config = NULL, *name = NULL, *sha256 = NULL, *detector = NULL;
    uint64_t version = 0;
    mm_status status = mm_h5_get_u64(file, "format_version", &version, err);
    if (status == MM_OK && version != MM_FORMAT_VERSION)
        status = mm_fail(err, MM_ERR_UNSUPPORTED, "it has format_version %" PRIu64 ", this maskmill reads %d", version,
                         MM_FORMAT_VERSION);
    if (status == MM_OK)
        status = mm_h5_get_text(file, "config", &config, err);
    if (status == MM_OK)
        status = mm_h5_get_text(file, "model", &name, err);
    if (status == MM_OK)
        status = mm_h5_get_text(file, "model_sha256", &sha256, err);
    if (status == MM_OK && H5Aexists(file, "detector_sha256") > 0)
        status = mm_h5_get_text(file, "detector_sha256", &detector, err);
    origin->config_yaml = config;
    origin->model_name = name;
    origin->model_sha256 = sha256;
    origin->detector_sha256 = detector;
    return status;
}

static mm_status read_annotators(hid_t file, mm_shard_origin *origin, mm_error *err)
{
    hid_t dataset;
    uint64_t rows;
    mm_status status = mm_h5_column_open(file, &annotators_column, &dataset, &rows, err);
    if (status != MM_OK)
        return status;
    char **names = NULL;
    if (rows > MOST_ANNOTATORS)
        status = mm_fail(err, MM_ERR_FORMAT, "it names %" PRIu64 " annotators; there may be %d", rows, MOST_ANNOTATORS);
    else if (!(names = calloc((size_t)rows + 1, sizeof *names)))
        status = mm_fail_memory(err, "a dataset's origin");
    if (status == MM_OK)
        status = mm_h5_column_read(dataset, &annotators_column, 0, rows, names, err);
    if (status == MM_OK) {
        origin->annotator_count = (size_t)rows;
        status = copy_names((const char *const *)names, (size_t)rows, &origin->annotators, err);
        mm_h5_strings_free(names, (size_t)rows);
    }
    free(names);
    (void)H5Dclose(dataset); /* only read from */
    return status;
}

mm_status mm_origin_read(hid_t file, mm_shard_origin *origin, mm_error *err)
{
    *origin = (mm_shard_origin){0};
    mm_status status = read_attributes(file, origin, err);
    origin->confident = H5Lexists(file, mm_mask_tables[TABLE_CONFIDENT].group, H5P_DEFAULT) > 0;
    origin->hints = H5Lexists(file, mm_mask_tables[TABLE_HINTS].group, H5P_DEFAULT) > 0;
    origin->human = H5Lexists(file, mm_mask_tables[TABLE_MASKS].group, H5P_DEFAULT) > 0 &&
                    H5Lexists(file, "masks/annotator", H5P_DEFAULT) > 0;
    if (status == MM_OK && H5Lexists(file, annotators_column.name, H5P_DEFAULT) > 0)
        status = read_annotators(file, origin, err);
    if (status != MM_OK)
        mm_shard_origin_free(origin);
    return status;
}

mm_status mm_origin_check(hid_t file, const mm_shard_origin *origin, mm_error *err)
{
    mm_shard_origin found;
    mm_status status = mm_origin_read(file, &found, err);
    if (status != MM_OK)
        return status;
    const char *other = mm_shard_origin_difference(&found, origin);
    if (other)
        status = mm_fail(err, MM_ERR_FORMAT, "its %s is not that of this dataset", other);
    mm_shard_origin_free(&found);
    return status;
}
