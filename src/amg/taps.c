#include "amg/taps.h"

#include <math.h>
#include <stdlib.h>

typedef struct linear {
    uint32_t index[2];
    float weight[2];
} linear;

/* Where torch's interpolate(mode="bilinear", align_corners=False) reads for output `i` of one axis. Its position is
 * a float, and its CPU kernels contract the product and the difference: without the fma a few positions in a
 * thousand differ. */
static linear linear_at(uint32_t i, uint32_t in, uint32_t out)
{
    if (in == out)
        return (linear){{i, i}, {1, 0}};
    const float scale = (float)in / (float)out;
    const float position = fmaxf(fmaf(scale, (float)i + 0.5f, -0.5f), 0.0f);
    uint32_t first = (uint32_t)position;
    if (first > in - 1)
        first = in - 1;
    const float second_weight = fminf(position - (float)first, 1.0f);
    const uint32_t second = first < in - 1 ? first + 1 : first;
    return (linear){{first, second}, {1.0f - second_weight, second_weight}};
}

/* Indices come in rising order but for repetitions. */
static void add_tap(mm_taps *taps, double weights[MM_MAX_TAPS], uint32_t index, double weight)
{
    if (weight == 0)
        return;
    uint32_t at = 0;
    while (at < taps->count && taps->index[at] != index)
        at++;
    if (at == taps->count) {
        taps->index[taps->count++] = index;
        weights[at] = 0;
    }
    weights[at] += weight;
}

mm_status mm_taps_compose(uint32_t low, uint32_t image_size, uint32_t input, uint32_t size, mm_taps **taps,
                          mm_error *err)
{
    *taps = calloc(size, sizeof **taps);
    if (!*taps)
        return mm_fail_memory(err, "the interpolation weights of masks");
    for (uint32_t i = 0; i < size; i++) {
        mm_taps *t = &(*taps)[i];
        double weights[MM_MAX_TAPS] = {0};
        const linear outer = linear_at(i, input, size);
        for (int j = 0; j < 2; j++) {
            const linear inner = linear_at(outer.index[j], low, image_size);
            for (int k = 0; k < 2; k++)
                add_tap(t, weights, inner.index[k], (double)outer.weight[j] * (double)inner.weight[k]);
        }
        for (uint32_t k = 0; k < MM_MAX_TAPS; k++) {
            t->weight[k] = (float)weights[k];
            if (k > 0 && k >= t->count)
                t->index[k] = t->index[k - 1];
        }
    }
    return MM_OK;
}
