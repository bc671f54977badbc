/* Looking through all shards before they become a dataset. */
#ifndef MM_SHARD_SURVEY_H
#define MM_SHARD_SURVEY_H

#include "shard/list.h"

/* Collective if `comm` is not NULL; ranks share the shards. Every shard of `list`, which has count and first_shard, is
 * read once through: it must be whole, of this origin, and follow the one before it. All ranks get the list with its sums,
 * and the sum of the statistics. Whoever calls this holds an mm_h5_silence. */
MM_RESULT_USED mm_status mm_survey(mm_comm *comm, const char *out, const mm_shard_origin *origin, mm_shard_list *list,
                                   mm_stats *stats, mm_error *err);

#endif
