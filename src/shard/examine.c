/* Looking at a shard that an earlier attempt of a run wrote. */
#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "shard/file.h"

static mm_status list_set_aside(const mm_shard_file *file, mm_shard_content *content, mm_error *err)
{
    const size_t count = (size_t)file->image_count;
    uint8_t *state = malloc(count + 1);
    content->set_aside = calloc(count + 1, sizeof *content->set_aside);
    mm_status status = state && content->set_aside ? MM_OK : mm_fail_memory(err, "a shard's images");
    if (status == MM_OK)
        status = mm_h5_column_read(file->images[IMAGE_STATUS], &mm_image_columns[IMAGE_STATUS], 0, count, state, err);
    for (size_t i = 0; status == MM_OK && i < count; i++) {
        if (state[i] == MM_IMAGE_SET_ASIDE)
            content->set_aside[content->set_aside_count++] = file->first_image + i;
        else if (state[i] == MM_IMAGE_ABSENT)
            status = mm_fail(err, MM_ERR_FORMAT, "image %" PRIu64 " is absent", file->first_image + i);
    }
    free(state);
    return status;
}

static mm_status examine(const mm_shard_file *file, uint64_t first_image, uint64_t count,
                         const mm_shard_origin *origin, mm_shard_content *content, mm_error *err)
{
    mm_status status = mm_origin_check(file->file, origin, err);
    if (status == MM_OK && (file->first_image != first_image || file->image_count != count))
        status = mm_fail(err, MM_ERR_FORMAT, "it holds %" PRIu64 " images from %" PRIu64 " on, not %" PRIu64
                         " from %" PRIu64 " on", file->image_count, file->first_image, count, first_image);
    if (status == MM_OK)
        status = list_set_aside(file, content, err);
    content->images = file->image_count;
    content->masks = file->tables[TABLE_MASKS].mask_count;
    return status;
}

mm_status mm_shard_examine(const char *out, uint64_t shard, uint64_t first_image, uint64_t count,
                           const mm_shard_origin *origin, bool *there, mm_shard_content *content, mm_error *err)
{
    char path[PATH_MAX];
    struct stat about;
    *there = false;
    *content = (mm_shard_content){0};
    mm_status status = mm_shard_path(out, shard, path, sizeof path, err);
    if (status != MM_OK)
        return status;
    if (stat(path, &about) != 0)
        return errno == ENOENT ? MM_OK : mm_fail_errno(err, "cannot look at %s", path);
    const mm_h5_silence before = mm_h5_silence_begin();
    mm_shard_file file;
    status = mm_shard_file_open(path, &file, err);
    if (status == MM_OK) {
        status = examine(&file, first_image, count, origin, content, err);
        if (status != MM_OK && err)
            (void)mm_error_prefix(err, "shard %s", path); /* same status */
        mm_shard_file_close(&file);
    }
    mm_h5_silence_end(before);
    if (status != MM_OK) {
        free(content->set_aside);
        *content = (mm_shard_content){0};
        return status;
    }
    *there = true;
    return MM_OK;
}
