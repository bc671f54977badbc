/* Checks for programs that run on several ranks at once. `check` would go on with the next test after a failure, and
 * the other ranks would wait for this one for ever; so here a failure ends all ranks. */
#ifndef MM_TESTS_MPI_CHECK_H
#define MM_TESTS_MPI_CHECK_H

#include <mpi.h>
#include <stdio.h>

#define mm_must(condition)                                                                         \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            (void)fprintf(stderr, "%s:%d: failed: %s\n", __FILE__, __LINE__, #condition);          \
            (void)MPI_Abort(MPI_COMM_WORLD, 1);                                                    \
        }                                                                                          \
    } while (0)

/* A call that must succeed; prints the error's line if it does not. */
#define mm_must_ok(call, err)                                                                      \
    do {                                                                                           \
        if ((call) != MM_OK) {                                                                     \
            (void)fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, (err).text);                  \
            (void)MPI_Abort(MPI_COMM_WORLD, 1);                                                    \
        }                                                                                          \
    } while (0)

#endif
