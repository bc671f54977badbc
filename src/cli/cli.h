/* cli: the maskmill program. A command parses its arguments, calls the library and prints; it does no work itself. */
#ifndef MM_CLI_CLI_H
#define MM_CLI_CLI_H

#include <stdbool.h>
#include <stdio.h>

#include "maskmill/status.h"

/* A command gets the whole command line (argv[1] is its name). Failures are returned: main prints the line and turns
 * the status into an exit status. A command that succeeds with something to say to scripts sets *exit_status. */
typedef mm_status mm_cli_command(int argc, char **argv, int *exit_status, mm_error *err);

enum { MM_EXIT_DONE = 0, MM_EXIT_SET_ASIDE = 1, MM_EXIT_USAGE = 2, MM_EXIT_STOPPED = 3, MM_EXIT_FAULT = 4 };

mm_cli_command mm_cli_run;
mm_cli_command mm_cli_suspect; /* started by `run` itself, never by people */
mm_cli_command mm_cli_segment;
mm_cli_command mm_cli_detect;
mm_cli_command mm_cli_scan;
mm_cli_command mm_cli_stats;
mm_cli_command mm_cli_status;
mm_cli_command mm_cli_report;
mm_cli_command mm_cli_show;
mm_cli_command mm_cli_verify;
mm_cli_command mm_cli_export;
mm_cli_command mm_cli_merge;
mm_cli_command mm_cli_model;
mm_cli_command mm_cli_bench;
mm_cli_command mm_cli_train;
mm_cli_command mm_cli_queue;
mm_cli_command mm_cli_eval;
mm_cli_command mm_cli_embed;
mm_cli_command mm_cli_annotate;
mm_cli_command mm_cli_engine;

/* False on ranks other than the first, as the launcher numbers them: before MPI is up, and in commands that need no
 * MPI, these stay silent and idle when a user starts such a command under mpirun. */
bool mm_cli_first_rank(void);

/* Where a command's result goes: `path`, or stdout for NULL. Close with mm_cli_close_output, which removes an
 * incomplete file if `status` or writing failed, and returns what failed first. */
MM_RESULT_USED mm_status mm_cli_open_output(const char *path, FILE **out, mm_error *err);
MM_RESULT_USED mm_status mm_cli_close_output(const char *path, FILE *out, mm_status status, mm_error *err);

#endif
