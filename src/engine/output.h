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

/* The folder OUT/name, or OUT itself for NULL, with those above it; fine if it is there. */
MM_RESULT_USED mm_status mm_output_make(const char *out, const char *name, mm_error *err);
/* OUT/journal, when nothing in it is needed any more. */
MM_RESULT_USED mm_status mm_output_remove_journal(const char *out, mm_error *err);

typedef enum mm_output_kind {
    MM_OUTPUT_FRESH = 0, /* nothing that could be resumed; mm_output_inspect says whether a run may begin here */
    MM_OUTPUT_SCRAPS,    /* files of a run that died before it had begun */
    MM_OUTPUT_BEGUN,     /* a run that has begun.json and no run.json */
    MM_OUTPUT_COMPLETE   /* a run that has ended */
} mm_output_kind;

MM_RESULT_USED mm_status mm_output_state(const char *out, mm_output_kind *kind, mm_error *err);

/* "out/name" into path[size]; MM_ERR_LIMIT if it is too long. */
MM_RESULT_USED mm_status mm_output_path(const char *out, const char *name, char *path, size_t size, mm_error *err);

/* Put a whole file in its place: temporary name, fsync, rename, fsync of the folder; nothing is left on failure. */
MM_RESULT_USED mm_status mm_output_put(const char *out, const char *name, const void *bytes, size_t size,
                                       mm_error *err);

#endif
