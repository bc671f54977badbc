/* What an answer means: which of the masks shown were left, corrected or deleted, and what was added. */
#ifndef MM_QUEUE_VERDICT_H
#define MM_QUEUE_VERDICT_H

#include "queue/answers.h"
#include "queue/shown.h"

/* An answer's mask and a mask shown that share at least so much are one object, if no ids say anything. */
#define MM_CORRECTED_IOU 0.5
#define MM_NO_PARTNER SIZE_MAX

typedef struct mm_verdict {
    size_t *of_shown;  /* [shown]: the answer's mask that it became; MM_NO_PARTNER: deleted, or a hint left alone */
    size_t *of_answer; /* [answer]: the mask shown that it was; MM_NO_PARTNER: drawn anew */
    bool *same;        /* [answer]: as it was shown, so that the shown pixels stay */
    mm_rle *rles;      /* [answer] */
    size_t count;      /* of the answer's masks */
    mm_answer_counts counts;
} mm_verdict;

/* The answer is of the image that `shown` is of. The caller frees, in every case, with mm_verdict_free. */
MM_RESULT_USED mm_status mm_verdict_of(const mm_shown *shown, const mm_answer *answer, mm_verdict *verdict,
                                       mm_error *err);
void mm_verdict_free(mm_verdict *verdict);
bool mm_verdict_changes(const mm_verdict *verdict);

/* The image's record when the answer is taken: what is to be in the new version. `record` is the one the queue was made
 * of, `numbers` (1 .. ) that of each of the answers' annotators in the dataset; `keep_automatic` and the rest as in
 * docs/queue.md. The caller frees *made. */
MM_RESULT_USED mm_status mm_verdict_apply(const mm_record *record, const mm_shown *shown, const mm_answer *answer,
                                          const mm_verdict *verdict, const uint16_t *numbers, bool keep_automatic,
                                          mm_record *made, mm_error *err);

#endif
