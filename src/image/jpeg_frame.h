/* The part of a JPEG that stands before its pixels: frame header and EXIF orientation, read without a codec.
 *
 * A JPEG (ITU-T T.81 annex B) is SOI, then segments of marker (0xFF, code), big-endian length (which counts itself)
 * and payload, among them one frame header SOFn (precision, height, width, components) before the first scan. */
#ifndef MM_IMAGE_JPEG_FRAME_H
#define MM_IMAGE_JPEG_FRAME_H

#include "maskmill/image.h"

typedef struct mm_jpeg_frame {
    uint32_t width, height; /* as stored, before any orientation; never 0 */
    uint8_t components;     /* 1 grey, 3 YCbCr or RGB, 4 CMYK or YCCK */
    uint8_t orientation;    /* EXIF 1..8, 1 when absent; only EXIF that stands before the frame header counts */
    bool progressive;
} mm_jpeg_frame;

/* Read up to the frame header. MM_ERR_FORMAT if there is none in these bytes, MM_ERR_UNSUPPORTED for lossless,
 * hierarchical, arithmetic-coded and 12-bit frames, for a height that only follows the pixels (DNL), and for
 * other numbers of components than 1, 3 and 4. */
MM_RESULT_USED mm_status mm_jpeg_read_frame(const uint8_t *data, size_t size, mm_jpeg_frame *frame, mm_error *err);

/* Orientation 1..8 from the payload of an APP1 segment; 0 if it is not EXIF or does not say. */
uint8_t mm_exif_orientation(const uint8_t *payload, size_t size);

/* Orientations 5 to 8 exchange width and height. */
bool mm_orientation_swaps_sides(uint8_t orientation);

#endif
