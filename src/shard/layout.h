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
/* /images, images + 1 rows; /masks, masks + 1 rows; the root, one row a byte. */
extern const mm_h5_column mm_mask_offset_column, mm_rle_offset_column, mm_rle_column;
/* /masks, one row a mask: mm_mask_columns as HDF5 columns. */
mm_h5_column mm_mask_h5_column(int which);

/* XXH3-64 over /masks' columns in the order of mm_mask_columns, then rle_offset, then rle. */
MM_RESULT_USED mm_status mm_digest_begin(XXH3_state_t **state, mm_error *err);

/* /statistics of `file`. */
MM_RESULT_USED mm_status mm_statistics_write(hid_t file, const mm_stats *stats, mm_error *err);
MM_RESULT_USED mm_status mm_statistics_read(hid_t file, mm_stats *stats, mm_error *err);

/* The attributes that shards and datasets have in common. */
MM_RESULT_USED mm_status mm_origin_write(hid_t file, const mm_shard_origin *origin, mm_error *err);
/* MM_ERR_FORMAT if config or model are others than these. */
MM_RESULT_USED mm_status mm_origin_check(hid_t file, const mm_shard_origin *origin, mm_error *err);

/* As read from `file`, with format_version checked; the strings are given back with mm_origin_free. */
MM_RESULT_USED mm_status mm_origin_read(hid_t file, mm_shard_origin *origin, mm_error *err);
void mm_origin_free(mm_shard_origin *origin);

#endif
