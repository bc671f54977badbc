/* What every decoding of a JPEG needs: libjpeg's errors as ours, its warnings looked at, its memory asked for only
 * where the file can fill it. */
#include "image/jpeg_session.h"

#include <jerror.h>

#ifndef LIBJPEG_TURBO_VERSION
#error "maskmill needs libjpeg-turbo's jpeglib.h: other libjpeg upsample differently; masks would not be reproducible"
#endif

/* A progressive file may hold thousands of scans of a few bytes, each of which costs a pass over the image. Real
 * encoders write about ten; 200 leaves room for one scan per coefficient and component. */
enum { MAX_SCANS = 200 };

_Noreturn void mm_jpeg_give_up(mm_jpeg_session *r, mm_status status)
{
    r->status = status;
    longjmp(r->failed, 1);
}

static size_t bytes_read(const mm_jpeg_session *r)
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
    mm_jpeg_session *r = codec->client_data;
    char text[JMSG_LENGTH_MAX];
    codec->err->format_message(codec, text);
    const mm_status status = status_of(codec->err->msg_code);
    if (status == MM_ERR_NOMEM)
        mm_jpeg_give_up(r, mm_fail_memory(r->err, "decoding a JPEG"));
    mm_jpeg_give_up(r, mm_fail(r->err, status, "%s JPEG: %s (near byte %zu of %zu)",
                               status == MM_ERR_FORMAT ? "damaged" : "cannot decode this", text, bytes_read(r),
                               r->size));
}

/* Warnings after which every pixel is still what the encoder meant. All others mean that data is missing or was
 * misread, where libjpeg goes on with grey or smeared blocks. */
static bool warning_is_harmless(const mm_jpeg_session *r, int message)
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
    mm_jpeg_session *r = common->client_data;
    const struct jpeg_decompress_struct *codec = &r->codec;
    if (codec->input_scan_number > MAX_SCANS)
        mm_jpeg_give_up(r, mm_fail(r->err, MM_ERR_LIMIT,
                                   "the JPEG has more than %d scans; save it again with a usual encoder", MAX_SCANS));
    for (int i = 0; i < codec->comps_in_scan; i++)
        r->components_seen |= 1u << codec->cur_comp_info[i]->component_index;
}

/* Every block of 8 x 8 samples takes at least 2 bits (the codes of its DC difference and of its end), in a
 * progressive file at least 1 (DC alone; the rest may come in runs of empty blocks). A file that is shorter than
 * that cannot hold the image that its header claims, and gets no memory for it. */
static void check_enough_data(mm_jpeg_session *r)
{
    uint64_t blocks = 0;
    for (int i = 0; i < r->codec.num_components; i++)
        blocks += (uint64_t)r->codec.comp_info[i].width_in_blocks * r->codec.comp_info[i].height_in_blocks;
    const uint64_t least_bytes = blocks * (r->frame.progressive ? 1 : 2) / 8;
    if (r->codec.src->bytes_in_buffer < least_bytes)
        mm_jpeg_give_up(r, mm_fail(r->err, MM_ERR_FORMAT,
                                   "damaged JPEG: %u x %u pixels need at least %llu bytes, the file has %zu",
                                   r->frame.width, r->frame.height, (unsigned long long)least_bytes, r->size));
}

void mm_jpeg_read_header(mm_jpeg_session *r)
{
    jpeg_create_decompress(&r->codec);
    r->codec.progress = &r->progress;
    jpeg_mem_src(&r->codec, r->data, r->size);
    (void)jpeg_read_header(&r->codec, TRUE); /* a memory source never suspends, so this is always JPEG_HEADER_OK */
    if (r->codec.image_width != r->frame.width || r->codec.image_height != r->frame.height ||
        r->codec.num_components != r->frame.components)
        mm_jpeg_give_up(r, mm_fail(r->err, MM_ERR_FORMAT, "damaged JPEG: it has two different frame headers"));
    check_enough_data(r);
}

void mm_jpeg_start(mm_jpeg_session *r)
{
    (void)jpeg_start_decompress(&r->codec); /* reads all scans of a file that has several; never suspends, see above */
    const unsigned all_components = (1u << r->codec.num_components) - 1;
    if (jpeg_has_multiple_scans(&r->codec) && r->components_seen != all_components)
        mm_jpeg_give_up(r, mm_fail(r->err, MM_ERR_FORMAT,
                                   "damaged JPEG: the scans of some colour components are missing"));
}

void mm_jpeg_read_rows(mm_jpeg_session *r, uint8_t *rows, size_t row_bytes, uint32_t count)
{
    for (uint32_t y = 0; y < count;) {
        JSAMPROW row = rows + y * row_bytes;
        y += jpeg_read_scanlines(&r->codec, &row, 1);
    }
}

void mm_jpeg_cmyk_to_rgb(uint8_t *pixels, size_t count)
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

mm_status mm_jpeg_session_open(mm_jpeg_session *r, const void *data, size_t size, uint64_t max_pixels, mm_error *err)
{
    r->err = err;
    r->data = data;
    r->size = size;
    const mm_status status = mm_jpeg_read_frame(data, size, &r->frame, err);
    if (status != MM_OK)
        return status;
    const uint64_t pixels = (uint64_t)r->frame.width * r->frame.height;
    if (max_pixels && pixels > max_pixels)
        return mm_fail(err, MM_ERR_LIMIT, "%u x %u pixels are more than the limit of %llu; raise the limit to use it",
                       r->frame.width, r->frame.height, (unsigned long long)max_pixels);
    r->codec.err = jpeg_std_error(&r->errors);
    r->errors.error_exit = fail_with_library_message;
    r->errors.emit_message = on_message;
    r->errors.output_message = print_nothing;
    r->progress.progress_monitor = on_progress;
    r->codec.client_data = r;
    return MM_OK;
}

void mm_jpeg_session_close(mm_jpeg_session *r)
{
    jpeg_destroy_decompress(&r->codec);
}
