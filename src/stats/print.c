/* Statistics as a page of text for people, and as one JSON object for programs. */
#include <inttypes.h>
#include <string.h>

#include "stats/distribution.h"

static const char *const funnel_names[8] = {"candidates", "after_iou",      "after_stability", "after_area",
                                            "after_edge", "after_crop_nms", "after_image_nms", "kept"};

static const double quantiles[] = {0.05, 0.25, 0.5, 0.75, 0.95};
enum { QUANTILES = 5 };

static void print_distribution(const mm_distribution *of, FILE *out)
{
    const uint64_t sum = mm_distribution_total(of);
    (void)fprintf(out, "  %-22s", of->name);
    for (int q = 0; q < QUANTILES; q++) {
        if (sum == 0)
            (void)fprintf(out, "%9s", "-");
        else
            (void)fprintf(out, of->counted ? "%9.0f" : "%9.2f", mm_distribution_quantile(of, quantiles[q]));
    }
    (void)fputc('\n', out);
}

/* Mask centres as 8 x 16 characters, each the mean of 8 x 4 cells, darker where there are more. */
static void print_centres(const mm_stats *stats, FILE *out)
{
    enum { ROWS = 8, COLUMNS = 16 };
    static const char shades[] = " .:-=+*#%@";
    uint64_t sums[ROWS][COLUMNS] = {{0}}, most = 0;
    for (int y = 0; y < MM_STATS_CENTRE_SIDE; y++)
        for (int x = 0; x < MM_STATS_CENTRE_SIDE; x++)
            sums[y * ROWS / MM_STATS_CENTRE_SIDE][x * COLUMNS / MM_STATS_CENTRE_SIDE] +=
                stats->centres[y * MM_STATS_CENTRE_SIDE + x];
    for (int y = 0; y < ROWS; y++)
        for (int x = 0; x < COLUMNS; x++)
            most = sums[y][x] > most ? sums[y][x] : most;
    (void)fprintf(out, "mask centres (darkest: %" PRIu64 ")\n", most);
    for (int y = 0; y < ROWS; y++) {
        (void)fputs("  |", out);
        for (int x = 0; x < COLUMNS; x++)
            (void)fputc(most ? shades[(size_t)(9.0 * (double)sums[y][x] / (double)most + 0.5)] : ' ', out);
        (void)fputs("|\n", out);
    }
}

static void print_funnel(const mm_stats *stats, FILE *out)
{
    (void)fputs("masks left after each step\n", out);
    for (int i = 0; i < 8; i++) {
        (void)fprintf(out, "  %-22s%15" PRIu64, funnel_names[i], stats->funnel[i]);
        if (stats->funnel[0] > 0)
            (void)fprintf(out, "%9.2f %%", 100.0 * (double)stats->funnel[i] / (double)stats->funnel[0]);
        (void)fputc('\n', out);
    }
}

static bool has_sources(const mm_stats *stats)
{
    return stats->masks_by_source[1] || stats->masks_by_source[2];
}

static bool has_further(const mm_stats *stats)
{
    return stats->confident_masks || stats->hint_masks;
}

/* Lines that only a dataset of the later stages has, and a blank one. */
static void print_sources(const mm_stats *stats, FILE *out)
{
    if (has_sources(stats))
        (void)fprintf(out, "        %" PRIu64 " automatic, %" PRIu64 " confident, %" PRIu64 " human\n",
                      stats->masks_by_source[0], stats->masks_by_source[1], stats->masks_by_source[2]);
    if (has_further(stats))
        (void)fprintf(out, "beside  %" PRIu64 " confident masks, %" PRIu64 " hints\n", stats->confident_masks,
                      stats->hint_masks);
    (void)fputc('\n', out);
}

static mm_status finish(FILE *out, mm_error *err)
{
    if (fflush(out) == 0 && !ferror(out))
        return MM_OK;
    return mm_fail_errno(err, "cannot write the statistics");
}

mm_status mm_stats_print_text(const mm_stats *stats, FILE *out, mm_error *err)
{
    mm_distribution all[MM_DISTRIBUTIONS], further[MM_FURTHER_DISTRIBUTIONS];
    mm_distributions_of(stats, all);
    const double images = stats->images_done ? (double)stats->images_done : 1;
    const double masks = stats->masks ? (double)stats->masks : 1;
    (void)fprintf(out, "images  %" PRIu64 " done, %" PRIu64 " set aside\n", stats->images_done,
                  stats->images_set_aside);
    (void)fprintf(out, "masks   %" PRIu64 ", %.1f an image, %.0f pixels and %.0f bytes each\n", stats->masks,
                  (double)stats->masks / images, (double)stats->pixels_masked / masks,
                  (double)stats->rle_bytes / masks);
    print_sources(stats, out);
    (void)fprintf(out, "  %-22s%9s%9s%9s%9s%9s\n", "", "5 %", "25 %", "median", "75 %", "95 %");
    for (size_t i = 0; i < MM_DISTRIBUTIONS; i++)
        print_distribution(&all[i], out);
    mm_distributions_of_further(stats, further);
    for (size_t i = 0; i < MM_FURTHER_DISTRIBUTIONS; i++)
        if (mm_distribution_total(&further[i]) > 0)
            print_distribution(&further[i], out);
    (void)fputs("  (lower edge of the bin that holds the quantile)\n\n", out);
    print_funnel(stats, out);
    (void)fputc('\n', out);
    print_centres(stats, out);
    return finish(out, err);
}

static void print_array(FILE *out, const char *name, const uint64_t *values, size_t count)
{
    (void)fprintf(out, ",\n \"%s\": [", name);
    for (size_t i = 0; i < count; i++)
        (void)fprintf(out, "%s%" PRIu64, i ? ", " : "", values[i]);
    (void)fputc(']', out);
}

static const char *const further_keys[MM_FURTHER_DISTRIBUTIONS] = {
    "confident_detector_score", "confident_predicted_iou", "confident_stability_score", "hint_predicted_iou",
    "hint_stability_score"};

mm_status mm_stats_print_json(const mm_stats *stats, FILE *out, mm_error *err)
{
    (void)fprintf(out,
                  "{\"images_done\": %" PRIu64 ", \"images_set_aside\": %" PRIu64 ", \"masks\": %" PRIu64
                  ", \"pixels_masked\": %" PRIu64 ", \"rle_bytes\": %" PRIu64,
                  stats->images_done, stats->images_set_aside, stats->masks, stats->pixels_masked, stats->rle_bytes);
    if (has_sources(stats))
        (void)fprintf(out, ",\n \"masks_by_source\": {\"automatic\": %" PRIu64 ", \"confident\": %" PRIu64
                      ", \"human\": %" PRIu64 "}", stats->masks_by_source[0], stats->masks_by_source[1],
                      stats->masks_by_source[2]);
    if (has_further(stats))
        (void)fprintf(out, ",\n \"confident_masks\": %" PRIu64 ", \"hint_masks\": %" PRIu64, stats->confident_masks,
                      stats->hint_masks);
    mm_distribution further[MM_FURTHER_DISTRIBUTIONS];
    mm_distributions_of_further(stats, further);
    for (int i = 0; i < MM_FURTHER_DISTRIBUTIONS; i++)
        if (mm_distribution_total(&further[i]) > 0)
            print_array(out, further_keys[i], further[i].counts, further[i].bins);
    (void)fputs(",\n \"funnel\": {", out);
    for (int i = 0; i < 8; i++)
        (void)fprintf(out, "%s\"%s\": %" PRIu64, i ? ", " : "", funnel_names[i], stats->funnel[i]);
    (void)fputc('}', out);
    uint64_t edges[MM_STATS_MASK_BINS];
    for (uint32_t i = 0; i < MM_STATS_MASK_BINS; i++)
        edges[i] = mm_stats_mask_edge(i);
    print_array(out, "masks_per_image_edges", edges, MM_STATS_MASK_BINS);
    print_array(out, "masks_per_image", stats->masks_per_image, MM_STATS_MASK_BINS);
    print_array(out, "relative_size", stats->relative_size, MM_STATS_UNIT_BINS);
    print_array(out, "concavity", stats->concavity, MM_STATS_UNIT_BINS);
    print_array(out, "predicted_iou", stats->predicted_iou, MM_STATS_UNIT_BINS);
    print_array(out, "stability_score", stats->stability_score, MM_STATS_UNIT_BINS);
    print_array(out, "image_long_side", stats->image_long_side, MM_STATS_MASK_BINS);
    (void)fputs(",\n \"centres\": [", out);
    for (int y = 0; y < MM_STATS_CENTRE_SIDE; y++) {
        (void)fputs(y ? ",\n  [" : "\n  [", out);
        for (int x = 0; x < MM_STATS_CENTRE_SIDE; x++)
            (void)fprintf(out, "%s%" PRIu64, x ? ", " : "", stats->centres[y * MM_STATS_CENTRE_SIDE + x]);
        (void)fputc(']', out);
    }
    (void)fputs("]}\n", out);
    return finish(out, err);
}
