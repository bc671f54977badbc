/* Collectives that wait by polling and sleeping. */
#include "comm/internal.h"

#include <limits.h>
#include <string.h>
#include <time.h>

enum { SHORTEST_NAP_NS = 50000, LONGEST_NAP_NS = 5000000 };

/* Until the request is complete. The sleep grows from 0.05 to 5 ms: start-up stays brisk, long waits cost nothing. */
mm_status mm_comm_wait_asleep(MPI_Request *request, const char *call, mm_error *err)
{
    long nap = SHORTEST_NAP_NS;
    for (;;) {
        int done = 0;
        const mm_status status = mm_comm_check(MPI_Test(request, &done, MPI_STATUS_IGNORE), call, err);
        if (status != MM_OK || done)
            return status;
        const struct timespec pause = {.tv_nsec = nap};
        (void)nanosleep(&pause, NULL); /* woken early by a signal: we only look sooner */
        if (nap < LONGEST_NAP_NS)
            nap += nap / 4;
    }
}

static mm_status check_size(size_t size, mm_error *err)
{
    return size <= INT_MAX ? MM_OK : mm_fail(err, MM_ERR_LIMIT, "%zu bytes are more than a message can hold", size);
}

mm_status mm_comm_barrier(mm_comm *comm, mm_error *err)
{
    MPI_Request request;
    const mm_status status = mm_comm_check(MPI_Ibarrier(comm->world, &request), "MPI_Ibarrier", err);
    return status == MM_OK ? mm_comm_wait_asleep(&request, "MPI_Ibarrier", err) : status;
}

mm_status mm_comm_broadcast(mm_comm *comm, int root, void *bytes, size_t size, mm_error *err)
{
    if (!comm)
        return MM_OK;
    mm_status status = check_size(size, err);
    if (status != MM_OK)
        return status;
    MPI_Request request;
    status = mm_comm_check(MPI_Ibcast(bytes, (int)size, MPI_BYTE, root, comm->world, &request), "MPI_Ibcast", err);
    return status == MM_OK ? mm_comm_wait_asleep(&request, "MPI_Ibcast", err) : status;
}

mm_status mm_comm_gather(mm_comm *comm, const void *mine, size_t size, void *all, mm_error *err)
{
    if (!comm) {
        memcpy(all, mine, size);
        return MM_OK;
    }
    mm_status status = check_size(size, err);
    if (status != MM_OK)
        return status;
    MPI_Request request;
    status = mm_comm_check(MPI_Igather(mine, (int)size, MPI_BYTE, all, (int)size, MPI_BYTE, 0, comm->world, &request),
                           "MPI_Igather", err);
    return status == MM_OK ? mm_comm_wait_asleep(&request, "MPI_Igather", err) : status;
}

mm_status mm_comm_agree(mm_comm *comm, mm_status mine, mm_error *err)
{
    if (!comm)
        return mine;
    int first_bad = mine == MM_OK ? comm->size : comm->rank;
    int lowest = comm->size;
    MPI_Request request;
    mm_status status = mm_comm_check(
        MPI_Iallreduce(&first_bad, &lowest, 1, MPI_INT, MPI_MIN, comm->world, &request), "MPI_Iallreduce", err);
    if (status == MM_OK)
        status = mm_comm_wait_asleep(&request, "MPI_Iallreduce", err);
    if (status != MM_OK || lowest == comm->size)
        return status;

    mm_error shared = {0};
    if (comm->rank == lowest) {
        shared.status = mine;
        if (err)
            memcpy(shared.text, err->text, sizeof shared.text);
        if (lowest != 0)
            (void)mm_error_prefix(&shared, "%s (rank %d)", comm->host, comm->rank); /* returns the status it has */
    }
    status = mm_comm_broadcast(comm, lowest, &shared, sizeof shared, err);
    if (status != MM_OK)
        return status;
    shared.text[sizeof shared.text - 1] = '\0';
    return mm_fail(err, shared.status, "%s", shared.text);
}
