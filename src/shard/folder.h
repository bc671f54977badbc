/* What is in a dataset's folder, told from the names of the files. */
#ifndef MM_SHARD_FOLDER_H
#define MM_SHARD_FOLDER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "maskmill/status.h"

/* Numbers of the shards in folder/shards, rising; none if there is no such folder. The caller frees *numbers. */
MM_RESULT_USED mm_status mm_folder_shards(const char *folder, uint64_t **numbers, size_t *count, mm_error *err);
/* How many journals (*.mmj) are in folder/journal; 0 if there is no such folder. */
MM_RESULT_USED mm_status mm_folder_journals(const char *folder, uint64_t *count, mm_error *err);
/* Whether folder/name is there, whatever it is. */
bool mm_folder_has(const char *folder, const char *name);

#endif
