/* What people answered: masks by image, read from files of annotators' tools, checked one by one. */
#ifndef MM_QUEUE_ANSWERS_H
#define MM_QUEUE_ANSWERS_H

#include <jansson.h>

#include "maskmill/queue.h"
#include "queue/name.h"

typedef struct mm_answer_mask {
    bool named; /* it says which of the masks shown it was */
    mm_shown_name name;
    bool is_hint; /* left as a hint: not taken */
    bool broken;  /* it was refused: the mask that it names stays as it was shown; no counts */
    bool exact;   /* run lengths, which come back as they went; a polygon does not */
    uint16_t annotator; /* 0 unknown, k: number k - 1 of the annotators */
    uint16_t clicks;
    float seconds;
    uint8_t *counts; /* compressed, of the frame */
    size_t size;
} mm_answer_mask;

/* Whether it is a mask that the person wants: neither a hint left alone nor one that was refused. */
static inline bool mm_answer_mask_counts(const mm_answer_mask *mask)
{
    return !mask->is_hint && !mask->broken;
}

typedef struct mm_answer {
    uint64_t index; /* of the image in the queue */
    double seconds; /* for the whole image; 0 unknown */
    uint16_t annotator;
    mm_answer_mask *masks;
    size_t count, room;
} mm_answer;

typedef struct mm_answers {
    mm_answer *items;
    size_t count, room;
    uint32_t *of_image; /* [images of the queue] 1 + number of its answer, 0: none */
    char **annotators;
    size_t annotator_count;
} mm_answers;

MM_RESULT_USED mm_status mm_answers_new(const mm_queue *queue, mm_answers *answers, mm_error *err);
void mm_answers_free(mm_answers *answers);

/* Read one file, COCO, Label Studio or an answers journal by its content, into `answers`. What is wrong with single
 * answers goes to `faults`; what is wrong with the file is returned. `annotator` is for answers that do not name one;
 * may be NULL. */
MM_RESULT_USED mm_status mm_answers_read(const mm_queue *queue, const char *path, const char *annotator,
                                         mm_answers *answers, mm_answer_faults *faults, mm_error *err);

/* --- for the readers --- */

typedef struct mm_answer_reader {
    const mm_queue *queue;
    const char *path;
    mm_answers *answers;
    mm_answer_faults *faults;
    uint16_t annotator;    /* of --annotator; 0: none */
    mm_manifest *manifest; /* for images that are named as in the corpus; opened when first needed */
    bool manifest_tried;
} mm_answer_reader;

/* One line: "PATH: ..."; and it is counted. */
void mm_answer_refuse(mm_answer_reader *reader, const char *format, ...) MM_PRINTF(2, 3);
void mm_answer_repair(mm_answer_reader *reader, const char *format, ...) MM_PRINTF(2, 3);

/* The image that a path or URL names, by our own name for it or by the corpus's; false if the queue has none such. */
bool mm_answer_find_image(mm_answer_reader *reader, const char *path, uint64_t *index);

/* A new answer for an image; MM_ERR_USAGE, to be told as a refusal, if it has one. The pointer is good until the next.
 */
MM_RESULT_USED mm_status mm_answer_begin(mm_answer_reader *reader, uint64_t index, mm_answer **answer, mm_error *err);
/* Add a mask, with `rle` compressed. If that is NULL the mask was refused: nothing is added, unless it names one that
 * was shown, which must not be taken for deleted. */
MM_RESULT_USED mm_status mm_answer_add(mm_answer *answer, const mm_answer_mask *mask, const mm_rle *rle, mm_error *err);
/* 1 + the number of the annotator of this name, new or not. */
MM_RESULT_USED mm_status mm_answer_annotator(mm_answers *answers, const char *name, uint16_t *number, mm_error *err);

MM_RESULT_USED mm_status mm_answers_read_coco(mm_answer_reader *reader, mm_error *err);
MM_RESULT_USED mm_status mm_answers_read_labelstudio(mm_answer_reader *reader, mm_error *err);
MM_RESULT_USED mm_status mm_answers_read_journal(mm_answer_reader *reader, mm_error *err);

#endif
