/* Ranks: how the processes of one run talk, over MPI.
 *
 * Two ways, never at the same time. Between phases, all ranks call the collectives below; they wait by polling and
 * sleeping, because blocking MPI calls spin and would take the core from a rank that still computes. While images are
 * being made, each rank has a service: one thread that receives messages, hands them to a function, and sends what other
 * threads give it. While it runs, no other thread of the process calls MPI, so a rank in the middle of an image answers
 * within milliseconds, and a sender never waits for a receiver's computation. */
#ifndef MASKMILL_COMM_H
#define MASKMILL_COMM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "maskmill/status.h"

typedef struct mm_comm mm_comm;

/* Initialise MPI with MPI_THREAD_MULTIPLE (MM_ERR_UNSUPPORTED if the library cannot); works under mpirun, srun and
 * alone. argc and argv may be NULL. Once a process: MPI cannot be started again after mm_comm_stop. */
MM_RESULT_USED mm_status mm_comm_start(int *argc, char ***argv, mm_comm **comm, mm_error *err);
/* Collective: finalise MPI and free. NULL is fine. Bring the ranks together (mm_comm_barrier) before, since MPI's own
 * finalisation may spin. */
void mm_comm_stop(mm_comm *comm);

int mm_comm_rank(const mm_comm *comm);
int mm_comm_size(const mm_comm *comm);
const char *mm_comm_host(const mm_comm *comm); /* this rank's host name */
bool mm_comm_first_on_host(const mm_comm *comm); /* the lowest rank of those that share this host's memory */
int mm_comm_host_size(const mm_comm *comm);      /* how many those are */

/* For what cannot be agreed on any more (the network itself fails): print "maskmill: line" and end every rank with
 * exit status 4. Does not return. */
_Noreturn void mm_comm_abort(mm_comm *comm, const char *line);

/* Collectives. All ranks call them in the same order with equal sizes (sizes are below 2 GiB). But for the barrier, and
 * in the three functions above, `comm` may be NULL: one rank, alone, without MPI. */
MM_RESULT_USED mm_status mm_comm_barrier(mm_comm *comm, mm_error *err);
MM_RESULT_USED mm_status mm_comm_broadcast(mm_comm *comm, int root, void *bytes, size_t size, mm_error *err);
/* mine[size] of every rank, in rank order, to all[mm_comm_size * size] on rank 0 (all is not used elsewhere): sums are
 * then made in this order, so that they do not depend on arrival. */
MM_RESULT_USED mm_status mm_comm_gather(mm_comm *comm, const void *mine, size_t size, void *all, mm_error *err);
/* Every rank brings how it fared (`mine`, with `err` filled if it is not MM_OK). All return the same: MM_OK if all are
 * well, else status and text of the lowest rank that is not, with its host's name in front unless it is rank 0. */
MM_RESULT_USED mm_status mm_comm_agree(mm_comm *comm, mm_status mine, mm_error *err);

/* values[count] of all ranks, added up element by element, on all ranks. */
MM_RESULT_USED mm_status mm_comm_sum(mm_comm *comm, uint64_t *values, size_t count, mm_error *err);
/* The largest of all ranks' values, on all ranks. */
MM_RESULT_USED mm_status mm_comm_largest(mm_comm *comm, uint64_t mine, uint64_t *largest, mm_error *err);
/* From the first rank of each host to the others of that host. */
MM_RESULT_USED mm_status mm_comm_host_broadcast(mm_comm *comm, void *bytes, size_t size, mm_error *err);

/* Bytes of any number for one rank, or from one. */
typedef struct mm_parcel {
    uint8_t *bytes;
    size_t size;
} mm_parcel;

/* out[mm_comm_size]: what this rank has for each, itself included. in[mm_comm_size]: what each had for this one; the
 * caller frees in[i].bytes (NULL for nothing), of which there are none after a failure. All ranks return the same. */
MM_RESULT_USED mm_status mm_comm_exchange(mm_comm *comm, const mm_parcel *out, mm_parcel *in, mm_error *err);

typedef struct mm_service mm_service;

typedef struct mm_service_options {
    void *user;
    /* One message. `bytes` (malloc'd, NULL when size is 0) now belongs to the function. Runs in the service thread:
     * it must not compute or wait, but may send. Messages of one sender come in the order they were sent. */
    void (*receive)(void *user, int source, int tag, uint8_t *bytes, size_t size);
    void (*tick)(void *user); /* after each look for messages, at least every twenty milliseconds; NULL for none */
    size_t max_outstanding;   /* bytes given to send and not yet taken by their receivers; 0: 64 MiB */
} mm_service_options;

/* Collective. `comm` must outlive the service. */
MM_RESULT_USED mm_status mm_service_start(mm_comm *comm, const mm_service_options *options, mm_service **service,
                                          mm_error *err);
/* Send bytes[size] (malloc'd; the service frees it, also on failure) to `rank`, which may be this one. From the
 * service thread it never waits; from another it waits only while more than max_outstanding bytes are under way.
 * `tag` is 0 .. 32767. MM_ERR_LIMIT above 2 GiB. Once mm_service_stop was called, messages are dropped. */
MM_RESULT_USED mm_status mm_service_send(mm_service *service, int rank, int tag, uint8_t *bytes, size_t size,
                                         mm_error *err);
/* Collective: returns when every message of every rank has been handed over; other ranks are served meanwhile. Call
 * it from the thread that called mm_service_start, when no other thread of this process sends any more. */
void mm_service_stop(mm_service *service);

#endif
