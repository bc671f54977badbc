/* Commands that make masks of many images: `run`, and `detect` of a corpus or a dataset. */
#ifndef MM_CLI_RUN_H
#define MM_CLI_RUN_H

#include <limits.h>

#include "arguments.h"

typedef struct mm_cli_run_arguments {
    mm_cli_input base;
    mm_cli_model_options model;
    const char **sources;
    size_t source_count;
    const char *out, *after;
    const char *shards; /* as typed; NULL for all */
    uint64_t first_shard, last_shard;
    char part[PATH_MAX]; /* `out` if there is a range */
    bool overwrite, resume;
    bool out_is_optional; /* set by a command that can do without -o */
    const char *dataset;  /* set by a command that takes images from a dataset; then `sources` do not matter */
} mm_cli_run_arguments;

/* A child of a command's parser; its input is an mm_cli_run_arguments with `base` set. Takes all positional words. */
extern const struct argp mm_cli_run_argp;

/* Bring MPI up, run, print the summary. The status that this rank should return. */
MM_RESULT_USED mm_status mm_cli_run_images(const mm_cli_run_arguments *arguments, int argc, char **argv,
                                           int *exit_status, mm_error *err);

#endif
