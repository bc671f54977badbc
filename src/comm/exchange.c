/* Collectives of bytes whose number differs from rank to rank. */
#include "comm/internal.h"

#include <stdlib.h>
#include <string.h>

enum { TAG_PARCEL = 1 };

mm_status mm_comm_host_broadcast(mm_comm *comm, void *bytes, size_t size, mm_error *err)
{
    if (!comm)
        return MM_OK;
    if (size > INT32_MAX)
        return mm_fail(err, MM_ERR_LIMIT, "%zu bytes are more than a message can hold", size);
    MPI_Request request;
    const mm_status status = mm_comm_check(
        MPI_Ibcast(bytes, (int)size, MPI_BYTE, 0, comm->host_ranks, &request), "MPI_Ibcast", err);
    return status == MM_OK ? mm_comm_wait_asleep(&request, "MPI_Ibcast", err) : status;
}

static void drop(mm_parcel *parcels, int count)
{
    for (int i = 0; i < count; i++) {
        free(parcels[i].bytes);
        parcels[i] = (mm_parcel){0};
    }
}

/* Memory for all that comes, before any of it is sent: a rank that has none must not leave the others waiting. */
static mm_status make_room(mm_comm *comm, const mm_parcel *out, mm_parcel *in, mm_error *err)
{
    const size_t ranks = (size_t)mm_comm_size(comm);
    uint64_t *sizes = calloc(2 * ranks, sizeof *sizes);
    mm_status status = sizes ? MM_OK : mm_fail_memory(err, "an exchange between ranks");
    status = mm_comm_agree(comm, status, err);
    if (status != MM_OK) {
        free(sizes);
        return status;
    }
    for (size_t i = 0; i < ranks; i++)
        sizes[i] = out[i].size;
    if (comm) {
        MPI_Request request;
        status = mm_comm_check(
            MPI_Ialltoall(sizes, 1, MPI_UINT64_T, sizes + ranks, 1, MPI_UINT64_T, comm->world, &request),
            "MPI_Ialltoall", err);
        if (status == MM_OK)
            status = mm_comm_wait_asleep(&request, "MPI_Ialltoall", err);
        if (status != MM_OK) {
            free(sizes);
            return status;
        }
    } else {
        sizes[1] = sizes[0];
    }
    for (size_t i = 0; status == MM_OK && i < ranks; i++) {
        in[i] = (mm_parcel){.size = (size_t)sizes[ranks + i]};
        if (in[i].size == 0)
            continue;
        in[i].bytes = malloc(in[i].size);
        if (!in[i].bytes)
            status = mm_fail_memory(err, "an exchange between ranks");
    }
    free(sizes);
    return mm_comm_agree(comm, status, err);
}

/* In pieces, since MPI counts in int. */
static mm_status move_pair(mm_comm *comm, const mm_parcel *out, int to, const mm_parcel *in, int from, mm_error *err)
{
    const size_t most = 1u << 30;
    for (size_t sent = 0, got = 0; sent < out->size || got < in->size;) {
        const size_t give = out->size - sent < most ? out->size - sent : most;
        const size_t take = in->size - got < most ? in->size - got : most;
        MPI_Request requests[2] = {MPI_REQUEST_NULL, MPI_REQUEST_NULL};
        mm_status status = MM_OK;
        if (take > 0)
            status = mm_comm_check(MPI_Irecv(in->bytes + got, (int)take, MPI_BYTE, from, TAG_PARCEL, comm->world,
                                             &requests[0]), "MPI_Irecv", err);
        if (status == MM_OK && give > 0)
            status = mm_comm_check(MPI_Isend(out->bytes + sent, (int)give, MPI_BYTE, to, TAG_PARCEL, comm->world,
                                             &requests[1]), "MPI_Isend", err);
        for (int i = 0; status == MM_OK && i < 2; i++)
            status = mm_comm_wait_asleep(&requests[i], i ? "MPI_Isend" : "MPI_Irecv", err);
        if (status != MM_OK)
            return status;
        sent += give;
        got += take;
    }
    return MM_OK;
}

mm_status mm_comm_exchange(mm_comm *comm, const mm_parcel *out, mm_parcel *in, mm_error *err)
{
    const int ranks = mm_comm_size(comm), rank = mm_comm_rank(comm);
    for (int i = 0; i < ranks; i++)
        in[i] = (mm_parcel){0};
    mm_status status = make_room(comm, out, in, err);
    if (status == MM_OK && out[rank].size > 0)
        memcpy(in[rank].bytes, out[rank].bytes, out[rank].size);
    /* Step by step round the ring, so that no rank is sent to by all others at once. */
    for (int step = 1; status == MM_OK && step < ranks; step++) {
        const int to = (rank + step) % ranks, from = (rank + ranks - step) % ranks;
        status = move_pair(comm, &out[to], to, &in[from], from, err);
    }
    if (status != MM_OK)
        drop(in, ranks);
    return status;
}
