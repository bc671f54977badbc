/* A copy of a JPEG at another size and quality, as people make them: copy_jpeg IN OUT WIDTH QUALITY [grey|progressive].
 * WIDTH 0 keeps the size. */
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jpeglib.h>

#include "base/file.h"
#include "maskmill/image.h"

static void encode(const mm_image *image, FILE *out, int quality, const char *kind)
{
    struct jpeg_error_mgr errors;
    struct jpeg_compress_struct encoder = {.err = jpeg_std_error(&errors)}; /* ends the process if it fails */
    jpeg_create_compress(&encoder);
    jpeg_stdio_dest(&encoder, out);
    encoder.image_width = image->width;
    encoder.image_height = image->height;
    encoder.input_components = 3;
    encoder.in_color_space = JCS_RGB;
    jpeg_set_defaults(&encoder);
    if (strcmp(kind, "grey") == 0)
        jpeg_set_colorspace(&encoder, JCS_GRAYSCALE);
    if (strcmp(kind, "progressive") == 0)
        jpeg_simple_progression(&encoder);
    jpeg_set_quality(&encoder, quality, TRUE);
    jpeg_start_compress(&encoder, TRUE);
    while (encoder.next_scanline < encoder.image_height) {
        JSAMPROW row = image->pixels + (size_t)encoder.next_scanline * image->width * 3;
        (void)jpeg_write_scanlines(&encoder, &row, 1); /* to a stream: always the one row */
    }
    jpeg_finish_compress(&encoder);
    jpeg_destroy_compress(&encoder);
}

static mm_status copy(char **words, const char *kind, mm_error *err)
{
    uint8_t *bytes = NULL;
    size_t size = 0;
    mm_image image = {0}, resized = {0};
    mm_status status = mm_file_read(words[0], 0, &bytes, &size, err);
    if (status == MM_OK)
        status = mm_image_decode_jpeg(bytes, size, NULL, &image, err);
    free(bytes);
    if (status != MM_OK)
        return status;
    const uint32_t asked = (uint32_t)strtoul(words[2], NULL, 10), width = asked ? asked : image.width;
    const uint32_t height = (uint32_t)((uint64_t)image.height * width / image.width);
    status = mm_image_resize_bilinear(mm_image_whole(&image), width, height ? height : 1, &resized, err);
    FILE *out = status == MM_OK ? fopen(words[1], "wb") : NULL;
    if (out)
        encode(&resized, out, atoi(words[3]), kind);
    if (status == MM_OK && (!out || fclose(out) != 0))
        status = mm_fail_errno(err, "cannot write %s", words[1]);
    mm_image_free(&image);
    mm_image_free(&resized);
    return status;
}

int main(int argc, char **argv)
{
    mm_error err = {0};
    if (argc != 5 && argc != 6) {
        (void)fprintf(stderr, "usage: copy_jpeg IN OUT WIDTH QUALITY [grey|progressive]\n");
        return 2;
    }
    if (copy(argv + 1, argc == 6 ? argv[5] : "", &err) == MM_OK)
        return EXIT_SUCCESS;
    (void)fprintf(stderr, "%s\n", err.text);
    return EXIT_FAILURE;
}
