/* Sums and largest of all ranks' values. Of integers, so that they do not depend on an order. */
#include "comm/internal.h"

#include <limits.h>

/* values[count] of all ranks by `operation`, in their place. */
static mm_status reduce(mm_comm *comm, uint64_t *values, size_t count, MPI_Op operation, mm_error *err)
{
    if (!comm)
        return MM_OK;
    if (count > INT_MAX)
        return mm_fail(err, MM_ERR_LIMIT, "%zu numbers are more than a message can hold", count);
    MPI_Request request;
    const mm_status status = mm_comm_check(
        MPI_Iallreduce(MPI_IN_PLACE, values, (int)count, MPI_UINT64_T, operation, comm->world, &request),
        "MPI_Iallreduce", err);
    return status == MM_OK ? mm_comm_wait_asleep(&request, "MPI_Iallreduce", err) : status;
}

mm_status mm_comm_sum(mm_comm *comm, uint64_t *values, size_t count, mm_error *err)
{
    return reduce(comm, values, count, MPI_SUM, err);
}

mm_status mm_comm_largest(mm_comm *comm, uint64_t mine, uint64_t *largest, mm_error *err)
{
    *largest = mine;
    return reduce(comm, largest, 1, MPI_MAX, err);
}
