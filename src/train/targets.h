/* Which cell is to find which object: the assignment of [FCOS] (Tian et al., arXiv 1904.01355 section 3, with the
 * centre sampling of its later version, arXiv 2006.09214).
 *
 * A cell of level i, stride s, is positive for a box if its centre is inside the box and at most 1.5 s from the box's
 * centre along both axes, and the largest of its four distances to the box's sides lies in the level's range: from 3 s
 * to 6 s, for the first level from 0, for the last without end. ([FCOS] has 4 s to 8 s; with four levels that begin at
 * half the embedding's stride, 6 s loses fewest boxes.) Where a cell is positive for several boxes, it takes the
 * smallest by area: of nested objects the inner one has fewer cells to lose. */
#ifndef MM_TRAIN_TARGETS_H
#define MM_TRAIN_TARGETS_H

#include "detect/head.h"

enum { MM_TARGET_NONE = -1, MM_TARGET_IGNORED = -2 };

/* target[head->cells]: the index of the box, MM_TARGET_NONE, or MM_TARGET_IGNORED where the centre lies in the padding.
 * boxes[count] are x0, y0, x1, y1 in pixels of the frame's image. Returns the number of positive cells. */
size_t mm_targets_assign(const mm_head *head, const mm_frame *frame, const float (*boxes)[4], size_t count,
                         int32_t *target);

#endif
