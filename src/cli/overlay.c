#include "overlay.h"

#include <math.h>
#include <stdlib.h>

typedef struct layer {
    const mm_rle *mask;
    uint64_t area;
    size_t index;
} layer;

static int larger_first(const void *a, const void *b)
{
    const layer *one = a, *other = b;
    if (one->area != other->area)
        return one->area > other->area ? -1 : 1;
    return one->index < other->index ? -1 : one->index > other->index;
}

/* Colour i: steps of the golden angle around the hue circle, so that neighbours in number differ most. */
static void colour(size_t index, uint8_t rgb[3])
{
    const double hue = fmod((double)index * 0.6180339887498949, 1.0) * 6.0;
    for (int c = 0; c < 3; c++) {
        const double distance = fabs(fmod(hue + 6.0 - 2.0 * c, 6.0) - 3.0); /* from the opposite hue */
        rgb[c] = (uint8_t)lrint(255.0 * fmin(fmax(distance - 1.0, 0.0), 1.0));
    }
}

static mm_status blend(mm_image *image, layer *layers, size_t count, mm_error *err)
{
    uint8_t *bits = malloc((size_t)image->width * image->height);
    if (!bits)
        return mm_fail_memory(err, "an overlay");
    qsort(layers, count, sizeof layers[0], larger_first);
    for (size_t i = 0; i < count; i++) {
        uint8_t rgb[3];
        colour(i, rgb);
        mm_rle_to_bits(layers[i].mask, bits);
        mm_image_blend_mask(image, bits, rgb, 0.4f, true);
    }
    free(bits);
    return MM_OK;
}

mm_status mm_cli_overlay(mm_image *photograph, uint32_t width, uint32_t height, const mm_rle *masks, size_t count,
                         const char *path, mm_error *err)
{
    if (photograph->width != width || photograph->height != height) {
        mm_image scaled;
        const mm_status status = mm_image_resize_bilinear(mm_image_whole(photograph), width, height, &scaled, err);
        if (status != MM_OK)
            return status;
        mm_image_free(photograph);
        *photograph = scaled;
    }
    layer *layers = calloc(count + 1, sizeof layers[0]); /* + 1: never NULL for nothing */
    if (!layers)
        return mm_fail_memory(err, "an overlay");
    for (size_t i = 0; i < count; i++)
        layers[i] = (layer){&masks[i], mm_rle_area(&masks[i]), i};
    mm_status status = blend(photograph, layers, count, err);
    free(layers);
    if (status == MM_OK)
        status = mm_image_write_png(path, mm_image_whole(photograph), err);
    return status;
}
