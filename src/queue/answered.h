/* answered.h5 of a dataset that answers were imported into: what was answered, image by image. */
#ifndef MM_QUEUE_ANSWERED_H
#define MM_QUEUE_ANSWERED_H

#include "queue/queue.h"

typedef struct mm_answered {
    uint64_t image_id;
    uint32_t kept, corrected, deleted, added, accepted;
    float seconds;      /* 0 unknown */
    uint32_t annotator; /* as in the dataset's masks; 0 nobody */
} mm_answered;

typedef struct mm_answered_list {
    mm_answered *items; /* rising by image_id */
    size_t count;
    mm_dataset_mark queue; /* of queue.h5: which queue the images were in */
} mm_answered_list;

MM_RESULT_USED mm_status mm_answered_write(const char *folder, const mm_answered_list *list, mm_error *err);
/* *there is false if the folder has none. The caller frees list->items. */
MM_RESULT_USED mm_status mm_answered_read(const char *folder, bool *there, mm_answered_list *list, mm_error *err);

mm_answered mm_answered_of(uint64_t image_id, const mm_answer_counts *counts, uint32_t annotator);

#endif
