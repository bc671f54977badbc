/* maskmill verify */
#include <inttypes.h>

#include "arguments.h"
#include "cli.h"
#include "maskmill/shard.h"

static error_t parse(int key, char *word, struct argp_state *state)
{
    return mm_cli_positional(key, word, state, state->input, 1, "a dataset");
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
    const char *path = NULL;
    bool help = false;
    mm_verify_report report = {0};
    mm_status status = mm_cli_parse(&argp, "verify", 1, argc, argv, &path, &help, err);
    if (status != MM_OK || help)
        return status;
    status = mm_dataset_verify(path, stdout, &report, err);
    if (status != MM_OK)
        return status;
    if (report.faults > 0)
        return mm_fail(err, MM_ERR_FORMAT, "%s: %" PRIu64 " fault%s, the first: %s", path, report.faults,
                       report.faults == 1 ? "" : "s", report.first);
    printf("%s: good; %" PRIu64 " images, %" PRIu64 " masks, %" PRIu64 " shard%s\n", path, report.images, report.masks,
           report.shards, report.shards == 1 ? "" : "s");
    return MM_OK;
}
