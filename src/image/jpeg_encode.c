/* RGB to a JPEG in memory, for pictures that are to be looked at. */
#include <setjmp.h>
#include <stdio.h> /* jpeglib.h needs FILE and does not ask for it */
#include <stdlib.h>

#include <jpeglib.h>

#include "maskmill/image.h"

enum { MAX_SIDE = 65500 };

typedef struct encoder {
    struct jpeg_compress_struct codec;
    struct jpeg_error_mgr errors;
    jmp_buf failed;
    char reason[JMSG_LENGTH_MAX];
    unsigned char *bytes;
    unsigned long size;
} encoder;

static _Noreturn void on_error(j_common_ptr common)
{
    encoder *e = common->client_data;
    common->err->format_message(common, e->reason);
    longjmp(e->failed, 1);
}

static void on_message(j_common_ptr common, int level)
{
    (void)common;
    (void)level; /* an encoder has nothing to warn of */
}

/* No local variable changes after setjmp. */
static bool encode(encoder *e, mm_image_view view, int quality)
{
    if (setjmp(e->failed))
        return false;
    jpeg_create_compress(&e->codec);
    jpeg_mem_dest(&e->codec, &e->bytes, &e->size);
    e->codec.image_width = view.width;
    e->codec.image_height = view.height;
    e->codec.input_components = 3;
    e->codec.in_color_space = JCS_RGB;
    jpeg_set_defaults(&e->codec);
    jpeg_set_quality(&e->codec, quality, TRUE);
    e->codec.optimize_coding = TRUE;
    jpeg_start_compress(&e->codec, TRUE);
    while (e->codec.next_scanline < view.height) {
        /* The library's rows are not const, though it only reads them. */
        JSAMPROW row = (JSAMPROW)(uintptr_t)(view.pixels + e->codec.next_scanline * view.stride);
        (void)jpeg_write_scanlines(&e->codec, &row, 1); /* memory takes all there is, or on_error is called */
    }
    jpeg_finish_compress(&e->codec);
    return true;
}

mm_status mm_image_encode_jpeg(mm_image_view view, int quality, uint8_t **bytes, size_t *size, mm_error *err)
{
    if (view.width == 0 || view.height == 0 || view.width > MAX_SIDE || view.height > MAX_SIDE)
        return mm_fail(err, MM_ERR_USAGE, "a JPEG cannot have %u x %u pixels", view.width, view.height);
    encoder e = {0};
    e.codec.err = jpeg_std_error(&e.errors);
    e.codec.client_data = &e;
    e.errors.error_exit = on_error;
    e.errors.emit_message = on_message;
    const bool encoded = encode(&e, view, quality);
    jpeg_destroy_compress(&e.codec);
    if (!encoded) {
        free(e.bytes);
        return mm_fail(err, MM_ERR_NOMEM, "writing a JPEG: %s", e.reason);
    }
    *bytes = e.bytes;
    *size = e.size;
    return MM_OK;
}
