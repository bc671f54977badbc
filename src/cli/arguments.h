/* Arguments by argp, with maskmill's own way to fail: one line, returned, never an exit. */
#ifndef MM_CLI_ARGUMENTS_H
#define MM_CLI_ARGUMENTS_H

#include <argp.h>
#include <stdbool.h>

#include "maskmill/tensor.h"

/* What the input of every parser begins with. */
typedef struct mm_cli_input {
    const char *command;
    mm_error *err;
} mm_cli_input;

/* Parse the words behind `name` (argv[skip] is the last word of the command's own name). `input` begins with an
 * mm_cli_input, which is filled in, and goes to argp's parser. With --help among the words the help is printed, *help
 * set, and nothing parsed. */
MM_RESULT_USED mm_status mm_cli_parse(const struct argp *argp, const char *name, int skip, int argc, char **argv,
                                      mm_cli_input *input, bool *help, mm_error *err);

/* For a parser's `return`: what is wrong with the word at hand. */
error_t mm_cli_refuse(struct argp_state *state, const char *format, ...) MM_PRINTF(2, 3);

/* Store a word that may stand there once. */
error_t mm_cli_keep_once(struct argp_state *state, const char **slot, char *word);

/* The usual parser of positional words: the first `count` go to slots, all are needed. Handles ARGP_KEY_ARG and
 * ARGP_KEY_END; `what` names the words for the message. */
error_t mm_cli_positional(int key, char *word, struct argp_state *state, const char **slots, size_t count,
                          const char *what);

/* The parser of a corpus, all positional words at once. Handles ARGP_KEY_ARGS and ARGP_KEY_END. */
error_t mm_cli_corpus(int key, struct argp_state *state, const char ***sources, size_t *count);

/* Numbers with commas between, at least `least` and at most `most`; *count says how many there were. False if the
 * text is anything else. */
bool mm_cli_numbers(const char *text, double *numbers, size_t least, size_t most, size_t *count);

/* The one number behind --NAME, from `least` to `most`; refused with a line that says so. */
error_t mm_cli_number(struct argp_state *state, const char *name, const char *word, double least, double most,
                      double *to);
error_t mm_cli_whole(struct argp_state *state, const char *name, const char *word, double least, double most,
                     uint32_t *to);

/* The word behind --backend. */
error_t mm_cli_backend(struct argp_state *state, const char *word, mm_kernels *kernels);
/* The word behind --precision. */
error_t mm_cli_precision(struct argp_state *state, const char *word, mm_kernels *kernels);

/* What `run`, `segment` and `bench` share: -c -m --model-config --set --threads --precision --backend -q. */
typedef struct mm_cli_model_options {
    mm_cli_input base;
    const char *config, *model, *model_config;
    const char **sets;
    size_t set_count;
    mm_kernels kernels;
    bool quiet;
} mm_cli_model_options;

extern const struct argp mm_cli_model_argp; /* a child; its input is an mm_cli_model_options with `base` set */
void mm_cli_model_options_free(mm_cli_model_options *options);

/* Say on stderr which thresholds apply, if the model has some of its own. */
void mm_cli_tell_thresholds(const mm_cli_model_options *options);

#endif
