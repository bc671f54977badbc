/* The list of shards in a dataset: what each holds, and the seal by which it is known again. */
#include "shard/list.h"

#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const mm_h5_column list_columns[SHARD_COLUMNS] = {
    [SHARD_FIRST_IMAGE] = {"first_image", MM_H5_U64, 0},
    [SHARD_IMAGES] = {"images", MM_H5_U64, 0},
    [SHARD_MASKS] = {"masks", MM_H5_U64, 0},
    [SHARD_RLE_BYTES] = {"rle_bytes", MM_H5_U64, 0},
    [SHARD_BYTES] = {"bytes", MM_H5_U64, 0},
    [SHARD_DIGEST] = {"digest", MM_H5_U64, 0},
    [SHARD_CONFIDENT_MASKS] = {"confident_masks", MM_H5_U64, 0},
    [SHARD_CONFIDENT_RLE_BYTES] = {"confident_rle_bytes", MM_H5_U64, 0},
    [SHARD_HINT_MASKS] = {"hint_masks", MM_H5_U64, 0},
    [SHARD_HINT_RLE_BYTES] = {"hint_rle_bytes", MM_H5_U64, 0},
};
const int mm_shard_list_masks[MASK_TABLES] = {SHARD_MASKS, SHARD_CONFIDENT_MASKS, SHARD_HINT_MASKS};
const int mm_shard_list_rle_bytes[MASK_TABLES] = {SHARD_RLE_BYTES, SHARD_CONFIDENT_RLE_BYTES, SHARD_HINT_RLE_BYTES};
static const mm_h5_column file_column = {"file", MM_H5_STRING, 0};

static mm_status make_columns(size_t count, mm_shard_list *list, mm_error *err)
{
    list->count = count;
    for (int c = 0; c < SHARD_COLUMNS; c++) {
        list->columns[c] = calloc(count ? count : 1, sizeof(uint64_t));
        if (!list->columns[c]) {
            mm_shard_list_free(list);
            return mm_fail_memory(err, "a list of shards");
        }
    }
    return MM_OK;
}

mm_status mm_shard_list_new(size_t count, mm_shard_list *list, mm_error *err)
{
    *list = (mm_shard_list){.there = {[TABLE_MASKS] = true}};
    return make_columns(count, list, err);
}

void mm_shard_list_free(mm_shard_list *list)
{
    for (int c = 0; c < SHARD_COLUMNS; c++)
        free(list->columns[c]);
    *list = (mm_shard_list){0};
}

static bool is_length(int column)
{
    return column != SHARD_FIRST_IMAGE && column != SHARD_BYTES && column != SHARD_DIGEST;
}

mm_status mm_shard_list_sum(mm_shard_list *list, mm_error *err)
{
    memset(list->sums, 0, sizeof list->sums);
    for (size_t k = 0; k < list->count; k++) {
        const uint64_t next = list->columns[SHARD_FIRST_IMAGE][0] + list->sums[SHARD_IMAGES];
        if (list->columns[SHARD_FIRST_IMAGE][k] != next)
            return mm_fail(err, MM_ERR_FORMAT,
                           "shard %" PRIu64 " starts with image %" PRIu64 " where %" PRIu64 " belongs",
                           list->first_shard + k, list->columns[SHARD_FIRST_IMAGE][k], next);
        for (int c = 0; c < SHARD_COLUMNS; c++)
            if (is_length(c) && __builtin_add_overflow(list->sums[c], list->columns[c][k], &list->sums[c]))
                return mm_fail(err, MM_ERR_FORMAT, "the list of shards claims more than can be at shard %" PRIu64,
                               list->first_shard + k);
    }
    return MM_OK;
}

/* Whether dataset.h5 has the column: those of a table that is not there are left out. */
static bool is_there(const mm_shard_list *list, int column)
{
    for (int t = TABLE_MASKS + 1; t < MASK_TABLES; t++)
        if (column == mm_shard_list_masks[t] || column == mm_shard_list_rle_bytes[t])
            return list->there[t];
    return true;
}

void mm_shard_list_name(uint64_t shard, char name[MM_SHARD_NAME])
{
    char path[MM_SHARD_NAME + 2] = "";
    /* The folder is one character and the number has at most 20 digits, so it fits. */
    if (mm_shard_path(".", shard, path, sizeof path, NULL) != MM_OK)
        path[2] = '\0';
    memcpy(name, path + 2, MM_SHARD_NAME);
}

static mm_status write_names(hid_t group, const mm_shard_list *list, mm_error *err)
{
    char (*text)[MM_SHARD_NAME] = malloc((list->count ? list->count : 1) * sizeof *text);
    char **names = malloc((list->count ? list->count : 1) * sizeof *names);
    mm_status status = MM_OK;
    if (!text || !names)
        status = mm_fail_memory(err, "a list of shards");
    for (size_t k = 0; status == MM_OK && k < list->count; k++) {
        mm_shard_list_name(list->first_shard + k, text[k]);
        names[k] = text[k];
    }
    if (status == MM_OK)
        status = mm_h5_column_put(group, &file_column, list->count, names, err);
    free(text);
    free(names);
    return status;
}

mm_status mm_shard_list_write(hid_t file, const mm_shard_list *list, mm_error *err)
{
    hid_t group;
    mm_status status = mm_h5_group_create(file, "shards", &group, err);
    if (status != MM_OK)
        return status;
    status = write_names(group, list, err);
    for (int c = 0; status == MM_OK && c < SHARD_COLUMNS; c++)
        if (is_there(list, c))
            status = mm_h5_column_put(group, &list_columns[c], list->count, list->columns[c], err);
    if (H5Gclose(group) < 0 && status == MM_OK)
        status = mm_h5_fail(err, MM_ERR_INTERNAL, "cannot finish the group shards");
    return status;
}

static mm_status read_columns(hid_t group, uint64_t file_bytes, mm_shard_list *list, mm_error *err)
{
    mm_status status = MM_OK;
    for (int c = 0; status == MM_OK && c < SHARD_COLUMNS; c++) {
        hid_t dataset;
        uint64_t rows;
        if (!is_there(list, c))
            continue;
        status = mm_h5_column_open(group, &list_columns[c], &dataset, &rows, err);
        if (status != MM_OK)
            break;
        /* Each shard has a name of its own in the file, so there cannot be more of them than bytes. */
        if (rows == 0 || rows > file_bytes)
            status = mm_fail(err, MM_ERR_FORMAT, "it claims %" PRIu64 " shards", rows);
        else if (c == 0) /* `there` is known and stays */
            status = make_columns((size_t)rows, list, err);
        else if (rows != list->count)
            status = mm_fail(err, MM_ERR_FORMAT, "shards/%s has another length than shards/%s", list_columns[c].name,
                             list_columns[0].name);
        if (status == MM_OK)
            status = mm_h5_column_read(dataset, &list_columns[c], 0, rows, list->columns[c], err);
        (void)H5Dclose(dataset); /* only read from */
    }
    return status;
}

/* The number of the first shard, from its name. */
static mm_status read_first_shard(hid_t group, mm_shard_list *list, mm_error *err)
{
    hid_t dataset;
    uint64_t rows;
    char *name = NULL, again[MM_SHARD_NAME];
    mm_status status = mm_h5_column_open(group, &file_column, &dataset, &rows, err);
    if (status != MM_OK)
        return status;
    if (rows != list->count)
        status = mm_fail(err, MM_ERR_FORMAT, "shards/file has another length than shards/%s", list_columns[0].name);
    if (status == MM_OK)
        status = mm_h5_column_read(dataset, &file_column, 0, 1, &name, err);
    (void)H5Dclose(dataset); /* only read from */
    if (status != MM_OK)
        return status;
    const bool known = sscanf(name, "shards/sa_%20" SCNu64, &list->first_shard) == 1;
    mm_shard_list_name(list->first_shard, again);
    if (!known || strcmp(name, again) != 0)
        status = mm_fail(err, MM_ERR_FORMAT, "shards/file starts with \"%.60s\", which is no shard's name", name);
    mm_h5_strings_free(&name, 1);
    return status;
}

mm_status mm_shard_list_read(hid_t file, uint64_t file_bytes, mm_shard_list *list, mm_error *err)
{
    *list = (mm_shard_list){.there = {[TABLE_MASKS] = true}};
    for (int t = TABLE_MASKS + 1; t < MASK_TABLES; t++)
        list->there[t] = H5Lexists(file, mm_mask_tables[t].group, H5P_DEFAULT) > 0;
    const hid_t group = H5Gopen2(file, "shards", H5P_DEFAULT);
    if (group < 0)
        return mm_h5_fail(err, MM_ERR_FORMAT, "the group shards is missing");
    mm_status status = read_columns(group, file_bytes, list, err);
    if (status == MM_OK)
        status = read_first_shard(group, list, err);
    (void)H5Gclose(group); /* only read from */
    if (status == MM_OK)
        status = mm_shard_list_sum(list, err);
    if (status != MM_OK)
        mm_shard_list_free(list);
    return status;
}

mm_status mm_shard_list_check(const mm_shard_list *list, const char *folder, size_t k, mm_error *err)
{
    char path[PATH_MAX];
    mm_seal seal;
    mm_status status = mm_shard_path(folder, list->first_shard + k, path, sizeof path, err);
    if (status == MM_OK)
        status = mm_seal_read(path, &seal, err);
    if (status == MM_OK && (strcmp(seal.kind, "shard") != 0 || seal.bytes != list->columns[SHARD_BYTES][k] ||
                            seal.digest != list->columns[SHARD_DIGEST][k]))
        status = mm_fail(err, MM_ERR_FORMAT,
                         "%s is not the shard that dataset.h5 was made with; put the right one back, "
                         "or run again with --resume",
                         path);
    return status;
}
