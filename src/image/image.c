/* image: JPEG in, RGB, resampling, PNG out. This file is the buffer itself and the views into it. */
#include "maskmill/image.h"

#include <stdlib.h>

mm_status mm_image_new(uint32_t width, uint32_t height, mm_image *image, mm_error *err)
{
    *image = (mm_image){0};
    if (width == 0 || height == 0)
        return mm_fail(err, MM_ERR_USAGE, "an image of %u x %u pixels has no content; give both sides at least 1", width,
                       height);
    size_t bytes;
    if (__builtin_mul_overflow((size_t)width * 3, (size_t)height, &bytes) || bytes > PTRDIFF_MAX)
        return mm_fail(err, MM_ERR_LIMIT, "an image of %u x %u pixels does not fit into memory", width, height);
    uint8_t *pixels = malloc(bytes);
    if (!pixels)
        return mm_fail_memory(err, "the pixels of an image");
    *image = (mm_image){.pixels = pixels, .width = width, .height = height};
    return MM_OK;
}

void mm_image_free(mm_image *image)
{
    free(image->pixels);
    *image = (mm_image){0};
}

mm_image_view mm_image_whole(const mm_image *image)
{
    return (mm_image_view){
        .pixels = image->pixels, .width = image->width, .height = image->height, .stride = (size_t)image->width * 3};
}

mm_image_view mm_image_crop(mm_image_view view, uint32_t x0, uint32_t y0, uint32_t x1, uint32_t y1)
{
    return (mm_image_view){.pixels = view.pixels + y0 * view.stride + (size_t)x0 * 3,
                           .width = x1 - x0,
                           .height = y1 - y0,
                           .stride = view.stride};
}
