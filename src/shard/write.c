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
    const mm_shard_origin *origin;
    uint64_t masks[MASK_TABLES], rle_bytes[MASK_TABLES];
    XXH3_state_t *digest; /* of the table that is being written */
} shard_input;

static uint64_t rle_bytes_of(const mm_record *record)
{
    return record && record->mask_count ? record->rle_offset[record->mask_count] : 0;
}

static uint64_t masks_of(const mm_record *record)
{
    return record ? record->mask_count : 0;
}

static mm_status check_annotators(const mm_record *record, const mm_shard_origin *origin, mm_error *err)
{
    if (!origin->human)
        return mm_fail(err, MM_ERR_INTERNAL, "image %" PRIu64 " has annotators, its shard has no place for them",
                       record->image_id);
    for (uint64_t i = 0; i < record->mask_count; i++)
        if (record->annotator[i] > origin->annotator_count)
            return mm_fail(err, MM_ERR_INTERNAL, "image %" PRIu64 ", mask %" PRIu64 ": there is no annotator %u",
                           record->image_id, i, record->annotator[i]);
    return MM_OK;
}

/* The masks of one image in all tables: there are those that belong there, and what they say can be. */
static mm_status check_tables(shard_input *in, const mm_record *record, mm_error *err)
{
    mm_status status = mm_record_check_further(record, err);
    for (int t = 0; status == MM_OK && t < MASK_TABLES; t++) {
        const mm_record *masks = mm_mask_table_record(record, t);
        if (t != TABLE_MASKS && record->status == MM_IMAGE_DONE && mm_mask_table_there(in->origin, t) != (masks != NULL))
            status = mm_fail(err, MM_ERR_INTERNAL, "image %" PRIu64 " has %s %s, its shard is to have %s",
                             record->image_id, masks ? "a group" : "no", mm_mask_tables[t].group,
                             masks ? "none" : "them");
        if (status == MM_OK && masks && masks->mask_count > 0)
            status = mm_record_check_shape(masks, rle_bytes_of(masks), err);
        in->masks[t] += masks_of(masks);
        in->rle_bytes[t] += rle_bytes_of(masks);
    }
    return status == MM_OK && record->annotator ? check_annotators(record, in->origin, err) : status;
}

static mm_status check_input(shard_input *in, mm_error *err)
{
    mm_status status = MM_OK;
    for (size_t i = 0; status == MM_OK && i < in->count; i++) {
        const mm_record *record = &in->records[i];
        if (record->image_id != in->first_image + i)
            return mm_fail(err, MM_ERR_INTERNAL, "row %zu of a shard has image %" PRIu64 " where %" PRIu64 " belongs",
                           i, record->image_id, in->first_image + i);
        if (!in->file_names[i] || !*in->file_names[i])
            return mm_fail(err, MM_ERR_INTERNAL, "image %" PRIu64 " has no file name", record->image_id);
        status = check_tables(in, record, err);
    }
    return status;
}

/* Where each image's masks start, and their end. */
static mm_status put_mask_offset(hid_t parent, int table, const shard_input *in, mm_error *err)
{
    uint64_t *offsets = malloc((in->count + 1) * sizeof *offsets);
    if (!offsets)
        return mm_fail_memory(err, "a shard's images");
    offsets[0] = 0;
    for (size_t i = 0; i < in->count; i++)
        offsets[i + 1] = offsets[i] + masks_of(mm_mask_table_record(&in->records[i], table));
    const mm_status status = mm_h5_column_put(parent, &mm_mask_offset_column, in->count + 1, offsets, err);
    free(offsets);
    return status;
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
    if (status == MM_OK)
        status = put_mask_offset(group, TABLE_MASKS, in, err);
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

/* Images without the column, such as those that nobody has looked at, have zeros there. */
static mm_status write_mask_column(hid_t group, int table, int which, const shard_input *in, mm_error *err)
{
    const mm_h5_column column = mm_mask_h5_column(which);
    const size_t row = mm_mask_column_row(&mm_mask_columns[which]);
    char *values = malloc((size_t)in->masks[table] * row + 1);
    if (!values)
        return mm_fail_memory(err, "a shard's masks");
    char *to = values;
    for (size_t i = 0; i < in->count; i++) {
        const mm_record *masks = mm_mask_table_record(&in->records[i], table);
        const size_t bytes = (size_t)masks_of(masks) * row;
        const void *from = bytes ? mm_record_column(masks, &mm_mask_columns[which]) : NULL;
        if (from)
            memcpy(to, from, bytes);
        else
            memset(to, 0, bytes);
        to += bytes;
    }
    return put_gathered(group, &column, in->masks[table], row, values, in, err);
}

static mm_status write_rle_offset(hid_t group, int table, const shard_input *in, mm_error *err)
{
    uint64_t *offsets = malloc(((size_t)in->masks[table] + 1) * sizeof *offsets), at = 0, row = 0;
    if (!offsets)
        return mm_fail_memory(err, "a shard's masks");
    offsets[0] = 0;
    for (size_t i = 0; i < in->count; i++) {
        const mm_record *masks = mm_mask_table_record(&in->records[i], table);
        for (uint64_t k = 0; k < masks_of(masks); k++)
            offsets[++row] = at + masks->rle_offset[k + 1];
        at += rle_bytes_of(masks);
    }
    return put_gathered(group, &mm_rle_offset_column, in->masks[table] + 1, sizeof *offsets, offsets, in, err);
}

static mm_status write_rle(hid_t parent, int table, const shard_input *in, mm_error *err)
{
    uint8_t *bytes = malloc((size_t)in->rle_bytes[table] + 1), *to = bytes;
    if (!bytes)
        return mm_fail_memory(err, "a shard's run lengths");
    for (size_t i = 0; i < in->count; i++) {
        const mm_record *masks = mm_mask_table_record(&in->records[i], table);
        const size_t size = (size_t)rle_bytes_of(masks);
        if (size)
            memcpy(to, masks->rle, size);
        to += size;
    }
    return put_gathered(parent, &mm_rle_column, in->rle_bytes[table], 1, bytes, in, err);
}

/* A table but for mask_offset and rle, which the first one has elsewhere. */
static mm_status write_columns(hid_t group, int table, const shard_input *in, mm_error *err)
{
    const uint32_t sets = mm_mask_table_sets(in->origin, table);
    mm_status status = MM_OK;
    for (int c = 0; status == MM_OK && c < MM_MASK_COLUMNS; c++)
        if (mm_mask_column_in(&mm_mask_columns[c], sets))
            status = write_mask_column(group, table, c, in, err);
    return status == MM_OK ? write_rle_offset(group, table, in, err) : status;
}

/* *digest is that of the table. */
static mm_status write_table(hid_t file, int table, const shard_input *in, uint64_t *digest, mm_error *err)
{
    hid_t group;
    mm_status status = mm_h5_group_create(file, mm_mask_tables[table].group, &group, err);
    if (status != MM_OK)
        return status;
    if (XXH3_64bits_reset(in->digest) != XXH_OK)
        status = mm_fail(err, MM_ERR_INTERNAL, "xxHash refused to begin");
    if (status == MM_OK && table != TABLE_MASKS)
        status = put_mask_offset(group, table, in, err);
    if (status == MM_OK)
        status = write_columns(group, table, in, err);
    if (status == MM_OK)
        status = write_rle(table == TABLE_MASKS ? file : group, table, in, err);
    if (H5Gclose(group) < 0 && status == MM_OK)
        status = mm_h5_fail(err, MM_ERR_INTERNAL, "cannot finish the group %s", mm_mask_tables[table].group);
    *digest = XXH3_64bits_digest(in->digest);
    return status;
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

static mm_status write_shard(hid_t file, const shard_input *in, mm_error *err)
{
    uint64_t digests[MASK_TABLES];
    mm_status status = mm_origin_write(file, in->origin, err);
    if (status == MM_OK)
        status = mm_h5_put_u64(file, "first_image", in->first_image, err);
    if (status == MM_OK)
        status = write_images(file, in, err);
    for (int t = 0; status == MM_OK && t < MASK_TABLES; t++)
        if (mm_mask_table_there(in->origin, t))
            status = write_table(file, t, in, &digests[t], err);
    if (status == MM_OK)
        status = write_statistics(file, in, err);
    for (int t = 0; status == MM_OK && t < MASK_TABLES; t++)
        if (mm_mask_table_there(in->origin, t))
            status = mm_h5_put_u64(file, mm_mask_tables[t].digest, digests[t], err);
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
    shard_input in = {.records = records, .file_names = file_names, .first_image = first_image, .count = count,
                      .origin = origin};
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
            status = write_shard(draft.file, &in, err);
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
