/* Pictures of masks. */
#ifndef MM_CLI_OVERLAY_H
#define MM_CLI_OVERLAY_H

#include "maskmill/image.h"
#include "maskmill/mask.h"

/* Lay masks over a photograph, the largest first, each in a colour of its own, and write a PNG. The photograph is
 * scaled to the masks' frame (width x height) if that is another size; *photograph is changed. */
MM_RESULT_USED mm_status mm_cli_overlay(mm_image *photograph, uint32_t width, uint32_t height, const mm_rle *masks,
                                        size_t count, const char *path, mm_error *err);

#endif
