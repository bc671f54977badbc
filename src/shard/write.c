/* Writing a shard: the columns of its images gathered end to end. */
#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "shard/layout.h"

typedef struct shard_input {
    const mm_record *records;
    const char *const *file_names;
    uint64_t first_image;
    size_t count;
    uint64_t masks, rle_bytes;
    XXH3_state_t *digest;
} shard_input;

static uint64_t rle_bytes_of(const mm_record *record)
{
    return record->mask_count ? record->rle_offset[record->mask_count] : 0;
}

static mm_status check_input(shard_input *in, mm_error *err)
{
    for (size_t i = 0; i < in->count; i++) {
        const mm_record *record = &in->records[i];
        if (record->image_id != in->first_image + i)
            return mm_fail(err, MM_ERR_INTERNAL, "row %zu of a shard has image %" PRIu64 " where %" PRIu64 " belongs",
                           i, record->image_id, in->first_image + i);
        if (!in->file_names[i] || !*in->file_names[i])
            return mm_fail(err, MM_ERR_INTERNAL, "image %" PRIu64 " has no file name", record->image_id);
        if (record->mask_count > 0) {
            const mm_status status = mm_record_check_shape(record, rle_bytes_of(record), err);
            if (status != MM_OK)
                return status;
        }
        in->masks += record->mask_count;
        in->rle_bytes += rle_bytes_of(record);
    }
    return MM_OK;
}

static mm_status write_images(hid_t file, const shard_input *in, mm_error *err)
{
    uint64_t *wide = malloc((in->count + 1) * sizeof *wide);
    uint32_t *width = malloc(in->count * sizeof *width + 1), *height = malloc(in->count * sizeof *height + 1);
    uint8_t *state = malloc(in->count + 1);
    hid_t group = H5I_INVALID_HID;
    mm_status status = MM_OK;
    if (!wide || !width || !height || !state)
        status = mm_fail_memory(err, "a shard's images");
    if (status == MM_OK)
        status = mm_h5_group_create(file, "images", &group, err);
    if (status == MM_OK) {
        for (size_t i = 0; i < in->count; i++) {
            wide[i] = in->records[i].image_id;
            width[i] = in->records[i].width;
            height[i] = in->records[i].height;
            state[i] = in->records[i].status;
        }
        const void *const values[IMAGE_COLUMNS] = {[IMAGE_ID] = wide,
                                                   [IMAGE_FILE_NAME] = in->file_names,
                                                   [IMAGE_WIDTH] = width,
                                                   [IMAGE_HEIGHT] = height,
                                                   [IMAGE_STATUS] = state};
        for (int c = 0; status == MM_OK && c < IMAGE_COLUMNS; c++)
            status = mm_h5_column_put(group, &mm_image_columns[c], in->count, values[c], err);
    }
    if (status == MM_OK) {
        wide[0] = 0;
        for (size_t i = 0; i < in->count; i++)
            wide[i + 1] = wide[i] + in->records[i].mask_count;
        status = mm_h5_column_put(group, &mm_mask_offset_column, in->count + 1, wide, err);
    }
    if (group >= 0 && H5Gclose(group) < 0 && status == MM_OK)
        status = mm_h5_fail(err, MM_ERR_INTERNAL, "cannot finish the group images");
    free(wide);
    free(width);
    free(height);
    free(state);
    return status;
}

/* Digest and write a gathered column, and free it. */
static mm_status put_gathered(hid_t parent, const mm_h5_column *column, uint64_t rows, size_t row_bytes, void *values,
                              const shard_input *in, mm_error *err)
{
    mm_status status = MM_OK;
    if (XXH3_64bits_update(in->digest, values, (size_t)rows * row_bytes) != XXH_OK)
        status = mm_fail(err, MM_ERR_INTERNAL, "xxHash refused a column");
    else
        status = mm_h5_column_put(parent, column, rows, values, err);
    free(values);
    return status;
}

static mm_status write_mask_column(hid_t group, int which, const shard_input *in, mm_error *err)
{
    const mm_h5_column column = mm_mask_h5_column(which);
    const size_t row = mm_mask_column_row(&mm_mask_columns[which]);
    char *values = malloc((size_t)in->masks * row + 1);
    if (!values)
        return mm_fail_memory(err, "a shard's masks");
    char *to = values;
    for (size_t i = 0; i < in->count; i++) {
        const size_t bytes = (size_t)in->records[i].mask_count * row;
        if (bytes)
            memcpy(to, mm_record_column(&in->records[i], &mm_mask_columns[which]), bytes);
        to += bytes;
    }
    return put_gathered(group, &column, in->masks, row, values, in, err);
}

static mm_status write_rle_offset(hid_t group, const shard_input *in, mm_error *err)
{
    uint64_t *offsets = malloc(((size_t)in->masks + 1) * sizeof *offsets), at = 0, row = 0;
    if (!offsets)
        return mm_fail_memory(err, "a shard's masks");
    offsets[0] = 0;
    for (size_t i = 0; i < in->count; i++) {
        for (uint64_t k = 0; k < in->records[i].mask_count; k++)
            offsets[++row] = at + in->records[i].rle_offset[k + 1];
        at += rle_bytes_of(&in->records[i]);
    }
    return put_gathered(group, &mm_rle_offset_column, in->masks + 1, sizeof *offsets, offsets, in, err);
}

static mm_status write_rle(hid_t file, const shard_input *in, mm_error *err)
{
    uint8_t *bytes = malloc((size_t)in->rle_bytes + 1), *to = bytes;
    if (!bytes)
        return mm_fail_memory(err, "a shard's run lengths");
    for (size_t i = 0; i < in->count; i++) {
        const size_t size = (size_t)rle_bytes_of(&in->records[i]);
        if (size)
            memcpy(to, in->records[i].rle, size);
        to += size;
    }
    return put_gathered(file, &mm_rle_column, in->rle_bytes, 1, bytes, in, err);
}

static mm_status write_masks(hid_t file, const shard_input *in, mm_error *err)
{
    hid_t group;
    mm_status status = mm_h5_group_create(file, "masks", &group, err);
    if (status != MM_OK)
        return status;
    for (int c = 0; status == MM_OK && c < MM_MASK_COLUMNS; c++)
        status = write_mask_column(group, c, in, err);
    if (status == MM_OK)
        status = write_rle_offset(group, in, err);
    if (H5Gclose(group) < 0 && status == MM_OK)
        status = mm_h5_fail(err, MM_ERR_INTERNAL, "cannot finish the group masks");
    return status == MM_OK ? write_rle(file, in, err) : status;
}

static mm_status write_statistics(hid_t file, const shard_input *in, mm_error *err)
{
    mm_stats *stats = malloc(sizeof *stats);
    if (!stats)
        return mm_fail_memory(err, "statistics");
    mm_stats_clear(stats);
    mm_status status = MM_OK;
    for (size_t i = 0; status == MM_OK && i < in->count; i++)
        status = mm_stats_add(stats, &in->records[i], err);
    if (status == MM_OK)
        status = mm_statistics_write(file, stats, err);
    free(stats);
    return status;
}

static mm_status write_shard(hid_t file, shard_input *in, const mm_shard_origin *origin, mm_error *err)
{
    mm_status status = mm_origin_write(file, origin, err);
    if (status == MM_OK)
        status = mm_h5_put_u64(file, "first_image", in->first_image, err);
    if (status == MM_OK)
        status = write_images(file, in, err);
    if (status == MM_OK)
        status = write_masks(file, in, err);
    if (status == MM_OK)
        status = write_statistics(file, in, err);
    if (status == MM_OK)
        status = mm_h5_put_u64(file, "masks_digest", XXH3_64bits_digest(in->digest), err);
    return status;
}

static mm_status make_folder(const char *out, mm_error *err)
{
    char path[PATH_MAX];
    const int length = snprintf(path, sizeof path, "%s/shards", out);
    if (length < 0 || (size_t)length >= sizeof path)
        return mm_fail(err, MM_ERR_USAGE, "the output path %s is too long", out);
    if (mkdir(path, 0777) != 0 && errno != EEXIST)
        return mm_fail_errno(err, "cannot make the folder %s", path);
    return MM_OK;
}

mm_status mm_shard_write(const char *out, uint64_t shard, uint64_t first_image, const mm_record *records,
                         const char *const *file_names, size_t count, const mm_shard_origin *origin, mm_error *err)
{
    shard_input in = {.records = records, .file_names = file_names, .first_image = first_image, .count = count};
    char path[PATH_MAX];
    mm_status status = mm_shard_path(out, shard, path, sizeof path, err);
    if (status == MM_OK)
        status = check_input(&in, err);
    if (status == MM_OK)
        status = make_folder(out, err);
    if (status == MM_OK)
        status = mm_digest_begin(&in.digest, err);
    if (status == MM_OK) {
        const mm_h5_silence before = mm_h5_silence_begin();
        mm_h5_draft draft;
        status = mm_h5_draft_begin(&draft, err);
        if (status == MM_OK) {
            status = write_shard(draft.file, &in, origin, err);
            if (status == MM_OK)
                status = mm_h5_draft_commit(&draft, "shard", path, NULL, err);
            else
                mm_h5_draft_abandon(&draft);
        }
        mm_h5_silence_end(before);
    }
    (void)XXH3_freeState(in.digest);
    return status;
}
