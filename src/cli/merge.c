/* maskmill merge */
#include <inttypes.h>

#include "arguments.h"
#include "cli.h"
#include "maskmill/engine.h"

enum { KEY_MIXED = 1 };

typedef struct merge_arguments {
    mm_cli_input base;
    const char **words;
    size_t word_count;
    const char *out;
    bool mixed_kernels;
} merge_arguments;

static const struct argp_option rows[] = {
    {"output", 'o', "OUT", 0, "the folder of the whole dataset, when the parts are named one by one", 0},
    {"mixed-kernels", KEY_MIXED, NULL, 0, "take parts that were computed with different kernels", 0},
    {0},
};

static error_t parse(int key, char *word, struct argp_state *state)
{
    merge_arguments *arguments = state->input;
    switch (key) {
    case 'o':
        return mm_cli_keep_once(state, &arguments->out, word);
    case KEY_MIXED:
        arguments->mixed_kernels = true;
        return 0;
    case ARGP_KEY_ARGS:
        arguments->words = (const char **)(state->argv + state->next);
        arguments->word_count = (size_t)(state->argc - state->next);
        return 0;
    case ARGP_KEY_END:
        if (arguments->word_count == 0)
            return mm_cli_refuse(state, "needs OUT, the folder with part-A-B in it; or parts, and -o OUT");
        if (!arguments->out && arguments->word_count > 1)
            return mm_cli_refuse(state, "several parts need -o OUT, the folder of the whole dataset");
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

mm_status mm_cli_merge(int argc, char **argv, int *exit_status, mm_error *err)
{
    static const struct argp argp = {
        .options = rows,
        .parser = parse,
        .args_doc = "OUT\nPART... -o OUT",
        .doc = "Join the parts that `run --shards A-B` has made to one dataset.\vOUT is the folder that was given to "
               "the runs: its part-A-B are joined in it. The result is what one run over everything would have "
               "written. Shards are linked, or copied to another file system; the parts are left as they are. A merge "
               "that was interrupted is simply started again.",
    };
    merge_arguments arguments = {0};
    mm_run_summary summary;
    bool help = false;
    mm_status status = mm_cli_parse(&argp, "merge", 1, argc, argv, &arguments.base, &help, err);
    if (!mm_cli_first_rank())
        return MM_OK; /* it is one process's work */
    if (status != MM_OK || help)
        return status;
    const mm_merge_options options = {
        .parts = arguments.out ? arguments.words : NULL,
        .part_count = arguments.out ? arguments.word_count : 0,
        .out = arguments.out ? arguments.out : arguments.words[0],
        .mixed_kernels = arguments.mixed_kernels,
        .argc = argc,
        .argv = argv,
    };
    status = mm_engine_merge(&options, &summary, err);
    if (status != MM_OK)
        return status;
    printf("%" PRIu64 " images, %" PRIu64 " masks, %" PRIu64 " shard%s in %s; the parts are no longer needed\n",
           summary.images_done, summary.masks, summary.shards, summary.shards == 1 ? "" : "s", options.out);
    if (summary.images_set_aside > 0) {
        printf("%" PRIu64 " images were set aside; %s/quarantine.tsv says why\n", summary.images_set_aside, options.out);
        *exit_status = MM_EXIT_SET_ASIDE;
    }
    return MM_OK;
}
