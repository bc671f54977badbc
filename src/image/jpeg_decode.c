/* A whole JPEG to RGB. */
#include <stdlib.h>
#include <string.h>

#include "image/jpeg_session.h"

enum { STRIP_ROWS = 16 };

typedef struct reader {
    mm_jpeg_session session;
    uint8_t orientation; /* the one to apply; 1 when it is to be ignored */
    uint8_t *strip;      /* STRIP_ROWS stored rows on their way to a turned image, or CMYK */
    mm_image image;
} reader;

static void take_memory(reader *r)
{
    const bool swap = mm_orientation_swaps_sides(r->orientation);
    const uint32_t width = r->session.frame.width, height = r->session.frame.height;
    const mm_status status = mm_image_new(swap ? height : width, swap ? width : height, &r->image, r->session.err);
    if (status != MM_OK)
        mm_jpeg_give_up(&r->session, status);
    if (r->orientation == 1 && r->session.frame.components != 4)
        return;
    r->strip = malloc((size_t)width * (size_t)r->session.codec.output_components * STRIP_ROWS);
    if (!r->strip)
        mm_jpeg_give_up(&r->session, mm_fail_memory(r->session.err, "decoding a JPEG"));
}

/* Put `count` stored rows, the first of which is row `first`, where the orientation wants them (EXIF 2.3, 4.6.4 A). */
static void place_rows(reader *r, uint32_t first, uint32_t count)
{
    static const struct {
        bool mirror_x, mirror_y; /* of the turned image */
    } turns[9] = {[2] = {true, false}, [3] = {true, true}, [4] = {false, true},
                  [6] = {true, false}, [7] = {true, true}, [8] = {false, true}};
    const uint32_t stored_width = r->session.frame.width;
    const ptrdiff_t row_bytes = (ptrdiff_t)r->image.width * 3;
    const ptrdiff_t right = turns[r->orientation].mirror_x ? -3 : 3;
    const ptrdiff_t down = turns[r->orientation].mirror_y ? -row_bytes : row_bytes;
    uint8_t *corner = r->image.pixels + (right < 0 ? row_bytes - 3 : 0) +
                      (down < 0 ? row_bytes * ((ptrdiff_t)r->image.height - 1) : 0);
    const bool swap = mm_orientation_swaps_sides(r->orientation);
    const ptrdiff_t step_x = swap ? down : right, step_y = swap ? right : down;
    for (uint32_t x = 0; x < stored_width; x++)
        for (uint32_t y = 0; y < count; y++)
            memcpy(corner + (ptrdiff_t)x * step_x + (ptrdiff_t)(first + y) * step_y,
                   r->strip + 3 * ((size_t)y * stored_width + x), 3);
}

static void read_pixels(reader *r)
{
    const uint32_t width = r->session.frame.width, height = r->session.frame.height;
    if (!r->strip) {
        mm_jpeg_read_rows(&r->session, r->image.pixels, (size_t)width * 3, height);
        return;
    }
    const size_t row_bytes = (size_t)width * (size_t)r->session.codec.output_components;
    for (uint32_t first = 0; first < height; first += STRIP_ROWS) {
        const uint32_t count = height - first < STRIP_ROWS ? height - first : STRIP_ROWS;
        mm_jpeg_read_rows(&r->session, r->strip, row_bytes, count);
        if (r->session.frame.components == 4)
            mm_jpeg_cmyk_to_rgb(r->strip, (size_t)width * count);
        place_rows(r, first, count);
    }
}

static void decode(reader *r)
{
    mm_jpeg_read_header(&r->session);
    r->session.codec.out_color_space = r->session.frame.components == 4 ? JCS_CMYK : JCS_RGB;
    mm_jpeg_start(&r->session);
    take_memory(r);
    read_pixels(r);
    (void)jpeg_finish_decompress(&r->session.codec); /* reads up to the end marker, so that a cut one is noticed */
}

/* The only setjmp: no local variable of this function can be left half-changed by the jump. */
static bool attempt(reader *r)
{
    if (setjmp(r->session.failed))
        return false;
    decode(r);
    return true;
}

mm_status mm_image_decode_jpeg(const void *data, size_t size, const mm_jpeg_options *options, mm_image *image,
                               mm_error *err)
{
    *image = (mm_image){0};
    reader r = {0};
    const mm_status status = mm_jpeg_session_open(&r.session, data, size, options ? options->max_pixels : 0, err);
    if (status != MM_OK)
        return status;
    r.orientation = options && options->ignore_orientation ? 1 : r.session.frame.orientation;
    const bool done = attempt(&r);
    mm_jpeg_session_close(&r.session);
    free(r.strip);
    if (!done) {
        mm_image_free(&r.image);
        return r.session.status;
    }
    *image = r.image;
    return MM_OK;
}
