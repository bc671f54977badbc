/* Where the photographs of a dataset are. */
#ifndef MM_CLI_PHOTOGRAPHS_H
#define MM_CLI_PHOTOGRAPHS_H

#include "maskmill/shard.h"

/* The manifest of a dataset, or of the one that a single shard belongs to; `corpus` (may be NULL) is where the
 * photographs are now. The caller frees *manifest. */
MM_RESULT_USED mm_status mm_cli_open_manifest(const mm_dataset *dataset, const char *corpus, mm_manifest **manifest,
                                              mm_error *err);

#endif
