/* shard: the dataset on disk. This file is its layout; see docs/formats.md for the same in words. */
#include "shard/layout.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const mm_h5_column mm_image_columns[IMAGE_COLUMNS] = {
    [IMAGE_ID] = {"image_id", MM_H5_U64, 0},  [IMAGE_FILE_NAME] = {"file_name", MM_H5_STRING, 0},
    [IMAGE_WIDTH] = {"width", MM_H5_U32, 0},  [IMAGE_HEIGHT] = {"height", MM_H5_U32, 0},
    [IMAGE_STATUS] = {"status", MM_H5_U8, 0},
};
const mm_h5_column mm_mask_offset_column = {"mask_offset", MM_H5_U64, 0};
const mm_h5_column mm_rle_offset_column = {"rle_offset", MM_H5_U64, 0};
const mm_h5_column mm_rle_column = {"rle", MM_H5_U8, 0};

mm_h5_column mm_mask_h5_column(int which)
{
    const mm_mask_column *column = &mm_mask_columns[which];
    const mm_h5_type integer = column->value == 1 ? MM_H5_U8 : MM_H5_U32;
    return (mm_h5_column){column->name, column->is_integer ? integer : MM_H5_F32, column->width};
}

mm_status mm_digest_begin(XXH3_state_t **state, mm_error *err)
{
    *state = XXH3_createState();
    if (*state && XXH3_64bits_reset(*state) == XXH_OK)
        return MM_OK;
    return mm_fail_memory(err, "a digest");
}

mm_status mm_shard_path(const char *out, uint64_t shard, char *path, size_t size, mm_error *err)
{
    const int length = snprintf(path, size, "%s/shards/sa_%06" PRIu64 ".h5", out, shard);
    if (length < 0 || (size_t)length >= size)
        return mm_fail(err, MM_ERR_USAGE, "the output path %s is too long", out);
    return MM_OK;
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
    return status;
}

mm_status mm_origin_read(hid_t file, mm_shard_origin *origin, mm_error *err)
{
    char *config = NULL, *name = NULL, *sha256 = NULL;
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
    *origin = (mm_shard_origin){config, name, sha256};
    if (status != MM_OK)
        mm_origin_free(origin);
    return status;
}

void mm_origin_free(mm_shard_origin *origin)
{
    free((char *)origin->config_yaml);
    free((char *)origin->model_name);
    free((char *)origin->model_sha256);
    *origin = (mm_shard_origin){0};
}

mm_status mm_origin_check(hid_t file, const mm_shard_origin *origin, mm_error *err)
{
    mm_shard_origin found;
    mm_status status = mm_origin_read(file, &found, err);
    if (status != MM_OK)
        return status;
    const char *other = strcmp(found.config_yaml, origin->config_yaml) != 0     ? "config"
                        : strcmp(found.model_name, origin->model_name) != 0     ? "model"
                        : strcmp(found.model_sha256, origin->model_sha256) != 0 ? "model_sha256"
                                                                                : NULL;
    if (other)
        status = mm_fail(err, MM_ERR_FORMAT, "its %s is not that of this dataset", other);
    mm_origin_free(&found);
    return status;
}
