/* Statistics: integer counts and histograms only, so that merging is exact and does not depend on the order.
 *
 * [SAM] section 5: masks per image, relative mask size sqrt(mask area / image area), concavity 1 - area / hull area,
 * mask centres on a grid; beyond it predicted IoU, stability, image sizes and the filter funnel. */
#ifndef MASKMILL_STATS_H
#define MASKMILL_STATS_H

#include <stdio.h>

#include "maskmill/journal.h"

enum {
    MM_STATS_MASK_BINS = 64,  /* masks per image: 0, 1, ... 15 each alone, then four bins an octave; mm_stats_mask_edge */
    MM_STATS_UNIT_BINS = 100, /* quantities in [0, 1]: bin floor(100 x), 1.0 in the last; NaN in none; scores x in f32 */
    MM_STATS_CENTRE_SIDE = 64, /* mask centres: cell (floor(64 y / h), floor(64 x / w)) */
    MM_STATS_SOURCES = 3       /* automatic, confident, human, as in a record's column `source` */
};

typedef struct mm_stats {
    uint64_t images_done, images_set_aside, masks, pixels_masked, rle_bytes;
    uint64_t masks_per_image[MM_STATS_MASK_BINS];
    uint64_t relative_size[MM_STATS_UNIT_BINS];
    uint64_t concavity[MM_STATS_UNIT_BINS];
    uint64_t predicted_iou[MM_STATS_UNIT_BINS];
    uint64_t stability_score[MM_STATS_UNIT_BINS];
    uint64_t centres[MM_STATS_CENTRE_SIDE * MM_STATS_CENTRE_SIDE];
    uint64_t image_long_side[MM_STATS_MASK_BINS]; /* floor(pixels / 128), last bin open */
    uint64_t funnel[8];                           /* in the order of mm_funnel */
    uint64_t masks_by_source[MM_STATS_SOURCES];
    /* Further masks of the images, which nothing above counts, and their scores. */
    uint64_t confident_masks, hint_masks;
    uint64_t confident_detector_score[MM_STATS_UNIT_BINS];
    uint64_t confident_predicted_iou[MM_STATS_UNIT_BINS];
    uint64_t confident_stability_score[MM_STATS_UNIT_BINS];
    uint64_t hint_predicted_iou[MM_STATS_UNIT_BINS];
    uint64_t hint_stability_score[MM_STATS_UNIT_BINS];
} mm_stats;

void mm_stats_clear(mm_stats *stats);
/* Adds one image; masks are decoded from the record's counts, one at a time. On an error (counts that do not decode)
 * *stats is left as it was. The area is the mask's own, the frame's size is the image's. */
MM_RESULT_USED mm_status mm_stats_add(mm_stats *stats, const mm_record *record, mm_error *err);
void mm_stats_merge(mm_stats *into, const mm_stats *from);
/* Lower edge of bin i of masks_per_image, for i = 0 .. MM_STATS_MASK_BINS: i up to 16, then floor(2^(i/4)): 19, 22, 26,
 * 32, 38, ... 55108. Bin i holds images with edge(i) <= masks < edge(i + 1); the last bin is open, its upper edge is
 * UINT32_MAX. */
uint32_t mm_stats_mask_edge(uint32_t bin);

/* For people: a page of text. For programs: one JSON object. */
MM_RESULT_USED mm_status mm_stats_print_text(const mm_stats *stats, FILE *out, mm_error *err);
MM_RESULT_USED mm_status mm_stats_print_json(const mm_stats *stats, FILE *out, mm_error *err);

#endif
