#include "shard/survey.h"

#include <limits.h>
#include <stdlib.h>

#include "shard/file.h"

_Static_assert(sizeof(mm_stats) % sizeof(uint64_t) == 0, "statistics are added up as an array of counts");

static mm_status survey_open_shard(const mm_shard_file *shard, const mm_shard_origin *origin, mm_shard_list *list,
                                   size_t k, mm_stats *total, mm_error *err)
{
    list->columns[SHARD_FIRST_IMAGE][k] = shard->first_image;
    list->columns[SHARD_IMAGES][k] = shard->image_count;
    for (int t = 0; t < MASK_TABLES; t++) {
        list->columns[mm_shard_list_masks[t]][k] = shard->tables[t].mask_count;
        list->columns[mm_shard_list_rle_bytes[t]][k] = shard->tables[t].rle_bytes;
    }
    mm_stats *stats = malloc(sizeof *stats);
    if (!stats)
        return mm_fail_memory(err, "statistics");
    mm_status status = mm_origin_check(shard->file, origin, err);
    if (status == MM_OK)
        status = mm_statistics_read(shard->file, stats, err);
    if (status == MM_OK)
        mm_stats_merge(total, stats);
    free(stats);
    return status;
}

static mm_status survey_shard(const char *out, const mm_shard_origin *origin, mm_shard_list *list, size_t k,
                              mm_stats *total, mm_error *err)
{
    char path[PATH_MAX];
    mm_seal seal = {.bytes = 0};
    mm_shard_file shard;
    mm_status status = mm_shard_path(out, list->first_shard + k, path, sizeof path, err);
    if (status == MM_OK)
        status = mm_seal_read(path, &seal, err);
    if (status == MM_OK)
        status = mm_shard_file_open(path, &shard, err); /* reads the content against the seal */
    if (status != MM_OK)
        return status;
    list->columns[SHARD_BYTES][k] = seal.bytes;
    list->columns[SHARD_DIGEST][k] = seal.digest;
    status = survey_open_shard(&shard, origin, list, k, total, err);
    if (status != MM_OK && err)
        (void)mm_error_prefix(err, "shard %s", path);
    mm_shard_file_close(&shard);
    return status;
}

mm_status mm_survey(mm_comm *comm, const char *out, const mm_shard_origin *origin, mm_shard_list *list, mm_stats *stats,
                    mm_error *err)
{
    const size_t ranks = comm ? (size_t)mm_comm_size(comm) : 1, rank = comm ? (size_t)mm_comm_rank(comm) : 0;
    mm_status status = MM_OK;
    mm_stats_clear(stats);
    for (size_t k = rank; status == MM_OK && k < list->count; k += ranks)
        status = survey_shard(out, origin, list, k, stats, err);
    status = mm_comm_agree(comm, status, err);
    /* Each row was filled by one rank and is zero on the others. */
    for (int c = 0; status == MM_OK && c < SHARD_COLUMNS; c++)
        status = mm_comm_sum(comm, list->columns[c], list->count, err);
    if (status == MM_OK)
        status = mm_comm_sum(comm, (uint64_t *)stats, sizeof *stats / sizeof(uint64_t), err);
    return status == MM_OK ? mm_shard_list_sum(list, err) : status;
}
