#include "stats/distribution.h"

#include <math.h>

static double unit_edge(uint32_t bin)
{
    return bin / (double)MM_STATS_UNIT_BINS;
}

static double mask_edge(uint32_t bin)
{
    return mm_stats_mask_edge(bin);
}

static double side_edge(uint32_t bin)
{
    return 128.0 * bin;
}

void mm_distributions_of(const mm_stats *stats, mm_distribution all[MM_DISTRIBUTIONS])
{
    all[MM_DISTRIBUTION_MASKS_PER_IMAGE] =
        (mm_distribution){"masks per image", stats->masks_per_image, MM_STATS_MASK_BINS, mask_edge, true, true};
    all[MM_DISTRIBUTION_RELATIVE_SIZE] =
        (mm_distribution){"relative mask size", stats->relative_size, MM_STATS_UNIT_BINS, unit_edge, false, false};
    all[MM_DISTRIBUTION_CONCAVITY] =
        (mm_distribution){"concavity", stats->concavity, MM_STATS_UNIT_BINS, unit_edge, false, false};
    all[MM_DISTRIBUTION_PREDICTED_IOU] =
        (mm_distribution){"predicted IoU", stats->predicted_iou, MM_STATS_UNIT_BINS, unit_edge, false, false};
    all[MM_DISTRIBUTION_STABILITY_SCORE] =
        (mm_distribution){"stability score", stats->stability_score, MM_STATS_UNIT_BINS, unit_edge, false, false};
    all[MM_DISTRIBUTION_LONG_SIDE] =
        (mm_distribution){"long side, pixels", stats->image_long_side, MM_STATS_MASK_BINS, side_edge, true, true};
}

static mm_distribution unit_distribution(const char *name, const uint64_t *counts)
{
    return (mm_distribution){name, counts, MM_STATS_UNIT_BINS, unit_edge, false, false};
}

void mm_distributions_of_further(const mm_stats *stats, mm_distribution all[MM_FURTHER_DISTRIBUTIONS])
{
    all[MM_FURTHER_DETECTOR_SCORE] = unit_distribution("confident: detector", stats->confident_detector_score);
    all[MM_FURTHER_CONFIDENT_IOU] = unit_distribution("confident: IoU", stats->confident_predicted_iou);
    all[MM_FURTHER_CONFIDENT_STABILITY] = unit_distribution("confident: stability", stats->confident_stability_score);
    all[MM_FURTHER_HINT_IOU] = unit_distribution("hints: predicted IoU", stats->hint_predicted_iou);
    all[MM_FURTHER_HINT_STABILITY] = unit_distribution("hints: stability", stats->hint_stability_score);
}

uint64_t mm_distribution_total(const mm_distribution *of)
{
    uint64_t sum = 0;
    for (uint32_t i = 0; i < of->bins; i++)
        sum += of->counts[i];
    return sum;
}

double mm_distribution_quantile(const mm_distribution *of, double q)
{
    uint64_t rank = (uint64_t)ceil(q * (double)mm_distribution_total(of)), below = 0;
    rank = rank ? rank : 1;
    for (uint32_t i = 0; i < of->bins; i++) {
        below += of->counts[i];
        if (below >= rank)
            return of->edge(i);
    }
    return of->edge(of->bins - 1);
}
