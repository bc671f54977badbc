/* maskmill train decoder */
#include <inttypes.h>
#include <stdio.h>

#include "base/format.h"
#include "cli.h"
#include "ranks.h"
#include "train.h"

enum {
    KEY_EPOCHS = 1,
    KEY_BATCH,
    KEY_MASKS,
    KEY_ROUNDS,
    KEY_BOXES,
    KEY_WEIGHTS,
    KEY_MULTIMASK,
    KEY_NESTED,
    KEY_RATE,
    KEY_DECAY,
    KEY_AVERAGE,
    KEY_PRECISION
};

static const struct argp_option rows[] = {
    {"output", 'o', "MODEL.safetensors", 0, "the trained model; its state and log lie beside it (.resume, .jsonl)", 0},
    {"model", 'm', "MODEL", 0, "the model to begin with: a file or a name (default: default)", 0},
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
    {"average", KEY_AVERAGE, "X", 0, "what a step leaves of the averaged weights (default: 0.998)", 0},
    {"precision", KEY_PRECISION, "P", 0,
     "of large products: f32, bf16, or auto, bf16 where there are instructions (default: f32)", 0},
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

static error_t parse(int key, char *word, struct argp_state *state)
{
    mm_cli_training *t = state->input;
    mm_train_decoder_options *o = t->options;
    error_t bad;
    if (mm_cli_training_number(state, key, word, rows, t, &bad))
        return bad;
    switch (key) {
    case ARGP_KEY_INIT:
        state->child_inputs[0] = t;
        return 0;
    case 'o':
        return mm_cli_keep_once(state, &o->common.out, word);
    case 'm':
        return mm_cli_keep_once(state, &t->model, word);
    case KEY_WEIGHTS:
        return parse_weights(state, word, o->source_weights);
    case KEY_PRECISION:
        return mm_cli_precision(state, word, &o->common.kernels);
    case KEY_NESTED:
        o->nested = true;
        return 0;
    case ARGP_KEY_END:
        return mm_cli_training_check(state, &o->common, "the folder that `maskmill run` wrote",
                                     "MODEL.safetensors", "the trained model");
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

static mm_status train(mm_comm *comm, const mm_cli_training *training, mm_error *err)
{
    const mm_train_decoder_options *options = training->options;
    mm_decoder_summary summary = {0};
    const mm_status status = mm_train_decoder(comm, options, &summary, err);
    if (status == MM_OK && mm_cli_speaks(comm))
        print_summary(&summary, options->common.out);
    return status;
}

mm_status mm_cli_train_decoder(int argc, char **argv, mm_error *err)
{
    static const struct argp_child children[] = {{&mm_cli_training_argp, 0, NULL, 0}, {0}};
    static const struct argp argp = {
        .options = rows,
        .parser = parse,
        .args_doc = "DATASET... -o MODEL.safetensors",
        .doc = "Train a model's mask decoder and prompt encoder on the masks of datasets, alone or under mpirun. The "
               "image encoder stays as it is.\vDATASET is a folder that `maskmill run` wrote, or its dataset.h5. "
               "Embeddings are made once and kept; a training that was stopped goes on with --resume. docs/training.md "
               "has more.",
        .children = children,
    };
    mm_train_decoder_options options = mm_train_decoder_defaults();
    mm_cli_training training = {
        .common = &options.common, .options = &options, .numbers = mm_train_decoder_numbers()};
    return mm_cli_training_run(&argp, "train decoder", argc, argv, &training, train, err);
}
