/* What trainings have in common besides samples and embeddings. */
#ifndef MM_TRAIN_COMMON_H
#define MM_TRAIN_COMMON_H

#include "maskmill/comm.h"
#include "maskmill/tensor.h"

/* Collective: the kernels that all ranks have, so that one forward pass is like the other. Threads are each rank's
 * own. */
MM_RESULT_USED mm_status mm_train_agree_on_kernels(mm_comm *comm, const mm_kernels *asked, mm_kernels *agreed,
                                                   mm_error *err);

#endif
