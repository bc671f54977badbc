/* The stem in bf16: bytes to pixels to both convolutions, a few rows at a time, so that neither pixels nor the first result
 * leave the cache. Both are kept with their margin, in which the convolutions find their padding. */
#include "model/tiny_vit_bf16.h"

#include <omp.h>
#include <string.h>

/* Output rows of a stem job; pixels are stored with a fourth channel, of zeros, because products take pairs. */
enum { STEM_ROWS = 4, PIXEL = MM_TINY_STEM_CHANNELS };

/* Sides of the image and of the two convolutions' results. */
typedef struct stem_sizes {
    size_t image, half, quarter;
} stem_sizes;

static stem_sizes stem_sizes_of(const mm_arch *arch)
{
    const size_t half = (arch->image_size - 1) / 2 + 1;
    return (stem_sizes){.image = arch->image_size, .half = half, .quarter = (half - 1) / 2 + 1};
}

/* bf16 values of a row with its margin, a pixel on either side. */
static size_t image_row(const stem_sizes *sizes)
{
    return (sizes->image + 2) * PIXEL;
}

static size_t half_row(const stem_sizes *sizes, const mm_arch *arch)
{
    return (sizes->half + 2) * (arch->tiny.embed_dims[0] / 2);
}

size_t mm_tiny_stem_scratch(const mm_arch *arch)
{
    const stem_sizes sizes = stem_sizes_of(arch);
    const size_t stem = (2 * (2 * STEM_ROWS + 1) + 1) * image_row(&sizes) + (2 * STEM_ROWS + 1) * half_row(&sizes, arch);
    return (stem + 1) / 2;
}

/* What a byte becomes: (x - mean) / std of its channel. */
typedef struct normal_values {
    mm_bf16 of[3][256];
} normal_values;

static void tabulate(const mm_arch *arch, normal_values *normal)
{
    for (size_t c = 0; c < 3; c++)
        for (size_t byte = 0; byte < 256; byte++)
            normal->of[c][byte] = mm_bf16_from(((float)byte - arch->pixel_mean[c]) / arch->pixel_std[c]);
}

/* Row y of the padded image with its margin (y counts from 1, row 0 is the margin): zeros wherever there is no pixel. */
static void fill_image_row(mm_image_view image, const normal_values *normal, size_t y, size_t count, mm_bf16 *out)
{
    memset(out, 0, count * sizeof *out);
    if (y == 0 || y > image.height)
        return;
    const uint8_t *pixel = image.pixels + (y - 1) * image.stride;
    for (size_t x = 0; x < image.width; x++, pixel += 3) {
        out += PIXEL;
        for (size_t c = 0; c < 3; c++)
            out[c] = normal->of[c][pixel[c]];
    }
}

/* Rows y0 to y1 of the stem's result. Rows of the first convolution's result, and of the image, count from the margin. */
static void stem_rows(const mm_tiny_vit *tiny, const mm_context *context, mm_image_view image,
                      const normal_values *normal, size_t y0, size_t y1, mm_bf16 *out)
{
    const stem_sizes sizes = stem_sizes_of(tiny->arch);
    const size_t pitch = half_row(&sizes, tiny->arch), channels = tiny->stem1.out;
    mm_bf16 *half = (mm_bf16 *)context->scratch[omp_get_thread_num()];
    mm_bf16 *pixels = half + (2 * STEM_ROWS + 1) * pitch;
    const size_t first = 2 * y0, count = 2 * (y1 - y0) + 1; /* rows of the first result that the second one takes */
    /* Those of them that exist. */
    const size_t begin = first ? first : 1, end = first + count <= sizes.half + 1 ? first + count : sizes.half + 1;
    for (size_t i = 0; i < 2 * (end - begin) + 1; i++)
        fill_image_row(image, normal, 2 * (begin - 1) + i, image_row(&sizes), pixels + i * image_row(&sizes));
    memset(half, 0, count * pitch * sizeof *half);
    const mm_bf16_convolution stem1 = {.in = pixels, .in_row = image_row(&sizes), .channels = PIXEL, .stride = 2,
                                       .rows = end - begin, .columns = sizes.half, .b = tiny->stem1.packed,
                                       .bias = tiny->stem1.bias, .epilogue = MM_GELU_TO_BF16,
                                       .out = half + (begin - first) * pitch + channels, .out_row = pitch};
    context->bf16->convolution(&stem1);
    const mm_bf16_convolution stem2 = {.in = half, .in_row = pitch, .channels = channels, .stride = 2, .rows = y1 - y0,
                                       .columns = sizes.quarter, .b = tiny->stem2.packed, .bias = tiny->stem2.bias,
                                       .epilogue = MM_TO_BF16, .out = out + y0 * sizes.quarter * tiny->stem2.out,
                                       .out_row = sizes.quarter * tiny->stem2.out};
    context->bf16->convolution(&stem2);
}

void mm_tiny_stem_run(const mm_tiny_vit *tiny, const mm_context *context, mm_image_view image, mm_bf16 *out)
{
    const size_t side = stem_sizes_of(tiny->arch).quarter;
    normal_values normal;
    tabulate(tiny->arch, &normal);
#pragma omp parallel for num_threads((int)context->kernels->threads) schedule(dynamic)
    for (size_t y = 0; y < side; y += STEM_ROWS)
        stem_rows(tiny, context, image, &normal, y, side - y < STEM_ROWS ? side : y + STEM_ROWS, out);
}
