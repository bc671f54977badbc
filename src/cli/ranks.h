/* Commands that ranks can share, but that need no MPI when they are started alone. */
#ifndef MM_CLI_RANKS_H
#define MM_CLI_RANKS_H

#include <stdbool.h>

#include "maskmill/comm.h"

/* Join the other ranks if a launcher (mpirun, srun) started this process; *comm is NULL if not. */
MM_RESULT_USED mm_status mm_cli_join_ranks(mm_comm **comm, mm_error *err);
/* Bring the ranks together and leave. The status that this rank should return: its own on rank 0, MM_OK elsewhere,
 * since mpirun kills all ranks as soon as one fails. */
MM_RESULT_USED mm_status mm_cli_leave_ranks(mm_comm *comm, mm_status status);
/* Whether this rank is the one that prints. */
bool mm_cli_speaks(const mm_comm *comm);

#endif
