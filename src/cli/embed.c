/* maskmill embed */
#include <inttypes.h>

#include "arguments.h"
#include "base/format.h"
#include "cli.h"
#include "maskmill/annotate.h"
#include "ranks.h"

enum { KEY_CORPUS = 1 };

typedef struct embed_arguments {
    mm_cli_input base;
    mm_cli_model_options model;
    mm_embed_options options;
} embed_arguments;

static const struct argp_option rows[] = {
    {"output", 'o', "FOLDER", 0, "where embeddings are kept; what is there already is not made again", 0},
    {"corpus", KEY_CORPUS, "FOLDER", 0, "where the photographs of a dataset or queue are now, if they were moved", 0},
    {0},
};

static error_t parse(int key, char *word, struct argp_state *state)
{
    embed_arguments *a = state->input;
    switch (key) {
    case ARGP_KEY_INIT:
        a->model.base = a->base;
        state->child_inputs[0] = &a->model;
        return 0;
    case 'o':
        return mm_cli_keep_once(state, &a->options.out, word);
    case KEY_CORPUS:
        return mm_cli_keep_once(state, &a->options.source.corpus, word);
    case ARGP_KEY_END:
        if (!a->options.out)
            return mm_cli_refuse(state, "needs -o FOLDER");
        break;
    default:
        break;
    }
    return mm_cli_positional(key, word, state, &a->options.source.path, 1, "photographs, a dataset or a queue");
}

static mm_status embed(embed_arguments *a, int *exit_status, mm_error *err)
{
    mm_comm *comm = NULL;
    mm_embed_counts counts = {0};
    mm_embed_options *o = &a->options;
    char time[MM_NUMBER_TEXT];
    o->source.model = a->model.model;
    o->source.model_config = a->model.model_config;
    o->source.config = a->model.config;
    o->source.sets = a->model.sets;
    o->source.set_count = a->model.set_count;
    o->kernels = a->model.kernels;
    o->quiet = a->model.quiet;
    mm_status status = mm_cli_join_ranks(&comm, err);
    if (status != MM_OK)
        return status;
    const bool speaks = mm_cli_speaks(comm);
    status = mm_embed(comm, o, &counts, err);
    if (status == MM_OK && speaks && !o->quiet)
        (void)fprintf(stderr,
                      "maskmill: %" PRIu64 " images: %" PRIu64 " embeddings made, %" PRIu64 " were there, %" PRIu64
                      " images could not be read; %s\n", counts.images, counts.made, counts.there, counts.failed,
                      mm_format_duration(time, sizeof time, counts.seconds));
    if (status == MM_OK && speaks && counts.failed > 0)
        *exit_status = MM_EXIT_SET_ASIDE;
    return mm_cli_leave_ranks(comm, status);
}

mm_status mm_cli_embed(int argc, char **argv, int *exit_status, mm_error *err)
{
    static const struct argp_child children[] = {{&mm_cli_model_argp, 0, "Model and config:", 1}, {0}};
    static const struct argp argp = {
        .options = rows,
        .parser = parse,
        .args_doc = "SOURCE -o FOLDER",
        .doc = "Encode images ahead of `annotate` and `train`.\vSOURCE is a corpus (folder, .tar, list, manifest), a "
               "dataset, or a queue. Under mpirun the ranks share the images. Killed, it goes on where it was when it "
               "is started again.",
        .children = children,
    };
    embed_arguments arguments = {0};
    bool help = false;
    mm_status status = mm_cli_parse(&argp, "embed", 1, argc, argv, &arguments.base, &help, err);
    if (status == MM_OK && !help)
        status = embed(&arguments, exit_status, err);
    mm_cli_model_options_free(&arguments.model);
    return status;
}
