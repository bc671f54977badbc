/* The masks of samples, read from their datasets when they are needed, and which of them are trained on. */
#ifndef MM_TRAIN_MASK_SOURCE_H
#define MM_TRAIN_MASK_SOURCE_H

#include "maskmill/mask.h"
#include "maskmill/shard.h"
#include "train/draw.h"
#include "train/samples.h"

enum { MM_MASK_SOURCES = 3 }; /* automatic, confident, human: /masks/source of a dataset */

typedef struct mm_mask_source {
    mm_dataset **datasets; /* in the order of mm_sample.source */
    uint64_t *first;       /* the first image's id of each */
    size_t count;
} mm_mask_source;

/* paths[count]: datasets. MM_ERR_UNSUPPORTED for COCO files, whose masks cannot be had yet. */
MM_RESULT_USED mm_status mm_mask_source_open(const char *const *paths, size_t count, mm_mask_source *source,
                                             mm_error *err);
/* More of them, behind those that are open. */
MM_RESULT_USED mm_status mm_mask_source_add(const char *const *paths, size_t count, mm_mask_source *source,
                                            mm_error *err);
void mm_mask_source_close(mm_mask_source *source);

typedef struct mm_picked_masks {
    mm_rle *masks;
    uint8_t *sources; /* of each: automatic, confident, human */
    size_t count, others; /* those behind the picked ones */
} mm_picked_masks;

/* At most `most` masks of the sample, each as likely as weights[its source] says, without doubles; empty masks and
 * those of more than nine tenths of the image are never taken [SAM appendix A]. With `others` all the rest that might have
 * been taken stand behind them. The caller frees with mm_picked_masks_free. */
MM_RESULT_USED mm_status mm_mask_source_pick(const mm_mask_source *source, const mm_sample *sample, size_t most,
                                             bool others, const double weights[MM_MASK_SOURCES], mm_draw *draw,
                                                 mm_picked_masks *picked,
                                             mm_error *err);
void mm_picked_masks_free(mm_picked_masks *picked);

#endif
