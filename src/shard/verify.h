/* A verification under way, for the files that do its parts. Whoever calls these holds an mm_h5_silence. */
#ifndef MM_SHARD_VERIFY_H
#define MM_SHARD_VERIFY_H

#include <stdio.h>

#include "shard/file.h"
#include "shard/list.h"

/* What was found wrong: a line each. */
typedef struct mm_findings {
    FILE *lines; /* its error flag is looked at by whoever opened it */
    uint64_t faults;
} mm_findings;

/* Count a fault and tell it. */
void mm_verify_note(mm_findings *findings, const char *format, ...) MM_PRINTF(2, 3);

/* Where in dataset.h5 one shard's rows start, and how many it is listed with. */
typedef struct mm_shard_place {
    uint64_t at[SHARD_COLUMNS], rows[SHARD_COLUMNS]; /* by the list's columns that are lengths */
} mm_shard_place;

/* The virtual columns of dataset.h5 map each shard's rows to where they belong. */
void mm_verify_mappings(mm_findings *findings, hid_t dataset, const mm_shard_list *list, const mm_shard_origin *origin);

/* What is needed of dataset.h5 to look at a shard. */
typedef struct mm_offset_arrays {
    hid_t mask_offset[MASK_TABLES], rle_offset[MASK_TABLES]; /* invalid where there is none or a fault was noted */
    mm_shard_origin origin;
} mm_offset_arrays;

void mm_verify_open_offsets(mm_findings *findings, hid_t dataset, const mm_shard_list *list, mm_offset_arrays *arrays);
void mm_verify_close_offsets(mm_offset_arrays *arrays);
/* The shard is of the dataset's origin and has the listed lengths, and the arrays hold its offsets, moved by what comes before it. Only want of memory
 * is an error. */
MM_RESULT_USED mm_status mm_verify_offsets(mm_findings *findings, const mm_offset_arrays *arrays, const char *path,
                                           const mm_shard_file *shard, mm_shard_place place, mm_error *err);

/* One shard: content, structure, ids, masks, digest, statistics; and its offsets in `arrays`, which is NULL for a shard
 * by itself. *images and *masks say how many it has, its statistics are added to *total. Only want of memory is an
 * error; everything else is noted. */
MM_RESULT_USED mm_status mm_verify_shard(mm_findings *findings, const char *path, const mm_offset_arrays *arrays,
                                         mm_shard_place place, uint64_t *images, uint64_t *masks, mm_stats *total,
                                         mm_error *err);

/* --- sharing: many checks by many ranks, their findings told by rank 0 in the order of the checks --- */

typedef struct mm_verify_share {
    mm_comm *comm; /* NULL: one process */
    FILE *out;     /* rank 0: where findings go; may be NULL */
    mm_verify_report *report;
    mm_stats *total; /* of the statistics of all shards this rank has looked at */
} mm_verify_share;

/* Check number k. */
typedef mm_status mm_verify_check(void *user, size_t k, mm_findings *findings, uint64_t *images, uint64_t *masks,
                                  mm_stats *total, mm_error *err);

/* Collective: checks 0 .. count - 1. Rank 0's report has their sums. */
MM_RESULT_USED mm_status mm_verify_all(mm_verify_share *share, size_t count, mm_verify_check *check, void *user,
                                       mm_error *err);
/* Findings that rank 0 has made by itself, between collectives. */
MM_RESULT_USED mm_status mm_verify_begin(mm_findings *findings, char **text, size_t *size, mm_error *err);
MM_RESULT_USED mm_status mm_verify_tell(mm_verify_share *share, mm_findings *findings, char **text, size_t *size,
                                        mm_error *err);

#endif
