/* maskmill queue build */
#include <inttypes.h>
#include <string.h>

#include "maskmill/queue.h"
#include "queue.h"
#include "ranks.h"

typedef struct build_arguments {
    mm_cli_input base;
    const char *dataset, *out;
    uint64_t batch, limit;
    mm_prefill_mode prefill;
    bool skip_human;
} build_arguments;

enum { KEY_BATCH = 1, KEY_LIMIT, KEY_PREFILL, KEY_SKIP_HUMAN };

static const struct argp_option rows[] = {
    {"output", 'o', "QUEUE", 0, "the queue's folder", 0},
    {"batch", KEY_BATCH, "N", 0, "images a batch (200)", 0},
    {"limit", KEY_LIMIT, "N", 0, "only the N images of highest priority", 0},
    {"prefill", KEY_PREFILL, "WHICH", 0,
     "what annotators find filled in: confident (the detector's masks), masks (those of the grid as well) or nothing "
     "(only what people drew before)",
     0},
    {"skip-human", KEY_SKIP_HUMAN, NULL, 0, "leave out images that have masks by people", 0},
    {0},
};

static error_t parse_prefill(struct argp_state *state, const char *word, mm_prefill_mode *mode)
{
    for (int i = 0; i <= MM_PREFILL_NOTHING; i++)
        if (strcmp(word, mm_prefill_name((mm_prefill_mode)i)) == 0) {
            *mode = (mm_prefill_mode)i;
            return 0;
        }
    return mm_cli_refuse(state, "--prefill %.40s: give confident, masks or nothing", word);
}

static error_t parse(int key, char *word, struct argp_state *state)
{
    build_arguments *arguments = state->input;
    switch (key) {
    case 'o':
        return mm_cli_keep_once(state, &arguments->out, word);
    case KEY_BATCH:
        return mm_cli_queue_number(state, "--batch", word, 1, 1000000, &arguments->batch);
    case KEY_LIMIT:
        return mm_cli_queue_number(state, "--limit", word, 1, UINT32_MAX, &arguments->limit);
    case KEY_PREFILL:
        return parse_prefill(state, word, &arguments->prefill);
    case KEY_SKIP_HUMAN:
        arguments->skip_human = true;
        return 0;
    case ARGP_KEY_END:
        if (!arguments->out)
            return mm_cli_refuse(state, "needs -o QUEUE");
        break;
    default:
        break;
    }
    return mm_cli_positional(key, word, state, &arguments->dataset, 1, "a dataset");
}

mm_status mm_cli_queue_build(int argc, char **argv, int *exit_status, mm_error *err)
{
    (void)exit_status;
    static const struct argp argp = {
        .options = rows,
        .parser = parse,
        .args_doc = "DATASET -o QUEUE",
        .doc = "Put a dataset's images in an order for annotators, those with most to gain first, and split them into "
               "batches.\vUnder mpirun or srun the ranks share the work; the queue does not depend on how many there "
               "are. "
               "A build that was killed goes on when it is started again. docs/queue.md says what the priority is.",
    };
    build_arguments arguments = {0};
    mm_queue_totals totals = {0};
    bool help = false;
    mm_comm *comm = NULL;
    mm_status status = mm_cli_parse(&argp, "queue build", 2, argc, argv, &arguments.base, &help, err);
    if (status != MM_OK || help)
        return mm_cli_first_rank() ? status : MM_OK;
    const mm_queue_build_options options = {.dataset = arguments.dataset,
                                            .out = arguments.out,
                                            .batch_size = (uint32_t)arguments.batch,
                                            .most = arguments.limit,
                                            .prefill = arguments.prefill,
                                            .skip_human = arguments.skip_human};
    status = mm_cli_join_ranks(&comm, err);
    if (status == MM_OK)
        status = mm_queue_build(comm, &options, &totals, err);
    if (status == MM_OK && mm_cli_speaks(comm))
        printf("%" PRIu64 " image%s in %" PRIu64 " batch%s, with %" PRIu64 " masks filled in and %" PRIu64 " hints; "
                                                                                                           "%s\n",
               totals.images, totals.images == 1 ? "" : "s", totals.batches, totals.batches == 1 ? "" : "es",
               totals.prefilled, totals.hints, arguments.out);
    return mm_cli_leave_ranks(comm, status);
}
