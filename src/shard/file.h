/* One shard, open for reading. Whoever calls these holds an mm_h5_silence. */
#ifndef MM_SHARD_FILE_H
#define MM_SHARD_FILE_H

#include "shard/layout.h"

typedef struct mm_shard_file {
    hid_t file;
    hid_t images[IMAGE_COLUMNS], masks[MM_MASK_COLUMNS];
    hid_t mask_offset, rle_offset, rle;
    uint64_t image_count, mask_count, rle_bytes;
    uint64_t first_image, masks_digest;
} mm_shard_file;

/* Sealed, complete, every column there with the right type and length, offsets that start at 0 and end at the end.
 * Errors name the file. */
MM_RESULT_USED mm_status mm_shard_file_open(const char *path, mm_shard_file *shard, mm_error *err);
/* The same for a shard whose content was read and found good a moment ago, when it had this seal: it is not read
 * again. */
MM_RESULT_USED mm_status mm_shard_file_open_again(const char *path, uint64_t bytes, uint64_t digest,
                                                  mm_shard_file *shard, mm_error *err);
void mm_shard_file_close(mm_shard_file *shard);

/* Row `row`'s image with its masks; *file_name (may be NULL) is the caller's to free. */
MM_RESULT_USED mm_status mm_shard_file_read(const mm_shard_file *shard, uint64_t row, mm_record *record,
                                            char **file_name, mm_error *err);

#endif
