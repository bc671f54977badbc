/* What a shard consists of, as tables that writing, reading, indexing and verifying share. */
#ifndef MM_SHARD_LAYOUT_H
#define MM_SHARD_LAYOUT_H

#include <xxhash.h>

#include "corpus/h5.h"
#include "journal/columns.h"
#include "maskmill/shard.h"

/* /images, one row an image. */
enum { IMAGE_ID, IMAGE_FILE_NAME, IMAGE_WIDTH, IMAGE_HEIGHT, IMAGE_STATUS, IMAGE_COLUMNS };
extern const mm_h5_column mm_image_columns[IMAGE_COLUMNS];
/* The masks of a dataset, and further masks of the same images: each kind is a table with columns of one row a mask
 * (mm_mask_columns, those of its sets) and offset arrays. The first is always there. */
enum { TABLE_MASKS, TABLE_CONFIDENT, TABLE_HINTS, MASK_TABLES };
typedef struct mm_mask_table {
    const char *group;        /* its columns, and rle_offset with one row more than masks */
    const char *offset_group; /* mask_offset, with one row more than images */
    const char *rle_group;    /* rle, one row a byte; "" is the root */
    const char *digest;       /* attribute: XXH3-64 over the columns in their order, then rle_offset, then rle */
} mm_mask_table;
extern const mm_mask_table mm_mask_tables[MASK_TABLES];

extern const mm_h5_column mm_mask_offset_column, mm_rle_offset_column, mm_rle_column;
/* One of mm_mask_columns as an HDF5 column. */
mm_h5_column mm_mask_h5_column(int which);

/* Whether a dataset has the table, and which sets of columns it has then. */
bool mm_mask_table_there(const mm_shard_origin *origin, int table);
uint32_t mm_mask_table_sets(const mm_shard_origin *origin, int table);
/* The table's masks of an image; NULL if it has none. */
const mm_record *mm_mask_table_record(const mm_record *record, int table);

MM_RESULT_USED mm_status mm_digest_begin(XXH3_state_t **state, mm_error *err);

/* /statistics of `file`. */
MM_RESULT_USED mm_status mm_statistics_write(hid_t file, const mm_stats *stats, mm_error *err);
MM_RESULT_USED mm_status mm_statistics_read(hid_t file, mm_stats *stats, mm_error *err);

/* The attributes that shards and datasets have in common, and the names of annotators. */
MM_RESULT_USED mm_status mm_origin_write(hid_t file, const mm_shard_origin *origin, mm_error *err);
/* MM_ERR_FORMAT if the file was made with something else than this. */
MM_RESULT_USED mm_status mm_origin_check(hid_t file, const mm_shard_origin *origin, mm_error *err);

/* As read from `file`, with format_version checked; given back with mm_shard_origin_free. */
MM_RESULT_USED mm_status mm_origin_read(hid_t file, mm_shard_origin *origin, mm_error *err);

#endif
