/* maskmill train decoder */
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
    KEY_VALIDATION,
    KEY_SHARE,
    KEY_EMBEDDINGS,
    KEY_EPOCHS,
    KEY_BATCH,
    KEY_MASKS,
    KEY_ROUNDS,
    KEY_BOXES,
    KEY_WEIGHTS,
    KEY_MULTIMASK,
    KEY_NESTED,
    KEY_RATE,
    KEY_DECAY,
    KEY_CLIP,
    KEY_WARM_UP,
    KEY_AVERAGE,
    KEY_SEED,
    KEY_BACKEND,
    KEY_PRECISION,
    KEY_SAVE,
    KEY_RESUME,
    KEY_OVERWRITE
};

typedef struct train_arguments {
    mm_cli_input base;
    mm_train_decoder_options options;
    const char *model;
    const char **sources, **validation;
    char model_path[4096];
} train_arguments;

static const struct argp_option rows[] = {
    {"output", 'o', "MODEL.safetensors", 0, "the trained model; its state and log lie beside it (.resume, .jsonl)", 0},
    {"model", 'm', "MODEL", 0, "the model to begin with: a file or a name (default: default)", 0},
    {"model-config", KEY_MODEL_CONFIG, "FILE", 0, "JSON with what the checkpoint does not tell of its shape", 0},
    {"validation", KEY_VALIDATION, "DATASET", 0, "measure with this instead of a share of the rest; repeatable", 0},
    {"validation-share", KEY_SHARE, "X", 0, "share of the images to measure with (default: 0.05)", 0},
    {"embeddings", KEY_EMBEDDINGS, "FOLDER", 0, "where embeddings are kept (default: MODEL.safetensors.embeddings)", 0},
    {"epochs", KEY_EPOCHS, "X", 0, "times that each image is seen (default: 4)", 0},
    {"batch", KEY_BATCH, "N", 0, "images a step, of all ranks together; memory does not grow with it (default: 8)", 0},
    {"masks", KEY_MASKS, "N", 0, "masks of an image in a step, at most (default: 16)", 0},
    {"rounds", KEY_ROUNDS, "N", 0,
     "of prompts for each mask: first one, then corrections (default: 6; the paper's: 11)", 0},
    {"box-share", KEY_BOXES, "X", 0, "of masks first asked for by a box instead of a click (default: 0.5)", 0},
    {"source-weights", KEY_WEIGHTS, "A,C,H", 0,
     "how much more likely automatic, confident and human masks are taken than others (default: 1,1,3)", 0},
    {"multimask", KEY_MULTIMASK, "X", 0,
     "weight of the three masks' loss when more than a click is given (default: 0.5)", 0},
    {"nested", KEY_NESTED, NULL, 0,
     "masks lie within one another: teach a click's predicted IoU whichever of them an answer meets best", 0},
    {"learning-rate", KEY_RATE, "X", 0, "the highest (default: 0.0002)", 0},
    {"weight-decay", KEY_DECAY, "X", 0, "of matrices (default: 0.1)", 0},
    {"clip-norm", KEY_CLIP, "X", 0, "the gradient's largest norm (default: 1)", 0},
    {"warm-up", KEY_WARM_UP, "X", 0, "share of the steps in which the rate rises (default: 0.05)", 0},
    {"average", KEY_AVERAGE, "X", 0, "what a step leaves of the averaged weights (default: 0.998)", 0},
    {"seed", KEY_SEED, "N", 0, "another seed, another training (default: 0)", 0},
    {"backend", KEY_BACKEND, "B", 0, "dense kernels: dnnl, blas or auto (default: auto)", 0},
    {"precision", KEY_PRECISION, "P", 0, "of large products: f32, bf16, or auto, bf16 where there are instructions (default: "
                                         "f32)", 0},
    {"save-seconds", KEY_SAVE, "X", 0, "between two states that --resume goes on from (default: 60)", 0},
    {"resume", KEY_RESUME, NULL, 0, "go on with the training that is there; begin, if there is none", 0},
    {"overwrite", KEY_OVERWRITE, NULL, 0, "replace what is there", 0},
    {"quiet", 'q', NULL, 0, "no progress, only errors", 0},
    {0},
};

static error_t parse_weights(struct argp_state *state, const char *word, double weights[3])
{
    size_t count;
    if (!mm_cli_numbers(word, weights, 3, 3, &count) || !(weights[0] >= 0 && weights[1] >= 0 && weights[2] >= 0))
        return mm_cli_refuse(state, "--source-weights %.40s: give three numbers from 0 on: automatic,confident,human",
                             word);
    return 0;
}

static error_t check(struct argp_state *state, const mm_train_decoder_options *o)
{
    if (o->source_count == 0)
        return mm_cli_refuse(state, "needs a dataset: the folder that `maskmill run` wrote");
    if (!o->out)
        return mm_cli_refuse(state, "needs -o MODEL.safetensors, where the trained model goes");
    if (o->resume && o->overwrite)
        return mm_cli_refuse(state, "--resume keeps what is there and --overwrite replaces it; give one of them");
    return 0;
}

static error_t parse(int key, char *word, struct argp_state *state)
{
    train_arguments *a = state->input;
    mm_train_decoder_options *o = &a->options;
    error_t bad;
    if (mm_cli_train_number(state, key, word, rows, mm_train_decoder_numbers(), o, &bad))
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
    case KEY_EMBEDDINGS:
        return mm_cli_keep_once(state, &o->embeddings, word);
    case KEY_VALIDATION:
        a->validation[o->validation_count++] = word; /* fewer than argc */
        return 0;
    case KEY_WEIGHTS:
        return parse_weights(state, word, o->source_weights);
    case KEY_BACKEND:
        return mm_cli_backend(state, word, &o->kernels);
    case KEY_PRECISION:
        return mm_cli_precision(state, word, &o->kernels);
    case KEY_NESTED:
        o->nested = true;
        return 0;
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
        return check(state, o);
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static void print_summary(const mm_decoder_summary *s, const char *out)
{
    char encoding[MM_NUMBER_TEXT], training[MM_NUMBER_TEXT];
    if (s->was_done) {
        printf("%s is trained already\n", out);
        return;
    }
    printf("%s: %" PRIu64 " images, %" PRIu64 " steps (%" PRIu64 " left out), loss %.4f; on %.0f masks of %" PRIu64
           " others mean IoU %.4f after one click (before: %.4f), %.4f after three (%.4f), %.4f by box (%.4f); %" PRIu64
           " images encoded in %s, trained in %s\n",
           out, s->images, s->steps, s->skipped, s->loss, s->after.masks, s->validation_images, s->after.clicks[0],
           s->before.clicks[0], s->after.clicks[2], s->before.clicks[2], s->after.box, s->before.box, s->encoded,
           mm_format_duration(encoding, sizeof encoding, s->seconds_encoding),
           mm_format_duration(training, sizeof training, s->seconds_training));
}

static mm_status train(train_arguments *arguments, mm_error *err)
{
    mm_train_decoder_options *options = &arguments->options;
    mm_decoder_summary summary = {0};
    mm_comm *comm = NULL;
    mm_status status = mm_engine_hold_signals(err);
    if (status == MM_OK)
        status = mm_cli_join_ranks(&comm, err);
    if (status != MM_OK)
        return status;
    options->sources = arguments->sources;
    options->validation = arguments->validation;
    options->model = arguments->model_path;
    status = mm_comm_agree(comm, mm_checkpoint_locate(arguments->model ? arguments->model : "default",
                                                      arguments->model_path, sizeof arguments->model_path, err), err);
    if (status == MM_OK)
        status = mm_train_decoder(comm, options, &summary, err);
    if (status == MM_OK && mm_cli_speaks(comm))
        print_summary(&summary, options->out);
    return mm_cli_leave_ranks(comm, status);
}

mm_status mm_cli_train_decoder(int argc, char **argv, mm_error *err)
{
    static const struct argp argp = {
        .options = rows,
        .parser = parse,
        .args_doc = "DATASET... -o MODEL.safetensors",
        .doc = "Train a model's mask decoder and prompt encoder on the masks of datasets, alone or under mpirun. The "
               "image encoder stays as it is.\vDATASET is a folder that `maskmill run` wrote, or its dataset.h5. "
               "Embeddings are made once and kept; a training that was stopped goes on with --resume. docs/training.md "
               "has more.",
    };
    train_arguments arguments = {.options = mm_train_decoder_defaults()};
    bool help = false;
    mm_status status = mm_cli_parse(&argp, "train decoder", 2, argc, argv, &arguments.base, &help, err);
    if (status != MM_OK)
        status = mm_cli_first_rank() ? status : MM_OK;
    else if (!help)
        status = train(&arguments, err);
    free(arguments.sources);
    free(arguments.validation);
    return status;
}
