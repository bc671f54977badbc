/* Collectives on all ranks: broadcast, gather in rank order, and agreement on failures. */
#include "mpi_check.h"

#include <stdlib.h>
#include <string.h>

#include "maskmill/comm.h"

static void broadcast_and_gather(mm_comm *comm)
{
    const int rank = mm_comm_rank(comm), size = mm_comm_size(comm);
    mm_error err = {0};
    for (int root = 0; root < size; root++) {
        int value = rank == root ? 1000 + root : -1;
        mm_must_ok(mm_comm_broadcast(comm, root, &value, sizeof value, &err), err);
        mm_must(value == 1000 + root);
    }
    const int mine[2] = {rank, 7 * rank + 1};
    int(*all)[2] = calloc((size_t)size, sizeof *all);
    mm_must(all != NULL);
    mm_must_ok(mm_comm_gather(comm, mine, sizeof mine, all, &err), err);
    for (int i = 0; rank == 0 && i < size; i++)
        mm_must(all[i][0] == i && all[i][1] == 7 * i + 1);
    free(all);
    mm_must_ok(mm_comm_barrier(comm, &err), err);
}

static void agreement(mm_comm *comm)
{
    const int rank = mm_comm_rank(comm), size = mm_comm_size(comm);
    mm_error err = {0};
    mm_must(mm_comm_agree(comm, MM_OK, &err) == MM_OK);
    mm_must(err.text[0] == '\0');

    /* The last rank alone fails: all hear of it, and from which host. */
    mm_status mine = rank == size - 1 ? mm_fail(&err, MM_ERR_FORMAT, "bad model") : MM_OK;
    mm_must(mm_comm_agree(comm, mine, &err) == MM_ERR_FORMAT);
    mm_must(err.status == MM_ERR_FORMAT);
    char expected[MM_ERROR_TEXT];
    (void)snprintf(expected, sizeof expected, "%s (rank %d): bad model", mm_comm_host(comm), size - 1);
    mm_must(strcmp(err.text, size == 1 ? "bad model" : expected) == 0);

    /* All fail, each in its own way: rank 0 is heard, without a host's name. */
    mine = mm_fail(&err, rank == 0 ? MM_ERR_USAGE : MM_ERR_IO, "fault of rank %d", rank);
    mm_must(mm_comm_agree(comm, mine, &err) == MM_ERR_USAGE);
    mm_must(strcmp(err.text, "fault of rank 0") == 0);
}

static void hosts(mm_comm *comm)
{
    /* Tests run on one machine: exactly rank 0 is the first there. */
    mm_must(mm_comm_first_on_host(comm) == (mm_comm_rank(comm) == 0));
    mm_must(mm_comm_host(comm)[0] != '\0');
}

int main(int argc, char **argv)
{
    mm_error err = {0};
    mm_comm *comm = NULL;
    mm_must_ok(mm_comm_start(&argc, &argv, &comm, &err), err);
    broadcast_and_gather(comm);
    agreement(comm);
    hosts(comm);
    mm_comm_stop(comm);
    return 0;
}
