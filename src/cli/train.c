/* maskmill train */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "arguments.h"
#include "base/format.h"
#include "cli.h"
#include "maskmill/engine.h"
#include "maskmill/train.h"
#include "ranks.h"
#include "train.h"

enum {
    KEY_MODEL_CONFIG = 1,
    KEY_IMAGES,
    KEY_VALIDATION,
    KEY_SHARE,
    KEY_EMBEDDINGS,
    KEY_EPOCHS,
    KEY_BATCH,
    KEY_RATE,
    KEY_DECAY,
    KEY_WIDTH,
    KEY_DEPTH,
    KEY_SEED,
    KEY_FLIP,
    KEY_SAVE,
    KEY_BACKEND,
    KEY_RESUME,
    KEY_OVERWRITE
};

typedef struct train_arguments {
    mm_cli_input base;
    mm_train_detector_options options;
    const char *model;
    const char **sources, **validation;
    size_t source_count;
    char model_path[4096];
} train_arguments;

static const struct argp_option rows[] = {
    {"output", 'o', "HEAD.safetensors", 0, "the detector; its state and log lie beside it (.resume, .jsonl)", 0},
    {"model", 'm', "MODEL", 0, "the model whose encoder it is for: a file or a name (default: default)", 0},
    {"model-config", KEY_MODEL_CONFIG, "FILE", 0, "JSON with what the checkpoint does not tell of its shape", 0},
    {"images", KEY_IMAGES, "FOLDER", 0,
     "where the photographs of COCO files are (default: `images` beside the JSON, or the JSON's own folder)", 0},
    {"validation", KEY_VALIDATION, "DATASET", 0, "measure with this instead of a share of the rest; repeatable", 0},
    {"validation-share", KEY_SHARE, "X", 0, "share of the images to measure with (default: 0.05)", 0},
    {"embeddings", KEY_EMBEDDINGS, "FOLDER", 0, "where embeddings are kept (default: HEAD.safetensors.embeddings)", 0},
    {"epochs", KEY_EPOCHS, "X", 0, "times that each image is seen (default: 12)", 0},
    {"batch", KEY_BATCH, "N", 0, "images a step, of all ranks together (default: 16)", 0},
    {"learning-rate", KEY_RATE, "X", 0, "the highest (default: 0.002)", 0},
    {"weight-decay", KEY_DECAY, "X", 0, "of weights, not of norms and biases (default: 0.05)", 0},
    {"width", KEY_WIDTH, "N", 0, "channels of the head (default: 64)", 0},
    {"depth", KEY_DEPTH, "N", 0, "3x3 convolutions of the head (default: 2)", 0},
    {"seed", KEY_SEED, "N", 0, "another seed, another training (default: 0)", 0},
    {"flip", KEY_FLIP, NULL, 0, "also train on mirrored images; doubles what is encoded and kept", 0},
    {"save-seconds", KEY_SAVE, "X", 0, "seconds between two states that --resume goes on from (default: 60)", 0},
    {"backend", KEY_BACKEND, "B", 0, "dense kernels: dnnl, blas or auto (default: auto)", 0},
    {"resume", KEY_RESUME, NULL, 0, "go on with the training that is there; begin, if there is none", 0},
    {"overwrite", KEY_OVERWRITE, NULL, 0, "replace what is there", 0},
    {"quiet", 'q', NULL, 0, "no progress, only errors", 0},
    {0},
};

bool mm_cli_train_number(struct argp_state *state, int key, const char *word, const struct argp_option *options,
                         const mm_train_number *numbers, void *values, error_t *bad)
{
    const char *name = NULL;
    size_t count;
    double value;
    *bad = 0;
    for (; word && options->name && !name; options++)
        if (options->key == key)
            name = options->name;
    for (; name && numbers->name; numbers++)
        if (strcmp(numbers->name, name) == 0) {
            mm_error why = {0};
            if (!mm_cli_numbers(word, &value, 1, 1, &count))
                *bad = mm_cli_refuse(state, "--%s %.40s: give a number from %g to %g", name, word, numbers->least,
                                     numbers->most);
            else if (mm_train_number_set(numbers, values, value, &why) != MM_OK)
                *bad = mm_cli_refuse(state, "--%s", why.text);
            return true;
        }
    return false;
}

static error_t parse(int key, char *word, struct argp_state *state)
{
    train_arguments *a = state->input;
    mm_train_detector_options *o = &a->options;
    error_t bad;
    if (mm_cli_train_number(state, key, word, rows, mm_train_detector_numbers(), o, &bad))
        return bad;
    switch (key) {
    case ARGP_KEY_INIT:
        a->sources = calloc((size_t)state->argc + 1, sizeof a->sources[0]);
        a->validation = calloc((size_t)state->argc + 1, sizeof a->validation[0]);
        return a->sources && a->validation ? 0 : ENOMEM;
    case 'o':
        return mm_cli_keep_once(state, &o->out, word);
    case 'm':
        return mm_cli_keep_once(state, &a->model, word);
    case KEY_MODEL_CONFIG:
        return mm_cli_keep_once(state, &o->model_config, word);
    case KEY_IMAGES:
        return mm_cli_keep_once(state, &o->images, word);
    case KEY_EMBEDDINGS:
        return mm_cli_keep_once(state, &o->embeddings, word);
    case KEY_VALIDATION:
        a->validation[o->validation_count++] = word; /* fewer than argc */
        return 0;
    case KEY_FLIP:
        o->flip = true;
        return 0;
    case KEY_BACKEND:
        return mm_cli_backend(state, word, &o->kernels);
    case KEY_RESUME:
        o->resume = true;
        return 0;
    case KEY_OVERWRITE:
        o->overwrite = true;
        return 0;
    case 'q':
        o->quiet = true;
        return 0;
    case ARGP_KEY_ARG:
        a->sources[o->source_count++] = word; /* fewer than argc */
        return 0;
    case ARGP_KEY_END:
        if (o->source_count == 0)
            return mm_cli_refuse(state,
                                 "needs a dataset: the folder that `maskmill run` wrote, or a COCO file (.json)");
        if (!o->out)
            return mm_cli_refuse(state, "needs -o HEAD.safetensors, where the detector goes");
        if (o->resume && o->overwrite)
            return mm_cli_refuse(state, "--resume keeps what is there and --overwrite replaces it; give one of them");
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static void print_summary(const mm_train_summary *summary, const char *out)
{
    char encoding[MM_NUMBER_TEXT], training[MM_NUMBER_TEXT];
    if (summary->was_done) {
        printf("%s is trained already\n", out);
        return;
    }
    printf("%s: %" PRIu64 " images with %" PRIu64 " boxes, %" PRIu64 " steps, loss %.4f; on %" PRIu64
           " others with %" PRIu64 " boxes AR@100 %.4f, AP50 %.4f; %" PRIu64 " images encoded in %s, trained in %s\n",
           out, summary->images, summary->boxes, summary->steps, summary->loss, summary->validation_images,
           summary->validation_boxes, summary->recall, summary->precision, summary->encoded,
           mm_format_duration(encoding, sizeof encoding, summary->seconds_encoding),
           mm_format_duration(training, sizeof training, summary->seconds_training));
}

static mm_status train(train_arguments *arguments, mm_error *err)
{
    mm_train_detector_options *options = &arguments->options;
    mm_train_summary summary = {0};
    mm_comm *comm = NULL;
    mm_status status = mm_engine_hold_signals(err);
    if (status == MM_OK)
        status = mm_cli_join_ranks(&comm, err);
    if (status != MM_OK)
        return status;
    options->sources = arguments->sources;
    options->validation = arguments->validation;
    options->model = arguments->model_path;
    options->kernels.threads = 1;
    status = mm_comm_agree(comm, mm_checkpoint_locate(arguments->model ? arguments->model : "default",
                                                      arguments->model_path, sizeof arguments->model_path, err), err);
    if (status == MM_OK)
        status = mm_train_detector(comm, options, &summary, err);
    if (status == MM_OK && mm_cli_speaks(comm))
        print_summary(&summary, options->out);
    return mm_cli_leave_ranks(comm, status);
}

static mm_status train_detector(int argc, char **argv, mm_error *err)
{
    static const struct argp argp = {
        .options = rows,
        .parser = parse,
        .args_doc = "DATASET... -o HEAD.safetensors",
        .doc = "Train a detector of objects on the embeddings of a model's encoder, alone or under mpirun.\v"
               "DATASET is a folder that `maskmill run` wrote, its dataset.h5, or a COCO file (.json), of which only "
               "the boxes are used. Embeddings are made once and kept; a training that was stopped goes on with "
               "--resume.",
    };
    train_arguments arguments = {.options = mm_train_detector_defaults()};
    bool help = false;
    mm_status status = mm_cli_parse(&argp, "train detector", 2, argc, argv, &arguments.base, &help, err);
    if (status != MM_OK)
        status = mm_cli_first_rank() ? status : MM_OK;
    else if (!help)
        status = train(&arguments, err);
    free(arguments.sources);
    free(arguments.validation);
    return status;
}

mm_status mm_cli_train(int argc, char **argv, int *exit_status, mm_error *err)
{
    (void)exit_status;
    const char *what = argc > 2 ? argv[2] : "";
    if (strcmp(what, "detector") == 0)
        return train_detector(argc, argv, err);
    if (strcmp(what, "decoder") == 0)
        return mm_cli_train_decoder(argc, argv, err);
    if (strcmp(what, "--help") == 0 || strcmp(what, "-h") == 0) {
        printf("Usage: maskmill train detector DATASET... -o HEAD.safetensors [-m MODEL]\n"
               "       maskmill train decoder DATASET... -o MODEL.safetensors [-m MODEL]\n");
        return MM_OK;
    }
    return mm_fail(err, MM_ERR_USAGE, "train: needs detector or decoder; see `maskmill train --help`");
}
