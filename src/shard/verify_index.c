/* Verifying dataset.h5 against the shards. That its virtual columns show the right values is seen from their mappings:
 * reading through them would take HDF5 a look at every mapping for each shard. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "shard/verify.h"

/* Mapping `which` puts this shard's `source` dataset, all of it, at rows at .. at + rows - 1. */
static bool mapping_is_right(hid_t properties, size_t which, uint64_t shard, const char *source, uint64_t at,
                             uint64_t rows, uint32_t width)
{
    char wanted[MM_SHARD_NAME], file[64] = "", dataset[64] = "";
    hsize_t first[2] = {0, 0}, last[2] = {0, 0};
    mm_shard_list_name(shard, wanted);
    const ssize_t file_length = H5Pget_virtual_filename(properties, which, file, sizeof file);
    const ssize_t dataset_length = H5Pget_virtual_dsetname(properties, which, dataset, sizeof dataset);
    if (file_length < 0 || (size_t)file_length >= sizeof file || strcmp(file, wanted) != 0 || dataset_length < 0 ||
        (size_t)dataset_length >= sizeof dataset || strcmp(dataset, source) != 0)
        return false;
    const hid_t to = H5Pget_virtual_vspace(properties, which), from = H5Pget_virtual_srcspace(properties, which);
    const bool right = to >= 0 && from >= 0 && H5Sget_select_type(from) == H5S_SEL_ALL &&
                       H5Sget_select_bounds(to, first, last) >= 0 && first[0] == at && last[0] == at + rows - 1 &&
                       first[1] == 0 && last[1] == (width ? width - 1 : 0) &&
                       H5Sget_select_npoints(to) == (hssize_t)(rows * (width ? width : 1));
    if (to >= 0)
        (void)H5Sclose(to);
    if (from >= 0)
        (void)H5Sclose(from);
    return right;
}

static void check_mappings(mm_findings *findings, hid_t dataset, const char *name, const mm_shard_list *list,
                           int lengths, uint32_t width)
{
    const hid_t properties = H5Dget_create_plist(dataset);
    size_t count = 0, which = 0;
    uint64_t at = 0;
    if (properties < 0 || H5Pget_layout(properties) != H5D_VIRTUAL || H5Pget_virtual_count(properties, &count) < 0) {
        mm_verify_note(findings, "dataset.h5: %s is not a virtual dataset", name);
    } else {
        for (size_t k = 0; k < list->count; k++) {
            const uint64_t rows = list->columns[lengths][k];
            if (rows == 0)
                continue; /* nothing to map */
            if (which >= count ||
                !mapping_is_right(properties, which, list->first_shard + k, name, at, rows, width)) {
                mm_verify_note(findings, "dataset.h5: %s does not show the rows of shard %" PRIu64 " in their place",
                               name, list->first_shard + k);
                break;
            }
            which++;
            at += rows;
        }
        if (at == list->sums[lengths] && which < count)
            mm_verify_note(findings, "dataset.h5: %s shows more than the shards", name);
    }
    if (properties >= 0)
        (void)H5Pclose(properties);
}

static void check_column(mm_findings *findings, hid_t file, const char *group, const mm_h5_column *column,
                         const mm_shard_list *list, int lengths)
{
    const uint64_t total = list->sums[lengths];
    char name[64];
    hid_t dataset;
    uint64_t rows;
    mm_error fault = {0};
    (void)snprintf(name, sizeof name, "%s%s/%s", *group ? "/" : "", group, column->name);
    const mm_h5_column whole = {name, column->type, column->width};
    if (mm_h5_column_open(file, &whole, &dataset, &rows, &fault) != MM_OK) {
        mm_verify_note(findings, "dataset.h5: %s", fault.text);
        return;
    }
    if (rows != total)
        mm_verify_note(findings, "dataset.h5: %s has %" PRIu64 " rows, the shards have %" PRIu64, name, rows,
                       total);
    else if (rows > 0) /* an empty column is an ordinary one */
        check_mappings(findings, dataset, name, list, lengths, column->width);
    (void)H5Dclose(dataset); /* only read from */
}

void mm_verify_mappings(mm_findings *findings, hid_t dataset, const mm_shard_list *list, const mm_shard_origin *origin)
{
    for (int c = 0; c < IMAGE_COLUMNS; c++)
        check_column(findings, dataset, "images", &mm_image_columns[c], list, SHARD_IMAGES);
    for (int t = 0; t < MASK_TABLES; t++) {
        const uint32_t sets = mm_mask_table_sets(origin, t);
        if (!list->there[t])
            continue;
        for (int c = 0; c < MM_MASK_COLUMNS; c++) {
            const mm_h5_column column = mm_mask_h5_column(c);
            if (mm_mask_column_in(&mm_mask_columns[c], sets))
                check_column(findings, dataset, mm_mask_tables[t].group, &column, list, mm_shard_list_masks[t]);
        }
        check_column(findings, dataset, mm_mask_tables[t].rle_group, &mm_rle_column, list, mm_shard_list_rle_bytes[t]);
    }
}

static hid_t open_offsets(mm_findings *findings, hid_t file, const char *group, const mm_h5_column *offsets,
                          uint64_t total)
{
    char name[64];
    (void)snprintf(name, sizeof name, "/%s/%s", group, offsets->name);
    const mm_h5_column column = {name, MM_H5_U64, 0};
    hid_t dataset;
    uint64_t rows;
    mm_error fault = {0};
    if (mm_h5_column_open(file, &column, &dataset, &rows, &fault) != MM_OK) {
        mm_verify_note(findings, "dataset.h5: %s", fault.text);
        return H5I_INVALID_HID;
    }
    if (rows == total + 1)
        return dataset;
    mm_verify_note(findings, "dataset.h5: %s has %" PRIu64 " rows where %" PRIu64 " belong", name, rows, total + 1);
    (void)H5Dclose(dataset); /* only read from */
    return H5I_INVALID_HID;
}

void mm_verify_open_offsets(mm_findings *findings, hid_t dataset, const mm_shard_list *list,
                            mm_offset_arrays *arrays)
{
    for (int t = 0; t < MASK_TABLES; t++) {
        if (!list->there[t])
            continue;
        arrays->mask_offset[t] = open_offsets(findings, dataset, mm_mask_tables[t].offset_group,
                                              &mm_mask_offset_column, list->sums[SHARD_IMAGES]);
        arrays->rle_offset[t] = open_offsets(findings, dataset, mm_mask_tables[t].group, &mm_rle_offset_column,
                                             list->sums[mm_shard_list_masks[t]]);
    }
}

void mm_verify_close_offsets(mm_offset_arrays *arrays)
{
    for (int t = 0; t < MASK_TABLES; t++) {
        if (arrays->mask_offset[t] >= 0)
            (void)H5Dclose(arrays->mask_offset[t]); /* only read from */
        if (arrays->rle_offset[t] >= 0)
            (void)H5Dclose(arrays->rle_offset[t]); /* only read from */
    }
    mm_shard_origin_free(&arrays->origin);
}

/* Rows 0 .. rows of a shard's offsets are rows at .. at + rows of the dataset's, less `base`. */
static mm_status compare(mm_findings *findings, hid_t whole, hid_t part, const mm_h5_column *column,
                         const char *path, uint64_t rows, uint64_t at, uint64_t base, mm_error *err)
{
    const uint64_t block_rows = 1u << 16;
    uint64_t *ours = malloc(block_rows * sizeof *ours), *theirs = malloc(block_rows * sizeof *theirs);
    mm_status status = ours && theirs ? MM_OK : mm_fail_memory(err, "verifying");
    bool same = true;
    for (uint64_t start = 0; status == MM_OK && same && start <= rows; start += block_rows) {
        const uint64_t left = rows + 1 - start, count = left < block_rows ? left : block_rows;
        mm_error fault = {0};
        if (mm_h5_column_read(part, column, start, count, ours, &fault) != MM_OK ||
            mm_h5_column_read(whole, column, at + start, count, theirs, &fault) != MM_OK) {
            mm_verify_note(findings, "%s against dataset.h5: %s", path, fault.text);
            break;
        }
        for (uint64_t i = 0; same && i < count; i++)
            same = ours[i] + base == theirs[i];
    }
    if (!same)
        mm_verify_note(findings, "dataset.h5: %s has other values than %s", column->name, path);
    free(ours);
    free(theirs);
    return status;
}

mm_status mm_verify_offsets(mm_findings *findings, const mm_offset_arrays *arrays, const char *path,
                            const mm_shard_file *shard, mm_shard_place place, mm_error *err)
{
    mm_error fault = {0};
    if (mm_origin_check(shard->file, &arrays->origin, &fault) != MM_OK) {
        mm_verify_note(findings, "%s: %s", path, fault.text);
        return fault.status == MM_ERR_NOMEM ? mm_fail_memory(err, "verifying") : MM_OK;
    }
    bool listed = shard->image_count == place.rows[SHARD_IMAGES];
    for (int t = 0; t < MASK_TABLES; t++)
        listed = listed && shard->tables[t].mask_count == place.rows[mm_shard_list_masks[t]] &&
                 shard->tables[t].rle_bytes == place.rows[mm_shard_list_rle_bytes[t]];
    if (!listed) {
        mm_verify_note(findings, "dataset.h5 lists other lengths for %s than it has", path);
        return MM_OK;
    }
    mm_status status = MM_OK;
    for (int t = 0; status == MM_OK && t < MASK_TABLES; t++) {
        const mm_shard_table *table = &shard->tables[t];
        const uint64_t mask_at = place.at[mm_shard_list_masks[t]];
        if (arrays->mask_offset[t] >= 0)
            status = compare(findings, arrays->mask_offset[t], table->mask_offset, &mm_mask_offset_column, path,
                             shard->image_count, place.at[SHARD_IMAGES], mask_at, err);
        if (status == MM_OK && arrays->rle_offset[t] >= 0)
            status = compare(findings, arrays->rle_offset[t], table->rle_offset, &mm_rle_offset_column, path,
                             table->mask_count, mask_at, place.at[mm_shard_list_rle_bytes[t]], err);
    }
    return status;
}
