/* The parts of a dataset, for the files that find, compare and join them. */
#ifndef MM_ENGINE_MERGE_H
#define MM_ENGINE_MERGE_H

#include <jansson.h>

#include "corpus/h5.h"
#include "maskmill/engine.h"
#include "maskmill/shard.h"

typedef struct mm_part {
    char *folder;
    bool finished;            /* has a run.json; the rest is known only then */
    uint64_t first, count;    /* shards */
    mm_seal manifest;
    mm_shard_origin origin;   /* its own; freed with mm_shard_origin_free */
    json_t *run;              /* run.json */
} mm_part;

typedef struct mm_parts {
    mm_part *items; /* by first shard once they are read */
    size_t count;
    uint64_t images, shards; /* of the whole, from manifest and configuration */
} mm_parts;

/* The folders given, or all out/part-*, and what is in each. MM_ERR_USAGE if there is none. The caller frees *parts,
 * also after a failure. */
MM_RESULT_USED mm_status mm_parts_read(const mm_merge_options *options, mm_parts *parts, mm_error *err);
void mm_parts_free(mm_parts *parts);

/* They are finished, of one kind, and each shard is in one of them. MM_ERR_USAGE tells what to do. */
MM_RESULT_USED mm_status mm_parts_check(const mm_parts *parts, bool mixed_kernels, mm_error *err);

/* Put manifest, shards and quarantine.tsv of all parts into `out`, where some may be already. */
MM_RESULT_USED mm_status mm_parts_join(const mm_parts *parts, const char *out, mm_error *err);
/* run.json of the whole: sums, and the parts' own. */
MM_RESULT_USED mm_status mm_parts_report(const mm_parts *parts, const mm_merge_options *options,
                                         const mm_run_summary *summary, mm_error *err);

#endif
