/* dataset.h5: the shards of a run shown as one.
 *
 * Its offset arrays grow with the masks, to gigabytes, so the file is made on disk and in two parts: first what opening
 * needs, which is small and has a digest of its own in the seal, then the offsets, shard by shard. */
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>

#include "shard/disk.h"
#include "shard/file.h"
#include "shard/list.h"
#include "shard/survey.h"

typedef struct index_draft {
    const char *out;
    const mm_shard_origin *origin;
    mm_shard_list list;
    mm_stats stats;
    mm_disk_draft draft;
    hid_t images, groups[MASK_TABLES];
    hid_t mask_offset[MASK_TABLES], rle_offset[MASK_TABLES];
} index_draft;

/* --- the offsets, which are as long as the dataset and are never held --- */

/* Append a shard's offsets 1 .. rows, moved by `base`; on the way, see that they rise. */
static mm_status append_offsets(hid_t from, hid_t to, const mm_h5_column *column, uint64_t rows, uint64_t at,
                                uint64_t base, mm_error *err)
{
    const hsize_t length = at + rows + 1;
    const uint64_t block_rows = 1u << 17;
    uint64_t *block = malloc((rows < block_rows ? rows + 1 : block_rows) * sizeof *block), before = 0;
    mm_status status = MM_OK;
    if (!block)
        return mm_fail_memory(err, "indexing offsets");
    if (H5Dset_extent(to, &length) < 0)
        status = mm_h5_fail(err, MM_ERR_INTERNAL, "cannot extend %s", column->name);
    for (uint64_t start = 1; status == MM_OK && start <= rows; start += block_rows) {
        const uint64_t left = rows + 1 - start, count = left < block_rows ? left : block_rows;
        status = mm_h5_column_read(from, column, start, count, block, err);
        for (uint64_t i = 0; status == MM_OK && i < count; i++) {
            if (block[i] < before)
                status = mm_fail(err, MM_ERR_FORMAT, "%s falls at row %" PRIu64, column->name, start + i);
            before = block[i];
            block[i] += base;
        }
        if (status == MM_OK)
            status = mm_h5_column_write(to, column, at + start, count, block, err);
    }
    free(block);
    return status;
}

/* `at` are the sums of the list's lengths over the shards before it. */
static mm_status append_shard(index_draft *index, size_t k, const uint64_t at[SHARD_COLUMNS], mm_error *err)
{
    char path[PATH_MAX];
    mm_shard_file shard;
    uint64_t *const *columns = index->list.columns;
    mm_status status = mm_shard_path(index->out, index->list.first_shard + k, path, sizeof path, err);
    if (status == MM_OK)
        status = mm_shard_file_open_again(path, columns[SHARD_BYTES][k], columns[SHARD_DIGEST][k], &shard, err);
    if (status != MM_OK)
        return status;
    for (int t = 0; status == MM_OK && t < MASK_TABLES; t++) {
        const mm_shard_table *table = &shard.tables[t];
        const uint64_t masks = at[mm_shard_list_masks[t]];
        if (!index->list.there[t])
            continue; /* of one origin with the dataset, so it is not in the shard either */
        status = append_offsets(table->mask_offset, index->mask_offset[t], &mm_mask_offset_column, shard.image_count,
                                at[SHARD_IMAGES], masks, err);
        if (status == MM_OK)
            status = append_offsets(table->rle_offset, index->rle_offset[t], &mm_rle_offset_column, table->mask_count,
                                    masks, at[mm_shard_list_rle_bytes[t]], err);
    }
    if (status != MM_OK && err)
        (void)mm_error_prefix(err, "shard %s", path);
    mm_shard_file_close(&shard);
    return status == MM_OK ? mm_disk_draft_check(&index->draft, err) : status;
}

static mm_status append_all_offsets(index_draft *index, mm_error *err)
{
    const uint64_t zero = 0;
    uint64_t at[SHARD_COLUMNS] = {0};
    mm_status status = MM_OK;
    for (int t = 0; status == MM_OK && t < MASK_TABLES; t++) {
        if (!index->list.there[t])
            continue;
        status = mm_h5_column_write(index->mask_offset[t], &mm_mask_offset_column, 0, 1, &zero, err);
        if (status == MM_OK)
            status = mm_h5_column_write(index->rle_offset[t], &mm_rle_offset_column, 0, 1, &zero, err);
    }
    for (size_t k = 0; status == MM_OK && k < index->list.count; k++) {
        status = append_shard(index, k, at, err);
        for (int c = 0; c < SHARD_COLUMNS; c++)
            at[c] += index->list.columns[c][k];
    }
    return status;
}

/* --- virtual columns --- */

/* Map one shard's rows into the virtual column. */
static herr_t map_shard(hid_t list, hid_t whole, const char *dataset, int rank, uint64_t shard, uint64_t at,
                        const hsize_t shape[2])
{
    char name[MM_SHARD_NAME];
    const hsize_t start[2] = {at, 0};
    mm_shard_list_name(shard, name);
    const hid_t source = H5Screate_simple(rank, shape, NULL);
    if (source < 0)
        return -1;
    herr_t done = H5Sselect_hyperslab(whole, H5S_SELECT_SET, start, NULL, shape, NULL);
    if (done >= 0)
        done = H5Pset_virtual(list, whole, name, dataset, source);
    (void)H5Sclose(source);
    return done;
}

/* A virtual column over all shards; `lengths` is the list's column that says how many rows each has. */
static mm_status make_virtual(hid_t parent, const char *folder, const mm_h5_column *column, const mm_shard_list *list,
                              int lengths, mm_error *err)
{
    const uint64_t rows = list->sums[lengths];
    if (rows == 0)
        return mm_h5_column_put(parent, column, 0, NULL, err);
    const int rank = column->width ? 2 : 1;
    const hsize_t shape[2] = {rows, column->width};
    char source[64];
    (void)snprintf(source, sizeof source, "%s%s/%s", *folder ? "/" : "", folder, column->name);
    const hid_t properties = H5Pcreate(H5P_DATASET_CREATE), whole = H5Screate_simple(rank, shape, NULL);
    hid_t type = H5I_INVALID_HID, dataset = H5I_INVALID_HID;
    mm_status status = mm_h5_file_type(column->type, &type, err);
    herr_t done = properties < 0 || whole < 0 ? -1 : H5Pset_obj_track_times(properties, false);
    uint64_t at = 0;
    for (size_t k = 0; status == MM_OK && done >= 0 && k < list->count; k++) {
        const hsize_t part[2] = {list->columns[lengths][k], column->width};
        if (part[0] > 0)
            done = map_shard(properties, whole, source, rank, list->first_shard + k, at, part);
        at += part[0];
    }
    if (status == MM_OK && done >= 0 && H5Sselect_all(whole) >= 0)
        dataset = H5Dcreate2(parent, column->name, type, whole, H5P_DEFAULT, properties, H5P_DEFAULT);
    if (status == MM_OK && (dataset < 0 || H5Dclose(dataset) < 0))
        status = mm_h5_fail(err, MM_ERR_INTERNAL, "cannot make the virtual column %s", column->name);
    if (type >= 0)
        (void)H5Tclose(type);
    if (whole >= 0)
        (void)H5Sclose(whole);
    if (properties >= 0)
        (void)H5Pclose(properties);
    return status;
}

static mm_status make_virtual_table(const index_draft *index, int t, mm_error *err)
{
    const mm_mask_table *what = &mm_mask_tables[t];
    const uint32_t sets = mm_mask_table_sets(index->origin, t);
    mm_status status = MM_OK;
    for (int c = 0; status == MM_OK && c < MM_MASK_COLUMNS; c++) {
        const mm_h5_column column = mm_mask_h5_column(c);
        if (mm_mask_column_in(&mm_mask_columns[c], sets))
            status = make_virtual(index->groups[t], what->group, &column, &index->list, mm_shard_list_masks[t], err);
    }
    if (status == MM_OK)
        status = make_virtual(t == TABLE_MASKS ? index->draft.file : index->groups[t], what->rle_group, &mm_rle_column,
                              &index->list, mm_shard_list_rle_bytes[t], err);
    return status;
}

static mm_status make_virtual_columns(const index_draft *index, mm_error *err)
{
    const mm_shard_list *list = &index->list;
    mm_status status = MM_OK;
    for (int c = 0; status == MM_OK && c < IMAGE_COLUMNS; c++)
        status = make_virtual(index->images, "images", &mm_image_columns[c], list, SHARD_IMAGES, err);
    for (int t = 0; status == MM_OK && t < MASK_TABLES; t++)
        if (list->there[t])
            status = make_virtual_table(index, t, err);
    return status;
}

static mm_status fill_head(index_draft *index, mm_error *err)
{
    const hid_t file = index->draft.file;
    mm_status status = mm_origin_write(file, index->origin, err);
    if (status == MM_OK)
        status = mm_h5_group_create(file, "images", &index->images, err);
    for (int t = 0; status == MM_OK && t < MASK_TABLES; t++)
        if (index->list.there[t])
            status = mm_h5_group_create(file, mm_mask_tables[t].group, &index->groups[t], err);
    if (status == MM_OK)
        status = make_virtual_columns(index, err);
    if (status == MM_OK)
        status = mm_shard_list_write(file, &index->list, err);
    if (status == MM_OK)
        status = mm_statistics_write(file, &index->stats, err);
    for (int t = 0; status == MM_OK && t < MASK_TABLES; t++) {
        if (!index->list.there[t])
            continue;
        status = mm_h5_column_create_growing(t == TABLE_MASKS ? index->images : index->groups[t],
                                             &mm_mask_offset_column, &index->mask_offset[t], err);
        if (status == MM_OK)
            status = mm_h5_column_create_growing(index->groups[t], &mm_rle_offset_column, &index->rle_offset[t], err);
    }
    return status == MM_OK ? mm_disk_draft_end_head(&index->draft, err) : status;
}

static mm_status fill(index_draft *index, mm_error *err)
{
    mm_status status = fill_head(index, err);
    if (status == MM_OK)
        status = append_all_offsets(index, err);
    for (int t = 0; t < MASK_TABLES; t++) {
        const hid_t open[] = {index->mask_offset[t], index->rle_offset[t]};
        for (size_t i = 0; i < sizeof open / sizeof open[0]; i++)
            if (open[i] >= 0 && H5Dclose(open[i]) < 0 && status == MM_OK)
                status = mm_h5_fail(err, MM_ERR_INTERNAL, "cannot finish the offsets");
    }
    for (int t = -1; t < MASK_TABLES; t++) {
        const hid_t group = t < 0 ? index->images : index->groups[t];
        if (group >= 0 && H5Gclose(group) < 0 && status == MM_OK)
            status = mm_h5_fail(err, MM_ERR_INTERNAL, "cannot finish a group");
    }
    return status;
}

/* Rank 0. */
static mm_status write_index(index_draft *index, const char *path, mm_error *err)
{
    const mm_status status = mm_disk_draft_begin(path, &index->draft, err);
    return status == MM_OK ? mm_disk_draft_finish(&index->draft, "dataset", fill(index, err), err) : status;
}

mm_status mm_dataset_index(const char *out, uint64_t first_shard, uint64_t shard_count, const mm_shard_origin *origin,
                           mm_comm *comm, mm_error *err)
{
    char path[PATH_MAX];
    const int length = snprintf(path, sizeof path, "%s/dataset.h5", out);
    if (length < 0 || (size_t)length >= sizeof path)
        return mm_fail(err, MM_ERR_USAGE, "the output path %s is too long", out);
    if (shard_count == 0 || shard_count > SIZE_MAX / 64 || first_shard > UINT64_MAX - shard_count)
        return mm_fail(err, MM_ERR_USAGE, "a dataset of %" PRIu64 " shards cannot be made", shard_count);
    index_draft *index = calloc(1, sizeof *index);
    mm_status status = index ? mm_shard_list_new((size_t)shard_count, &index->list, err)
                             : mm_fail_memory(err, "indexing a dataset");
    status = mm_comm_agree(comm, status, err);
    if (status == MM_OK) {
        const mm_h5_silence before = mm_h5_silence_begin();
        index->out = out;
        index->origin = origin;
        index->images = H5I_INVALID_HID;
        for (int t = 0; t < MASK_TABLES; t++) {
            index->groups[t] = index->mask_offset[t] = index->rle_offset[t] = H5I_INVALID_HID;
            index->list.there[t] = mm_mask_table_there(origin, t);
        }
        index->list.first_shard = first_shard;
        status = mm_survey(comm, out, origin, &index->list, &index->stats, err);
        if (status == MM_OK && (!comm || mm_comm_rank(comm) == 0))
            status = write_index(index, path, err);
        status = mm_comm_agree(comm, status, err);
        mm_h5_silence_end(before);
    }
    if (index)
        mm_shard_list_free(&index->list);
    free(index);
    return status;
}
