/* A verification under way, for the files that do its parts. Whoever calls these holds an mm_h5_silence. */
#ifndef MM_SHARD_VERIFY_H
#define MM_SHARD_VERIFY_H

#include <stdio.h>

#include "shard/file.h"
#include "shard/list.h"

typedef struct mm_verification {
    mm_verify_report *report;
    FILE *out;
    mm_stats total; /* of the shards' statistics */
} mm_verification;

/* Count a fault and tell it. */
void mm_verify_note(mm_verification *verification, const char *format, ...) MM_PRINTF(2, 3);

/* Where in dataset.h5 one shard's rows start, and how many it is listed with. */
typedef struct mm_shard_place {
    uint64_t image_at, mask_at, rle_at;
    uint64_t images, masks, rle_bytes;
} mm_shard_place;

/* The virtual columns of dataset.h5 map each shard's rows to where they belong. */
void mm_verify_mappings(mm_verification *verification, hid_t dataset, const mm_shard_list *list);

/* The offset arrays of dataset.h5, open. */
typedef struct mm_offset_arrays {
    hid_t mask_offset, rle_offset; /* invalid where a fault was noted */
} mm_offset_arrays;

void mm_verify_open_offsets(mm_verification *verification, hid_t dataset, const mm_shard_list *list,
                            mm_offset_arrays *arrays);
void mm_verify_close_offsets(mm_offset_arrays *arrays);
/* The shard has the listed lengths, and the arrays hold its offsets, moved by what comes before it. Only want of memory
 * is an error. */
MM_RESULT_USED mm_status mm_verify_offsets(mm_verification *verification, const mm_offset_arrays *arrays,
                                           const char *path, const mm_shard_file *shard, mm_shard_place place,
                                           mm_error *err);

#endif
