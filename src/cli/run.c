/* maskmill run */
#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>

#include "arguments.h"
#include "cli.h"
#include "maskmill/engine.h"

enum { KEY_OVERWRITE = 1, KEY_RESUME, KEY_SHARDS };

typedef struct run_arguments {
    mm_cli_input base;
    mm_cli_model_options model;
    const char **sources;
    size_t source_count;
    const char *out;
    const char *shards; /* as typed; NULL for all */
    uint64_t first_shard, last_shard;
    char part[PATH_MAX]; /* `out` if there is a range */
    bool overwrite, resume;
} run_arguments;

static const struct argp_option rows[] = {
    {"output", 'o', "FOLDER", 0, "where the dataset goes", 0},
    {"shards", KEY_SHARDS, "A-B", 0, "make shards A to B only, in FOLDER/part-A-B; `maskmill merge FOLDER` joins parts",
     0},
    {"resume", KEY_RESUME, NULL, 0, "go on with the run that is there; begin, if there is none", 0},
    {"overwrite", KEY_OVERWRITE, NULL, 0, "remove the dataset that is there already", 0},
    {0},
};

static bool read_number(const char **at, uint64_t *value)
{
    char *end;
    if (**at < '0' || **at > '9')
        return false;
    errno = 0;
    *value = strtoull(*at, &end, 10);
    *at = end;
    return errno == 0;
}

/* "A-B", or "A" for one. */
static error_t parse_shards(struct argp_state *state, run_arguments *arguments, char *word)
{
    const char *at = word;
    const error_t twice = mm_cli_keep_once(state, &arguments->shards, word);
    if (twice)
        return twice;
    bool good = read_number(&at, &arguments->first_shard);
    arguments->last_shard = arguments->first_shard;
    if (good && *at == '-') {
        at++;
        good = read_number(&at, &arguments->last_shard);
    }
    if (!good || *at != '\0' || arguments->last_shard < arguments->first_shard)
        return mm_cli_refuse(state, "--shards %.40s: give the first and the last shard, as in 0-99", word);
    return 0;
}

/* A range of shards goes into a folder of its own in the one that was named. */
static error_t name_part(struct argp_state *state, run_arguments *arguments)
{
    const int length = snprintf(arguments->part, sizeof arguments->part, "%s/part-%" PRIu64 "-%" PRIu64, arguments->out,
                                arguments->first_shard, arguments->last_shard);
    if (length < 0 || (size_t)length >= sizeof arguments->part)
        return mm_cli_refuse(state, "the path of the output folder %.100s... is too long", arguments->out);
    arguments->out = arguments->part;
    return 0;
}

static error_t parse(int key, char *word, struct argp_state *state)
{
    run_arguments *arguments = state->input;
    switch (key) {
    case ARGP_KEY_INIT:
        arguments->model.base = arguments->base;
        state->child_inputs[0] = &arguments->model;
        return 0;
    case 'o':
        return mm_cli_keep_once(state, &arguments->out, word);
    case KEY_SHARDS:
        return parse_shards(state, arguments, word);
    case KEY_OVERWRITE:
        arguments->overwrite = true;
        return 0;
    case KEY_RESUME:
        arguments->resume = true;
        return 0;
    case ARGP_KEY_ARGS:
        return mm_cli_corpus(key, state, &arguments->sources, &arguments->source_count);
    case ARGP_KEY_END: {
        const error_t refused = mm_cli_corpus(key, state, &arguments->sources, &arguments->source_count);
        if (refused)
            return refused;
        if (!arguments->out)
            return mm_cli_refuse(state, "needs -o FOLDER, where the dataset goes");
        if (arguments->resume && arguments->overwrite)
            return mm_cli_refuse(state, "--resume keeps what is there and --overwrite removes it; give one of them");
        return arguments->shards ? name_part(state, arguments) : 0;
    }
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static void print_summary(const mm_run_summary *summary, const char *out)
{
    const double images = (double)summary->images_done;
    if (summary->nothing_from > 0) {
        printf("nothing to do for %s: the corpus's shards are 0-%" PRIu64 "\n", out, summary->nothing_from - 1);
        return;
    }
    if (summary->was_done)
        printf("%s is complete already: ", out);
    printf("%" PRIu64 " images, %" PRIu64 " masks (%.1f per image) in %.1f s (%.2f images/s); %" PRIu64 " shard%s in "
           "%s/shards\n",
           summary->images_done, summary->masks, images > 0 ? (double)summary->masks / images : 0.0, summary->seconds,
           summary->seconds > 0 ? images / summary->seconds : 0.0, summary->shards, summary->shards == 1 ? "" : "s",
           out);
    if (summary->images_skipped > 0)
        printf("%" PRIu64 " near-duplicates were skipped; duplicate_of in %s/manifest.h5 names their originals\n",
               summary->images_skipped, out);
    if (summary->images_set_aside > 0)
        printf("%" PRIu64 " images were set aside; %s/quarantine.tsv says why\n", summary->images_set_aside, out);
}

/* With MPI up, on every rank. */
static mm_status run(mm_comm *comm, const run_arguments *arguments, int argc, char **argv, mm_run_summary *summary,
                     mm_error *err)
{
    if (mm_comm_rank(comm) == 0)
        mm_cli_tell_thresholds(&arguments->model);
    const mm_run_options options = {
        .sources = arguments->sources,
        .source_count = arguments->source_count,
        .out = arguments->out,
        .config_path = arguments->model.config,
        .sets = arguments->model.sets,
        .set_count = arguments->model.set_count,
        .model = arguments->model.model,
        .model_config = arguments->model.model_config,
        .kernels = arguments->model.kernels,
        .only_shards = arguments->shards,
        .first_shard = arguments->first_shard,
        .last_shard = arguments->last_shard,
        .overwrite = arguments->overwrite,
        .resume = arguments->resume,
        .program = "/proc/self/exe",
        .quiet = arguments->model.quiet,
        .argc = argc,
        .argv = argv,
    };
    return mm_engine_run(comm, &options, summary, err);
}

mm_status mm_cli_run(int argc, char **argv, int *exit_status, mm_error *err)
{
    static const struct argp_child children[] = {{&mm_cli_model_argp, 0, "Model and config:", 1}, {0}};
    static const struct argp argp = {
        .options = rows,
        .parser = parse,
        .args_doc = "CORPUS... -o FOLDER",
        .doc = "Make masks of every photograph of a corpus.\vCORPUS is a folder (walked for .jpg and .jpeg), a .tar, a "
               "text file with one path a line, or a manifest from `maskmill scan`. Under mpirun or srun the ranks "
               "share the work; the dataset does not depend on how many there are. A run that was killed, or stopped by "
               "SIGUSR1, SIGTERM or SIGINT (exit status 3), goes on with --resume.",
        .children = children,
    };
    run_arguments arguments = {0};
    mm_run_summary summary = {0};
    bool help = false;
    mm_comm *comm = NULL;
    mm_status status = mm_cli_parse(&argp, "run", 1, argc, argv, &arguments.base, &help, err);
    if (status != MM_OK || help) {
        mm_cli_model_options_free(&arguments.model);
        return mm_cli_first_rank() ? status : MM_OK; /* mpirun kills all ranks as soon as one fails: the first does */
    }
    bool speaks = true;
    status = mm_engine_hold_signals(err);
    if (status == MM_OK)
        status = mm_comm_start(NULL, NULL, &comm, err);
    if (status == MM_OK) {
        speaks = mm_comm_rank(comm) == 0;
        status = run(comm, &arguments, argc, argv, &summary, err);
        const mm_status apart = mm_comm_barrier(comm, NULL);
        (void)apart; /* what failed before is what the user needs to know */
        mm_comm_stop(comm);
    }
    if (status == MM_OK && speaks && !arguments.model.quiet)
        print_summary(&summary, arguments.out);
    if (speaks && summary.images_set_aside > 0)
        *exit_status = MM_EXIT_SET_ASIDE;
    mm_cli_model_options_free(&arguments.model);
    return speaks ? status : MM_OK;
}

mm_status mm_cli_suspect(int argc, char **argv, int *exit_status, mm_error *err)
{
    (void)exit_status;
    return mm_engine_suspect(argc - 2, argv + 2, err);
}
