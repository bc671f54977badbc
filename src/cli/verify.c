/* maskmill verify */
#include <inttypes.h>

#include "arguments.h"
#include "cli.h"
#include "maskmill/shard.h"

typedef struct verify_arguments {
    mm_cli_input base;
    const char *dataset;
} verify_arguments;

static error_t parse(int key, char *word, struct argp_state *state)
{
    verify_arguments *arguments = state->input;
    return mm_cli_positional(key, word, state, &arguments->dataset, 1, "a dataset");
}

mm_status mm_cli_verify(int argc, char **argv, int *exit_status, mm_error *err)
{
    (void)exit_status;
    static const struct argp argp = {
        .parser = parse,
        .args_doc = "DATASET",
        .doc = "Check a dataset: structure, offsets, ids, every mask against its area and box, digests, statistics. "
               "One line a fault.\vDATASET is the folder that `run` wrote, its dataset.h5, or one shard.",
    };
    verify_arguments arguments = {0};
    bool help = false;
    mm_verify_report report = {0};
    mm_status status = mm_cli_parse(&argp, "verify", 1, argc, argv, &arguments.base, &help, err);
    if (status != MM_OK || help)
        return status;
    status = mm_dataset_verify(arguments.dataset, stdout, &report, err);
    if (status != MM_OK)
        return status;
    if (report.faults > 0)
        return mm_fail(err, MM_ERR_FORMAT, "%s: %" PRIu64 " fault%s, the first: %s", arguments.dataset, report.faults,
                       report.faults == 1 ? "" : "s", report.first);
    printf("%s: good; %" PRIu64 " images, %" PRIu64 " masks, %" PRIu64 " shard%s\n", arguments.dataset, report.images, report.masks,
           report.shards, report.shards == 1 ? "" : "s");
    return MM_OK;
}
