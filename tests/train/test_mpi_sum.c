/* Sums over ranks: in the order of ranks, equal on all, whatever the length. */
#include "mpi_check.h"

#include <stdlib.h>

#include "train/gradient_sum.h"

/* Numbers whose sum depends on the order. */
static float value_of(int rank, size_t i)
{
    return (rank % 2 ? 1e8f : 1.25f) * (float)(1 + (i * 7 + (size_t)rank * 13) % 11) * (rank % 4 == 3 ? -1.0f : 1.0f);
}

static void check(mm_comm *comm, size_t count)
{
    mm_error err = {0};
    const int rank = mm_comm_rank(comm), ranks = mm_comm_size(comm);
    float *vector = malloc((count + 1) * sizeof *vector);
    mm_must(vector != NULL);
    for (size_t i = 0; i < count; i++)
        vector[i] = value_of(rank, i);
    vector[count] = 17;
    double figures[2] = {rank + 0.5, 1e17 * (rank % 2 ? -1 : 1) + rank}, expected = 0, large = 0;
    mm_must_ok(mm_sum_over_ranks(comm, vector, count, figures, 2, &err), err);
    for (size_t i = 0; i < count; i++) {
        float sum = value_of(0, i);
        for (int r = 1; r < ranks; r++)
            sum += value_of(r, i);
        mm_must(vector[i] == sum);
    }
    for (int r = 0; r < ranks; r++) {
        expected += r + 0.5;
        large = r ? large + (1e17 * (r % 2 ? -1 : 1) + r) : 1e17;
    }
    mm_must(figures[0] == expected && figures[1] == large);
    mm_must(vector[count] == 17);
    free(vector);
}

int main(int argc, char **argv)
{
    mm_error err = {0};
    mm_comm *comm = NULL;
    mm_must_ok(mm_comm_start(&argc, &argv, &comm, &err), err);
    static const size_t counts[] = {1, 2, 3, 16, 1000, 70001};
    for (size_t i = 0; i < sizeof counts / sizeof counts[0]; i++)
        check(comm, counts[i]);
    mm_must_ok(mm_comm_barrier(comm, &err), err);
    mm_comm_stop(comm);
    return 0;
}
