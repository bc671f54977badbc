/* An open queue, and its rows on disk. */
#ifndef MM_QUEUE_QUEUE_H
#define MM_QUEUE_QUEUE_H

#include "corpus/h5.h"
#include "maskmill/queue.h"

/* Of dataset.h5: its seal. Shards' digests are in that file, so that this says all of a dataset. */
typedef struct mm_dataset_mark {
    uint64_t bytes, digest;
} mm_dataset_mark;
MM_RESULT_USED mm_status mm_dataset_mark_read(const char *folder, mm_dataset_mark *mark, mm_error *err);

typedef struct mm_queue_rows {
    mm_queue_image *items;
    size_t count, room;
} mm_queue_rows;
MM_RESULT_USED mm_status mm_queue_rows_add(mm_queue_rows *rows, const mm_queue_image *image, mm_error *err);

/* The attributes of a queue's file. */
typedef struct mm_queue_origin {
    mm_dataset_mark dataset;
    mm_prefill_mode prefill;
    uint64_t batch_size;
    bool skip_human;
    uint64_t shard; /* of a part: which it is of; else 0 */
} mm_queue_origin;

/* `kind` is "queue", or "queuepart" for one shard's rows while a queue is built. */
MM_RESULT_USED mm_status mm_queue_file_write(const char *path, const char *kind, const mm_queue_origin *origin,
                                             const mm_queue_rows *rows, mm_error *err);
/* The caller frees rows->items. */
MM_RESULT_USED mm_status mm_queue_file_read(const char *path, const char *kind, mm_queue_origin *origin,
                                            mm_queue_rows *rows, mm_error *err);

struct mm_queue {
    char *folder;
    mm_queue_origin origin;
    mm_queue_rows rows;
    uint32_t *by_id; /* [rows.count]: rows in the order of their image_id */
    mm_dataset *dataset;
    char *dataset_path;
    mm_dataset_mark mark; /* of queue.h5 itself */
};

/* The row of an image; false if it is not in the queue. */
bool mm_queue_find(const mm_queue *queue, uint64_t image_id, uint64_t *index);

#endif
