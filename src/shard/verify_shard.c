/* Verifying one shard: everything that it says of itself, looked at again. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "shard/verify.h"

/* --- masks --- */

static bool box_is_right(const mm_record *record, uint64_t i, const mm_rle *rle)
{
    uint32_t box[4];
    if (mm_rle_area(rle) == 0)
        return true; /* the reference puts an empty mask's box at its crop's corner */
    mm_rle_box(rle, box);
    const float *xywh = record->bbox[i];
    return xywh[0] == (float)box[0] && xywh[1] == (float)box[1] && xywh[2] == (float)(box[2] - box[0]) &&
           xywh[3] == (float)(box[3] - box[1]);
}

/* False if a mask is wrong. `kind` is "", or says which masks these are. */
static bool check_masks(mm_findings *findings, const char *path, const char *kind, const mm_record *record)
{
    bool good = true;
    for (uint64_t i = 0; i < record->mask_count; i++) {
        mm_rle rle;
        mm_error err = {0};
        if (mm_record_check_mask(record, i, &rle, &err) != MM_OK) {
            mm_verify_note(findings, "%s: %s%s", path, kind, err.text);
            good = false;
            continue;
        }
        if (!box_is_right(record, i, &rle)) {
            mm_verify_note(findings, "%s: %simage %" PRIu64 ", mask %" PRIu64 ": its bbox is not that of its pixels",
                           path, kind, record->image_id, i);
            good = false;
        }
        mm_rle_free(&rle);
    }
    return good;
}

static mm_status check_images(mm_findings *findings, const char *path, const mm_shard_file *shard, mm_stats *total,
                              mm_error *err)
{
    mm_stats *again = calloc(1, sizeof *again), *stored = calloc(1, sizeof *stored);
    mm_status status = again && stored ? MM_OK : mm_fail_memory(err, "statistics");
    bool good = true;
    for (uint64_t row = 0; status == MM_OK && row < shard->image_count; row++) {
        mm_record record;
        mm_error fault = {0};
        char *file_name = NULL;
        if (mm_shard_file_read(shard, row, &record, &file_name, &fault) != MM_OK) {
            mm_verify_note(findings, "%s: %s", path, fault.text);
            good = false;
            continue;
        }
        bool right = check_masks(findings, path, "", &record);
        if (record.confident)
            right = check_masks(findings, path, "confident: ", record.confident) && right;
        if (record.hints)
            right = check_masks(findings, path, "hints: ", record.hints) && right;
        if (!right)
            good = false;
        else
            status = mm_stats_add(again, &record, err);
        free(file_name);
        mm_record_free(&record);
    }
    mm_error fault = {0};
    if (status == MM_OK && mm_statistics_read(shard->file, stored, &fault) != MM_OK) {
        mm_verify_note(findings, "%s: %s", path, fault.text);
    } else if (status == MM_OK) {
        mm_stats_merge(total, stored);
        memcpy(again->funnel, stored->funnel, sizeof again->funnel); /* what was dropped is nowhere to be counted */
        if (good && memcmp(again, stored, sizeof *again) != 0)
            mm_verify_note(findings, "%s: its statistics are not those of its masks", path);
    }
    free(again);
    free(stored);
    return status;
}

/* --- the digest --- */

static mm_status digest_column(mm_findings *findings, const char *path, hid_t dataset, const mm_h5_column *column,
                               uint64_t rows, XXH3_state_t *digest, mm_error *err)
{
    const size_t row_bytes = mm_h5_type_size(column->type) * (column->width ? column->width : 1);
    const uint64_t block_rows = (1u << 20) / row_bytes;
    uint8_t *values = malloc(block_rows * row_bytes);
    mm_status status = values ? MM_OK : mm_fail_memory(err, "verifying");
    for (uint64_t start = 0; status == MM_OK && start < rows; start += block_rows) {
        const uint64_t left = rows - start, count = left < block_rows ? left : block_rows;
        mm_error fault = {0};
        if (mm_h5_column_read(dataset, column, start, count, values, &fault) != MM_OK) {
            mm_verify_note(findings, "%s: %s", path, fault.text);
            break;
        }
        if (XXH3_64bits_update(digest, values, (size_t)count * row_bytes) != XXH_OK)
            status = mm_fail(err, MM_ERR_INTERNAL, "xxHash refused a column");
    }
    free(values);
    return status;
}

static mm_status check_digest(mm_findings *findings, const char *path, const mm_shard_table *table, const char *name,
                              mm_error *err)
{
    XXH3_state_t *digest = NULL;
    mm_status status = mm_digest_begin(&digest, err);
    for (int c = 0; status == MM_OK && c < MM_MASK_COLUMNS; c++) {
        const mm_h5_column column = mm_mask_h5_column(c);
        if (mm_mask_column_in(&mm_mask_columns[c], table->sets))
            status = digest_column(findings, path, table->columns[c], &column, table->mask_count, digest, err);
    }
    if (status == MM_OK)
        status =
            digest_column(findings, path, table->rle_offset, &mm_rle_offset_column, table->mask_count + 1, digest, err);
    if (status == MM_OK)
        status = digest_column(findings, path, table->rle, &mm_rle_column, table->rle_bytes, digest, err);
    if (status == MM_OK && XXH3_64bits_digest(digest) != table->digest)
        mm_verify_note(findings, "%s: its %s is not that of its masks", path, name);
    (void)XXH3_freeState(digest);
    return status;
}

/* --- the shard --- */

mm_status mm_verify_shard(mm_findings *findings, const char *path, const mm_offset_arrays *arrays, mm_shard_place place,
                          uint64_t *images, uint64_t *masks, mm_stats *total, mm_error *err)
{
    mm_shard_file shard;
    mm_error fault = {0};
    if (mm_shard_file_open(path, &shard, &fault) != MM_OK) {
        mm_verify_note(findings, "%s", fault.text);
        return fault.status == MM_ERR_NOMEM ? mm_fail_memory(err, "verifying") : MM_OK;
    }
    mm_status status = check_images(findings, path, &shard, total, err);
    for (int t = 0; status == MM_OK && t < MASK_TABLES; t++)
        if (shard.tables[t].there)
            status = check_digest(findings, path, &shard.tables[t], mm_mask_tables[t].digest, err);
    if (status == MM_OK && arrays)
        status = mm_verify_offsets(findings, arrays, path, &shard, place, err);
    *images = shard.image_count;
    *masks = shard.tables[TABLE_MASKS].mask_count;
    mm_shard_file_close(&shard);
    return status;
}
