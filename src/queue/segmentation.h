/* A mask as annotators' tools write it, to run lengths; checked, and repaired where that is well defined. */
#ifndef MM_QUEUE_SEGMENTATION_H
#define MM_QUEUE_SEGMENTATION_H

#include <jansson.h>

#include "maskmill/mask.h"

/* What was repaired; 0: nothing. */
enum {
    MM_REPAIR_CUT_OFF = 1,  /* reached outside the image */
    MM_REPAIR_CROSSING = 2, /* a ring crosses itself: filled by the even-odd rule */
    MM_REPAIR_NO_HOLE = 4,  /* a ring adds nothing to the others: COCO has no holes in polygons */
    MM_REPAIRS = 8
};
/* "reaches outside the image and was cut off; ..." into text[size]. */
void mm_repair_text(unsigned repairs, char *text, size_t size);

/* COCO's segmentation: a list of rings [x0, y0, x1, y1, ...], united; or {"size": [height, width], "counts": ...} with
 * compressed counts as text or run lengths as a list. *exact: they were run lengths. MM_ERR_FORMAT, with a line that
 * says why, for all that is no mask of height x width with at least one pixel. The caller frees *rle. */
MM_RESULT_USED mm_status mm_segmentation_read(const json_t *value, uint32_t height, uint32_t width, mm_rle *rle,
                                              bool *exact, unsigned *repairs, mm_error *err);

/* One ring of points[count] in pixels. */
MM_RESULT_USED mm_status mm_segmentation_ring(const double (*points)[2], size_t count, uint32_t height, uint32_t width,
                                              mm_rle *rle, unsigned *repairs, mm_error *err);

/* Whether two sides of the ring cross (touching is no crossing). False as well where that would take too long to say.
 */
bool mm_ring_crosses_itself(const double (*points)[2], size_t count);

#endif
