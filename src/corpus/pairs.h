/* Pairs of hashes that differ in few bits, without comparing all with all.
 *
 * The 64 bits are dealt to d + 2 blocks. Two hashes that differ in at most d bits agree in at least two of the blocks,
 * so there is a table for every two blocks, C(d + 2, 2) in all, and only hashes that agree in both are compared. At
 * d = 4 that is 15 tables by 21 bits each, and at 11 million images five comparisons per table and image. A pair is
 * reported by the first table that has it. */
#ifndef MM_CORPUS_PAIRS_H
#define MM_CORPUS_PAIRS_H

#include "corpus/buffer.h"

enum { MM_PHASH_BITS = 64, MM_MAX_DISTANCE = 10, MM_MAX_TABLES = (MM_MAX_DISTANCE + 2) * (MM_MAX_DISTANCE + 1) / 2 };

typedef struct mm_hashed {
    uint64_t hash, image_id;
} mm_hashed;

typedef struct mm_near_pair {
    uint64_t later, earlier; /* image ids, later > earlier */
} mm_near_pair;

typedef struct mm_tables {
    uint32_t distance, count;
    uint64_t masks[MM_MAX_TABLES]; /* the bits of each table's two blocks */
} mm_tables;

/* distance <= MM_MAX_DISTANCE. No table at all for 0: equal hashes are found more simply. */
mm_tables mm_tables_for(uint32_t distance);

/* A well-mixed number of a key, to choose a rank by. */
uint64_t mm_hash_mix(uint64_t key);

/* Appends an mm_near_pair for every two of the hashes, which are all different, that this table must report. Reorders
 * the hashes. Whoever calls this with parts of a corpus sees to it that hashes which agree in masks[table] are in the
 * same part. */
MM_RESULT_USED mm_status mm_near_pairs(const mm_tables *tables, uint32_t table, mm_hashed *hashes, size_t count,
                                       mm_buffer *pairs, mm_error *err);

#endif
