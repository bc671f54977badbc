/* maskmill status */
#include <time.h>

#include "arguments.h"
#include "cli.h"
#include "maskmill/progress.h"

enum { KEY_JSON = 1 };

typedef struct status_arguments {
    mm_cli_input base;
    const char *out;
    bool json;
} status_arguments;

static const struct argp_option rows[] = {
    {"json", KEY_JSON, NULL, 0, "one JSON object instead of text", 0},
    {0},
};

static error_t parse(int key, char *word, struct argp_state *state)
{
    status_arguments *arguments = state->input;
    if (key == KEY_JSON) {
        arguments->json = true;
        return 0;
    }
    return mm_cli_positional(key, word, state, &arguments->out, 1, "the folder of a run");
}

/* What `run` itself would say; a run that is no more and did not say goodbye can be resumed. */
static int exit_status_of(const mm_run_status *sum)
{
    if (sum->life == MM_LIFE_ALIVE)
        return MM_EXIT_DONE;
    if (sum->life != MM_LIFE_ENDED || sum->progress.state == MM_RUN_STOPPED)
        return MM_EXIT_STOPPED;
    return sum->progress.state == MM_RUN_FAILED ? MM_EXIT_FAULT : MM_EXIT_DONE;
}

mm_status mm_cli_status(int argc, char **argv, int *exit_status, mm_error *err)
{
    static const struct argp argp = {
        .options = rows,
        .parser = parse,
        .args_doc = "OUT",
        .doc = "How far a run is, from any machine that sees its folder.\vOUT is the folder that `run` writes, or one "
               "with part-... folders of an array of jobs. Exit status: 0 alive or done, 3 over before its end and can "
               "be resumed, 4 failed, or nothing to be read.",
    };
    status_arguments arguments = {0};
    bool help = false;
    mm_status status = mm_cli_parse(&argp, "status", 1, argc, argv, &arguments.base, &help, err);
    if (status != MM_OK || help)
        return status;
    mm_run_statuses statuses;
    status = mm_run_status_read(arguments.out, (double)time(NULL), &statuses, err);
    if (status != MM_OK)
        return status;
    const mm_run_status sum = mm_run_status_sum(&statuses);
    *exit_status = exit_status_of(&sum);
    if (arguments.json)
        status = mm_run_status_print_json(&statuses, stdout, err);
    else
        mm_run_status_print_text(&statuses, stdout);
    mm_run_status_free(&statuses);
    return status;
}
