/* Binary masks as COCO run lengths, and what one does to them.
 *
 * Runs go down the columns (column-major, as COCO has them), start with a run of zeros (0 long if the first pixel is
 * set) and alternate. Only the first run may be zero. Their sum is height * width.
 * "Counts" are COCO's compressed string: pycocotools reads them as segmentation["counts"]. */
#ifndef MASKMILL_MASK_H
#define MASKMILL_MASK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "maskmill/status.h"

typedef struct mm_rle {
    uint32_t height, width;
    size_t count; /* number of runs */
    uint32_t *runs;
} mm_rle;

void mm_rle_free(mm_rle *rle);

/* bits: height * width bytes, row-major, nonzero = set. The caller frees *rle. */
MM_RESULT_USED mm_status mm_rle_from_bits(const uint8_t *bits, uint32_t height, uint32_t width, mm_rle *rle,
                                          mm_error *err);
/* bits: height * width bytes, row-major, written as 0 and 1. */
void mm_rle_to_bits(const mm_rle *rle, uint8_t *bits);

uint64_t mm_rle_area(const mm_rle *rle);
/* Inclusive corners x0, y0, x1, y1 of the set pixels; 0,0,0,0 for an empty mask (as [ref] batched_mask_to_box). */
void mm_rle_box(const mm_rle *rle, uint32_t box[4]);
/* Area of the convex hull of the set pixels taken as unit squares, in pixels; 0 for an empty mask.
 * [SAM] section 5: concavity = 1 - area / hull area. */
double mm_rle_hull_area(const mm_rle *rle);
/* Mean pixel centre of the mask (x + 0.5, y + 0.5), in pixels; the frame's centre for an empty mask. */
void mm_rle_centre(const mm_rle *rle, double *x, double *y);

/* The same mask in a larger frame, its top left corner at (x0, y0). The caller frees *out. */
MM_RESULT_USED mm_status mm_rle_place(const mm_rle *rle, uint32_t x0, uint32_t y0, uint32_t height, uint32_t width,
                                      mm_rle *out, mm_error *err);

/* The same mask with left and right exchanged. The caller frees *out. */
MM_RESULT_USED mm_status mm_rle_mirror(const mm_rle *rle, mm_rle *out, mm_error *err);

/* pycocotools' mask of one ring, pixel for pixel: points[count] are x, y in pixels, the ring closes by itself, and
 * where it crosses itself the even-odd rule holds. What lies outside the image is cut off. MM_ERR_FORMAT for a point
 * that is no number or further outside than the image is wide or high, MM_ERR_LIMIT for outlines of more than 26
 * million pixels. The mask may be empty. The caller frees *rle. */
MM_RESULT_USED mm_status mm_rle_from_polygon(const double (*points)[2], size_t count, uint32_t height, uint32_t width,
                                             mm_rle *rle, mm_error *err);

/* The union of masks[count], all of height x width; empty for none. The caller frees *out. */
MM_RESULT_USED mm_status mm_rle_union(const mm_rle *masks, size_t count, uint32_t height, uint32_t width, mm_rle *out,
                                      mm_error *err);
/* Pixels set in both; 0 for masks of different sizes. */
uint64_t mm_rle_shared(const mm_rle *a, const mm_rle *b);
/* Shared pixels / pixels set in either; 0 if there are none. */
double mm_rle_iou(const mm_rle *a, const mm_rle *b);
/* The same size and the same pixels. */
bool mm_rle_equal(const mm_rle *a, const mm_rle *b);

/* COCO's compressed counts, byte-equal to pycocotools'. *size bytes, not terminated; the caller frees *counts. */
MM_RESULT_USED mm_status mm_rle_to_counts(const mm_rle *rle, uint8_t **counts, size_t *size, mm_error *err);
/* The way back, from untrusted bytes: MM_ERR_FORMAT unless the runs are whole and sum to height * width. Empty runs in
 * the middle, which other writers may leave, are joined with their neighbours. */
MM_RESULT_USED mm_status mm_rle_from_counts(const uint8_t *counts, size_t size, uint32_t height, uint32_t width,
                                            mm_rle *rle, mm_error *err);

/* [ref] remove_small_regions: fill holes (8-connected background pieces smaller than min_area, at the border too),
 * then drop islands smaller than min_area; if no island is left, the largest stays. Edits *rle in place. *changed is
 * the reference's flag: a small piece was found, even if it is the one that stays. *largest (may be NULL) is the area
 * of the largest 8-connected piece before islands go, 0 for an empty mask. */
MM_RESULT_USED mm_status mm_mask_remove_small(mm_rle *rle, uint32_t min_area, bool *changed, uint32_t *largest,
                                              mm_error *err);

/* torchvision's nms on boxes x0, y0, x1, y1: indices of what stays, in order of falling score (ties keep their
 * order), into keep[0 .. *kept), which has room for `count`. IoU > threshold suppresses, the IoU computed in float
 * and compared in double (torchvision's threshold is a double: IoU 4/5 is suppressed at 0.8); a NaN IoU never does. */
MM_RESULT_USED mm_status mm_mask_nms(const float (*boxes)[4], const float *scores, size_t count, double threshold,
                                     size_t *keep, size_t *kept, mm_error *err);

/* How scores fall where boxes overlap. */
typedef struct mm_soft_nms {
    double from;  /* IoU up to which nothing is lost */
    double sigma; /* score *= exp(-(IoU - from)^2 / sigma); 0: all is lost */
    float least;  /* scores below it are dropped; at least 0 */
    size_t most;  /* boxes that stay at most */
} mm_soft_nms;

/* Soft-NMS (Bodla et al., arXiv 1704.04503, the Gaussian form, here from an IoU on): the best box stays, the scores of those that
 * overlap it fall, and so on with the best of the rest. Indices of what stays into keep[0 .. *kept), in this order, which is that of
 * falling scores; of equal ones the first comes first. scores[count] become what is left of them, of a dropped box anything. */
MM_RESULT_USED mm_status mm_mask_soft_nms(const float (*boxes)[4], float *scores, size_t count, const mm_soft_nms *how,
                                          size_t *keep, size_t *kept, mm_error *err);

#endif
