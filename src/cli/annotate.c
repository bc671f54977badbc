/* maskmill annotate */
#include <inttypes.h>
#include <string.h>

#include "arguments.h"
#include "cli.h"
#include "maskmill/annotate.h"

enum { KEY_PORT = 1, KEY_BIND, KEY_ORIGIN, KEY_ANSWERS, KEY_EMBEDDINGS, KEY_CORPUS, KEY_COCO, KEY_WORKERS, KEY_IMAGES,
       KEY_LEASE, KEY_RATE };

typedef struct annotate_arguments {
    mm_cli_input base;
    mm_cli_model_options model;
    mm_annotate_options options;
    const char *coco;
} annotate_arguments;

enum { DEFAULT_PORT = 8470 };

static const struct argp_option rows[] = {
    {"port", KEY_PORT, "N", 0, "port to listen on; 0: one that is free (default: 8470)", 0},
    {"bind", KEY_BIND, "ADDR", 0, "address to listen on, in numbers (default: 127.0.0.1, this machine alone)", 0},
    {"origin", KEY_ORIGIN, "URL", 0,
     "what browsers see if a proxy stands in front, such as https://masks.example.org", 0},
    {"answers", KEY_ANSWERS, "FILE", 0,
     "the journal that answers go to; it is gone on with (default: answers.mma, in a queue's folder or else here)", 0},
    {"embeddings", KEY_EMBEDDINGS, "FOLDER", 0, "embeddings that `maskmill embed` has made", 0},
    {"corpus", KEY_CORPUS, "FOLDER", 0, "where the photographs of a dataset or queue are now, if they were moved", 0},
    {"coco", KEY_COCO, "FILE", 0, "serve nothing; write the answers so far as COCO's JSON", 0},
    {"workers", KEY_WORKERS, "N", 0, "threads that answer clicks and make embeddings (default: one a core)", 0},
    {"images", KEY_IMAGES, "N", 0, "images kept in memory (default: 32)", 0},
    {"lease", KEY_LEASE, "SECONDS", 0, "how long an image is kept for a page that is silent (default: 120)", 0},
    {"rate", KEY_RATE, "N", 0, "requests a second that one page may make; 0: any number (default: 40)", 0},
    {0},
};

static error_t parse(int key, char *word, struct argp_state *state)
{
    annotate_arguments *a = state->input;
    mm_annotate_options *o = &a->options;
    uint32_t number = 0;
    error_t bad = 0;
    switch (key) {
    case ARGP_KEY_INIT:
        a->model.base = a->base;
        state->child_inputs[0] = &a->model;
        o->port = DEFAULT_PORT;
        return 0;
    case KEY_PORT:
        bad = mm_cli_whole(state, "port", word, 0, 65535, &number);
        o->port = (uint16_t)number;
        return bad;
    case KEY_WORKERS:
        bad = mm_cli_whole(state, "workers", word, 2, 1024, &number);
        o->workers = number;
        return bad;
    case KEY_IMAGES:
        bad = mm_cli_whole(state, "images", word, 4, 100000, &number);
        o->images = number;
        return bad;
    case KEY_LEASE:
        bad = mm_cli_whole(state, "lease", word, 1, 86400, &number);
        o->lease_seconds = number;
        return bad;
    case KEY_RATE:
        bad = mm_cli_whole(state, "rate", word, 0, 100000, &number);
        o->rate = number > 0 ? (double)number : -1;
        return bad;
    case KEY_BIND:
        return mm_cli_keep_once(state, &o->address, word);
    case KEY_ORIGIN:
        return mm_cli_keep_once(state, &o->origin, word);
    case KEY_ANSWERS:
        return mm_cli_keep_once(state, &o->source.answers, word);
    case KEY_EMBEDDINGS:
        return mm_cli_keep_once(state, &o->embeddings, word);
    case KEY_CORPUS:
        return mm_cli_keep_once(state, &o->source.corpus, word);
    case KEY_COCO:
        return mm_cli_keep_once(state, &a->coco, word);
    default:
        return mm_cli_positional(key, word, state, &o->source.path, 1, "photographs, a dataset or a queue");
    }
}

static mm_status annotate(annotate_arguments *a, mm_error *err)
{
    mm_annotate_options *o = &a->options;
    mm_annotate_counts counts;
    o->source.model = a->model.model;
    o->source.model_config = a->model.model_config;
    o->source.config = a->model.config;
    o->source.sets = a->model.sets;
    o->source.set_count = a->model.set_count;
    o->kernels = a->model.kernels;
    o->quiet = a->model.quiet;
    if (!a->coco)
        return mm_annotate(o, stdout, err);
    const mm_status status = mm_annotate_export(&o->source, a->coco, &counts, err);
    if (status == MM_OK && !o->quiet)
        (void)fprintf(stderr, "maskmill: %" PRIu64 " masks of %" PRIu64 " images are in %s\n", counts.masks,
                      counts.images, a->coco);
    return status;
}

mm_status mm_cli_annotate(int argc, char **argv, int *exit_status, mm_error *err)
{
    (void)exit_status;
    static const struct argp_child children[] = {{&mm_cli_model_argp, 0, "Model and config:", 1}, {0}};
    static const struct argp argp = {
        .options = rows,
        .parser = parse,
        .args_doc = "SOURCE",
        .doc = "Draw masks in a browser, with the model's help.\vSOURCE is a corpus (folder, .tar, list, manifest), a "
               "dataset, or a queue. The URL is printed; it carries a token, without which nothing is answered. Answers "
               "go to a journal that `maskmill queue import` reads. The server runs until SIGINT, SIGTERM or SIGUSR1.",
        .children = children,
    };
    annotate_arguments arguments = {0};
    bool help = false;
    mm_status status = mm_cli_parse(&argp, "annotate", 1, argc, argv, &arguments.base, &help, err);
    if (status == MM_OK && !help && mm_cli_first_rank())
        status = annotate(&arguments, err);
    mm_cli_model_options_free(&arguments.model);
    return status;
}
