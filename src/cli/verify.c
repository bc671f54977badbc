/* maskmill verify */
#include <inttypes.h>

#include "arguments.h"
#include "cli.h"
#include "maskmill/shard.h"
#include "ranks.h"

typedef struct verify_arguments {
    mm_cli_input base;
    const char *dataset;
} verify_arguments;

static error_t parse(int key, char *word, struct argp_state *state)
{
    verify_arguments *arguments = state->input;
    return mm_cli_positional(key, word, state, &arguments->dataset, 1, "a dataset");
}

static const char *plural(uint64_t count)
{
    return count == 1 ? "" : "s";
}

static mm_status conclude(const char *dataset, const mm_verify_report *report, int *exit_status, mm_error *err)
{
    if (report->faults > 0)
        return mm_fail(err, MM_ERR_FORMAT, "%s: %" PRIu64 " fault%s, the first: %s", dataset, report->faults,
                       plural(report->faults), report->first);
    printf("%s: %s; %" PRIu64 " images, %" PRIu64 " masks, %" PRIu64 " shard%s\n", dataset,
           report->unfinished ? "good so far" : "good", report->images, report->masks, report->shards,
           plural(report->shards));
    if (report->unfinished) {
        printf("%s: its run has not ended (%" PRIu64 " more shard%s begun); go on with `maskmill run ... --resume`\n",
               dataset, report->journals, plural(report->journals));
        *exit_status = MM_EXIT_STOPPED;
    }
    return MM_OK;
}

mm_status mm_cli_verify(int argc, char **argv, int *exit_status, mm_error *err)
{
    static const struct argp argp = {
        .parser = parse,
        .args_doc = "DATASET",
        .doc = "Check a dataset: structure, offsets, ids, every mask against its area and box, digests, statistics. "
               "One line a fault.\vDATASET is the folder that `run` wrote, its dataset.h5, or one shard. In the folder "
               "of a run that has not ended, the shards that are there are checked, and the exit status is 3. Under "
               "mpirun or srun the ranks share the shards.",
    };
    verify_arguments arguments = {0};
    bool help = false;
    mm_verify_report report = {0};
    mm_comm *comm = NULL;
    mm_status status = mm_cli_parse(&argp, "verify", 1, argc, argv, &arguments.base, &help, err);
    if (status != MM_OK || help)
        return mm_cli_first_rank() ? status : MM_OK;
    status = mm_cli_join_ranks(&comm, err);
    if (status == MM_OK)
        status = mm_dataset_verify(arguments.dataset, comm, stdout, &report, err);
    if (status == MM_OK && mm_cli_speaks(comm))
        status = conclude(arguments.dataset, &report, exit_status, err);
    return mm_cli_leave_ranks(comm, status);
}
