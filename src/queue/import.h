/* An import under way. */
#ifndef MM_QUEUE_IMPORT_H
#define MM_QUEUE_IMPORT_H

#include <time.h>

#include "queue/answered.h"
#include "queue/answers.h"
#include "queue/part.h"
#include "queue/verdict.h"

/* Of one answer; all of 64 bits, so that ranks can add them up. */
typedef struct counted {
    uint64_t taken, kept, corrected, deleted, added, accepted, microseconds;
} counted;

typedef struct import {
    const mm_import_options *options;
    mm_answer_faults *faults;
    time_t started;
    mm_part_folder part;
    mm_queue *queue;
    mm_dataset *base; /* what the new version is made of: the queue's dataset, or a later version */
    const char *base_path;
    mm_answers answers;
    const char **annotators; /* of the new version; the names belong to `base` and `answers` */
    uint16_t *numbers;       /* [annotators of the answers]: their numbers in it */
    mm_shard_origin origin;
    counted *counts; /* [answers] */
} import;

/* Rank 0, when shards and dataset.h5 are there: answered.h5, engine.json, run.json. */
MM_RESULT_USED mm_status mm_import_books(const import *in, mm_error *err);
void mm_import_sum(const import *in, mm_answer_counts *counts);

#endif
