/* Reading one shard. */
#include "shard/file.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static mm_status open_images(mm_shard_file *shard, mm_error *err)
{
    const hid_t images = H5Gopen2(shard->file, "images", H5P_DEFAULT);
    uint64_t rows, first_rows = 0;
    mm_status status = MM_OK;
    if (images < 0)
        return mm_h5_fail(err, MM_ERR_FORMAT, "the group images is missing");
    for (int c = 0; status == MM_OK && c < IMAGE_COLUMNS; c++) {
        status = mm_h5_column_open(images, &mm_image_columns[c], &shard->images[c], &rows, err);
        if (status == MM_OK && c > 0 && rows != first_rows)
            status = mm_fail(err, MM_ERR_FORMAT, "images/%s has another length than images/image_id",
                             mm_image_columns[c].name);
        first_rows = rows;
    }
    shard->image_count = first_rows;
    (void)H5Gclose(images); /* only read from */
    return status;
}

/* A dataset named group/column. */
static mm_status open_in(hid_t file, const char *group, const mm_h5_column *column, hid_t *dataset, uint64_t *rows,
                         mm_error *err)
{
    char path[64];
    (void)snprintf(path, sizeof path, "%s%s%s", group, *group ? "/" : "", column->name);
    const mm_h5_column named = {path, column->type, column->width};
    return mm_h5_column_open(file, &named, dataset, rows, err);
}

static mm_status open_offsets(const mm_shard_file *shard, const mm_mask_table *what, mm_shard_table *table,
                              mm_error *err)
{
    uint64_t rows;
    mm_status status =
        open_in(shard->file, what->offset_group, &mm_mask_offset_column, &table->mask_offset, &rows, err);
    if (status == MM_OK && rows != shard->image_count + 1)
        status = mm_fail(err, MM_ERR_FORMAT, "%s/mask_offset does not have one row more than there are images",
                         what->offset_group);
    if (status == MM_OK)
        status = open_in(shard->file, what->group, &mm_rle_offset_column, &table->rle_offset, &rows, err);
    if (status == MM_OK && rows != table->mask_count + 1)
        status = mm_fail(err, MM_ERR_FORMAT, "%s/rle_offset does not have one row more than there are masks",
                         what->group);
    return status == MM_OK ? open_in(shard->file, what->rle_group, &mm_rle_column, &table->rle, &table->rle_bytes, err)
                           : status;
}

/* A table that is there: its columns, then what says where their rows are. */
static mm_status open_table(mm_shard_file *shard, int t, mm_error *err)
{
    const mm_mask_table *what = &mm_mask_tables[t];
    mm_shard_table *table = &shard->tables[t];
    uint64_t rows, first_rows = 0;
    mm_status status = MM_OK;
    table->there = true;
    for (int c = 0; status == MM_OK && c < MM_MASK_COLUMNS; c++) {
        const mm_h5_column column = mm_mask_h5_column(c);
        if (!mm_mask_column_in(&mm_mask_columns[c], table->sets))
            continue;
        status = open_in(shard->file, what->group, &column, &table->columns[c], &rows, err);
        if (status == MM_OK && c > 0 && rows != first_rows)
            status = mm_fail(err, MM_ERR_FORMAT, "%s/%s has another length than %s/bbox", what->group, column.name,
                             what->group);
        first_rows = rows;
    }
    table->mask_count = first_rows;
    return status == MM_OK ? open_offsets(shard, what, table, err) : status;
}

static mm_status open_tables(mm_shard_file *shard, mm_error *err)
{
    mm_shard_origin origin;
    if (H5Lexists(shard->file, mm_mask_tables[TABLE_MASKS].group, H5P_DEFAULT) <= 0)
        return mm_h5_fail(err, MM_ERR_FORMAT, "the group %s is missing", mm_mask_tables[TABLE_MASKS].group);
    mm_status status = mm_origin_read(shard->file, &origin, err);
    if (status != MM_OK)
        return status;
    shard->annotator_count = origin.annotator_count;
    for (int t = 0; status == MM_OK && t < MASK_TABLES; t++) {
        shard->tables[t].sets = mm_mask_table_sets(&origin, t);
        if (mm_mask_table_there(&origin, t))
            status = open_table(shard, t, err);
    }
    mm_shard_origin_free(&origin);
    return status;
}

static mm_status check_ends(hid_t dataset, const mm_h5_column *column, uint64_t last_row, uint64_t end, mm_error *err)
{
    uint64_t first = 0, last = 0;
    mm_status status = mm_h5_column_read(dataset, column, 0, 1, &first, err);
    if (status == MM_OK)
        status = mm_h5_column_read(dataset, column, last_row, 1, &last, err);
    if (status == MM_OK && (first != 0 || last != end))
        status = mm_fail(err, MM_ERR_FORMAT, "%s runs from %" PRIu64 " to %" PRIu64 ", not from 0 to %" PRIu64,
                         column->name, first, last, end);
    return status;
}

/* Columns cost bytes in the file; deflate cannot shrink them more than 1032-fold. So lengths beyond that are lies
 * (chunks that were never written), and nothing is allocated for them. */
static mm_status check_plausible(const mm_shard_file *shard, const char *path, mm_error *err)
{
    struct stat info;
    if (stat(path, &info) != 0)
        return mm_fail_errno(err, "cannot look at it");
    const uint64_t most = ((uint64_t)info.st_size + 4096) * 1032;
    for (int t = 0; t < MASK_TABLES; t++) {
        const mm_shard_table *table = &shard->tables[t];
        if (shard->image_count > most / 8 || table->mask_count > most / 16 || table->rle_bytes > most)
            return mm_fail(err, MM_ERR_FORMAT,
                           "%" PRIu64 " images, %" PRIu64 " masks and %" PRIu64
                           " bytes of runs cannot be in so small a file",
                           shard->image_count, table->mask_count, table->rle_bytes);
    }
    return MM_OK;
}

static mm_status check_table(mm_shard_file *shard, int t, mm_error *err)
{
    mm_shard_table *table = &shard->tables[t];
    mm_status status = check_ends(table->mask_offset, &mm_mask_offset_column, shard->image_count, table->mask_count,
                                  err);
    if (status == MM_OK)
        status = check_ends(table->rle_offset, &mm_rle_offset_column, table->mask_count, table->rle_bytes, err);
    return status == MM_OK ? mm_h5_get_u64(shard->file, mm_mask_tables[t].digest, &table->digest, err)
                           : status;
}

static mm_status open_parts(mm_shard_file *shard, const char *path, mm_error *err)
{
    mm_status status = open_images(shard, err);
    if (status == MM_OK)
        status = open_tables(shard, err);
    if (status == MM_OK)
        status = check_plausible(shard, path, err);
    if (status == MM_OK)
        status = mm_h5_get_u64(shard->file, "first_image", &shard->first_image, err);
    for (int t = 0; status == MM_OK && t < MASK_TABLES; t++)
        if (shard->tables[t].there)
            status = check_table(shard, t, err);
    return status;
}

static void clear(mm_shard_file *shard)
{
    *shard = (mm_shard_file){.file = H5I_INVALID_HID};
    for (int c = 0; c < IMAGE_COLUMNS; c++)
        shard->images[c] = H5I_INVALID_HID;
    for (int t = 0; t < MASK_TABLES; t++) {
        mm_shard_table *table = &shard->tables[t];
        table->mask_offset = table->rle_offset = table->rle = H5I_INVALID_HID;
        for (int c = 0; c < MM_MASK_COLUMNS; c++)
            table->columns[c] = H5I_INVALID_HID;
    }
}

/* With shard->file open. */
static mm_status open_content(const char *path, mm_shard_file *shard, mm_error *err)
{
    const mm_status status = open_parts(shard, path, err);
    if (status != MM_OK) {
        mm_shard_file_close(shard);
        if (err)
            (void)mm_error_prefix(err, "shard %s", path);
    }
    return status;
}

mm_status mm_shard_file_open(const char *path, mm_shard_file *shard, mm_error *err)
{
    clear(shard);
    const mm_status status = mm_h5_open(path, "shard", false, &shard->file, err);
    return status == MM_OK ? open_content(path, shard, err) : status;
}

mm_status mm_shard_file_open_again(const char *path, uint64_t bytes, uint64_t digest, mm_shard_file *shard,
                                   mm_error *err)
{
    mm_seal seal;
    clear(shard);
    const mm_status status = mm_seal_read(path, &seal, err);
    if (status != MM_OK)
        return status;
    if (strcmp(seal.kind, "shard") != 0 || seal.bytes != bytes || seal.digest != digest)
        return mm_fail(err, MM_ERR_FORMAT, "%s has just been changed by another program; let nothing else write there",
                       path);
    shard->file = H5Fopen(path, H5F_ACC_RDONLY, H5P_DEFAULT);
    if (shard->file < 0)
        return mm_h5_fail(err, MM_ERR_FORMAT, "cannot open %s as HDF5", path);
    return open_content(path, shard, err);
}

static void close_dataset(hid_t *dataset)
{
    if (*dataset >= 0)
        (void)H5Dclose(*dataset); /* only read from */
    *dataset = H5I_INVALID_HID;
}

void mm_shard_file_close(mm_shard_file *shard)
{
    for (int c = 0; c < IMAGE_COLUMNS; c++)
        close_dataset(&shard->images[c]);
    for (int t = 0; t < MASK_TABLES; t++) {
        mm_shard_table *table = &shard->tables[t];
        for (int c = 0; c < MM_MASK_COLUMNS; c++)
            close_dataset(&table->columns[c]);
        close_dataset(&table->mask_offset);
        close_dataset(&table->rle_offset);
        close_dataset(&table->rle);
    }
    if (shard->file >= 0)
        (void)H5Fclose(shard->file); /* only read from */
    shard->file = H5I_INVALID_HID;
}

static mm_status read_image_row(const mm_shard_file *shard, uint64_t row, mm_record *record, char **file_name,
                                mm_error *err)
{
    const hid_t *images = shard->images;
    mm_status status = mm_h5_column_read(images[IMAGE_ID], &mm_image_columns[IMAGE_ID], row, 1, &record->image_id, err);
    if (status == MM_OK)
        status = mm_h5_column_read(images[IMAGE_WIDTH], &mm_image_columns[IMAGE_WIDTH], row, 1, &record->width, err);
    if (status == MM_OK)
        status = mm_h5_column_read(images[IMAGE_HEIGHT], &mm_image_columns[IMAGE_HEIGHT], row, 1, &record->height, err);
    if (status == MM_OK)
        status = mm_h5_column_read(images[IMAGE_STATUS], &mm_image_columns[IMAGE_STATUS], row, 1, &record->status, err);
    if (status == MM_OK && record->image_id != shard->first_image + row)
        status = mm_fail(err, MM_ERR_FORMAT, "row %" PRIu64 " has image_id %" PRIu64 " where %" PRIu64 " belongs", row,
                         record->image_id, shard->first_image + row);
    if (status != MM_OK || !file_name)
        return status;
    char *name = NULL;
    status = mm_h5_column_read(images[IMAGE_FILE_NAME], &mm_image_columns[IMAGE_FILE_NAME], row, 1, &name, err);
    if (status != MM_OK)
        return status;
    *file_name = strdup(name);
    mm_h5_strings_free(&name, 1);
    return *file_name ? MM_OK : mm_fail_memory(err, "a file name");
}

/* Offsets a .. b of a row in a table of `length`. */
static mm_status read_span(hid_t dataset, const mm_h5_column *column, uint64_t row, uint64_t count, uint64_t length,
                           uint64_t span[2], mm_error *err)
{
    mm_status status = mm_h5_column_read(dataset, column, row, 1, &span[0], err);
    if (status == MM_OK)
        status = mm_h5_column_read(dataset, column, row + count, 1, &span[1], err);
    if (status == MM_OK && (span[0] > span[1] || span[1] > length))
        status = mm_fail(err, MM_ERR_FORMAT,
                         "%s, row %" PRIu64 ": %" PRIu64 " to %" PRIu64 " is no span of %" PRIu64 " values",
                         column->name, row, span[0], span[1], length);
    return status;
}

/* The table's masks of a row, into a record that has no masks yet. */
static mm_status read_masks(const mm_shard_table *table, uint64_t row, mm_record *record, mm_error *err)
{
    uint64_t masks[2], bytes[2];
    mm_status status = read_span(table->mask_offset, &mm_mask_offset_column, row, 1, table->mask_count, masks, err);
    if (status != MM_OK)
        return status;
    const uint64_t count = masks[1] - masks[0];
    status = read_span(table->rle_offset, &mm_rle_offset_column, masks[0], count, table->rle_bytes, bytes, err);
    if (status == MM_OK)
        status = mm_record_allocate(record, table->sets, count, bytes[1] - bytes[0], err);
    for (int c = 0; status == MM_OK && c < MM_MASK_COLUMNS; c++) {
        const mm_h5_column column = mm_mask_h5_column(c);
        if (mm_mask_column_in(&mm_mask_columns[c], table->sets))
            status = mm_h5_column_read(table->columns[c], &column, masks[0], count,
                                       mm_record_column(record, &mm_mask_columns[c]), err);
    }
    if (status == MM_OK)
        status =
            mm_h5_column_read(table->rle_offset, &mm_rle_offset_column, masks[0], count + 1, record->rle_offset, err);
    if (status == MM_OK)
        status = mm_h5_column_read(table->rle, &mm_rle_column, bytes[0], bytes[1] - bytes[0], record->rle, err);
    if (status != MM_OK)
        return status;
    for (uint64_t i = 0; i <= count; i++)
        record->rle_offset[i] -= bytes[0]; /* a first value above would wrap; the check below sees it */
    return mm_record_check_shape(record, bytes[1] - bytes[0], err);
}

static mm_status check_annotators(const mm_shard_file *shard, const mm_record *record, mm_error *err)
{
    for (uint64_t i = 0; record->annotator && i < record->mask_count; i++)
        if (record->annotator[i] > shard->annotator_count)
            return mm_fail(err, MM_ERR_FORMAT, "image %" PRIu64 ", mask %" PRIu64 ": there is no annotator %u",
                           record->image_id, i, record->annotator[i]);
    return MM_OK;
}

/* Further masks hang on images that are done; the others have none, and nothing to hang on. */
static mm_status read_further(const mm_shard_file *shard, int t, uint64_t row, mm_record *record, mm_error *err)
{
    mm_record **slot = t == TABLE_CONFIDENT ? &record->confident : &record->hints;
    mm_record *made = calloc(1, sizeof *made);
    if (!made)
        return mm_fail_memory(err, "an image's further masks");
    *made = (mm_record){.image_id = record->image_id, .width = record->width, .height = record->height,
                        .status = record->status};
    const mm_status status = read_masks(&shard->tables[t], row, made, err);
    if (status == MM_OK && record->status == MM_IMAGE_DONE) {
        *slot = made;
        return MM_OK;
    }
    mm_record_free(made);
    free(made);
    if (status != MM_OK && err)
        (void)mm_error_prefix(err, "%s", mm_mask_tables[t].group);
    return status;
}

mm_status mm_shard_file_read(const mm_shard_file *shard, uint64_t row, mm_record *record, char **file_name,
                             mm_error *err)
{
    *record = (mm_record){0};
    if (file_name)
        *file_name = NULL;
    if (row >= shard->image_count)
        return mm_fail(err, MM_ERR_USAGE, "there is no row %" PRIu64 "; the shard has %" PRIu64, row,
                       shard->image_count);
    mm_status status = read_image_row(shard, row, record, file_name, err);
    if (status == MM_OK)
        status = read_masks(&shard->tables[TABLE_MASKS], row, record, err);
    if (status == MM_OK)
        status = check_annotators(shard, record, err);
    for (int t = TABLE_MASKS + 1; status == MM_OK && t < MASK_TABLES; t++)
        if (shard->tables[t].there)
            status = read_further(shard, t, row, record, err);
    if (status != MM_OK) {
        mm_record_free(record);
        if (file_name) {
            free(*file_name);
            *file_name = NULL;
        }
    }
    return status;
}
