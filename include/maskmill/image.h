/* Images: 8-bit RGB, interleaved, row-major, top row first.
 *
 * An mm_image owns its pixels; an mm_image_view borrows them, so that a crop of a photograph costs nothing.
 * Sizes are pixels, strides bytes. */
#ifndef MASKMILL_IMAGE_H
#define MASKMILL_IMAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "maskmill/status.h"

typedef struct mm_image {
    uint8_t *pixels; /* height * width * 3 bytes, no padding between rows; NULL when empty */
    uint32_t width, height;
} mm_image;

typedef struct mm_image_view {
    const uint8_t *pixels; /* pixel (x, y) is at pixels + y * stride + 3 * x */
    uint32_t width, height;
    size_t stride;
} mm_image_view;

typedef struct mm_jpeg_options {
    bool ignore_orientation; /* false: turn the image as its EXIF orientation says (what cv2.imread does) */
    uint64_t max_pixels;     /* larger images are refused with MM_ERR_LIMIT before memory is taken; 0: no limit */
} mm_jpeg_options;

typedef struct mm_jpeg_info {
    uint32_t width, height; /* as decoded, that is after the orientation unless it is ignored */
    uint8_t orientation;    /* EXIF 1..8; 1 when absent or not understood */
} mm_jpeg_info;

/* Size and orientation from the header alone; `data` may be only the first part of the file as long as it reaches
 * the frame header. MM_ERR_FORMAT if it is no JPEG, is damaged, or if the frame header lies behind `size` (a caller
 * that gave only a part should then ask again with the whole); MM_ERR_UNSUPPORTED for the kinds that decoding refuses.
 * EXIF counts when it stands before the frame header, as the standard wants. max_pixels is not applied: a size can be
 * asked for, however large. `options` may be NULL. */
MM_RESULT_USED mm_status mm_image_probe_jpeg(const void *data, size_t size, const mm_jpeg_options *options,
                                             mm_jpeg_info *info, mm_error *err);

/* Decode a whole JPEG (baseline, progressive, grey, YCbCr, RGB, CMYK, YCCK) to RGB, pixel for pixel what Pillow's
 * ImageOps.exif_transpose(image).convert("RGB") gives. CMYK is taken as inverted (Adobe's habit) and becomes
 * R = K - round((255 - C) * K / 255) of the stored C and K, likewise G from M and B from Y; no colour profile is used.
 *
 * A file that is cut short or otherwise damaged is MM_ERR_FORMAT: half-grey pictures never become masks. Stray bytes
 * between header segments and behind the end marker are no damage. MM_ERR_UNSUPPORTED: lossless, hierarchical,
 * arithmetic-coded and 12-bit files. MM_ERR_LIMIT: above max_pixels, 65500 pixels a side, or 200 scans.
 * Memory beyond the image itself: a few rows, and 2 bytes a stored sample for a file of several scans (6 bytes a pixel
 * at 4:4:4); an image with more pixels than its file has bits to code them is refused before any of it is taken.
 * On failure `image` is empty. The caller frees with mm_image_free. `options` may be NULL. */
MM_RESULT_USED mm_status mm_image_decode_jpeg(const void *data, size_t size, const mm_jpeg_options *options,
                                              mm_image *image, mm_error *err);

/* A 64-bit perceptual hash of a JPEG (docs/formats.md defines it): the signs of the 64 lowest frequencies of the turned
 * image's grey values. It is the same on every machine. Large files are read at an eighth of their size, which costs a
 * fraction of decoding them. 0 for an image of one shade, of which there is nothing to tell. Errors are those of
 * mm_image_decode_jpeg. */
MM_RESULT_USED mm_status mm_image_phash(const void *data, size_t size, const mm_jpeg_options *options, uint64_t *hash,
                                        mm_error *err);

/* Allocate width x height, uninitialised. MM_ERR_USAGE for an empty side. */
MM_RESULT_USED mm_status mm_image_new(uint32_t width, uint32_t height, mm_image *image, mm_error *err);
void mm_image_free(mm_image *image);
mm_image_view mm_image_whole(const mm_image *image);

/* The window x0 <= x < x1, y0 <= y < y1 of a view; the caller keeps it inside. No copy. */
mm_image_view mm_image_crop(mm_image_view view, uint32_t x0, uint32_t y0, uint32_t x1, uint32_t y1);

/* Pillow's Image.resize((width, height), BILINEAR), bit for bit: triangle filter widened by the reduction factor,
 * coefficients rounded to 22-bit fixed point, the first pass rounded to 8 bits. The first pass is the horizontal one,
 * except where the height loses more than twice as many pixels as the width (Pillow 13; earlier releases always begin
 * horizontally, so their results can differ by one level for images more than twice as tall as wide). MM_ERR_USAGE for
 * an empty side, MM_ERR_LIMIT for one above 2^20. The caller frees `resized` with mm_image_free. */
MM_RESULT_USED mm_status mm_image_resize_bilinear(mm_image_view view, uint32_t width, uint32_t height,
                                                  mm_image *resized, mm_error *err);

/* Write an 8-bit RGB PNG, replacing what is at `path`; compressed for speed rather than size. MM_ERR_IO if the file
 * cannot be written; a part that was written is then removed. */
MM_RESULT_USED mm_status mm_image_write_png(const char *path, mm_image_view view, mm_error *err);

/* A baseline JPEG at quality 1 .. 100, 4:2:0, in memory; equal pixels give equal bytes. MM_ERR_USAGE for sides of 0 or
 * above 65500. The caller frees *bytes. */
MM_RESULT_USED mm_status mm_image_encode_jpeg(mm_image_view view, int quality, uint8_t **bytes, size_t *size,
                                              mm_error *err);

/* Lay a mask over the image: pixels with bits[y * width + x] != 0 move towards `rgb` by `alpha` (0..1), and the
 * mask's own border pixels (those with one of their 4 neighbours outside the mask or the image) take the full colour
 * when `outline` is set. bits has the image's size. */
void mm_image_blend_mask(mm_image *image, const uint8_t *bits, const uint8_t rgb[3], float alpha, bool outline);

#endif
