/* maskmill queue status */
#include "maskmill/queue.h"
#include "queue.h"

typedef struct status_arguments {
    mm_cli_input base;
    const char **words; /* QUEUE [ANSWERS or NEW...] */
    size_t count;
    const char *dataset;
    bool json;
} status_arguments;

enum { KEY_JSON = 1, KEY_DATASET };

static const struct argp_option rows[] = {
    {"json", KEY_JSON, NULL, 0, "one JSON object instead of text", 0},
    {"dataset", KEY_DATASET, "DATASET", 0, "where the queue's dataset is now, if it was moved", 0},
    {0},
};

static error_t parse(int key, char *word, struct argp_state *state)
{
    status_arguments *arguments = state->input;
    switch (key) {
    case KEY_JSON:
        arguments->json = true;
        return 0;
    case KEY_DATASET:
        return mm_cli_keep_once(state, &arguments->dataset, word);
    case ARGP_KEY_ARGS:
        arguments->words = (const char **)(state->argv + state->next);
        arguments->count = (size_t)(state->argc - state->next);
        return 0;
    case ARGP_KEY_END:
        return arguments->count == 0 ? mm_cli_refuse(state, "needs a queue") : 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

mm_status mm_cli_queue_status(int argc, char **argv, int *exit_status, mm_error *err)
{
    static const struct argp argp = {
        .options = rows,
        .parser = parse,
        .args_doc = "QUEUE [ANSWERS or NEW...]",
        .doc = "How far annotators are: images done and open by batch, masks added, corrected and deleted, "
               "time.\vANSWERS "
               "are their files, NEW are versions of the dataset that answers were imported into.",
    };
    status_arguments arguments = {0};
    mm_answer_faults faults = {.out = stderr};
    bool help = false;
    mm_queue *queue = NULL;
    mm_status status = mm_cli_parse(&argp, "queue status", 2, argc, argv, &arguments.base, &help, err);
    if (!mm_cli_first_rank())
        return MM_OK;
    if (status != MM_OK || help)
        return status;
    status = mm_queue_open(arguments.words[0], arguments.dataset, &queue, err);
    if (status == MM_OK)
        status = mm_queue_status(queue, arguments.words + 1, arguments.count - 1, arguments.json, stdout, &faults, err);
    mm_queue_close(queue);
    if (status == MM_OK && faults.refused > 0)
        *exit_status = MM_EXIT_SET_ASIDE;
    return status;
}
