/* The parts of `maskmill train`, and what trainings of both kinds have in common there. */
#ifndef MM_CLI_TRAIN_H
#define MM_CLI_TRAIN_H

#include "arguments.h"
#include "maskmill/train.h"

/* A training as its command line tells it. */
typedef struct mm_cli_training {
    mm_cli_input base;
    mm_train_options *common;       /* in `options` */
    void *options;                  /* mm_train_detector_options or mm_train_decoder_options */
    const mm_train_number *numbers; /* of those */
    const char *model;              /* a name or a path */
    const char **sources, **validation;
    char model_path[4096];
} mm_cli_training;

/* Whether `key` is an option of rows[] that is one of the training's numbers. If so, the word is stored; *bad is what
 * the parser returns. */
bool mm_cli_training_number(struct argp_state *state, int key, const char *word, const struct argp_option *rows,
                            const mm_cli_training *training, error_t *bad);

/* For ARGP_KEY_END: whether there are sources (`needed` says which), a file for what comes of it, and one intention. */
error_t mm_cli_training_check(struct argp_state *state, const mm_train_options *common, const char *needed,
                              const char *file, const char *what);

/* The parser of options that both kinds have, and of the datasets; its input is an mm_cli_training. */
extern const struct argp mm_cli_training_argp;

/* Parse the command line and, unless it asks for help, join the ranks, find the model and call `train`, which tells what
 * came of it if it is the rank to speak. */
MM_RESULT_USED mm_status mm_cli_training_run(const struct argp *argp, const char *name, int argc, char **argv,
                                             mm_cli_training *training,
                                             mm_status (*train)(mm_comm *, const mm_cli_training *, mm_error *),
                                             mm_error *err);

MM_RESULT_USED mm_status mm_cli_train_detector(int argc, char **argv, mm_error *err);
MM_RESULT_USED mm_status mm_cli_train_decoder(int argc, char **argv, mm_error *err);

#endif
