/* Gradients of all ranks, added up in the order of ranks: equal numbers of ranks give equal bits, whoever comes
 * first. */
#ifndef MM_TRAIN_GRADIENT_SUM_H
#define MM_TRAIN_GRADIENT_SUM_H

#include <stddef.h>

#include "maskmill/comm.h"

/* Collective: vector[count] and figures[figure_count] become the sums over the ranks, on all of them. Each rank adds up
 * its share of the vector, so that a rank sends and receives the vector twice, however many there are. */
MM_RESULT_USED mm_status mm_sum_over_ranks(mm_comm *comm, float *vector, size_t count, double *figures,
                                           size_t figure_count, mm_error *err);

#endif
