/* maskmill export */
#include <inttypes.h>
#include <string.h>

#include "arguments.h"
#include "cli.h"
#include "maskmill/shard.h"
#include "report/photograph.h"
#include "ranks.h"

typedef mm_status write_files(const mm_dataset *dataset, const char *folder, uint64_t *written, mm_error *err);

static const struct {
    const char *name;
    write_files *write;
} formats[] = {
    {"sa1b", mm_dataset_export_sa1b},
    {"coco", mm_dataset_export_coco},
};
enum { FORMATS = sizeof formats / sizeof formats[0], SA1B = 0 };

typedef struct export_arguments {
    mm_cli_input base;
    const char *dataset, *out, *corpus, *masks;
    size_t format; /* FORMATS: none given */
    bool tar;
} export_arguments;

enum { KEY_TAR = 1, KEY_CORPUS, KEY_MASKS };

static const struct argp_option rows[] = {
    {"format", 'f', "FORMAT", 0, "sa1b: one JSON file an image; coco: one instances.json", 0},
    {"output", 'o', "FOLDER", 0, "where the files go", 0},
    {"tar", KEY_TAR, NULL, 0, "with sa1b: as SA-1B is handed out, sa_000000.tar, ... with photographs and JSON", 0},
    {"masks", KEY_MASKS, "GROUP", 0, "the masks of another group of the dataset: confident or hints (default: masks)", 0},
    {"corpus", KEY_CORPUS, "FOLDER", 0, "with --tar: where the photographs are now, if they were moved", 0},
    {0},
};

static error_t check(const export_arguments *arguments, struct argp_state *state)
{
    if (arguments->format == FORMATS || !arguments->out)
        return mm_cli_refuse(state, "needs --format sa1b or coco, and -o FOLDER");
    if (arguments->tar && arguments->format != SA1B)
        return mm_cli_refuse(state, "--tar goes with --format sa1b only");
    if (arguments->masks && arguments->tar)
        return mm_cli_refuse(state, "--masks goes with JSON alone; archives are of the dataset's own masks");
    if (arguments->corpus && !arguments->tar)
        return mm_cli_refuse(state, "--corpus goes with --tar only; JSON alone needs no photographs");
    return 0;
}

static error_t parse(int key, char *word, struct argp_state *state)
{
    export_arguments *arguments = state->input;
    switch (key) {
    case ARGP_KEY_INIT:
        arguments->format = FORMATS;
        return 0;
    case 'o':
        return mm_cli_keep_once(state, &arguments->out, word);
    case KEY_CORPUS:
        return mm_cli_keep_once(state, &arguments->corpus, word);
    case KEY_MASKS:
        return mm_cli_keep_once(state, &arguments->masks, word);
    case KEY_TAR:
        arguments->tar = true;
        return 0;
    case 'f':
        for (size_t i = 0; i < FORMATS; i++)
            if (strcmp(word, formats[i].name) == 0) {
                arguments->format = i;
                return 0;
            }
        return mm_cli_refuse(state, "--format %.40s: give sa1b or coco", word);
    case ARGP_KEY_END: {
        const error_t refused = check(arguments, state);
        if (refused)
            return refused;
        break;
    }
    default:
        break;
    }
    return mm_cli_positional(key, word, state, &arguments->dataset, 1, "a dataset");
}

static mm_status export_tar(const export_arguments *arguments, mm_comm *comm, uint64_t *written, mm_error *err)
{
    mm_dataset *dataset = NULL;
    mm_manifest *manifest = NULL;
    mm_status status = mm_dataset_open(arguments->dataset, &dataset, err);
    if (status == MM_OK)
        status = mm_photographs_manifest(dataset, arguments->corpus, &manifest, err);
    if (comm)
        status = mm_comm_agree(comm, status, err);
    if (status == MM_OK)
        status = mm_dataset_export_tar(dataset, manifest, comm, arguments->out, written, err);
    mm_manifest_free(manifest);
    mm_dataset_close(dataset);
    return status;
}

static mm_status export_json(const export_arguments *arguments, uint64_t *written, mm_error *err)
{
    mm_dataset *dataset = NULL;
    mm_status status = mm_dataset_open(arguments->dataset, &dataset, err);
    if (status == MM_OK && arguments->masks)
        status = mm_dataset_choose_masks(dataset, arguments->masks, err);
    if (status == MM_OK)
        status = formats[arguments->format].write(dataset, arguments->out, written, err);
    mm_dataset_close(dataset);
    return status;
}

mm_status mm_cli_export(int argc, char **argv, int *exit_status, mm_error *err)
{
    (void)exit_status;
    static const struct argp argp = {
        .options = rows,
        .parser = parse,
        .args_doc = "DATASET --format FORMAT -o FOLDER",
        .doc = "Write a dataset as JSON, or as the archives of photographs and JSON that SA-1B consists of.\vDATASET is "
               "the folder that `run` wrote, its dataset.h5, or one shard. With --tar, under mpirun or srun, the ranks "
               "share the archives.",
    };
    export_arguments arguments = {0};
    bool help = false;
    mm_comm *comm = NULL;
    uint64_t written = 0;
    mm_status status = mm_cli_parse(&argp, "export", 1, argc, argv, &arguments.base, &help, err);
    if (!mm_cli_first_rank() && (status != MM_OK || help || !arguments.tar))
        return MM_OK; /* the first rank speaks, and writes JSON alone */
    if (status != MM_OK || help)
        return status;
    if (arguments.tar)
        status = mm_cli_join_ranks(&comm, err);
    if (status == MM_OK)
        status = arguments.tar ? export_tar(&arguments, comm, &written, err) : export_json(&arguments, &written, err);
    if (status == MM_OK && mm_cli_speaks(comm))
        printf("%" PRIu64 " image%s in %s\n", written, written == 1 ? "" : "s", arguments.out);
    return mm_cli_leave_ranks(comm, status);
}
