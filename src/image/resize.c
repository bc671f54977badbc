/* Pillow's bilinear resampling for 8-bit images (its src/libImaging/Resample.c), result for result.
 *
 * A separable filter: each output coordinate is a weighted mean of the input coordinates under a triangle, which is as
 * wide as one pixel on enlargement and grows with the factor on reduction. Weights are made in double, rounded to
 * 22-bit fixed point, and the image is rounded to 8 bits between the horizontal and the vertical pass.
 *
 * Weights stand here as two 16-bit parts, weight = high * 256 + low (0 <= weight <= 2^22, so high <= 2^14): sums of
 * 16-bit products are one instruction on x86 (pmaddwd), and high * 256 + low is the same integer in the end. */
#include "maskmill/image.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#ifdef __SSE2__
#include <emmintrin.h>
#endif

enum {
    WEIGHT_BITS = 22,
    LOW_BITS = 8,
    /* Rounding lifts the sum of n weights from 2^22 by n / 2 at most. With 2^20 of them 255 times the sum still fits
     * into 31 bits. No JPEG comes near. */
    MAX_SIDE = 1 << 20
};

/* How each coordinate of the output is made from those of the input, along one axis. */
typedef struct axis {
    uint32_t length;      /* of the output */
    uint32_t taps;        /* weights kept for each output coordinate: even, zeros behind the last that counts */
    uint32_t *first;      /* length: the input coordinate that the first weight belongs to */
    uint32_t *count;      /* length: how many weights count; never 0 */
    int16_t *high, *low;  /* length x taps */
} axis;

static void axis_free(axis *a)
{
    free(a->first);
    free(a->count);
    free(a->high);
    free(a->low);
}

static double triangle(double x)
{
    return x < 1.0 && x > -1.0 ? 1.0 - fabs(x) : 0.0;
}

/* Weights of one output coordinate. The order of these operations on doubles is Pillow's; another order rounds
 * other weights. */
static void weigh(axis *a, uint32_t out, uint32_t input_length, double scale, double *scratch)
{
    const double support = scale < 1.0 ? 1.0 : scale;
    const double inverse = 1.0 / support;
    const double centre = (out + 0.5) * scale;
    const double begin = centre - support + 0.5, end = centre + support + 0.5;
    const uint32_t first = begin < 0 ? 0 : (uint32_t)begin;
    const uint32_t behind = end > input_length ? input_length : (uint32_t)end;
    double sum = 0;
    for (uint32_t i = first; i < behind; i++) {
        scratch[i - first] = triangle((i - centre + 0.5) * inverse);
        sum += scratch[i - first];
    }
    a->first[out] = first;
    a->count[out] = behind - first;
    for (uint32_t i = 0; i < behind - first; i++) {
        const double share = sum != 0.0 ? scratch[i] / sum : scratch[i];
        const int32_t weight = (int32_t)(0.5 + share * (1 << WEIGHT_BITS));
        a->high[(size_t)out * a->taps + i] = (int16_t)(weight >> LOW_BITS);
        a->low[(size_t)out * a->taps + i] = (int16_t)(weight & ((1 << LOW_BITS) - 1));
    }
}

/* The caller frees with axis_free, on failure too. */
static mm_status axis_init(uint32_t input_length, uint32_t length, axis *a, mm_error *err)
{
    const double scale = (double)input_length / length;
    const double support = scale < 1.0 ? 1.0 : scale;
    *a = (axis){.length = length, .taps = ((uint32_t)ceil(support) * 2 + 1 + 1) & ~1u};
    const size_t weights = (size_t)length * a->taps;
    a->first = malloc(length * sizeof *a->first);
    a->count = malloc(length * sizeof *a->count);
    a->high = calloc(weights, sizeof *a->high);
    a->low = calloc(weights, sizeof *a->low);
    double *scratch = malloc(a->taps * sizeof *scratch);
    const bool have_all = a->first && a->count && a->high && a->low && scratch;
    for (uint32_t out = 0; have_all && out < length; out++)
        weigh(a, out, input_length, scale, scratch);
    free(scratch);
    return have_all ? MM_OK : mm_fail_memory(err, "resampling an image");
}

static uint8_t round_to_byte(int32_t high, int32_t low)
{
    const int32_t value = (high * (1 << LOW_BITS) + low + (1 << (WEIGHT_BITS - 1))) >> WEIGHT_BITS;
    return value > 255 ? 255 : (uint8_t)value;
}

/* One byte of the output: samples `step` bytes apart. */
static uint8_t weighted_mean(const uint8_t *samples, size_t step, const int16_t *high, const int16_t *low,
                             uint32_t count)
{
    int32_t sum_high = 0, sum_low = 0;
    for (uint32_t i = 0; i < count; i++) {
        sum_high += samples[i * step] * high[i];
        sum_low += samples[i * step] * low[i];
    }
    return round_to_byte(sum_high, sum_low);
}

#ifdef __SSE2__
/* Two 16-bit weights in all four 32-bit lanes. */
static __m128i both_weights(const int16_t *weights)
{
    int32_t pair;
    memcpy(&pair, weights, sizeof pair);
    return _mm_set1_epi32(pair);
}

/* Sums for 16 bytes of output, four lanes a register. */
typedef struct sums {
    __m128i high[4], low[4];
} sums;

/* Add a * weight[0] + b * weight[1] for 16 pairs of bytes. */
static inline void add_pairs(sums *s, __m128i a, __m128i b, __m128i high, __m128i low)
{
    const __m128i zero = _mm_setzero_si128();
    const __m128i halves[2] = {_mm_unpacklo_epi8(a, b), _mm_unpackhi_epi8(a, b)};
    for (int i = 0; i < 4; i++) {
        const __m128i pairs =
            i % 2 == 0 ? _mm_unpacklo_epi8(halves[i / 2], zero) : _mm_unpackhi_epi8(halves[i / 2], zero);
        s->high[i] = _mm_add_epi32(s->high[i], _mm_madd_epi16(pairs, high));
        s->low[i] = _mm_add_epi32(s->low[i], _mm_madd_epi16(pairs, low));
    }
}

/* round_to_byte for 16 lanes; the packing instructions saturate. */
static inline __m128i round_to_bytes(const sums *s)
{
    const __m128i half = _mm_set1_epi32(1 << (WEIGHT_BITS - 1));
    __m128i value[4];
    for (int i = 0; i < 4; i++)
        value[i] = _mm_srai_epi32(_mm_add_epi32(_mm_add_epi32(_mm_slli_epi32(s->high[i], LOW_BITS), s->low[i]), half),
                                  WEIGHT_BITS);
    return _mm_packus_epi16(_mm_packs_epi32(value[0], value[1]), _mm_packs_epi32(value[2], value[3]));
}

enum { GROUP = 4 }; /* rows that go through the horizontal pass together, a pixel of each in one register */

/* Pixel x of four rows side by side, 4 bytes each (the last one of each four is a stray neighbour and never used), and
 * a zero pixel behind them for the unused second half of a last pair. packed: (width + 1) * 16 bytes. */
static void pack_rows(mm_image_view input, uint32_t y, uint8_t *packed)
{
    const uint8_t *rows = input.pixels + y * input.stride;
    for (uint32_t x = 0; x + 1 < input.width; x++)
        for (uint32_t row = 0; row < GROUP; row++)
            memcpy(packed + 16 * (size_t)x + 4 * row, rows + row * input.stride + 3 * (size_t)x, 4);
    const size_t last = input.width - 1;
    memset(packed + 16 * last, 0, 32);
    for (uint32_t row = 0; row < GROUP; row++)
        memcpy(packed + 16 * last + 4 * row, rows + row * input.stride + 3 * last, 3);
}

/* Rows y .. y + 3 of the input to rows at `output`, each a->length * 3 bytes. */
static void resample_row_group(mm_image_view input, uint32_t y, const axis *a, uint8_t *packed, uint8_t *output)
{
    const size_t output_stride = (size_t)a->length * 3;
    pack_rows(input, y, packed);
    for (uint32_t x = 0; x < a->length; x++) {
        const uint8_t *pixels = packed + 16 * (size_t)a->first[x];
        const int16_t *high = a->high + (size_t)x * a->taps, *low = a->low + (size_t)x * a->taps;
        sums s = {0};
        for (uint32_t i = 0; i < a->count[x]; i += 2) {
            const __m128i here = _mm_loadu_si128((const __m128i *)(const void *)(pixels + 16 * (size_t)i));
            const __m128i next = _mm_loadu_si128((const __m128i *)(const void *)(pixels + 16 * (size_t)i + 16));
            add_pairs(&s, here, next, both_weights(high + i), both_weights(low + i));
        }
        uint8_t bytes[16];
        _mm_storeu_si128((__m128i *)(void *)bytes, round_to_bytes(&s));
        for (uint32_t row = 0; row < GROUP; row++)
            memcpy(output + row * output_stride + 3 * (size_t)x, bytes + 4 * row, 3);
    }
}

/* The first columns of one output row, 16 bytes at a time; returns how many bytes are done. */
static size_t resample_columns(const uint8_t *rows, size_t stride, size_t row_bytes, const int16_t *high,
                               const int16_t *low, uint32_t count, uint8_t *output)
{
    size_t at = 0;
    for (; at + 16 <= row_bytes; at += 16) {
        sums s = {0};
        for (uint32_t i = 0; i < count; i += 2) {
            const uint8_t *here = rows + i * stride + at;
            const uint8_t *next = i + 1 < count ? here + stride : here; /* its weight is 0 then */
            add_pairs(&s, _mm_loadu_si128((const __m128i *)(const void *)here),
                      _mm_loadu_si128((const __m128i *)(const void *)next), both_weights(high + i),
                      both_weights(low + i));
        }
        _mm_storeu_si128((__m128i *)(void *)(output + at), round_to_bytes(&s));
    }
    return at;
}
#endif

/* output: input.height rows of a->length * 3 bytes. */
static mm_status resample_horizontally(mm_image_view input, const axis *a, uint8_t *output, mm_error *err)
{
    const size_t output_stride = (size_t)a->length * 3;
    uint32_t y = 0;
#ifdef __SSE2__
    uint8_t *packed = malloc(((size_t)input.width + 1) * 16);
    if (!packed)
        return mm_fail_memory(err, "resampling an image");
    for (; y + GROUP <= input.height; y += GROUP)
        resample_row_group(input, y, a, packed, output + y * output_stride);
    free(packed);
#else
    (void)err;
#endif
    for (; y < input.height; y++) {
        const uint8_t *row = input.pixels + y * input.stride;
        for (size_t i = 0; i < output_stride; i++) {
            const size_t x = i / 3;
            output[y * output_stride + i] = weighted_mean(row + 3 * (size_t)a->first[x] + i % 3, 3,
                                                          a->high + x * a->taps, a->low + x * a->taps, a->count[x]);
        }
    }
    return MM_OK;
}

/* output: a->length rows of input.width * 3 bytes. Row 0 of the input is row `skipped` of the axis. */
static void resample_vertically(mm_image_view input, uint32_t skipped, const axis *a, uint8_t *output)
{
    const size_t row_bytes = (size_t)input.width * 3;
    for (uint32_t y = 0; y < a->length; y++) {
        const uint8_t *rows = input.pixels + (a->first[y] - skipped) * input.stride;
        const int16_t *high = a->high + (size_t)y * a->taps, *low = a->low + (size_t)y * a->taps;
        uint8_t *row = output + y * row_bytes;
        size_t at = 0;
#ifdef __SSE2__
        at = resample_columns(rows, input.stride, row_bytes, high, low, a->count[y], row);
#endif
        for (; at < row_bytes; at++)
            row[at] = weighted_mean(rows + at, input.stride, high, low, a->count[y]);
    }
}

/* Pillow's choice since release 13; earlier ones always begin with the rows. Because each pass rounds, the order
 * shows in the result. Where the sides keep their proportion, this is true for reductions of images more than twice as
 * tall as wide. */
static bool columns_come_first(mm_image_view input, const mm_image *output)
{
    return output->height < input.height &&
           (int64_t)input.height - output->height > 2 * ((int64_t)input.width - output->width);
}

static mm_status resample_columns_first(mm_image_view input, const axis *across, const axis *down, mm_image *output,
                                        mm_error *err)
{
    mm_image between;
    mm_status status = mm_image_new(input.width, down->length, &between, err);
    if (status != MM_OK)
        return status;
    resample_vertically(input, 0, down, between.pixels);
    status = resample_horizontally(mm_image_whole(&between), across, output->pixels, err);
    mm_image_free(&between);
    return status;
}

/* Leaves out rows that the vertical pass never reads. */
static mm_status resample_rows_first(mm_image_view input, const axis *across, const axis *down, mm_image *output,
                                     mm_error *err)
{
    const uint32_t first = down->first[0];
    const uint32_t behind = down->first[down->length - 1] + down->count[down->length - 1];
    mm_image between;
    mm_status status = mm_image_new(across->length, behind - first, &between, err);
    if (status != MM_OK)
        return status;
    status = resample_horizontally(mm_image_crop(input, 0, first, input.width, behind), across, between.pixels, err);
    if (status == MM_OK)
        resample_vertically(mm_image_whole(&between), first, down, output->pixels);
    mm_image_free(&between);
    return status;
}

static mm_status resample(mm_image_view input, const axis *across, const axis *down, mm_image *output, mm_error *err)
{
    if (input.height == output->height)
        return resample_horizontally(input, across, output->pixels, err);
    if (input.width == output->width) {
        resample_vertically(input, 0, down, output->pixels);
        return MM_OK;
    }
    if (columns_come_first(input, output))
        return resample_columns_first(input, across, down, output, err);
    return resample_rows_first(input, across, down, output, err);
}

mm_status mm_image_resize_bilinear(mm_image_view view, uint32_t width, uint32_t height, mm_image *resized,
                                   mm_error *err)
{
    *resized = (mm_image){0};
    if (view.width == 0 || view.height == 0)
        return mm_fail(err, MM_ERR_USAGE, "an empty image cannot be resized");
    if (view.width > MAX_SIDE || view.height > MAX_SIDE || width > MAX_SIDE || height > MAX_SIDE)
        return mm_fail(err, MM_ERR_LIMIT, "cannot resize %u x %u pixels to %u x %u: no side may exceed %d", view.width,
                       view.height, width, height, MAX_SIDE);
    mm_image output;
    mm_status status = mm_image_new(width, height, &output, err);
    if (status != MM_OK)
        return status;
    if (view.width == width && view.height == height) {
        for (uint32_t y = 0; y < height; y++)
            memcpy(output.pixels + (size_t)y * width * 3, view.pixels + y * view.stride, (size_t)width * 3);
        *resized = output;
        return MM_OK;
    }
    axis across = {0}, down = {0};
    status = axis_init(view.width, width, &across, err);
    if (status == MM_OK)
        status = axis_init(view.height, height, &down, err);
    if (status == MM_OK)
        status = resample(view, &across, &down, &output, err);
    axis_free(&across);
    axis_free(&down);
    if (status != MM_OK) {
        mm_image_free(&output);
        return status;
    }
    *resized = output;
    return MM_OK;
}
