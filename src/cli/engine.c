/* maskmill engine */
#include <inttypes.h>
#include <stdio.h>

#include "arguments.h"
#include "cli.h"
#include "maskmill/engine.h"
#include "maskmill/loop.h"
#include "ranks.h"

enum { KEY_RESUME = 1 };

typedef struct engine_arguments {
    mm_cli_input base;
    mm_loop_options options;
} engine_arguments;

static const struct argp_option rows[] = {
    {"output", 'o', "FOLDER", 0, "where all of the loop goes", 0},
    {"resume", KEY_RESUME, NULL, 0, "go on with the loop that is there; begin, if there is none", 0},
    {"quiet", 'q', NULL, 0, "no progress, only errors", 0},
    {0},
};

static error_t parse(int key, char *word, struct argp_state *state)
{
    mm_loop_options *options = &((engine_arguments *)state->input)->options;
    switch (key) {
    case 'o':
        return mm_cli_keep_once(state, &options->out, word);
    case KEY_RESUME:
        options->resume = true;
        return 0;
    case 'q':
        options->quiet = true;
        return 0;
    case ARGP_KEY_END:
        if (!options->out)
            return mm_cli_refuse(state, "needs -o FOLDER, where all of the loop goes");
        break;
    default:
        break;
    }
    return mm_cli_positional(key, word, state, &options->config, 1, "a configuration (configs/engine.yaml is an example)");
}

static mm_status print_summary(const mm_loop_options *options, const mm_loop_summary *summary, mm_error *err)
{
    const mm_status status = mm_loop_print(options->out, stdout, err);
    if (summary->set_aside > 0)
        printf("%" PRIu64 " images were set aside; quarantine.tsv of the rounds' runs says why\n", summary->set_aside);
    if (summary->refused > 0)
        printf("%" PRIu64 " answers were refused and left out\n", summary->refused);
    return status;
}

static mm_status go(const mm_loop_options *options, int *exit_status, mm_error *err)
{
    mm_loop_summary summary = {0};
    mm_comm *comm = NULL;
    mm_status status = mm_engine_hold_signals(err);
    if (status == MM_OK)
        status = mm_comm_start(NULL, NULL, &comm, err);
    if (status != MM_OK)
        return status;
    status = mm_loop_run(comm, options, &summary, err);
    if (status == MM_OK && mm_cli_speaks(comm)) {
        if (!options->quiet)
            status = print_summary(options, &summary, err);
        if (summary.set_aside + summary.refused > 0)
            *exit_status = MM_EXIT_SET_ASIDE;
    }
    return mm_cli_leave_ranks(comm, status);
}

mm_status mm_cli_engine(int argc, char **argv, int *exit_status, mm_error *err)
{
    static const struct argp argp = {
        .options = rows,
        .parser = parse,
        .args_doc = "CONFIG -o FOLDER",
        .doc = "The data engine's loop: rounds of masks, people's answers and a retrained model, as CONFIG says; alone or "
               "under mpirun.\vWhere people are needed it stops with exit status 3 and a line that says what to do; "
               "--resume goes on when their answers are there, and after whatever else has ended it. docs/engine.md has "
               "the keys of CONFIG.",
    };
    engine_arguments arguments = {.options = {.program = "/proc/self/exe", .argc = argc, .argv = argv}};
    bool help = false;
    mm_status status = mm_cli_parse(&argp, "engine", 1, argc, argv, &arguments.base, &help, err);
    if (status != MM_OK)
        return mm_cli_first_rank() ? status : MM_OK;
    return help ? MM_OK : go(&arguments.options, exit_status, err);
}
