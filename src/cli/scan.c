/* maskmill scan */
#include <inttypes.h>
#include <time.h>
#include <unistd.h>

#include "arguments.h"
#include "cli.h"
#include "maskmill/corpus.h"
#include "maskmill/engine.h"

enum { KEY_PHASH = 1, KEY_DUPLICATES };

typedef struct scan_arguments {
    mm_cli_input base;
    const char **sources;
    size_t source_count;
    const char *out, *duplicates;
    bool phash;
    uint32_t distance; /* of --duplicates */
} scan_arguments;

static const struct argp_option rows[] = {
    {"output", 'o', "MANIFEST.h5", 0, "the manifest to write", 0},
    {"phash", KEY_PHASH, NULL, 0, "read every image and store its perceptual hash", 0},
    {"duplicates", KEY_DUPLICATES, "BITS", 0,
     "find near-duplicates: images whose hashes differ in at most BITS (0 to 10) of 64 bits; 4 is usual", 0},
    {0},
};

static error_t finish(scan_arguments *arguments, struct argp_state *state)
{
    if (!arguments->out)
        return mm_cli_refuse(state, "needs -o MANIFEST.h5");
    if (!arguments->duplicates)
        return 0;
    double number = 0;
    size_t count = 0;
    if (!mm_cli_numbers(arguments->duplicates, &number, 1, 1, &count) || number < 0 || number > 10 ||
        number != (double)(uint32_t)number)
        return mm_cli_refuse(state, "--duplicates %.40s: it is a whole number of bits from 0 to 10",
                             arguments->duplicates);
    arguments->distance = (uint32_t)number;
    return 0;
}

static error_t parse(int key, char *word, struct argp_state *state)
{
    scan_arguments *arguments = state->input;
    switch (key) {
    case 'o':
        return mm_cli_keep_once(state, &arguments->out, word);
    case KEY_PHASH:
        arguments->phash = true;
        return 0;
    case KEY_DUPLICATES:
        return mm_cli_keep_once(state, &arguments->duplicates, word);
    case ARGP_KEY_ARGS:
        return mm_cli_corpus(key, state, &arguments->sources, &arguments->source_count);
    case ARGP_KEY_END: {
        const error_t refused = mm_cli_corpus(key, state, &arguments->sources, &arguments->source_count);
        return refused ? refused : finish(arguments, state);
    }
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

/* On a terminal one line that is written over, elsewhere one every ten seconds. */
static void show_progress(void *user, uint64_t done, uint64_t total)
{
    time_t *last = user;
    const bool terminal = isatty(STDERR_FILENO);
    if (!terminal && time(NULL) - *last < 10)
        return;
    *last = time(NULL);
    (void)fprintf(stderr, "%s%" PRIu64 "/%" PRIu64 " images hashed%s", terminal ? "\r" : "", done, total,
                  !terminal || done == total ? "\n" : "");
}

/* What the file holds, after it is written; and what a person may wonder about. */
static void print_report(const scan_arguments *arguments, const mm_scan_report *report, uint64_t duplicates)
{
    printf("%" PRIu64 " images in %s; %" PRIu64 " other files ignored\n", report->images, arguments->out,
           report->ignored);
    if (report->unreadable > 0)
        printf("%" PRIu64 " folders could not be entered\n", report->unreadable);
    if (arguments->duplicates)
        printf("%" PRIu64 " images are near-duplicates of others (at most %" PRIu32 " of 64 bits differ)\n", duplicates,
               arguments->distance);
}

/* On every rank. */
static mm_status scan(mm_comm *comm, const scan_arguments *arguments, mm_error *err)
{
    const mm_config limits = mm_config_defaults();
    time_t told = time(NULL);
    const mm_hash_options hash = {.max_pixels = limits.image.max_pixels, .max_bytes = limits.image.max_bytes,
                                  .progress = show_progress, .user = &told};
    mm_manifest *manifest = NULL;
    mm_scan_report report = {0};
    uint64_t duplicates = 0;
    mm_status status =
        mm_corpus_scan_together(comm, arguments->sources, arguments->source_count, &manifest, &report, err);
    if (status == MM_OK && (arguments->phash || arguments->duplicates))
        status = mm_corpus_hash(comm, manifest, &hash, err);
    if (status == MM_OK && arguments->duplicates)
        status = mm_corpus_group(comm, manifest, arguments->distance, &duplicates, err);
    if (status == MM_OK && manifest)
        status = mm_manifest_write(manifest, arguments->out, err);
    if (status == MM_OK && manifest)
        print_report(arguments, &report, duplicates);
    mm_manifest_free(manifest);
    return mm_comm_agree(comm, status, err);
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
               "manifest. Several are joined. Under mpirun or srun the ranks share the work; the manifest does not "
               "depend on how many there are.",
    };
    scan_arguments arguments = {0};
    bool help = false;
    mm_comm *comm = NULL;
    mm_status status = mm_cli_parse(&argp, "scan", 1, argc, argv, &arguments.base, &help, err);
    if (status != MM_OK || help)
        return mm_cli_first_rank() ? status : MM_OK; /* mpirun kills all ranks as soon as one fails: the first does */
    bool speaks = true;
    status = mm_comm_start(NULL, NULL, &comm, err);
    if (status == MM_OK) {
        speaks = mm_comm_rank(comm) == 0;
        status = scan(comm, &arguments, err);
        const mm_status apart = mm_comm_barrier(comm, NULL);
        (void)apart; /* what failed before is what the user needs to know */
        mm_comm_stop(comm);
    }
    return speaks ? status : MM_OK;
}
