/* Verifying: everything that a dataset says of itself, looked at again. */
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "shard/file.h"
#include "shard/list.h"

typedef struct verification {
    mm_verify_report *report;
    FILE *out;
    hid_t dataset;                      /* dataset.h5, or invalid when a single shard is verified */
    uint64_t image_at, mask_at, rle_at; /* rows of the dataset before this shard */
    mm_stats total;                     /* of the shards' statistics */
} verification;

static void note(verification *check, const char *format, ...) MM_PRINTF(2, 3);
static void note(verification *check, const char *format, ...)
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
static bool check_masks(verification *check, const char *path, const mm_record *record)
{
    bool good = true;
    for (uint64_t i = 0; i < record->mask_count; i++) {
        mm_rle rle;
        mm_error err = {0};
        if (mm_record_check_mask(record, i, &rle, &err) != MM_OK) {
            note(check, "%s: %s", path, err.text);
            good = false;
            continue;
        }
        if (!box_is_right(record, i, &rle)) {
            note(check, "%s: image %" PRIu64 ", mask %" PRIu64 ": its bbox is not that of its pixels", path,
                 record->image_id, i);
            good = false;
        }
        mm_rle_free(&rle);
    }
    return good;
}

static mm_status check_images(verification *check, const char *path, const mm_shard_file *shard, mm_error *err)
{
    mm_stats *again = calloc(1, sizeof *again), *stored = calloc(1, sizeof *stored);
    mm_status status = again && stored ? MM_OK : mm_fail_memory(err, "statistics");
    bool good = true;
    for (uint64_t row = 0; status == MM_OK && row < shard->image_count; row++) {
        mm_record record;
        mm_error fault = {0};
        char *file_name = NULL;
        if (mm_shard_file_read(shard, row, &record, &file_name, &fault) != MM_OK) {
            note(check, "%s: %s", path, fault.text);
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
        note(check, "%s: %s", path, fault.text);
    } else if (status == MM_OK) {
        mm_stats_merge(&check->total, stored);
        memcpy(again->funnel, stored->funnel, sizeof again->funnel); /* what was dropped is nowhere to be counted */
        if (good && memcmp(again, stored, sizeof *again) != 0)
            note(check, "%s: its statistics are not those of its masks", path);
    }
    free(again);
    free(stored);
    return status;
}

/* --- columns: the digest of the shard's, and whether dataset.h5 shows the same -------------------------------------
 */

typedef struct column_check {
    const char *path;
    hid_t shard;
    const char *group; /* in dataset.h5, "" for the root */
    mm_h5_column column;
    uint64_t rows, at, add; /* at: first row in dataset.h5; add: what its values have more (offsets) */
    XXH3_state_t *digest;   /* NULL: not part of it */
} column_check;

static mm_status compare_block(verification *check, const column_check *of, hid_t shown, uint64_t start, uint64_t count,
                               size_t row_bytes, uint8_t *values, uint8_t *others, mm_error *err)
{
    mm_error fault = {0};
    if (mm_h5_column_read(shown, &of->column, of->at + start, count, others, &fault) != MM_OK) {
        note(check, "dataset.h5: %s", fault.text);
        return fault.status == MM_ERR_NOMEM ? mm_fail_memory(err, "verifying") : MM_OK;
    }
    if (of->add)
        for (uint64_t i = 0; i < count; i++)
            ((uint64_t *)(void *)values)[i] += of->add;
    if (memcmp(values, others, (size_t)count * row_bytes) != 0)
        note(check, "dataset.h5 shows other values in %s/%s than %s has", of->group, of->column.name, of->path);
    return MM_OK;
}

static mm_status check_column(verification *check, const column_check *of, mm_error *err)
{
    const size_t row_bytes = mm_h5_type_size(of->column.type) * (of->column.width ? of->column.width : 1);
    const uint64_t block_rows = (1u << 20) / row_bytes;
    uint8_t *values = malloc(block_rows * row_bytes), *others = malloc(block_rows * row_bytes);
    mm_status status = values && others ? MM_OK : mm_fail_memory(err, "verifying");
    char name[64];
    (void)snprintf(name, sizeof name, "%s/%s", of->group, of->column.name);
    const mm_h5_column there = {name, of->column.type, of->column.width};
    hid_t shown = H5I_INVALID_HID;
    uint64_t shown_rows = 0;
    mm_error fault = {0};
    if (check->dataset >= 0 && mm_h5_column_open(check->dataset, &there, &shown, &shown_rows, &fault) != MM_OK)
        note(check, "dataset.h5: %s", fault.text);
    if (shown >= 0 && (shown_rows < of->at || shown_rows - of->at < of->rows)) {
        note(check, "dataset.h5: %s is too short for %s", name, of->path);
        (void)H5Dclose(shown); /* only read from */
        shown = H5I_INVALID_HID;
    }
    for (uint64_t start = 0; status == MM_OK && start < of->rows; start += block_rows) {
        const uint64_t left = of->rows - start, count = left < block_rows ? left : block_rows;
        if (mm_h5_column_read(of->shard, &of->column, start, count, values, &fault) != MM_OK) {
            note(check, "%s: %s", of->path, fault.text);
            break;
        }
        if (of->digest && XXH3_64bits_update(of->digest, values, (size_t)count * row_bytes) != XXH_OK)
            status = mm_fail(err, MM_ERR_INTERNAL, "xxHash refused a column");
        if (status == MM_OK && shown >= 0)
            status = compare_block(check, of, shown, start, count, row_bytes, values, others, err);
    }
    if (shown >= 0)
        (void)H5Dclose(shown); /* only read from */
    free(values);
    free(others);
    return status;
}

static mm_status check_columns(verification *check, const char *path, const mm_shard_file *shard, mm_error *err)
{
    XXH3_state_t *digest = NULL;
    mm_status status = mm_digest_begin(&digest, err);
    column_check of = {.path = path, .group = "/images", .rows = shard->image_count, .at = check->image_at};
    for (int c = 0; status == MM_OK && c < IMAGE_COLUMNS; c++) {
        of.shard = shard->images[c];
        of.column = mm_image_columns[c];
        if (of.column.type != MM_H5_STRING)
            status = check_column(check, &of, err);
    }
    of.shard = shard->mask_offset;
    of.column = mm_mask_offset_column;
    of.rows = shard->image_count + 1;
    of.add = check->mask_at;
    if (status == MM_OK)
        status = check_column(check, &of, err);
    of = (column_check){
        .path = path, .group = "/masks", .rows = shard->mask_count, .at = check->mask_at, .digest = digest};
    for (int c = 0; status == MM_OK && c < MM_MASK_COLUMNS; c++) {
        of.shard = shard->masks[c];
        of.column = mm_mask_h5_column(c);
        status = check_column(check, &of, err);
    }
    of.shard = shard->rle_offset;
    of.column = mm_rle_offset_column;
    of.rows = shard->mask_count + 1;
    of.add = check->rle_at;
    if (status == MM_OK)
        status = check_column(check, &of, err);
    of = (column_check){.path = path,
                        .shard = shard->rle,
                        .group = "",
                        .column = mm_rle_column,
                        .rows = shard->rle_bytes,
                        .at = check->rle_at,
                        .digest = digest};
    if (status == MM_OK)
        status = check_column(check, &of, err);
    if (status == MM_OK && XXH3_64bits_digest(digest) != shard->masks_digest)
        note(check, "%s: its masks_digest is not that of its masks", path);
    (void)XXH3_freeState(digest);
    return status;
}

/* --- files ---------------------------------------------------------------------------------------------------------
 */

/* Only want of memory stops the verification; everything else is a fault to be noted. */
static mm_status check_shard(verification *check, const char *path, mm_error *err)
{
    mm_shard_file shard;
    mm_error fault = {0};
    if (mm_shard_file_open(path, &shard, &fault) != MM_OK) {
        note(check, "%s", fault.text);
        return fault.status == MM_ERR_NOMEM ? mm_fail_memory(err, "verifying") : MM_OK;
    }
    mm_status status = check_images(check, path, &shard, err);
    if (status == MM_OK)
        status = check_columns(check, path, &shard, err);
    check->report->images += shard.image_count;
    check->report->masks += shard.mask_count;
    mm_shard_file_close(&shard);
    return status;
}

static mm_status check_listed_shards(verification *check, const char *folder, const mm_shard_list *list, mm_error *err)
{
    mm_status status = MM_OK;
    for (size_t k = 0; status == MM_OK && k < list->count; k++) {
        char path[PATH_MAX];
        mm_error fault = {0};
        if (mm_shard_path(folder, k, path, sizeof path, &fault) != MM_OK ||
            mm_shard_list_check(list, folder, k, &fault) != MM_OK)
            note(check, "%s", fault.text);
        else
            status = check_shard(check, path, err);
        check->image_at += list->columns[SHARD_IMAGES][k];
        check->mask_at += list->columns[SHARD_MASKS][k];
        check->rle_at += list->columns[SHARD_RLE_BYTES][k];
        check->report->shards++;
    }
    return status;
}

static mm_status check_dataset(verification *check, const char *folder, const char *path, mm_error *err)
{
    mm_error fault = {0};
    mm_seal seal;
    if (mm_seal_read(path, &seal, &fault) != MM_OK ||
        mm_h5_open(path, "dataset", false, &check->dataset, &fault) != MM_OK) {
        note(check, "%s", fault.text);
        return MM_OK;
    }
    mm_shard_list list = {0};
    mm_stats *stored = calloc(1, sizeof *stored);
    mm_status status = stored ? MM_OK : mm_fail_memory(err, "statistics");
    if (status == MM_OK && (mm_shard_list_read(check->dataset, seal.bytes, &list, &fault) != MM_OK ||
                            mm_statistics_read(check->dataset, stored, &fault) != MM_OK)) {
        note(check, "%s: %s", path, fault.text);
    } else if (status == MM_OK) {
        const uint64_t faults = check->report->faults;
        status = check_listed_shards(check, folder, &list, err);
        if (status == MM_OK && check->report->faults == faults && memcmp(&check->total, stored, sizeof *stored) != 0)
            note(check, "%s: its statistics are not the sum of the shards'", path);
    }
    mm_shard_list_free(&list);
    free(stored);
    (void)H5Fclose(check->dataset); /* only read from */
    return status;
}

static mm_status check_path(verification *check, const char *path, mm_error *err)
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
        note(check, "%s", fault.text);
        return MM_OK;
    }
    if (strcmp(seal.kind, "shard") == 0) {
        check->report->shards = 1;
        return check_shard(check, path, err);
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
    verification *state = calloc(1, sizeof *state);
    if (!state)
        return mm_fail_memory(err, "verifying");
    state->report = report;
    state->out = out;
    state->dataset = H5I_INVALID_HID;
    const mm_h5_silence before = mm_h5_silence_begin();
    const mm_status status = check_path(state, path, err);
    mm_h5_silence_end(before);
    free(state);
    return status;
}
