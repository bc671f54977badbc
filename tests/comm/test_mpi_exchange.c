/* Bytes of different length from every rank to every rank. */
#include "mpi_check.h"

#include <stdlib.h>
#include <string.h>

#include "maskmill/comm.h"

enum { MOST = 64 };

/* What `from` has for `to`: nothing for some, much for others. */
static size_t size_for(int from, int to, int round)
{
    static const size_t sizes[] = {0, 1, 13, 4096, 3000001};
    return sizes[(from * 7 + to * 3 + round) % 5];
}

static uint8_t byte_at(int from, int to, size_t i)
{
    return (uint8_t)(i * 31 + (size_t)from * 101 + (size_t)to);
}

static void exchange(mm_comm *comm, int round)
{
    const int rank = mm_comm_rank(comm), ranks = mm_comm_size(comm);
    mm_parcel out[MOST] = {{0}}, in[MOST];
    mm_error err = {0};
    for (int to = 0; to < ranks; to++) {
        out[to].size = size_for(rank, to, round);
        out[to].bytes = malloc(out[to].size + 1);
        mm_must(out[to].bytes != NULL);
        for (size_t i = 0; i < out[to].size; i++)
            out[to].bytes[i] = byte_at(rank, to, i);
    }
    mm_must_ok(mm_comm_exchange(comm, out, in, &err), err);
    for (int from = 0; from < ranks; from++) {
        mm_must(in[from].size == size_for(from, rank, round));
        mm_must(in[from].size > 0 || in[from].bytes == NULL);
        for (size_t i = 0; i < in[from].size; i++)
            mm_must(in[from].bytes[i] == byte_at(from, rank, i));
        free(in[from].bytes);
        free(out[from].bytes);
    }
}

static void largest_and_host(mm_comm *comm)
{
    const int rank = mm_comm_rank(comm), ranks = mm_comm_size(comm);
    mm_error err = {0};
    uint64_t largest = 0;
    mm_must_ok(mm_comm_largest(comm, (uint64_t)(rank * 5 % ranks), &largest, &err), err);
    uint64_t expected = 0;
    for (int i = 0; i < ranks; i++)
        expected = (uint64_t)(i * 5 % ranks) > expected ? (uint64_t)(i * 5 % ranks) : expected;
    mm_must(largest == expected);
    mm_must(mm_comm_host_size(comm) == ranks); /* tests run on one machine */
    int value = mm_comm_first_on_host(comm) ? 4711 : rank;
    mm_must_ok(mm_comm_host_broadcast(comm, &value, sizeof value, &err), err);
    mm_must(value == 4711);
}

/* Without MPI: one rank, to itself. */
static void alone(void)
{
    mm_error err = {0};
    uint8_t bytes[3] = {1, 2, 3};
    const mm_parcel out = {bytes, sizeof bytes};
    mm_parcel in;
    uint64_t largest = 0;
    mm_must(mm_comm_rank(NULL) == 0 && mm_comm_size(NULL) == 1 && mm_comm_first_on_host(NULL));
    mm_must_ok(mm_comm_exchange(NULL, &out, &in, &err), err);
    mm_must(in.size == 3 && memcmp(in.bytes, bytes, 3) == 0);
    free(in.bytes);
    mm_must_ok(mm_comm_largest(NULL, 9, &largest, &err), err);
    mm_must(largest == 9);
    mm_must(mm_comm_agree(NULL, mm_fail(&err, MM_ERR_IO, "x"), &err) == MM_ERR_IO);
}

int main(int argc, char **argv)
{
    mm_error err = {0};
    mm_comm *comm = NULL;
    alone();
    mm_must_ok(mm_comm_start(&argc, &argv, &comm, &err), err);
    mm_must(mm_comm_size(comm) <= MOST);
    for (int round = 0; round < 5; round++)
        exchange(comm, round);
    largest_and_host(comm);
    mm_must_ok(mm_comm_barrier(comm, &err), err);
    mm_comm_stop(comm);
    return EXIT_SUCCESS;
}
