/* comm: the ranks of a run and how they talk, over MPI. This file starts and stops it. */
#include "comm/internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { EXIT_FAULT = 4 };

mm_status mm_comm_check(int code, const char *call, mm_error *err)
{
    if (code == MPI_SUCCESS)
        return MM_OK;
    char text[MPI_MAX_ERROR_STRING] = "unknown error";
    int length = 0;
    (void)MPI_Error_string(code, text, &length); /* the text above stands if there is none */
    return mm_fail(err, MM_ERR_INTERNAL, "%s failed: %s; the MPI installation or the network is at fault", call, text);
}

static mm_status find_neighbours(mm_comm *comm, mm_error *err)
{
    mm_status status = mm_comm_check(
        MPI_Comm_split_type(comm->world, MPI_COMM_TYPE_SHARED, comm->rank, MPI_INFO_NULL, &comm->host_ranks),
        "MPI_Comm_split_type", err);
    if (status != MM_OK)
        return status;
    int rank_on_host = 0;
    status = mm_comm_check(MPI_Comm_rank(comm->host_ranks, &rank_on_host), "MPI_Comm_rank", err);
    comm->first_on_host = rank_on_host == 0;
    if (status == MM_OK)
        status = mm_comm_check(MPI_Comm_size(comm->host_ranks, &comm->host_size), "MPI_Comm_size", err);
    return status;
}

static mm_status describe(mm_comm *comm, mm_error *err)
{
    mm_status status = mm_comm_check(MPI_Comm_dup(MPI_COMM_WORLD, &comm->world), "MPI_Comm_dup", err);
    if (status == MM_OK)
        status = mm_comm_check(MPI_Comm_set_errhandler(comm->world, MPI_ERRORS_RETURN), "MPI_Comm_set_errhandler", err);
    if (status == MM_OK)
        status = mm_comm_check(MPI_Comm_rank(comm->world, &comm->rank), "MPI_Comm_rank", err);
    if (status == MM_OK)
        status = mm_comm_check(MPI_Comm_size(comm->world, &comm->size), "MPI_Comm_size", err);
    return status == MM_OK ? find_neighbours(comm, err) : status;
}

mm_status mm_comm_start(int *argc, char ***argv, mm_comm **comm, mm_error *err)
{
    mm_comm *made = calloc(1, sizeof *made);
    if (!made)
        return mm_fail_memory(err, "the communicator");
    made->world = made->host_ranks = MPI_COMM_NULL;
    if (gethostname(made->host, sizeof made->host - 1) != 0)
        memcpy(made->host, "unknown host", sizeof "unknown host");

    int provided = MPI_THREAD_SINGLE;
    mm_status status =
        mm_comm_check(MPI_Init_thread(argc, argv, MPI_THREAD_MULTIPLE, &provided), "MPI_Init_thread", err);
    if (status != MM_OK) {
        free(made);
        return status;
    }
    if (provided < MPI_THREAD_MULTIPLE)
        status = mm_fail(err, MM_ERR_UNSUPPORTED,
                         "this MPI library gives no MPI_THREAD_MULTIPLE; use one that was built with thread support");
    if (status == MM_OK)
        status = describe(made, err);
    if (status != MM_OK) {
        mm_comm_stop(made);
        return status;
    }
    *comm = made;
    return MM_OK;
}

void mm_comm_stop(mm_comm *comm)
{
    if (!comm)
        return;
    /* Failures here have no one left to act on them: the work is done and the process is about to end. */
    if (comm->host_ranks != MPI_COMM_NULL)
        (void)MPI_Comm_free(&comm->host_ranks);
    if (comm->world != MPI_COMM_NULL)
        (void)MPI_Comm_free(&comm->world);
    (void)MPI_Finalize();
    free(comm);
}

int mm_comm_rank(const mm_comm *comm)
{
    return comm ? comm->rank : 0;
}

int mm_comm_size(const mm_comm *comm)
{
    return comm ? comm->size : 1;
}

const char *mm_comm_host(const mm_comm *comm)
{
    return comm->host;
}

bool mm_comm_first_on_host(const mm_comm *comm)
{
    return !comm || comm->first_on_host;
}

int mm_comm_host_size(const mm_comm *comm)
{
    return comm ? comm->host_size : 1;
}

_Noreturn void mm_comm_abort(mm_comm *comm, const char *line)
{
    (void)fprintf(stderr, "maskmill: %s\n", line);
    (void)MPI_Abort(comm->world, EXIT_FAULT);
    _Exit(EXIT_FAULT);
}
