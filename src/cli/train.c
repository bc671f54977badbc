/* maskmill train: which kind, and what both kinds have in common */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli.h"
#include "maskmill/engine.h"
#include "ranks.h"
#include "train.h"

enum {
    KEY_MODEL_CONFIG = 1,
    KEY_VALIDATION,
    KEY_SHARE,
    KEY_EMBEDDINGS,
    KEY_CLIP,
    KEY_WARM_UP,
    KEY_SEED,
    KEY_FLIP,
    KEY_SAVE,
    KEY_BACKEND,
    KEY_RESUME,
    KEY_OVERWRITE
};

static const struct argp_option rows[] = {
    {"model-config", KEY_MODEL_CONFIG, "FILE", 0, "JSON with what the checkpoint does not tell of its shape", 0},
    {"validation", KEY_VALIDATION, "DATASET", 0, "measure with this instead of a share of the rest; repeatable", 0},
    {"validation-share", KEY_SHARE, "X", 0, "share of the images to measure with (default: 0.05)", 0},
    {"embeddings", KEY_EMBEDDINGS, "FOLDER", 0,
     "where embeddings are kept (default: beside the output, with .embeddings behind its name)", 0},
    {"clip-norm", KEY_CLIP, "X", 0, "the gradient's largest norm (default: 5 for a detector, 1 for a decoder)", 0},
    {"warm-up", KEY_WARM_UP, "X", 0, "share of the steps in which the rate rises (default: 0.05)", 0},
    {"seed", KEY_SEED, "N", 0, "another seed, another training (default: 0)", 0},
    {"flip", KEY_FLIP, NULL, 0, "also train on mirrored images; doubles what is encoded and kept", 0},
    {"save-seconds", KEY_SAVE, "X", 0, "between two states that --resume goes on from (default: 60)", 0},
    {"backend", KEY_BACKEND, "B", 0, "dense kernels: dnnl, blas or auto (default: auto)", 0},
    {"resume", KEY_RESUME, NULL, 0, "go on with the training that is there; begin, if there is none", 0},
    {"overwrite", KEY_OVERWRITE, NULL, 0, "replace what is there", 0},
    {"quiet", 'q', NULL, 0, "no progress, only errors", 0},
    {0},
};

bool mm_cli_training_number(struct argp_state *state, int key, const char *word, const struct argp_option *options,
                            const mm_cli_training *training, error_t *bad)
{
    const mm_train_number *numbers = training->numbers;
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
            else if (mm_train_number_set(numbers, training->options, value, &why) != MM_OK)
                *bad = mm_cli_refuse(state, "--%s", why.text);
            return true;
        }
    return false;
}

error_t mm_cli_training_check(struct argp_state *state, const mm_train_options *common, const char *needed,
                              const char *file, const char *what)
{
    if (common->source_count == 0)
        return mm_cli_refuse(state, "needs a dataset: %s", needed);
    if (!common->out)
        return mm_cli_refuse(state, "needs -o %s, where %s goes", file, what);
    if (common->resume && common->overwrite)
        return mm_cli_refuse(state, "--resume keeps what is there and --overwrite replaces it; give one of them");
    return 0;
}

static error_t parse(int key, char *word, struct argp_state *state)
{
    mm_cli_training *t = state->input;
    mm_train_options *o = t->common;
    error_t bad;
    if (mm_cli_training_number(state, key, word, rows, t, &bad))
        return bad;
    switch (key) {
    case ARGP_KEY_INIT:
        t->sources = calloc((size_t)state->argc + 1, sizeof t->sources[0]);
        t->validation = calloc((size_t)state->argc + 1, sizeof t->validation[0]);
        return t->sources && t->validation ? 0 : ENOMEM;
    case KEY_MODEL_CONFIG:
        return mm_cli_keep_once(state, &o->model_config, word);
    case KEY_EMBEDDINGS:
        return mm_cli_keep_once(state, &o->embeddings, word);
    case KEY_VALIDATION:
        t->validation[o->validation_count++] = word; /* fewer than argc */
        return 0;
    case KEY_BACKEND:
        return mm_cli_backend(state, word, &o->kernels);
    case KEY_FLIP:
        o->flip = true;
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
        t->sources[o->source_count++] = word; /* fewer than argc */
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

const struct argp mm_cli_training_argp = {.options = rows, .parser = parse};

static mm_status run(mm_cli_training *training, mm_status (*train)(mm_comm *, const mm_cli_training *, mm_error *),
                     mm_error *err)
{
    mm_comm *comm = NULL;
    mm_status status = mm_engine_hold_signals(err);
    if (status == MM_OK)
        status = mm_cli_join_ranks(&comm, err);
    if (status != MM_OK)
        return status;
    training->common->sources = training->sources;
    training->common->validation = training->validation;
    training->common->model = training->model_path;
    status = mm_comm_agree(comm, mm_checkpoint_locate(training->model ? training->model : "default",
                                                      training->model_path, sizeof training->model_path, err), err);
    if (status == MM_OK)
        status = train(comm, training, err);
    return mm_cli_leave_ranks(comm, status);
}

mm_status mm_cli_training_run(const struct argp *argp, const char *name, int argc, char **argv,
                              mm_cli_training *training,
                              mm_status (*train)(mm_comm *, const mm_cli_training *, mm_error *), mm_error *err)
{
    bool help = false;
    mm_status status = mm_cli_parse(argp, name, 2, argc, argv, &training->base, &help, err);
    if (status != MM_OK)
        status = mm_cli_first_rank() ? status : MM_OK;
    else if (!help)
        status = run(training, train, err);
    free(training->sources);
    free(training->validation);
    return status;
}

mm_status mm_cli_train(int argc, char **argv, int *exit_status, mm_error *err)
{
    (void)exit_status;
    const char *what = argc > 2 ? argv[2] : "";
    if (strcmp(what, "detector") == 0)
        return mm_cli_train_detector(argc, argv, err);
    if (strcmp(what, "decoder") == 0)
        return mm_cli_train_decoder(argc, argv, err);
    if (strcmp(what, "--help") == 0 || strcmp(what, "-h") == 0) {
        printf("Usage: maskmill train detector DATASET... -o HEAD.safetensors [-m MODEL]\n"
               "       maskmill train decoder DATASET... -o MODEL.safetensors [-m MODEL]\n");
        return MM_OK;
    }
    return mm_fail(err, MM_ERR_USAGE, "train: needs detector or decoder; see `maskmill train --help`");
}
