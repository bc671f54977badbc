/* Two lists of runs, walked side by side. */
#include "detect/overlap.h"

uint64_t mm_detect_intersection(const mm_rle *a, const mm_rle *b)
{
    uint64_t common = 0;
    size_t i = 0, k = 0;
    uint32_t left_a = a->count ? a->runs[0] : 0, left_b = b->count ? b->runs[0] : 0;
    while (i < a->count && k < b->count) {
        const uint32_t step = left_a < left_b ? left_a : left_b;
        if (i % 2 == 1 && k % 2 == 1)
            common += step;
        left_a -= step;
        left_b -= step;
        if (left_a == 0 && ++i < a->count)
            left_a = a->runs[i];
        if (left_b == 0 && ++k < b->count)
            left_b = b->runs[k];
    }
    return common;
}

double mm_detect_iou(const mm_rle *a, const mm_rle *b)
{
    const uint64_t common = mm_detect_intersection(a, b), all = mm_rle_area(a) + mm_rle_area(b) - common;
    return all ? (double)common / (double)all : 0.0;
}
