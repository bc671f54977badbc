/* Near-duplicates, when the configuration asks for them. */
#ifndef MM_ENGINE_DUPLICATES_H
#define MM_ENGINE_DUPLICATES_H

#include "maskmill/corpus.h"
#include "maskmill/engine.h"

/* Collective, with the manifest on rank 0, which gets hashes and groups. Groups that it brings along are taken if they
 * were looked for as the configuration says. */
MM_RESULT_USED mm_status mm_find_duplicates(mm_comm *comm, const mm_config *config, mm_manifest *manifest, bool quiet,
                                            mm_error *err);

#endif
