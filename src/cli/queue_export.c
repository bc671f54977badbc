/* maskmill queue export */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "maskmill/queue.h"
#include "queue.h"

typedef mm_status write_queue(const mm_queue *queue, const mm_queue_export_options *options, uint64_t *written,
                              mm_error *err);

static const struct {
    const char *name;
    write_queue *write;
} formats[] = {
    {"coco", mm_queue_export_coco},
    {"labelstudio", mm_queue_export_labelstudio},
};
enum { FORMATS = sizeof formats / sizeof formats[0] };

typedef struct export_arguments {
    mm_cli_input base;
    const char *queue, *dataset, *batches;
    size_t format; /* FORMATS: none given */
    mm_queue_export_options options;
} export_arguments;

enum { KEY_BATCH = 1, KEY_IMAGES, KEY_THUMBNAILS, KEY_CORPUS, KEY_DATASET, KEY_URL };

static const struct argp_option rows[] = {
    {"format", 'f', "FORMAT", 0, "coco or labelstudio", 0},
    {"output", 'o', "FOLDER", 0, "where the files go", 0},
    {"batch", KEY_BATCH, "K|A-B", 0, "this batch, or these, only", 0},
    {"images", KEY_IMAGES, NULL, 0, "write the photographs as well", 0},
    {"thumbnails", KEY_THUMBNAILS, "SIDE", 0, "write small photographs of this long side", 0},
    {"url", KEY_URL, "PREFIX", 0, "with labelstudio: what stands before an image's path (/data/local-files/?d=)", 0},
    {"corpus", KEY_CORPUS, "FOLDER", 0, "where the photographs are now, if they were moved", 0},
    {"dataset", KEY_DATASET, "DATASET", 0, "where the queue's dataset is now, if it was moved", 0},
    {0},
};

static error_t parse_batches(struct argp_state *state, export_arguments *arguments, char *word)
{
    char *end = NULL;
    const error_t twice = mm_cli_keep_once(state, &arguments->batches, word);
    if (twice)
        return twice;
    errno = 0;
    bool good = *word >= '0' && *word <= '9';
    arguments->options.first_batch = good ? strtoull(word, &end, 10) : 0;
    arguments->options.last_batch = arguments->options.first_batch;
    if (good && *end == '-' && end[1] >= '0' && end[1] <= '9')
        arguments->options.last_batch = strtoull(end + 1, &end, 10);
    if (!good || *end || errno || arguments->options.last_batch < arguments->options.first_batch)
        return mm_cli_refuse(state, "--batch %.40s: give a batch, or the first and the last, as in 0-9", word);
    arguments->options.some_batches = true;
    return 0;
}

static error_t check(const export_arguments *arguments, struct argp_state *state)
{
    if (arguments->format == FORMATS || !arguments->options.folder)
        return mm_cli_refuse(state, "needs --format coco or labelstudio, and -o FOLDER");
    if (arguments->options.url && formats[arguments->format].write != mm_queue_export_labelstudio)
        return mm_cli_refuse(state, "--url goes with --format labelstudio only");
    return 0;
}

static error_t parse(int key, char *word, struct argp_state *state)
{
    export_arguments *arguments = state->input;
    mm_queue_export_options *options = &arguments->options;
    uint64_t side;
    switch (key) {
    case ARGP_KEY_INIT:
        arguments->format = FORMATS;
        return 0;
    case 'o':
        return mm_cli_keep_once(state, &options->folder, word);
    case 'f':
        for (size_t i = 0; i < FORMATS; i++)
            if (strcmp(word, formats[i].name) == 0) {
                arguments->format = i;
                return 0;
            }
        return mm_cli_refuse(state, "--format %.40s: give coco or labelstudio", word);
    case KEY_BATCH:
        return parse_batches(state, arguments, word);
    case KEY_IMAGES:
        options->images = true;
        return 0;
    case KEY_THUMBNAILS: {
        const error_t refused = mm_cli_queue_number(state, "--thumbnails", word, 1, 65500, &side);
        options->thumbnail_side = refused ? 0 : (uint32_t)side;
        return refused;
    }
    case KEY_URL:
        return mm_cli_keep_once(state, &options->url, word);
    case KEY_CORPUS:
        return mm_cli_keep_once(state, &options->corpus, word);
    case KEY_DATASET:
        return mm_cli_keep_once(state, &arguments->dataset, word);
    case ARGP_KEY_END: {
        const error_t refused = check(arguments, state);
        if (refused)
            return refused;
        break;
    }
    default:
        break;
    }
    return mm_cli_positional(key, word, state, &arguments->queue, 1, "a queue");
}

mm_status mm_cli_queue_export(int argc, char **argv, int *exit_status, mm_error *err)
{
    (void)exit_status;
    static const struct argp argp = {
        .options = rows,
        .parser = parse,
        .args_doc = "QUEUE --format FORMAT -o FOLDER",
        .doc = "Write a queue's batches for annotators: images with masks filled in.\vOne file a batch. coco opens in "
               "CVAT "
               "and others, labelstudio in Label Studio, with config.xml as its labelling interface.",
    };
    export_arguments arguments = {0};
    bool help = false;
    uint64_t written = 0;
    mm_queue *queue = NULL;
    mm_status status = mm_cli_parse(&argp, "queue export", 2, argc, argv, &arguments.base, &help, err);
    if (!mm_cli_first_rank())
        return MM_OK; /* the first rank speaks, and writes alone */
    if (status != MM_OK || help)
        return status;
    status = mm_queue_open(arguments.queue, arguments.dataset, &queue, err);
    if (status == MM_OK)
        status = formats[arguments.format].write(queue, &arguments.options, &written, err);
    mm_queue_close(queue);
    if (status == MM_OK)
        printf("%" PRIu64 " image%s in %s\n", written, written == 1 ? "" : "s", arguments.options.folder);
    return status;
}
