/* maskmill scan */
#include <inttypes.h>

#include "arguments.h"
#include "cli.h"
#include "maskmill/corpus.h"

typedef struct scan_arguments {
    mm_cli_input base;
    const char **sources;
    size_t source_count;
    const char *out;
} scan_arguments;

static const struct argp_option rows[] = {
    {"output", 'o', "MANIFEST.h5", 0, "the manifest to write", 0},
    {0},
};

static error_t parse(int key, char *word, struct argp_state *state)
{
    scan_arguments *arguments = state->input;
    switch (key) {
    case 'o':
        return mm_cli_keep_once(state, &arguments->out, word);
    case ARGP_KEY_ARGS:
        return mm_cli_corpus(key, state, &arguments->sources, &arguments->source_count);
    case ARGP_KEY_END: {
        const error_t refused = mm_cli_corpus(key, state, &arguments->sources, &arguments->source_count);
        if (refused)
            return refused;
        if (!arguments->out)
            return mm_cli_refuse(state, "needs -o MANIFEST.h5");
        return 0;
    }
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

mm_status mm_cli_scan(int argc, char **argv, int *exit_status, mm_error *err)
{
    (void)exit_status;
    static const struct argp argp = {
        .options = rows,
        .parser = parse,
        .args_doc = "CORPUS... -o MANIFEST.h5",
        .doc = "List a corpus: which images there are, in a fixed order. `run` does it by itself when needed.\v"
               "CORPUS is a folder (walked for .jpg and .jpeg), a .tar, a text file with one path a line, or a "
               "manifest. Several are joined.",
    };
    scan_arguments arguments = {0};
    bool help = false;
    if (!mm_cli_first_rank())
        return MM_OK;
    mm_status status = mm_cli_parse(&argp, "scan", 1, argc, argv, &arguments.base, &help, err);
    if (status != MM_OK || help)
        return status;
    mm_manifest *manifest = NULL;
    mm_scan_report report = {0};
    status = mm_corpus_scan(arguments.sources, arguments.source_count, &manifest, &report, err);
    if (status != MM_OK)
        return status;
    status = mm_manifest_write(manifest, arguments.out, err);
    mm_manifest_free(manifest);
    if (status != MM_OK)
        return status;
    printf("%" PRIu64 " images in %s; %" PRIu64 " other files ignored\n", report.images, arguments.out,
           report.ignored);
    if (report.unreadable > 0)
        printf("%" PRIu64 " folders could not be entered\n", report.unreadable);
    return MM_OK;
}
