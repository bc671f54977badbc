/* maskmill export */
#include <inttypes.h>
#include <string.h>

#include "arguments.h"
#include "cli.h"
#include "maskmill/shard.h"

typedef struct format {
    const char *name;
    mm_status (*write)(const mm_dataset *dataset, const char *folder, uint64_t *written, mm_error *err);
} format;

static const format formats[] = {
    {"sa1b", mm_dataset_export_sa1b},
    {"coco", mm_dataset_export_coco},
};

typedef struct export_arguments {
    mm_cli_input base;
    const char *dataset, *out;
    const format *format;
} export_arguments;

static const struct argp_option rows[] = {
    {"format", 'f', "FORMAT", 0, "sa1b: one JSON file an image; coco: one instances.json", 0},
    {"output", 'o', "FOLDER", 0, "where the files go", 0},
    {0},
};

static error_t parse(int key, char *word, struct argp_state *state)
{
    export_arguments *arguments = state->input;
    switch (key) {
    case 'o':
        return mm_cli_keep_once(state, &arguments->out, word);
    case 'f':
        for (size_t i = 0; i < sizeof formats / sizeof formats[0]; i++)
            if (strcmp(word, formats[i].name) == 0) {
                arguments->format = &formats[i];
                return 0;
            }
        return mm_cli_refuse(state, "--format %.40s: give sa1b or coco", word);
    case ARGP_KEY_END:
        if (!arguments->format || !arguments->out)
            return mm_cli_refuse(state, "needs --format sa1b or coco, and -o FOLDER");
        break;
    default:
        break;
    }
    return mm_cli_positional(key, word, state, &arguments->dataset, 1, "a dataset");
}

mm_status mm_cli_export(int argc, char **argv, int *exit_status, mm_error *err)
{
    (void)exit_status;
    static const struct argp argp = {
        .options = rows,
        .parser = parse,
        .args_doc = "DATASET --format FORMAT -o FOLDER",
        .doc = "Write a dataset as JSON.\vDATASET is the folder that `run` wrote, its dataset.h5, or one shard.",
    };
    export_arguments arguments = {0};
    bool help = false;
    mm_status status = mm_cli_parse(&argp, "export", 1, argc, argv, &arguments.base, &help, err);
    if (status != MM_OK || help)
        return status;
    mm_dataset *dataset = NULL;
    uint64_t written = 0;
    status = mm_dataset_open(arguments.dataset, &dataset, err);
    if (status == MM_OK)
        status = arguments.format->write(dataset, arguments.out, &written, err);
    mm_dataset_close(dataset);
    if (status == MM_OK)
        printf("%" PRIu64 " image%s in %s\n", written, written == 1 ? "" : "s", arguments.out);
    return status;
}
