/* Label Studio's run lengths for brushes: a list of byte values, which are bits.
 *
 *   32 bits  how many values follow: 4 a pixel (red, green, blue, alpha), row by row
 *    5 bits  bits of a value, less one: 7
 *   4 x 4    bits of the four lengths that may be used, less one
 *   then, until there are enough values: 1 bit (1: one value that repeats, 0: as many values), 2 bits (which of the
 *   four lengths), the count less one in so many bits, and the value or values.
 *
 * Alpha says what is painted. Ours have 255 or 0 in all four channels. (The layout is that of thi.ng's rle-pack, which
 * Label Studio's editor uses.) */
#ifndef MM_QUEUE_BRUSH_H
#define MM_QUEUE_BRUSH_H

#include <jansson.h>

#include "maskmill/mask.h"

/* The caller frees *bytes. */
MM_RESULT_USED mm_status mm_brush_encode(const mm_rle *rle, uint8_t **bytes, size_t *size, mm_error *err);
/* From untrusted bytes: a pixel is set if its alpha is above 127. MM_ERR_FORMAT unless they are whole and of height x
 * width pixels. The caller frees *rle. */
MM_RESULT_USED mm_status mm_brush_decode(const uint8_t *bytes, size_t size, uint32_t height, uint32_t width,
                                         mm_rle *rle, mm_error *err);

#endif
