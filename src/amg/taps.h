/* Both bilinear steps from low-res logits to pixels as one: which low-res samples a pixel is made of. */
#ifndef MM_AMG_TAPS_H
#define MM_AMG_TAPS_H

#include <stdint.h>

#include "maskmill/status.h"

#define MM_MAX_TAPS 4

/* Sum of weight[k] * sample[index[k]]. Unused taps repeat the last index with weight 0. */
typedef struct mm_taps {
    uint32_t index[MM_MAX_TAPS];
    float weight[MM_MAX_TAPS];
    uint32_t count;
} mm_taps;

/* One axis: `low` samples to `image_size` (step one), cut to `input`, to `size` pixels (step two).
 * All at least 1, input <= image_size. The caller frees *taps. */
MM_RESULT_USED mm_status mm_taps_compose(uint32_t low, uint32_t image_size, uint32_t input, uint32_t size,
                                         mm_taps **taps, mm_error *err);

#endif
