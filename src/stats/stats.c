/* stats: counts and histograms of a dataset, in integers, so that any order of adding and merging gives the same. */
#include "maskmill/stats.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "journal/columns.h"

_Static_assert(sizeof(mm_stats) % sizeof(uint64_t) == 0, "mm_stats is counts and nothing else");
_Static_assert(sizeof(mm_funnel) == 8 * sizeof(uint64_t), "the funnel is eight counts");

void mm_stats_clear(mm_stats *stats)
{
    *stats = (mm_stats){0};
}

void mm_stats_merge(mm_stats *into, const mm_stats *from)
{
    uint64_t *to = (uint64_t *)(void *)into;
    const uint64_t *add = (const uint64_t *)(const void *)from;
    for (size_t i = 0; i < sizeof *into / sizeof *to; i++)
        to[i] += add[i];
}

uint32_t mm_stats_mask_edge(uint32_t bin)
{
    /* floor(2^16 * 2^(r/4)); shifted right it gives floor(2^(i/4)) exactly, without a libm that may round its own way.
     */
    static const uint32_t quarter[4] = {65536, 77935, 92681, 110217};
    if (bin <= 16)
        return bin;
    if (bin >= MM_STATS_MASK_BINS)
        return UINT32_MAX;
    return quarter[bin % 4] >> (16 - bin / 4);
}

static uint32_t mask_bin(uint64_t masks)
{
    uint32_t bin = 0;
    while (bin + 1 < MM_STATS_MASK_BINS && masks >= mm_stats_mask_edge(bin + 1))
        bin++;
    return bin;
}

static void add_unit(uint64_t *histogram, double hundredfold)
{
    if (isnan(hundredfold))
        return; /* 0/0: the stability of a mask without sure pixels */
    const double bin = floor(hundredfold);
    histogram[bin <= 0 ? 0 : bin >= MM_STATS_UNIT_BINS - 1 ? MM_STATS_UNIT_BINS - 1 : (int)bin]++;
}

static uint32_t centre_cell(double position, uint32_t side)
{
    const double cell = floor(MM_STATS_CENTRE_SIDE * position / side);
    return cell <= 0 ? 0 : cell >= MM_STATS_CENTRE_SIDE - 1 ? MM_STATS_CENTRE_SIDE - 1 : (uint32_t)cell;
}

static void add_mask(mm_stats *stats, const mm_record *record, uint64_t i, const mm_rle *rle)
{
    const double area = (double)mm_rle_area(rle), frame = (double)record->width * record->height;
    const double hull = mm_rle_hull_area(rle);
    double x, y;
    mm_rle_centre(rle, &x, &y);
    stats->masks++;
    stats->masks_by_source[record->source[i] < MM_STATS_SOURCES ? record->source[i] : 0]++;
    stats->pixels_masked += mm_rle_area(rle);
    stats->rle_bytes += record->rle_offset[i + 1] - record->rle_offset[i];
    add_unit(stats->relative_size, 100 * sqrt(area / frame));
    add_unit(stats->concavity, hull > 0 ? 100 * (1 - area / hull) : 0);
    /* The scores are f32 and so is this product: 0.95f belongs to bin 95, and in double it would fall into 94. */
    add_unit(stats->predicted_iou, (double)(100 * record->predicted_iou[i]));
    add_unit(stats->stability_score, (double)(100 * record->stability_score[i]));
    stats->centres[centre_cell(y, record->height) * MM_STATS_CENTRE_SIDE + centre_cell(x, record->width)]++;
}

/* scores[count] may be NULL. f32, as in add_mask. */
static void add_scores(uint64_t *histogram, const float *scores, uint64_t count)
{
    for (uint64_t i = 0; scores && i < count; i++)
        add_unit(histogram, (double)(100 * scores[i]));
}

static void add_further(mm_stats *stats, const mm_record *confident, const mm_record *hints)
{
    if (confident) {
        const uint64_t count = stats->confident_masks = confident->mask_count;
        add_scores(stats->confident_detector_score, confident->detector_score, count);
        add_scores(stats->confident_predicted_iou, confident->predicted_iou, count);
        add_scores(stats->confident_stability_score, confident->stability_score, count);
    }
    if (hints) {
        const uint64_t count = stats->hint_masks = hints->mask_count;
        add_scores(stats->hint_predicted_iou, hints->predicted_iou, count);
        add_scores(stats->hint_stability_score, hints->stability_score, count);
    }
}

mm_status mm_stats_add(mm_stats *stats, const mm_record *record, mm_error *err)
{
    if (record->status == MM_IMAGE_SET_ASIDE) {
        stats->images_set_aside++;
        return MM_OK;
    }
    if (record->status != MM_IMAGE_DONE)
        return MM_OK;
    mm_stats *one = calloc(1, sizeof *one);
    if (!one)
        return mm_fail_memory(err, "statistics");
    mm_status status = MM_OK;
    for (uint64_t i = 0; status == MM_OK && i < record->mask_count; i++) {
        mm_rle rle;
        status = mm_record_check_mask(record, i, &rle, err);
        if (status == MM_OK) {
            add_mask(one, record, i, &rle);
            mm_rle_free(&rle);
        }
    }
    if (status == MM_OK) {
        const uint32_t side = record->width > record->height ? record->width : record->height;
        const uint32_t last = MM_STATS_MASK_BINS - 1;
        one->images_done = 1;
        one->masks_per_image[mask_bin(record->mask_count)]++;
        one->image_long_side[side / 128 < last ? side / 128 : last]++;
        memcpy(one->funnel, &record->funnel, sizeof one->funnel);
        add_further(one, record->confident, record->hints);
        mm_stats_merge(stats, one);
    }
    free(one);
    return status;
}
