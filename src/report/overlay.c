#include "report/overlay.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef struct layer {
    const mm_rle *mask;
    uint64_t area;
    size_t index;
    uint8_t rgb[3];
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

/* A mask in the picture's pixels: each takes what its centre shows. */
static void sample(const mm_rle *mask, uint8_t *whole, const mm_image *picture, uint8_t *bits)
{
    mm_rle_to_bits(mask, whole);
    for (uint32_t y = 0; y < picture->height; y++) {
        const uint64_t row = (2 * (uint64_t)y + 1) * mask->height / (2 * (uint64_t)picture->height);
        for (uint32_t x = 0; x < picture->width; x++) {
            const uint64_t column = (2 * (uint64_t)x + 1) * mask->width / (2 * (uint64_t)picture->width);
            bits[(size_t)y * picture->width + x] = whole[row * mask->width + column];
        }
    }
}

static mm_status blend(mm_image *picture, layer *layers, size_t count, mm_error *err)
{
    size_t most = 0; /* pixels of the largest frame, as a rule of the only one */
    for (size_t i = 0; i < count; i++) {
        const size_t pixels = (size_t)layers[i].mask->width * layers[i].mask->height;
        most = pixels > most ? pixels : most;
    }
    uint8_t *bits = malloc((size_t)picture->width * picture->height), *whole = malloc(most + 1);
    if (!bits || !whole) {
        free(bits);
        free(whole);
        return mm_fail_memory(err, "an overlay");
    }
    for (size_t i = 0; i < count; i++) {
        const mm_rle *mask = layers[i].mask;
        if (mask->width == picture->width && mask->height == picture->height)
            mm_rle_to_bits(mask, bits);
        else
            sample(mask, whole, picture, bits);
        mm_image_blend_mask(picture, bits, layers[i].rgb, 0.4f, true);
    }
    free(bits);
    free(whole);
    return MM_OK;
}

mm_status mm_overlay_draw_coloured(mm_image *picture, const mm_rle *masks, const uint8_t (*colours)[3], size_t count,
                                   mm_error *err)
{
    layer *layers = calloc(count + 1, sizeof layers[0]); /* + 1: never NULL for nothing */
    if (!layers)
        return mm_fail_memory(err, "an overlay");
    for (size_t i = 0; i < count; i++)
        layers[i] = (layer){.mask = &masks[i], .area = mm_rle_area(&masks[i]), .index = i};
    qsort(layers, count, sizeof layers[0], larger_first);
    for (size_t i = 0; i < count; i++)
        if (colours)
            memcpy(layers[i].rgb, colours[layers[i].index], sizeof layers[i].rgb);
        else
            colour(i, layers[i].rgb);
    const mm_status status = blend(picture, layers, count, err);
    free(layers);
    return status;
}

mm_status mm_overlay_draw(mm_image *picture, const mm_rle *masks, size_t count, mm_error *err)
{
    return mm_overlay_draw_coloured(picture, masks, NULL, count, err);
}

mm_status mm_overlay_write(mm_image *photograph, uint32_t width, uint32_t height, const mm_rle *masks, size_t count,
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
    const mm_status status = mm_overlay_draw(photograph, masks, count, err);
    return status == MM_OK ? mm_image_write_png(path, mm_image_whole(photograph), err) : status;
}
