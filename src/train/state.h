/* A training under way, on the disk: OUT.resume, safetensors with the parameters, the optimiser's moments ("mean.*",
 * "square.*"), and the metadata maskmill.training, JSON: version, setup {what decides the numbers}, step, sums [of the
 * epoch under way], history [one object an epoch]. */
#ifndef MM_TRAIN_STATE_H
#define MM_TRAIN_STATE_H

#include <jansson.h>

#include "detect/head.h"
#include "train/adamw.h"
#include "train/detector_loss.h"

/* Written in one step, as every file. */
MM_RESULT_USED mm_status mm_state_write(const char *path, const mm_head *head, const mm_adamw *optimiser, json_t *setup,
                                        const mm_detector_loss *sums, json_t *history, mm_error *err);

/* The parameters, moments and steps go into `optimiser`. MM_ERR_USAGE names what was otherwise, if `setup` is not the
 * one it was begun with; MM_ERR_FORMAT if the file is damaged. *history is the caller's. */
MM_RESULT_USED mm_status mm_state_read(const char *path, const mm_head *head, mm_adamw *optimiser, const json_t *setup,
                                       mm_detector_loss *sums, json_t **history, mm_error *err);

/* MM_ERR_USAGE, naming what was otherwise, if the setup that the training at `path` was begun with differs from
 * `now`. */
MM_RESULT_USED mm_status mm_state_compare(const json_t *before, const json_t *now, const char *path, mm_error *err);

#endif
