/* /statistics: mm_stats as datasets, one row of the table each. */
#include <string.h>

#include "shard/layout.h"

typedef struct statistic {
    const char *name;
    size_t field;  /* in mm_stats */
    uint32_t rows; /* 1 and width 0: a single count */
    uint32_t width;
} statistic;

static const statistic statistics[] = {
    {"images_done", offsetof(mm_stats, images_done), 1, 0},
    {"images_set_aside", offsetof(mm_stats, images_set_aside), 1, 0},
    {"masks", offsetof(mm_stats, masks), 1, 0},
    {"pixels_masked", offsetof(mm_stats, pixels_masked), 1, 0},
    {"rle_bytes", offsetof(mm_stats, rle_bytes), 1, 0},
    {"masks_per_image", offsetof(mm_stats, masks_per_image), MM_STATS_MASK_BINS, 0},
    {"relative_size", offsetof(mm_stats, relative_size), MM_STATS_UNIT_BINS, 0},
    {"concavity", offsetof(mm_stats, concavity), MM_STATS_UNIT_BINS, 0},
    {"predicted_iou", offsetof(mm_stats, predicted_iou), MM_STATS_UNIT_BINS, 0},
    {"stability_score", offsetof(mm_stats, stability_score), MM_STATS_UNIT_BINS, 0},
    {"centres", offsetof(mm_stats, centres), MM_STATS_CENTRE_SIDE, MM_STATS_CENTRE_SIDE},
    {"image_long_side", offsetof(mm_stats, image_long_side), MM_STATS_MASK_BINS, 0},
    {"funnel", offsetof(mm_stats, funnel), 8, 0},
    /* From here on only where they say something: see is_wanted. */
    {"masks_by_source", offsetof(mm_stats, masks_by_source), MM_STATS_SOURCES, 0},
    {"confident_masks", offsetof(mm_stats, confident_masks), 1, 0},
    {"hint_masks", offsetof(mm_stats, hint_masks), 1, 0},
    {"confident_detector_score", offsetof(mm_stats, confident_detector_score), MM_STATS_UNIT_BINS, 0},
    {"confident_predicted_iou", offsetof(mm_stats, confident_predicted_iou), MM_STATS_UNIT_BINS, 0},
    {"confident_stability_score", offsetof(mm_stats, confident_stability_score), MM_STATS_UNIT_BINS, 0},
    {"hint_predicted_iou", offsetof(mm_stats, hint_predicted_iou), MM_STATS_UNIT_BINS, 0},
    {"hint_stability_score", offsetof(mm_stats, hint_stability_score), MM_STATS_UNIT_BINS, 0},
};
enum { ALWAYS = 13, BY_SOURCE = ALWAYS }; /* the first rows; the one after them */
enum { STATISTICS = sizeof statistics / sizeof statistics[0] };

/* A run by itself has neither further masks nor masks that are not automatic, and nothing is said of them. */
static bool is_wanted(int which, const mm_stats *stats)
{
    const uint64_t *values = (const uint64_t *)(const void *)((const char *)stats + statistics[which].field);
    uint32_t first = which == BY_SOURCE; /* automatic masks alone say nothing */
    while (first < statistics[which].rows && values[first] == 0)
        first++;
    return which < ALWAYS || first < statistics[which].rows;
}

/* What a file says that does not have it. */
static void set_missing(int which, mm_stats *stats)
{
    uint64_t *values = (uint64_t *)(void *)((char *)stats + statistics[which].field);
    memset(values, 0, statistics[which].rows * sizeof *values);
    if (which == BY_SOURCE)
        values[0] = stats->masks;
}

/* For readers: the lower edges of masks_per_image's bins, which follow from no formula in the file. */
static mm_status write_edges(hid_t group, mm_error *err)
{
    const mm_h5_column column = {"masks_per_image_edges", MM_H5_U64, 0};
    uint64_t edges[MM_STATS_MASK_BINS];
    for (uint32_t i = 0; i < MM_STATS_MASK_BINS; i++)
        edges[i] = mm_stats_mask_edge(i);
    return mm_h5_column_put(group, &column, MM_STATS_MASK_BINS, edges, err);
}

mm_status mm_statistics_write(hid_t file, const mm_stats *stats, mm_error *err)
{
    hid_t group;
    mm_status status = mm_h5_group_create(file, "statistics", &group, err);
    if (status != MM_OK)
        return status;
    for (int i = 0; status == MM_OK && i < STATISTICS; i++) {
        const mm_h5_column column = {statistics[i].name, MM_H5_U64, statistics[i].width};
        if (!is_wanted(i, stats))
            continue;
        status = mm_h5_column_put(group, &column, statistics[i].rows, (const char *)stats + statistics[i].field, err);
    }
    if (status == MM_OK)
        status = write_edges(group, err);
    if (H5Gclose(group) < 0 && status == MM_OK)
        status = mm_h5_fail(err, MM_ERR_INTERNAL, "cannot finish the statistics");
    return status;
}

mm_status mm_statistics_read(hid_t file, mm_stats *stats, mm_error *err)
{
    const hid_t group = H5Gopen2(file, "statistics", H5P_DEFAULT);
    if (group < 0)
        return mm_h5_fail(err, MM_ERR_FORMAT, "the group statistics is missing");
    mm_status status = MM_OK;
    for (int i = 0; status == MM_OK && i < STATISTICS; i++) {
        const mm_h5_column column = {statistics[i].name, MM_H5_U64, statistics[i].width};
        hid_t dataset;
        uint64_t rows;
        if (i >= ALWAYS && H5Lexists(group, column.name, H5P_DEFAULT) == 0) {
            set_missing(i, stats);
            continue;
        }
        status = mm_h5_column_open(group, &column, &dataset, &rows, err);
        if (status != MM_OK)
            break;
        if (rows != statistics[i].rows)
            status = mm_fail(err, MM_ERR_FORMAT, "the statistic %s has %llu values where it should have %u",
                             statistics[i].name, (unsigned long long)rows, statistics[i].rows);
        if (status == MM_OK)
            status = mm_h5_column_read(dataset, &column, 0, rows, (char *)stats + statistics[i].field, err);
        (void)H5Dclose(dataset); /* only read from */
    }
    (void)H5Gclose(group); /* only read from */
    return status;
}
