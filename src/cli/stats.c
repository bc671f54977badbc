/* maskmill stats */
#include <stdlib.h>

#include "arguments.h"
#include "cli.h"
#include "maskmill/shard.h"

enum { KEY_JSON = 1 };

typedef struct stats_arguments {
    mm_cli_input base;
    const char *dataset;
    bool json;
} stats_arguments;

static const struct argp_option rows[] = {
    {"json", KEY_JSON, NULL, 0, "one JSON object instead of a page of text", 0},
    {0},
};

static error_t parse(int key, char *word, struct argp_state *state)
{
    stats_arguments *arguments = state->input;
    if (key == KEY_JSON) {
        arguments->json = true;
        return 0;
    }
    return mm_cli_positional(key, word, state, &arguments->dataset, 1, "a dataset");
}

static mm_status print_statistics(const char *path, bool json, mm_error *err)
{
    mm_dataset *dataset = NULL;
    mm_stats *stats = malloc(sizeof *stats); /* large for a stack */
    if (!stats)
        return mm_fail_memory(err, "statistics");
    mm_status status = mm_dataset_open(path, &dataset, err);
    if (status == MM_OK)
        status = mm_dataset_statistics(dataset, stats, err);
    if (status == MM_OK)
        status = json ? mm_stats_print_json(stats, stdout, err) : mm_stats_print_text(stats, stdout, err);
    mm_dataset_close(dataset);
    free(stats);
    return status;
}

mm_status mm_cli_stats(int argc, char **argv, int *exit_status, mm_error *err)
{
    (void)exit_status;
    static const struct argp argp = {
        .options = rows,
        .parser = parse,
        .args_doc = "DATASET",
        .doc = "Counts and histograms of a dataset.\vDATASET is the folder that `run` wrote, its dataset.h5, or one "
               "shard.",
    };
    stats_arguments arguments = {0};
    bool help = false;
    const mm_status status = mm_cli_parse(&argp, "stats", 1, argc, argv, &arguments.base, &help, err);
    if (status != MM_OK || help)
        return status;
    return print_statistics(arguments.dataset, arguments.json, err);
}
