/* Decoding one JPEG with libjpeg-turbo's jpeglib.h.
 *
 * jpeglib.h and not the TurboJPEG API of the same package, because only it shows every warning as it comes, the scans
 * as they pass and the blocks that a header claims, before memory is taken for them. The library's defaults (the
 * accurate integer IDCT, "fancy" chroma upsampling) are what Pillow and OpenCV use, so pixels are equal to theirs.
 *
 * A user calls mm_jpeg_session_open, then setjmp(session.failed), then the functions that may jump there, and
 * mm_jpeg_session_close in the end, in any case. */
#ifndef MM_IMAGE_JPEG_SESSION_H
#define MM_IMAGE_JPEG_SESSION_H

#include <setjmp.h>
#include <stdio.h> /* jpeglib.h needs FILE and does not ask for it */

#include <jpeglib.h>

#include "image/jpeg_frame.h"

typedef struct mm_jpeg_session {
    struct jpeg_decompress_struct codec;
    struct jpeg_error_mgr errors;
    struct jpeg_progress_mgr progress;
    jmp_buf failed;
    mm_status status; /* after a jump to `failed` */
    mm_error *err;
    const uint8_t *data;
    size_t size;
    mm_jpeg_frame frame;
    unsigned components_seen; /* bit i: a scan that holds component i has passed */
} mm_jpeg_session;

/* The frame header and the limit (0: none); *session is zero before. Does not jump. */
MM_RESULT_USED mm_status mm_jpeg_session_open(mm_jpeg_session *session, const void *data, size_t size,
                                              uint64_t max_pixels, mm_error *err);
void mm_jpeg_session_close(mm_jpeg_session *session);

/* These jump to `failed` on any damage. */
_Noreturn void mm_jpeg_give_up(mm_jpeg_session *session, mm_status status);
void mm_jpeg_read_header(mm_jpeg_session *session); /* out_color_space and scale may be chosen after it */
void mm_jpeg_start(mm_jpeg_session *session);       /* the output's width, height and components are known after it */
void mm_jpeg_read_rows(mm_jpeg_session *session, uint8_t *rows, size_t row_bytes, uint32_t count);

/* The file holds inverted values (the habit of Adobe, which all readers assume), that is the light that each ink lets
 * through. Ink c = 255 - C, so R = K - round(c * K / 255), the rounding and the result those of Pillow's
 * convert("RGB"). In place: 3 bytes of RGB never overtake 4 of CMYK. */
void mm_jpeg_cmyk_to_rgb(uint8_t *pixels, size_t count);

#endif
