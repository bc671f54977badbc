/* Masks laid over a photograph, for people to look at. */
#include "maskmill/image.h"

static bool is_border(const uint8_t *bits, uint32_t width, uint32_t height, uint32_t x, uint32_t y)
{
    const uint8_t *bit = bits + (size_t)y * width + x;
    return x == 0 || y == 0 || x + 1 == width || y + 1 == height || !bit[-1] || !bit[1] || !bit[-(ptrdiff_t)width] ||
           !bit[width];
}

void mm_image_blend_mask(mm_image *image, const uint8_t *bits, const uint8_t rgb[3], float alpha, bool outline)
{
    const float weight = alpha > 0 ? (alpha < 1 ? alpha : 1) : 0;
    uint8_t blended[3][256];
    for (int c = 0; c < 3; c++)
        for (int value = 0; value < 256; value++)
            blended[c][value] = (uint8_t)((float)value + weight * (float)(rgb[c] - value) + 0.5f);
    for (uint32_t y = 0; y < image->height; y++) {
        for (uint32_t x = 0; x < image->width; x++) {
            const size_t at = (size_t)y * image->width + x;
            if (!bits[at])
                continue;
            const bool full = outline && is_border(bits, image->width, image->height, x, y);
            for (int c = 0; c < 3; c++) {
                uint8_t *value = image->pixels + 3 * at + (size_t)c;
                *value = full ? rgb[c] : blended[c][*value];
            }
        }
    }
}
