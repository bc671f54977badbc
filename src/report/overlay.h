/* Pictures of masks. */
#ifndef MM_REPORT_OVERLAY_H
#define MM_REPORT_OVERLAY_H

#include "maskmill/image.h"
#include "maskmill/mask.h"

/* Lay masks over a picture, the largest first, each in a colour of its own. The picture may be smaller or larger than
 * the masks' frame, which it then shows as a whole: outlines are drawn in its own pixels. */
MM_RESULT_USED mm_status mm_overlay_draw(mm_image *picture, const mm_rle *masks, size_t count, mm_error *err);

/* The same, mask i in colours[i]; NULL: each in a colour of its own. */
MM_RESULT_USED mm_status mm_overlay_draw_coloured(mm_image *picture, const mm_rle *masks, const uint8_t (*colours)[3],
                                                  size_t count, mm_error *err);

/* Draw at the size of the masks' frame (width x height), to which the photograph is scaled, and write a PNG;
 * *photograph is changed. */
MM_RESULT_USED mm_status mm_overlay_write(mm_image *photograph, uint32_t width, uint32_t height, const mm_rle *masks,
                                          size_t count, const char *path, mm_error *err);

#endif
