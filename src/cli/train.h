/* The parts of `maskmill train`. */
#ifndef MM_CLI_TRAIN_H
#define MM_CLI_TRAIN_H

#include "arguments.h"
#include "maskmill/train.h"

/* Whether `key` is an option of options[] that is one of the training's numbers. If so, the word is stored in `values`;
 * *bad is what the parser returns. */
bool mm_cli_train_number(struct argp_state *state, int key, const char *word, const struct argp_option *options,
                         const mm_train_number *numbers, void *values, error_t *bad);

#endif
