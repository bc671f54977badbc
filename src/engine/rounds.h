/* The rounds of runs and of parts that are joined. */
#ifndef MM_ENGINE_ROUNDS_H
#define MM_ENGINE_ROUNDS_H

#include "maskmill/rounds.h"

/* Whether the dataset `after` (NULL: fine) has rounds to follow. */
MM_RESULT_USED mm_status mm_rounds_check(const char *after, mm_error *err);

/* Write OUT/engine.json: the rounds of the dataset `after` (NULL: none), and this one, of which stage and models are
 * given, with the counts of the dataset in `out`. Does not depend on what was in `out` before. */
MM_RESULT_USED mm_status mm_rounds_follow(const char *out, const char *after, const mm_round *round, mm_error *err);

/* The same where the last round of the dataset in `part` was that of a part of `out`. */
MM_RESULT_USED mm_status mm_rounds_join(const char *out, const char *part, mm_error *err);

#endif
