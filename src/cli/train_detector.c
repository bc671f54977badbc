/* maskmill train detector */
#include <inttypes.h>
#include <stdio.h>

#include "base/format.h"
#include "cli.h"
#include "ranks.h"
#include "train.h"

enum { KEY_IMAGES = 1, KEY_EPOCHS, KEY_BATCH, KEY_RATE, KEY_DECAY, KEY_WIDTH, KEY_DEPTH };

static const struct argp_option rows[] = {
    {"output", 'o', "HEAD.safetensors", 0, "the detector; its state and log lie beside it (.resume, .jsonl)", 0},
    {"model", 'm', "MODEL", 0, "the model whose encoder it is for: a file or a name (default: default)", 0},
    {"images", KEY_IMAGES, "FOLDER", 0,
     "where the photographs of COCO files are (default: `images` beside the JSON, or the JSON's own folder)", 0},
    {"epochs", KEY_EPOCHS, "X", 0, "times that each image is seen (default: 12)", 0},
    {"batch", KEY_BATCH, "N", 0, "images a step, of all ranks together (default: 16)", 0},
    {"learning-rate", KEY_RATE, "X", 0, "the highest (default: 0.002)", 0},
    {"weight-decay", KEY_DECAY, "X", 0, "of weights, not of norms and biases (default: 0.05)", 0},
    {"width", KEY_WIDTH, "N", 0, "channels of the head (default: 64)", 0},
    {"depth", KEY_DEPTH, "N", 0, "3x3 convolutions of the head (default: 2)", 0},
    {0},
};

static error_t parse(int key, char *word, struct argp_state *state)
{
    mm_cli_training *t = state->input;
    mm_train_detector_options *o = t->options;
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
    case KEY_IMAGES:
        return mm_cli_keep_once(state, &o->images, word);
    case ARGP_KEY_END:
        return mm_cli_training_check(state, &o->common,
                                     "the folder that `maskmill run` wrote, or a COCO file (.json)",
                                     "HEAD.safetensors", "the detector");
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

static mm_status train(mm_comm *comm, const mm_cli_training *training, mm_error *err)
{
    mm_train_detector_options *options = training->options;
    mm_train_summary summary = {0};
    options->common.kernels.threads = 1;
    const mm_status status = mm_train_detector(comm, options, &summary, err);
    if (status == MM_OK && mm_cli_speaks(comm))
        print_summary(&summary, options->common.out);
    return status;
}

mm_status mm_cli_train_detector(int argc, char **argv, mm_error *err)
{
    static const struct argp_child children[] = {{&mm_cli_training_argp, 0, NULL, 0}, {0}};
    static const struct argp argp = {
        .options = rows,
        .parser = parse,
        .args_doc = "DATASET... -o HEAD.safetensors",
        .doc = "Train a detector of objects on the embeddings of a model's encoder, alone or under mpirun.\v"
               "DATASET is a folder that `maskmill run` wrote, its dataset.h5, or a COCO file (.json), of which only "
               "the boxes are used. Embeddings are made once and kept; a training that was stopped goes on with "
               "--resume.",
        .children = children,
    };
    mm_train_detector_options options = mm_train_detector_defaults();
    mm_cli_training training = {
        .common = &options.common, .options = &options, .numbers = mm_train_detector_numbers()};
    return mm_cli_training_run(&argp, "train detector", argc, argv, &training, train, err);
}
