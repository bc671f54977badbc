/* Verifying: everything that a dataset says of itself, looked at again. */
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "shard/verify.h"

void mm_verify_note(mm_verification *check, const char *format, ...)
{
    mm_error line;
    va_list arguments;
    va_start(arguments, format);
    if (vsnprintf(line.text, sizeof line.text, format, arguments) < 0)
        line.text[0] = '\0';
    va_end(arguments);
    if (check->report->faults++ == 0)
        (void)snprintf(check->report->first, sizeof check->report->first, "%s", line.text);
    if (check->out)
        (void)fprintf(check->out, "%s\n", line.text);
}

/* --- masks ---------------------------------------------------------------------------------------------------------
 */

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

/* False if a mask is wrong. */
static bool check_masks(mm_verification *check, const char *path, const mm_record *record)
{
    bool good = true;
    for (uint64_t i = 0; i < record->mask_count; i++) {
        mm_rle rle;
        mm_error err = {0};
        if (mm_record_check_mask(record, i, &rle, &err) != MM_OK) {
            mm_verify_note(check, "%s: %s", path, err.text);
            good = false;
            continue;
        }
        if (!box_is_right(record, i, &rle)) {
            mm_verify_note(check, "%s: image %" PRIu64 ", mask %" PRIu64 ": its bbox is not that of its pixels", path,
                           record->image_id, i);
            good = false;
        }
        mm_rle_free(&rle);
    }
    return good;
}

static mm_status check_images(mm_verification *check, const char *path, const mm_shard_file *shard, mm_error *err)
{
    mm_stats *again = calloc(1, sizeof *again), *stored = calloc(1, sizeof *stored);
    mm_status status = again && stored ? MM_OK : mm_fail_memory(err, "statistics");
    bool good = true;
    for (uint64_t row = 0; status == MM_OK && row < shard->image_count; row++) {
        mm_record record;
        mm_error fault = {0};
        char *file_name = NULL;
        if (mm_shard_file_read(shard, row, &record, &file_name, &fault) != MM_OK) {
            mm_verify_note(check, "%s: %s", path, fault.text);
            good = false;
            continue;
        }
        if (!check_masks(check, path, &record))
            good = false;
        else
            status = mm_stats_add(again, &record, err);
        free(file_name);
        mm_record_free(&record);
    }
    mm_error fault = {0};
    if (status == MM_OK && mm_statistics_read(shard->file, stored, &fault) != MM_OK) {
        mm_verify_note(check, "%s: %s", path, fault.text);
    } else if (status == MM_OK) {
        mm_stats_merge(&check->total, stored);
        memcpy(again->funnel, stored->funnel, sizeof again->funnel); /* what was dropped is nowhere to be counted */
        if (good && memcmp(again, stored, sizeof *again) != 0)
            mm_verify_note(check, "%s: its statistics are not those of its masks", path);
    }
    free(again);
    free(stored);
    return status;
}

/* --- the digest ------------------------------------------------------------------------------------------------- */

static mm_status digest_column(mm_verification *check, const char *path, hid_t dataset, const mm_h5_column *column,
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
            mm_verify_note(check, "%s: %s", path, fault.text);
            break;
        }
        if (XXH3_64bits_update(digest, values, (size_t)count * row_bytes) != XXH_OK)
            status = mm_fail(err, MM_ERR_INTERNAL, "xxHash refused a column");
    }
    free(values);
    return status;
}

static mm_status check_digest(mm_verification *check, const char *path, const mm_shard_file *shard, mm_error *err)
{
    XXH3_state_t *digest = NULL;
    mm_status status = mm_digest_begin(&digest, err);
    for (int c = 0; status == MM_OK && c < MM_MASK_COLUMNS; c++) {
        const mm_h5_column column = mm_mask_h5_column(c);
        status = digest_column(check, path, shard->masks[c], &column, shard->mask_count, digest, err);
    }
    if (status == MM_OK)
        status =
            digest_column(check, path, shard->rle_offset, &mm_rle_offset_column, shard->mask_count + 1, digest, err);
    if (status == MM_OK)
        status = digest_column(check, path, shard->rle, &mm_rle_column, shard->rle_bytes, digest, err);
    if (status == MM_OK && XXH3_64bits_digest(digest) != shard->masks_digest)
        mm_verify_note(check, "%s: its masks_digest is not that of its masks", path);
    (void)XXH3_freeState(digest);
    return status;
}

/* --- files ---------------------------------------------------------------------------------------------------------
 */

/* Only want of memory stops the verification; everything else is a fault to be noted. `arrays` is NULL for a shard by
 * itself. */
static mm_status check_shard(mm_verification *check, const char *path, const mm_offset_arrays *arrays,
                             mm_shard_place place, mm_error *err)
{
    mm_shard_file shard;
    mm_error fault = {0};
    if (mm_shard_file_open(path, &shard, &fault) != MM_OK) {
        mm_verify_note(check, "%s", fault.text);
        return fault.status == MM_ERR_NOMEM ? mm_fail_memory(err, "verifying") : MM_OK;
    }
    mm_status status = check_images(check, path, &shard, err);
    if (status == MM_OK)
        status = check_digest(check, path, &shard, err);
    if (status == MM_OK && arrays)
        status = mm_verify_offsets(check, arrays, path, &shard, place, err);
    check->report->images += shard.image_count;
    check->report->masks += shard.mask_count;
    mm_shard_file_close(&shard);
    return status;
}

static mm_status check_listed_shards(mm_verification *check, const char *folder, const mm_offset_arrays *arrays,
                                     const mm_shard_list *list, mm_error *err)
{
    mm_shard_place place = {0};
    mm_status status = MM_OK;
    for (size_t k = 0; status == MM_OK && k < list->count; k++) {
        char path[PATH_MAX];
        mm_error fault = {0};
        place.images = list->columns[SHARD_IMAGES][k];
        place.masks = list->columns[SHARD_MASKS][k];
        place.rle_bytes = list->columns[SHARD_RLE_BYTES][k];
        if (mm_shard_path(folder, k, path, sizeof path, &fault) != MM_OK ||
            mm_shard_list_check(list, folder, k, &fault) != MM_OK)
            mm_verify_note(check, "%s", fault.text);
        else
            status = check_shard(check, path, arrays, place, err);
        place.image_at += place.images;
        place.mask_at += place.masks;
        place.rle_at += place.rle_bytes;
        check->report->shards++;
    }
    return status;
}

static mm_status check_open_dataset(mm_verification *check, const char *folder, hid_t dataset,
                                    const mm_shard_list *list, mm_error *err)
{
    mm_offset_arrays arrays;
    mm_verify_mappings(check, dataset, list);
    mm_verify_open_offsets(check, dataset, list, &arrays);
    const mm_status status = check_listed_shards(check, folder, &arrays, list, err);
    mm_verify_close_offsets(&arrays);
    return status;
}

static mm_status check_dataset(mm_verification *check, const char *folder, const char *path, mm_error *err)
{
    mm_error fault = {0};
    mm_seal seal;
    hid_t dataset;
    if (mm_seal_read(path, &seal, &fault) != MM_OK || mm_h5_open(path, "dataset", false, &dataset, &fault) != MM_OK) {
        mm_verify_note(check, "%s", fault.text);
        return MM_OK;
    }
    mm_shard_list list = {0};
    mm_stats *stored = calloc(1, sizeof *stored);
    mm_status status = stored ? MM_OK : mm_fail_memory(err, "statistics");
    if (status == MM_OK && (mm_shard_list_read(dataset, seal.bytes, &list, &fault) != MM_OK ||
                            mm_statistics_read(dataset, stored, &fault) != MM_OK)) {
        mm_verify_note(check, "%s: %s", path, fault.text);
    } else if (status == MM_OK) {
        status = check_open_dataset(check, folder, dataset, &list, err);
        if (status == MM_OK && check->report->faults == 0 && memcmp(&check->total, stored, sizeof *stored) != 0)
            mm_verify_note(check, "%s: its statistics are not the sum of the shards'", path);
    }
    mm_shard_list_free(&list);
    free(stored);
    (void)H5Fclose(dataset); /* only read from */
    return status;
}

static mm_status check_path(mm_verification *check, const char *path, mm_error *err)
{
    struct stat info;
    mm_seal seal;
    mm_error fault = {0};
    if (stat(path, &info) == 0 && S_ISDIR(info.st_mode)) {
        char *file = NULL;
        if (asprintf(&file, "%s/dataset.h5", path) < 0)
            return mm_fail_memory(err, "a path");
        const mm_status status = check_dataset(check, path, file, err);
        free(file);
        return status;
    }
    if (mm_seal_read(path, &seal, &fault) != MM_OK) {
        mm_verify_note(check, "%s", fault.text);
        return MM_OK;
    }
    if (strcmp(seal.kind, "shard") == 0) {
        check->report->shards = 1;
        return check_shard(check, path, NULL, (mm_shard_place){0}, err);
    }
    const char *slash = strrchr(path, '/');
    char *folder = slash ? strndup(path, (size_t)(slash - path) + 1) : strdup(".");
    if (!folder)
        return mm_fail_memory(err, "a path");
    const mm_status status = check_dataset(check, folder, path, err);
    free(folder);
    return status;
}

mm_status mm_dataset_verify(const char *path, FILE *out, mm_verify_report *report, mm_error *err)
{
    *report = (mm_verify_report){0};
    mm_verification *state = calloc(1, sizeof *state);
    if (!state)
        return mm_fail_memory(err, "verifying");
    state->report = report;
    state->out = out;
    const mm_h5_silence before = mm_h5_silence_begin();
    const mm_status status = check_path(state, path, err);
    mm_h5_silence_end(before);
    free(state);
    return status;
}
