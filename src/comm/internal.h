#ifndef MM_COMM_INTERNAL_H
#define MM_COMM_INTERNAL_H

#include <mpi.h>

#include "maskmill/comm.h"

struct mm_comm {
    MPI_Comm world; /* a duplicate of MPI_COMM_WORLD whose errors are returned */
    int rank, size;
    bool first_on_host;
    int host_size; /* of host_ranks */
    MPI_Comm host_ranks; /* those that share this host's memory */
    char host[256];
};

/* MM_OK for MPI_SUCCESS, else MM_ERR_INTERNAL with MPI's own text. */
mm_status mm_comm_check(int code, const char *call, mm_error *err);

/* Until the request is complete, looking and sleeping in turns. */
mm_status mm_comm_wait_asleep(MPI_Request *request, const char *call, mm_error *err);

#endif
