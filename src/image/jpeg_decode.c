/* A whole JPEG to RGB by libjpeg-turbo's jpeglib.h.
 *
 * jpeglib.h and not the TurboJPEG API of the same package, because only it shows every warning as it comes, the scans
 * as they pass and the blocks that a header claims, before memory is taken for them. The library's defaults (the
 * accurate integer IDCT, "fancy" chroma upsampling) are what Pillow and OpenCV use, so pixels are equal to theirs. */
#include <setjmp.h>
#include <stdio.h> /* jpeglib.h needs FILE and does not ask for it */
#include <stdlib.h>
#include <string.h>

#include <jpeglib.h>
#include <jerror.h>

#include "image/jpeg_frame.h"

#ifndef LIBJPEG_TURBO_VERSION
#error "maskmill needs libjpeg-turbo's jpeglib.h: other libjpeg upsample differently, and masks would not be reproducible"
#endif

/* A progressive file may hold thousands of scans of a few bytes, each of which costs a pass over the image. Real
 * encoders write about ten; 200 leaves room for one scan per coefficient and component. */
enum { MAX_SCANS = 200, STRIP_ROWS = 16 };

typedef struct reader {
    struct jpeg_decompress_struct codec;
    struct jpeg_error_mgr errors;
    struct jpeg_progress_mgr progress;
    jmp_buf failed;
    mm_status status;
    mm_error *err;
    const uint8_t *data;
    size_t size;
    mm_jpeg_frame frame;
    uint8_t orientation;      /* the one to apply; 1 when it is to be ignored */
    unsigned components_seen; /* bit i: a scan that holds component i has passed */
    uint8_t *strip;           /* STRIP_ROWS stored rows on their way to a turned image, or CMYK */
    mm_image image;
} reader;

static _Noreturn void give_up(reader *r, mm_status status)
{
    r->status = status;
    longjmp(r->failed, 1);
}

static size_t bytes_read(const reader *r)
{
    return r->codec.src ? r->size - r->codec.src->bytes_in_buffer : 0;
}

static mm_status status_of(int message)
{
    static const struct {
        int message;
        mm_status status;
    } kinds[] = {
        {JERR_OUT_OF_MEMORY, MM_ERR_NOMEM},
        {JERR_IMAGE_TOO_BIG, MM_ERR_LIMIT},
        {JERR_WIDTH_OVERFLOW, MM_ERR_LIMIT},
        {JERR_SOF_UNSUPPORTED, MM_ERR_UNSUPPORTED},
        {JERR_BAD_PRECISION, MM_ERR_UNSUPPORTED},
        {JERR_CCIR601_NOTIMPL, MM_ERR_UNSUPPORTED},
        {JERR_FRACT_SAMPLE_NOTIMPL, MM_ERR_UNSUPPORTED},
        {JERR_CONVERSION_NOTIMPL, MM_ERR_UNSUPPORTED},
        {JERR_BAD_LIB_VERSION, MM_ERR_INTERNAL},
        {JERR_BAD_STRUCT_SIZE, MM_ERR_INTERNAL},
        {JERR_BAD_STATE, MM_ERR_INTERNAL},
    };
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++)
        if (kinds[i].message == message)
            return kinds[i].status;
    return MM_ERR_FORMAT;
}

static _Noreturn void fail_with_library_message(j_common_ptr codec)
{
    reader *r = codec->client_data;
    char text[JMSG_LENGTH_MAX];
    codec->err->format_message(codec, text);
    const mm_status status = status_of(codec->err->msg_code);
    if (status == MM_ERR_NOMEM)
        give_up(r, mm_fail_memory(r->err, "decoding a JPEG"));
    give_up(r, mm_fail(r->err, status, "%s JPEG: %s (near byte %zu of %zu)",
                       status == MM_ERR_FORMAT ? "damaged" : "cannot decode this", text, bytes_read(r), r->size));
}

/* Warnings after which every pixel is still what the encoder meant. All others mean that data is missing or was
 * misread, where libjpeg goes on with grey or smeared blocks. */
static bool warning_is_harmless(const reader *r, int message)
{
    switch (message) {
    case JWRN_ADOBE_XFORM:    /* an unknown code in the Adobe marker; the components' number decides */
    case JWRN_JFIF_MAJOR:     /* a JFIF version other than 1 */
    case JWRN_NOT_SEQUENTIAL: /* spectral bounds in a baseline scan, which have no meaning there */
        return true;
    case JWRN_EXTRANEOUS_DATA: /* stray bytes between header segments; behind a scan they are what it left unread */
        return r->codec.input_scan_number == 0;
    default:
        return false;
    }
}

static void on_message(j_common_ptr codec, int level)
{
    const bool is_warning = level < 0;
    if (is_warning && !warning_is_harmless(codec->client_data, codec->err->msg_code))
        fail_with_library_message(codec);
}

static void print_nothing(j_common_ptr codec)
{
    (void)codec;
}

/* Called by libjpeg before each step of reading. */
static void on_progress(j_common_ptr common)
{
    reader *r = common->client_data;
    const struct jpeg_decompress_struct *codec = &r->codec;
    if (codec->input_scan_number > MAX_SCANS)
        give_up(r, mm_fail(r->err, MM_ERR_LIMIT, "the JPEG has more than %d scans; save it again with a usual encoder",
                           MAX_SCANS));
    for (int i = 0; i < codec->comps_in_scan; i++)
        r->components_seen |= 1u << codec->cur_comp_info[i]->component_index;
}

/* Every block of 8 x 8 samples takes at least 2 bits (the codes of its DC difference and of its end), in a
 * progressive file at least 1 (DC alone; the rest may come in runs of empty blocks). A file that is shorter than
 * that cannot hold the image that its header claims, and gets no memory for it. */
static void check_enough_data(reader *r)
{
    uint64_t blocks = 0;
    for (int i = 0; i < r->codec.num_components; i++)
        blocks += (uint64_t)r->codec.comp_info[i].width_in_blocks * r->codec.comp_info[i].height_in_blocks;
    const uint64_t least_bytes = blocks * (r->frame.progressive ? 1 : 2) / 8;
    if (r->codec.src->bytes_in_buffer < least_bytes)
        give_up(r, mm_fail(r->err, MM_ERR_FORMAT,
                           "damaged JPEG: %u x %u pixels need at least %llu bytes, the file has %zu", r->frame.width,
                           r->frame.height, (unsigned long long)least_bytes, r->size));
}

static void read_header(reader *r)
{
    jpeg_create_decompress(&r->codec);
    r->codec.progress = &r->progress;
    jpeg_mem_src(&r->codec, r->data, r->size);
    (void)jpeg_read_header(&r->codec, TRUE); /* a memory source never suspends, so this is always JPEG_HEADER_OK */
    if (r->codec.image_width != r->frame.width || r->codec.image_height != r->frame.height ||
        r->codec.num_components != r->frame.components)
        give_up(r, mm_fail(r->err, MM_ERR_FORMAT, "damaged JPEG: it has two different frame headers"));
    check_enough_data(r);
    r->codec.out_color_space = r->frame.components == 4 ? JCS_CMYK : JCS_RGB;
}

static void take_memory(reader *r)
{
    const bool swap = mm_orientation_swaps_sides(r->orientation);
    const uint32_t width = r->frame.width, height = r->frame.height;
    const mm_status status = mm_image_new(swap ? height : width, swap ? width : height, &r->image, r->err);
    if (status != MM_OK)
        give_up(r, status);
    if (r->orientation == 1 && r->frame.components != 4)
        return;
    r->strip = malloc((size_t)width * (size_t)r->codec.output_components * STRIP_ROWS);
    if (!r->strip)
        give_up(r, mm_fail_memory(r->err, "decoding a JPEG"));
}

/* The file holds inverted values (the habit of Adobe, which all readers assume), that is the light that each ink lets
 * through. Ink c = 255 - C, so R = K - round(c * K / 255), the rounding and the result those of Pillow's
 * convert("RGB"). In place: 3 bytes of RGB never overtake 4 of CMYK. */
static void cmyk_to_rgb(uint8_t *pixels, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        const uint8_t *cmyk = pixels + 4 * i;
        const uint32_t black = cmyk[3];
        const uint32_t inks[3] = {255u - cmyk[0], 255u - cmyk[1], 255u - cmyk[2]};
        for (int c = 0; c < 3; c++) {
            const uint32_t product = inks[c] * black + 128;
            pixels[3 * i + (size_t)c] = (uint8_t)(black - ((product + (product >> 8)) >> 8));
        }
    }
}

/* Put `count` stored rows, the first of which is row `first`, where the orientation wants them (EXIF 2.3, 4.6.4 A). */
static void place_rows(reader *r, uint32_t first, uint32_t count)
{
    static const struct {
        bool mirror_x, mirror_y; /* of the turned image */
    } turns[9] = {[2] = {true, false}, [3] = {true, true}, [4] = {false, true},
                  [6] = {true, false}, [7] = {true, true}, [8] = {false, true}};
    const uint32_t stored_width = r->frame.width;
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

static void read_rows(reader *r, uint8_t *rows, size_t row_bytes, uint32_t count)
{
    for (uint32_t y = 0; y < count;) {
        JSAMPROW row = rows + y * row_bytes;
        y += jpeg_read_scanlines(&r->codec, &row, 1);
    }
}

static void read_pixels(reader *r)
{
    const uint32_t width = r->frame.width, height = r->frame.height;
    if (!r->strip) {
        read_rows(r, r->image.pixels, (size_t)width * 3, height);
        return;
    }
    const size_t row_bytes = (size_t)width * (size_t)r->codec.output_components;
    for (uint32_t first = 0; first < height; first += STRIP_ROWS) {
        const uint32_t count = height - first < STRIP_ROWS ? height - first : STRIP_ROWS;
        read_rows(r, r->strip, row_bytes, count);
        if (r->frame.components == 4)
            cmyk_to_rgb(r->strip, (size_t)width * count);
        place_rows(r, first, count);
    }
}

static void decode(reader *r)
{
    read_header(r);
    (void)jpeg_start_decompress(&r->codec); /* reads all scans of a file that has several; never suspends, see above */
    const unsigned all_components = (1u << r->codec.num_components) - 1;
    if (jpeg_has_multiple_scans(&r->codec) && r->components_seen != all_components)
        give_up(r, mm_fail(r->err, MM_ERR_FORMAT, "damaged JPEG: the scans of some colour components are missing"));
    take_memory(r);
    read_pixels(r);
    (void)jpeg_finish_decompress(&r->codec); /* reads up to the end marker, so that a cut one is noticed */
}

/* The only setjmp: no local variable of this function can be left half-changed by the jump. */
static bool attempt(reader *r)
{
    if (setjmp(r->failed))
        return false;
    decode(r);
    return true;
}

mm_status mm_image_decode_jpeg(const void *data, size_t size, const mm_jpeg_options *options, mm_image *image,
                               mm_error *err)
{
    *image = (mm_image){0};
    reader r = {.err = err, .data = data, .size = size};
    const mm_status status = mm_jpeg_read_frame(data, size, &r.frame, err);
    if (status != MM_OK)
        return status;
    const uint64_t pixels = (uint64_t)r.frame.width * r.frame.height;
    if (options && options->max_pixels && pixels > options->max_pixels)
        return mm_fail(err, MM_ERR_LIMIT, "%u x %u pixels are more than the limit of %llu; raise the limit to use it",
                       r.frame.width, r.frame.height, (unsigned long long)options->max_pixels);
    r.orientation = options && options->ignore_orientation ? 1 : r.frame.orientation;
    r.codec.err = jpeg_std_error(&r.errors);
    r.errors.error_exit = fail_with_library_message;
    r.errors.emit_message = on_message;
    r.errors.output_message = print_nothing;
    r.progress.progress_monitor = on_progress;
    r.codec.client_data = &r;
    const bool done = attempt(&r);
    jpeg_destroy_decompress(&r.codec);
    free(r.strip);
    if (!done) {
        mm_image_free(&r.image);
        return r.status;
    }
    *image = r.image;
    return MM_OK;
}
