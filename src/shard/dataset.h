/* An open dataset, for the files that read it. */
#ifndef MM_SHARD_DATASET_H
#define MM_SHARD_DATASET_H

#include "shard/file.h"
#include "shard/list.h"

/* The shard that was read last stays open, since images are mostly read in order. */
typedef struct mm_open_shard {
    mm_shard_file file;
    size_t index;
    bool open;
} mm_open_shard;

struct mm_dataset {
    char *folder;
    char *only; /* path of the one shard, when that is what was opened */
    mm_shard_list list;
    mm_stats stats;
    mm_shard_origin origin;
    mm_open_shard *last;
    bool *checked; /* [list.count]: the shard's content was read and found good; NULL where only one shard is open */
    int exported; /* the table whose masks exports write */
};

/* The shard of row `index` of the list, open; it belongs to the dataset. Whoever calls this holds an mm_h5_silence. */
MM_RESULT_USED mm_status mm_dataset_use_shard(const mm_dataset *dataset, size_t index, const mm_shard_file **shard,
                                              mm_error *err);

#endif
