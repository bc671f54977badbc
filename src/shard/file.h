/* One shard, open for reading. Whoever calls these holds an mm_h5_silence. */
#ifndef MM_SHARD_FILE_H
#define MM_SHARD_FILE_H

#include "shard/layout.h"

/* One of mm_mask_tables. */
typedef struct mm_shard_table {
    bool there; /* the rest is empty otherwise */
    uint32_t sets;
    hid_t columns[MM_MASK_COLUMNS]; /* invalid where the table has none */
    hid_t mask_offset, rle_offset, rle;
    uint64_t mask_count, rle_bytes;
    uint64_t digest; /* as it says itself */
} mm_shard_table;

typedef struct mm_shard_file {
    hid_t file;
    hid_t images[IMAGE_COLUMNS];
    mm_shard_table tables[MASK_TABLES];
    uint64_t image_count, first_image;
    uint64_t annotator_count;
} mm_shard_file;

/* Sealed, complete, every column there with the right type and length, offsets that start at 0 and end at the end.
 * Errors name the file. */
MM_RESULT_USED mm_status mm_shard_file_open(const char *path, mm_shard_file *shard, mm_error *err);
/* The same for a shard whose content was read and found good a moment ago, when it had this seal: it is not read
 * again. */
MM_RESULT_USED mm_status mm_shard_file_open_again(const char *path, uint64_t bytes, uint64_t digest,
                                                  mm_shard_file *shard, mm_error *err);
void mm_shard_file_close(mm_shard_file *shard);

/* Row `row`'s image with its masks, further ones included; *file_name (may be NULL) is the caller's to free. */
MM_RESULT_USED mm_status mm_shard_file_read(const mm_shard_file *shard, uint64_t row, mm_record *record,
                                            char **file_name, mm_error *err);

#endif
