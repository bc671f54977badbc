/* What trainings have in common besides samples and embeddings. */
#ifndef MM_TRAIN_COMMON_H
#define MM_TRAIN_COMMON_H

#include <jansson.h>

#include "maskmill/comm.h"
#include "maskmill/tensor.h"
#include "maskmill/train.h"

/* Collective: the kernels that all ranks have, so that one forward pass is like the other. Threads are each rank's
 * own. */
MM_RESULT_USED mm_status mm_train_agree_on_kernels(mm_comm *comm, const mm_kernels *asked, mm_kernels *agreed,
                                                   mm_error *err);

/* Options of either kind, whose numbers are those of the table and whose common part is given: in their ranges, and a
 * batch that the ranks can share. */
MM_RESULT_USED mm_status mm_train_check(const mm_train_number *numbers, const void *options,
                                        const mm_train_options *common, size_t ranks, mm_error *err);

/* "OUT" and ".resume", say, for the caller to free; NULL without memory. */
char *mm_train_beside(const char *out, const char *ending);

/* Rank 0, before anything is made: what lies at OUT and at its state OUT.resume, and what is asked for. MM_ERR_USAGE if
 * something is there and neither --resume nor --overwrite is given; with the latter the state goes. *go_on: there is a
 * state to read; *done: OUT is there and no state, so that nothing is left to do. */
MM_RESULT_USED mm_status mm_train_look(const mm_train_options *options, const char *state, bool *go_on, bool *done,
                                       mm_error *err);

/* OUT.jsonl: the options `setup`, then a line an entry of `history`. Written anew each time, so that it is never half
 * of something. */
MM_RESULT_USED mm_status mm_train_write_log(const char *out, const json_t *setup, const json_t *history, mm_error *err);

#endif
