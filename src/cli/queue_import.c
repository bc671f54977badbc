/* maskmill queue import */
#include <inttypes.h>

#include "maskmill/queue.h"
#include "queue.h"
#include "ranks.h"

typedef struct import_arguments {
    mm_cli_input base;
    const char **words; /* QUEUE ANSWERS... */
    size_t count;
    mm_import_options options;
} import_arguments;

enum { KEY_ANNOTATOR = 1, KEY_STRICT, KEY_KEEP_AUTOMATIC, KEY_SKIP_UNCHANGED, KEY_ONTO, KEY_DATASET };

static const struct argp_option rows[] = {
    {"output", 'o', "NEW", 0, "the folder of the new version", 0},
    {"onto", KEY_ONTO, "DATASET", 0, "put the answers into this later version, which holds earlier answers", 0},
    {"annotator", KEY_ANNOTATOR, "NAME", 0, "whose answers these are", 0},
    {"keep-automatic", KEY_KEEP_AUTOMATIC, NULL, 0, "keep masks of the grid in answered images as well", 0},
    {"skip-unchanged", KEY_SKIP_UNCHANGED, NULL, 0, "images in which nothing was changed count as not answered", 0},
    {"strict", KEY_STRICT, NULL, 0, "import nothing if a single answer is not as it should be", 0},
    {"dataset", KEY_DATASET, "DATASET", 0, "where the queue's dataset is now, if it was moved", 0},
    {0},
};

static error_t parse(int key, char *word, struct argp_state *state)
{
    import_arguments *arguments = state->input;
    mm_import_options *options = &arguments->options;
    switch (key) {
    case 'o':
        return mm_cli_keep_once(state, &options->out, word);
    case KEY_ONTO:
        return mm_cli_keep_once(state, &options->onto, word);
    case KEY_ANNOTATOR:
        if (!*word)
            return mm_cli_refuse(state, "--annotator: the name is empty");
        return mm_cli_keep_once(state, &options->annotator, word);
    case KEY_DATASET:
        return mm_cli_keep_once(state, &options->dataset, word);
    case KEY_STRICT:
        options->strict = true;
        return 0;
    case KEY_KEEP_AUTOMATIC:
        options->keep_automatic = true;
        return 0;
    case KEY_SKIP_UNCHANGED:
        options->skip_unchanged = true;
        return 0;
    case ARGP_KEY_ARGS:
        arguments->words = (const char **)(state->argv + state->next);
        arguments->count = (size_t)(state->argc - state->next);
        return 0;
    case ARGP_KEY_END:
        if (arguments->count < 2 || !options->out)
            return mm_cli_refuse(state, "needs a queue, one or more files of answers, and -o NEW");
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static void print_counts(const mm_answer_counts *counts, const mm_answer_faults *faults, const char *out)
{
    printf("%" PRIu64 " image%s answered: %" PRIu64 " masks left as they were, %" PRIu64 " corrected, %" PRIu64
           " deleted, %" PRIu64 " added (%" PRIu64 " of them hints); %s\n",
           counts->images, counts->images == 1 ? "" : "s", counts->kept, counts->corrected, counts->deleted,
           counts->added, counts->accepted, out);
    if (faults->repaired > 0)
        printf("%" PRIu64 " answers were repaired; the lines above say how\n", faults->repaired);
    if (faults->refused > 0)
        printf("%" PRIu64 " answers were refused and left out; the lines above say why\n", faults->refused);
}

mm_status mm_cli_queue_import(int argc, char **argv, int *exit_status, mm_error *err)
{
    static const struct argp argp = {
        .options = rows,
        .parser = parse,
        .args_doc = "QUEUE ANSWERS... -o NEW",
        .doc = "Put people's answers into a new version of the dataset.\vANSWERS are JSON files, COCO or Label Studio, "
               "which "
               "is told by their content. The dataset stays as it is. Exit status 1: done, but some answers were "
               "refused. "
               "Under mpirun or srun the ranks share the shards.",
    };
    import_arguments arguments = {0};
    mm_answer_faults faults = {.out = stderr};
    mm_answer_counts counts = {0};
    bool help = false;
    mm_comm *comm = NULL;
    mm_status status = mm_cli_parse(&argp, "queue import", 2, argc, argv, &arguments.base, &help, err);
    if (status != MM_OK || help)
        return mm_cli_first_rank() ? status : MM_OK;
    arguments.options.queue = arguments.words[0];
    arguments.options.answers = arguments.words + 1;
    arguments.options.answer_count = arguments.count - 1;
    arguments.options.argc = argc;
    arguments.options.argv = argv;
    status = mm_cli_join_ranks(&comm, err);
    if (status == MM_OK)
        status = mm_queue_import(comm, &arguments.options, &faults, &counts, err);
    if (status == MM_OK && mm_cli_speaks(comm)) {
        print_counts(&counts, &faults, arguments.options.out);
        if (faults.refused > 0)
            *exit_status = MM_EXIT_SET_ASIDE;
    }
    return mm_cli_leave_ranks(comm, status);
}
