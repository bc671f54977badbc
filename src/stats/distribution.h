/* The histograms of mm_stats with what their bins mean, for those who show them. */
#ifndef MM_STATS_DISTRIBUTION_H
#define MM_STATS_DISTRIBUTION_H

#include "maskmill/stats.h"

enum {
    MM_DISTRIBUTION_MASKS_PER_IMAGE = 0,
    MM_DISTRIBUTION_RELATIVE_SIZE,
    MM_DISTRIBUTION_CONCAVITY,
    MM_DISTRIBUTION_PREDICTED_IOU,
    MM_DISTRIBUTION_STABILITY_SCORE,
    MM_DISTRIBUTION_LONG_SIDE,
    MM_DISTRIBUTIONS
};

/* Of the scores of further masks. */
enum {
    MM_FURTHER_DETECTOR_SCORE = 0, /* of confident masks, like the next two */
    MM_FURTHER_CONFIDENT_IOU,
    MM_FURTHER_CONFIDENT_STABILITY,
    MM_FURTHER_HINT_IOU,
    MM_FURTHER_HINT_STABILITY,
    MM_FURTHER_DISTRIBUTIONS
};

typedef struct mm_distribution {
    const char *name; /* for people */
    const uint64_t *counts;
    uint32_t bins;
    double (*edge)(uint32_t bin); /* lower edge */
    bool counted;                 /* whole numbers rather than parts of one */
    bool open;                    /* the last bin has no upper edge */
} mm_distribution;

/* Borrows the counts. */
void mm_distributions_of(const mm_stats *stats, mm_distribution all[MM_DISTRIBUTIONS]);
void mm_distributions_of_further(const mm_stats *stats, mm_distribution all[MM_FURTHER_DISTRIBUTIONS]);
uint64_t mm_distribution_total(const mm_distribution *of);
/* Lower edge of the bin in which the q-quantile lies, 0 < q <= 1: exact to the width of a bin. */
double mm_distribution_quantile(const mm_distribution *of, double q);

#endif
