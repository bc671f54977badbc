/* How much two masks have in common. */
#ifndef MM_DETECT_OVERLAP_H
#define MM_DETECT_OVERLAP_H

#include "maskmill/mask.h"

/* Pixels of both; the masks are of one frame. */
uint64_t mm_detect_intersection(const mm_rle *a, const mm_rle *b);
/* Intersection over union; 0 if both are empty. */
double mm_detect_iou(const mm_rle *a, const mm_rle *b);

#endif
