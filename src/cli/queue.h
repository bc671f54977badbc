/* The parts of `maskmill queue`. */
#ifndef MM_CLI_QUEUE_H
#define MM_CLI_QUEUE_H

#include "arguments.h"
#include "cli.h"

mm_cli_command mm_cli_queue_build;
mm_cli_command mm_cli_queue_export;
mm_cli_command mm_cli_queue_import;
mm_cli_command mm_cli_queue_status;

/* A whole number from `least` to `most`; otherwise what mm_cli_refuse returns. */
error_t mm_cli_queue_number(struct argp_state *state, const char *option, const char *word, uint64_t least,
                            uint64_t most, uint64_t *number);

#endif
