/* RGB to a PNG file. Overlays are made for a look and not to be kept, so speed counts before size. */
#include <errno.h>
#include <png.h>
#include <setjmp.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "maskmill/image.h"

typedef struct writer {
    png_structp png;
    png_infop info;
    FILE *file;
    char reason[128];
} writer;

static void on_error(png_structp png, png_const_charp message)
{
    writer *w = png_get_error_ptr(png);
    (void)snprintf(w->reason, sizeof w->reason, "%s", message); /* a cut reason is still one */
    png_longjmp(png, 1);
}

static void on_warning(png_structp png, png_const_charp message)
{
    (void)png;
    (void)message; /* libpng warns about metadata only, and none is written */
}

/* No local variable changes after setjmp. */
static bool write_all(writer *w, mm_image_view view)
{
    if (setjmp(png_jmpbuf(w->png)))
        return false;
    png_init_io(w->png, w->file);
    png_set_IHDR(w->png, w->info, view.width, view.height, 8, PNG_COLOR_TYPE_RGB, PNG_INTERLACE_NONE,
                 PNG_COMPRESSION_TYPE_DEFAULT, PNG_FILTER_TYPE_DEFAULT);
    png_set_compression_level(w->png, 1);
    png_set_filter(w->png, PNG_FILTER_TYPE_BASE, PNG_FILTER_SUB | PNG_FILTER_UP);
    png_write_info(w->png, w->info);
    for (uint32_t y = 0; y < view.height; y++)
        png_write_row(w->png, view.pixels + y * view.stride);
    png_write_end(w->png, w->info);
    return true;
}

/* A half-written file is removed, but not a device that was given as the path. */
static void remove_regular_file(const char *path, FILE *file)
{
    struct stat status;
    if (fstat(fileno(file), &status) == 0 && S_ISREG(status.st_mode))
        (void)unlink(path); /* the write has failed already, and that is what is reported */
}

mm_status mm_image_write_png(const char *path, mm_image_view view, mm_error *err)
{
    if (view.width == 0 || view.height == 0)
        return mm_fail(err, MM_ERR_USAGE, "%s: an empty image cannot be written", path);
    writer w = {0};
    w.png = png_create_write_struct(PNG_LIBPNG_VER_STRING, &w, on_error, on_warning);
    w.info = w.png ? png_create_info_struct(w.png) : NULL;
    if (!w.info) {
        png_destroy_write_struct(&w.png, &w.info);
        return mm_fail_memory(err, "writing a PNG");
    }
    w.file = fopen(path, "wb");
    if (!w.file) {
        png_destroy_write_struct(&w.png, &w.info);
        return mm_fail_errno(err, "cannot write %s", path);
    }
    errno = 0;
    bool written = write_all(&w, view) && fflush(w.file) == 0;
    const int write_errno = errno;
    png_destroy_write_struct(&w.png, &w.info);
    if (!written)
        remove_regular_file(path, w.file);
    const bool closed = fclose(w.file) == 0;
    if (written && closed)
        return MM_OK;
    if (written)
        return mm_fail_errno(err, "cannot write %s", path);
    errno = write_errno;
    return errno ? mm_fail_errno(err, "cannot write %s", path)
                 : mm_fail(err, MM_ERR_IO, "cannot write %s: %s", path, w.reason);
}
