/* The list of shards that dataset.h5 keeps in /shards. */
#ifndef MM_SHARD_LIST_H
#define MM_SHARD_LIST_H

#include "shard/layout.h"

/* Columns by shard: the same order as mm_shard_list_columns. */
enum {
    SHARD_FIRST_IMAGE,
    SHARD_IMAGES,
    SHARD_MASKS,
    SHARD_RLE_BYTES,
    SHARD_BYTES,
    SHARD_DIGEST,
    /* Only where there are such masks; zero elsewhere. */
    SHARD_CONFIDENT_MASKS,
    SHARD_CONFIDENT_RLE_BYTES,
    SHARD_HINT_MASKS,
    SHARD_HINT_RLE_BYTES,
    SHARD_COLUMNS
};

/* A table's columns. */
extern const int mm_shard_list_masks[MASK_TABLES], mm_shard_list_rle_bytes[MASK_TABLES];

typedef struct mm_shard_list {
    size_t count;
    uint64_t first_shard; /* number of row 0's shard; the others follow */
    uint64_t *columns[SHARD_COLUMNS];  /* [count]; first image's row (= id), lengths, file size and seal's digest */
    uint64_t sums[SHARD_COLUMNS];      /* of the lengths among them */
    bool there[MASK_TABLES];           /* the tables that the shards have */
} mm_shard_list;

/* The name of shard number `shard` as dataset.h5 has it: relative to its own folder, so that the dataset can be
 * moved. */
enum { MM_SHARD_NAME = 40 };
void mm_shard_list_name(uint64_t shard, char name[MM_SHARD_NAME]);

/* With no tables but the first. */
MM_RESULT_USED mm_status mm_shard_list_new(size_t count, mm_shard_list *list, mm_error *err);
void mm_shard_list_free(mm_shard_list *list);
/* Check that images follow each other from the first shard's first image on, and form the sums. */
MM_RESULT_USED mm_status mm_shard_list_sum(mm_shard_list *list, mm_error *err);

MM_RESULT_USED mm_status mm_shard_list_write(hid_t file, const mm_shard_list *list, mm_error *err);
MM_RESULT_USED mm_status mm_shard_list_read(hid_t file, uint64_t file_bytes, mm_shard_list *list, mm_error *err);

/* Row k's shard is there in `folder`, as long as it was, with the seal it had. Its content is not read. */
MM_RESULT_USED mm_status mm_shard_list_check(const mm_shard_list *list, const char *folder, size_t k, mm_error *err);

#endif
