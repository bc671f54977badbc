/* The output folder: what may be there before a run, and small files put into it in one step. */
#ifndef MM_ENGINE_OUTPUT_H
#define MM_ENGINE_OUTPUT_H

#include <stdbool.h>
#include <stddef.h>

#include "maskmill/status.h"

/* Could a run write here? Changes nothing. MM_ERR_USAGE if there is something in the folder and `overwrite` is not set,
 * or what is there is no dataset; MM_ERR_IO if it cannot be made or written. */
MM_RESULT_USED mm_status mm_output_inspect(const char *out, bool overwrite, mm_error *err);

/* Inspect again, remove an earlier dataset (only files that maskmill writes), make OUT and OUT/shards. */
MM_RESULT_USED mm_status mm_output_prepare(const char *out, bool overwrite, mm_error *err);

/* The folder and those above it that are not there. */
MM_RESULT_USED mm_status mm_output_make_folders(const char *path, mm_error *err);

/* "out/name" into path[size]; MM_ERR_LIMIT if it is too long. */
MM_RESULT_USED mm_status mm_output_path(const char *out, const char *name, char *path, size_t size, mm_error *err);

/* Put a whole file in its place: temporary name, fsync, rename, fsync of the folder; nothing is left on failure. */
MM_RESULT_USED mm_status mm_output_put(const char *out, const char *name, const void *bytes, size_t size,
                                       mm_error *err);

#endif
