/* maskmill stats */
#include <stdlib.h>
#include <string.h>

#include "arguments.h"
#include "cli.h"
#include "maskmill/rounds.h"
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

/* The object that mm_stats_print_json writes, with "rounds" as its last key. */
static mm_status print_json(const mm_stats *stats, const mm_rounds *rounds, mm_error *err)
{
    char *text = NULL;
    size_t size = 0;
    FILE *stream = open_memstream(&text, &size);
    if (!stream)
        return mm_fail_memory(err, "statistics");
    mm_status status = mm_stats_print_json(stats, stream, err);
    if (fclose(stream) != 0 && status == MM_OK)
        status = mm_fail_memory(err, "statistics");
    char *end = status == MM_OK ? strrchr(text, '}') : NULL;
    if (end) {
        *end = '\0';
        (void)fputs(text, stdout); /* main looks at the stream */
        if (rounds->count > 0)
            status = mm_rounds_print_json(rounds, stdout, err);
        (void)fputs("}\n", stdout);
    }
    free(text);
    return status;
}

static mm_status print_statistics(const char *path, bool json, mm_error *err)
{
    mm_dataset *dataset = NULL;
    mm_rounds rounds = {0};
    bool there;
    mm_stats *stats = malloc(sizeof *stats); /* large for a stack */
    if (!stats)
        return mm_fail_memory(err, "statistics");
    mm_status status = mm_dataset_open(path, &dataset, err);
    if (status == MM_OK)
        status = mm_dataset_statistics(dataset, stats, err);
    if (status == MM_OK)
        status = mm_rounds_read(mm_dataset_folder(dataset), &there, &rounds, err);
    if (status == MM_OK && json)
        status = print_json(stats, &rounds, err);
    else if (status == MM_OK && (status = mm_stats_print_text(stats, stdout, err)) == MM_OK)
        mm_rounds_print_text(&rounds, stdout);
    mm_rounds_free(&rounds);
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
