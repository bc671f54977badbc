/* shard: the dataset on disk. This file is its layout; see docs/formats.md for the same in words. */
#include "shard/layout.h"

#include <inttypes.h>
#include <stdio.h>

const mm_h5_column mm_image_columns[IMAGE_COLUMNS] = {
    [IMAGE_ID] = {"image_id", MM_H5_U64, 0},  [IMAGE_FILE_NAME] = {"file_name", MM_H5_STRING, 0},
    [IMAGE_WIDTH] = {"width", MM_H5_U32, 0},  [IMAGE_HEIGHT] = {"height", MM_H5_U32, 0},
    [IMAGE_STATUS] = {"status", MM_H5_U8, 0},
};
const mm_h5_column mm_mask_offset_column = {"mask_offset", MM_H5_U64, 0};
const mm_h5_column mm_rle_offset_column = {"rle_offset", MM_H5_U64, 0};
const mm_h5_column mm_rle_column = {"rle", MM_H5_U8, 0};

const mm_mask_table mm_mask_tables[MASK_TABLES] = {
    [TABLE_MASKS] = {"masks", "images", "", "masks_digest"},
    [TABLE_CONFIDENT] = {"confident", "confident", "confident", "confident_digest"},
    [TABLE_HINTS] = {"hints", "hints", "hints", "hints_digest"},
};

bool mm_mask_table_there(const mm_shard_origin *origin, int table)
{
    return table == TABLE_CONFIDENT ? origin->confident : table == TABLE_HINTS ? origin->hints : true;
}

uint32_t mm_mask_table_sets(const mm_shard_origin *origin, int table)
{
    return table == TABLE_CONFIDENT ? MM_SET_DETECTOR : table == TABLE_MASKS && origin->human ? MM_SET_HUMAN : 0;
}

const mm_record *mm_mask_table_record(const mm_record *record, int table)
{
    return table == TABLE_CONFIDENT ? record->confident : table == TABLE_HINTS ? record->hints : record;
}

mm_h5_column mm_mask_h5_column(int which)
{
    const mm_mask_column *column = &mm_mask_columns[which];
    const mm_h5_type integer = column->value == 1 ? MM_H5_U8 : column->value == 2 ? MM_H5_U16 : MM_H5_U32;
    return (mm_h5_column){column->name, column->is_integer ? integer : MM_H5_F32, column->width};
}

mm_status mm_digest_begin(XXH3_state_t **state, mm_error *err)
{
    *state = XXH3_createState();
    if (*state && XXH3_64bits_reset(*state) == XXH_OK)
        return MM_OK;
    return mm_fail_memory(err, "a digest");
}

mm_status mm_shard_path(const char *out, uint64_t shard, char *path, size_t size, mm_error *err)
{
    const int length = snprintf(path, size, "%s/shards/sa_%06" PRIu64 ".h5", out, shard);
    if (length < 0 || (size_t)length >= size)
        return mm_fail(err, MM_ERR_USAGE, "the output path %s is too long", out);
    return MM_OK;
}
