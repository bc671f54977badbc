/* What a mask is asked before it is known to be kept: whether it is stable, and its box. Most masks lose NMS, which looks at
 * boxes and scores only; so those that are certain to be stable need no pixels before it, and those that are certain not to be
 * need none at all. The answers come from the low-res logits. They are the scan's own, or there is none. */
#ifndef MM_AMG_JUDGE_H
#define MM_AMG_JUDGE_H

#include "maskmill/amg.h"
#include "maskmill/tensor.h"

typedef struct mm_judge mm_judge;

/* For masks of the frame that the upsampler was made for. The caller frees with mm_judge_free. */
MM_RESULT_USED mm_status mm_judge_new(const mm_frame *frame, mm_judge **judge, mm_error *err);
void mm_judge_free(mm_judge *judge);
/* L */
size_t mm_judge_low_res(const mm_judge *judge);

/* mm_judge_new takes the best instruction set; tests hold them against each other. The CPU must have `isa`. */
MM_RESULT_USED mm_status mm_judge_new_for(const mm_frame *frame, mm_isa isa, mm_judge **judge, mm_error *err);

/* Bytes of working memory, aligned as malloc's. */
size_t mm_judge_scratch(const mm_judge *judge);

/* The part of the low-res logits outside of which nothing plays a role: ends exclusive. */
typedef struct mm_low_window {
    uint32_t x0, y0, x1, y1;
} mm_low_window;

typedef enum mm_judge_verdict {
    MM_JUDGE_OPEN,     /* nothing is certain */
    MM_JUDGE_STABLE,   /* it passes the filter, and has a pixel */
    MM_JUDGE_UNSTABLE, /* it does not pass */
} mm_judge_verdict;

/* Of the filter above_high / above_low >= min_stability (> 0). If the mask is stable, box is that of mm_mask_scan.
 * logits[L][L]. */
mm_judge_verdict mm_judge_mask(const mm_judge *judge, const float *logits, float offset, float min_stability, void *scratch,
                               uint32_t box[4], mm_low_window *window);

/* Logits that wait for the end of NMS: those of the window, without the parts where all pixels are decided. */
typedef struct mm_parked mm_parked;

/* Of a stable mask, with window and scratch as mm_judge_mask left them. *size becomes what it takes, in bytes. NULL if there
 * is no memory; the caller frees. */
mm_parked *mm_judge_park(const mm_judge *judge, const float *logits, const mm_low_window *window, void *scratch,
                         size_t *size);
/* logits[L][L] that are scanned to the same mask as those that were parked. */
void mm_judge_unpark(const mm_judge *judge, const mm_parked *parked, float *logits);

#endif
