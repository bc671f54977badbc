/* The service on all ranks: nothing is lost, repeated or put out of order; no one waits for a busy rank; a sender
 * that is faster than its receiver is held back. */
#include "mpi_check.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "maskmill/comm.h"

enum { TAG_DATA = 1, TAG_ASK = 2, TAG_ANSWER = 3, TAG_DONE = 4 };

/* Sizes from nothing to well beyond any eager limit. */
static size_t size_of_message(int source, int target, int number)
{
    static const size_t sizes[] = {0, 1, 100, 5000, 70000, 3000000};
    return sizes[(unsigned)(source + 2 * target + number) % (sizeof sizes / sizeof sizes[0])];
}

static uint8_t byte_of_message(int source, int target, int number, size_t at)
{
    return (uint8_t)(31U * (unsigned)source + 17U * (unsigned)target + 7U * (unsigned)number + at);
}

typedef struct mailbox {
    int rank;
    int *received; /* by source; [size] */
} mailbox;

static void check_data(void *user, int source, int tag, uint8_t *bytes, size_t size)
{
    mailbox *box = user;
    const int number = box->received[source]++;
    mm_must(tag == TAG_DATA);
    mm_must(size == size_of_message(source, box->rank, number));
    for (size_t i = 0; i < size; i++)
        mm_must(bytes[i] == byte_of_message(source, box->rank, number, i));
    free(bytes);
}

static void nothing_is_lost(mm_comm *comm)
{
    enum { MESSAGES = 40 };
    const int rank = mm_comm_rank(comm), size = mm_comm_size(comm);
    mm_error err = {0};
    mailbox box = {rank, calloc((size_t)size, sizeof *box.received)};
    mm_must(box.received != NULL);
    const mm_service_options options = {.user = &box, .receive = check_data};
    mm_service *service = NULL;
    mm_must_ok(mm_service_start(comm, &options, &service, &err), err);
    for (int number = 0; number < MESSAGES; number++)
        for (int target = 0; target < size; target++) {
            const size_t bytes_size = size_of_message(rank, target, number);
            uint8_t *bytes = bytes_size ? malloc(bytes_size) : NULL;
            mm_must(bytes || bytes_size == 0);
            for (size_t i = 0; i < bytes_size; i++)
                bytes[i] = byte_of_message(rank, target, number, i);
            mm_must_ok(mm_service_send(service, target, TAG_DATA, bytes, bytes_size, &err), err);
        }
    /* At once: stopping must deliver what is still queued here and under way elsewhere. */
    mm_service_stop(service);
    for (int source = 0; source < size; source++)
        mm_must(box.received[source] == MESSAGES);
    free(box.received);
}

typedef struct desk {
    mm_comm *comm;
    mm_service *service;
    atomic_int served, finished_ranks, answers;
} desk;

static void serve_desk(void *user, int source, int tag, uint8_t *bytes, size_t size)
{
    desk *d = user;
    mm_error err = {0};
    mm_must(size == 0);
    free(bytes);
    if (tag == TAG_ASK) {
        atomic_fetch_add(&d->served, 1);
        mm_must_ok(mm_service_send(d->service, source, TAG_ANSWER, NULL, 0, &err), err);
    } else if (tag == TAG_ANSWER) {
        atomic_fetch_add(&d->answers, 1);
    } else {
        mm_must(tag == TAG_DONE);
        atomic_fetch_add(&d->finished_ranks, 1);
    }
}

/* Rank 0 computes, without a single MPI call, until all others have asked and been answered many times. If anyone had
 * to wait for its computation, this would never end. */
static void no_one_waits_for_a_busy_rank(mm_comm *comm)
{
    enum { QUESTIONS = 100 };
    const int rank = mm_comm_rank(comm), size = mm_comm_size(comm);
    mm_error err = {0};
    desk d = {.comm = comm};
    const mm_service_options options = {.user = &d, .receive = serve_desk};
    mm_must_ok(mm_service_start(comm, &options, &d.service, &err), err);
    if (rank == 0) {
        volatile double x = 1;
        while (atomic_load(&d.finished_ranks) < size - 1)
            x = x * 1.0000001 + 1e-9;
        mm_must(atomic_load(&d.served) == QUESTIONS * (size - 1));
    } else {
        for (int i = 0; i < QUESTIONS; i++) {
            mm_must_ok(mm_service_send(d.service, 0, TAG_ASK, NULL, 0, &err), err);
            while (atomic_load(&d.answers) <= i) {
                const struct timespec pause = {.tv_nsec = 100000};
                (void)nanosleep(&pause, NULL);
            }
        }
        mm_must_ok(mm_service_send(d.service, 0, TAG_DONE, NULL, 0, &err), err);
    }
    mm_service_stop(d.service);
}

enum { LETTER = 1000, LETTERS_OUT = 4, LETTERS = 200 };

typedef struct slow_reader {
    atomic_int sent; /* sends that returned, on this rank */
    int read;
} slow_reader;

static void read_slowly(void *user, int source, int tag, uint8_t *bytes, size_t size)
{
    slow_reader *reader = user;
    (void)source;
    mm_must(tag == TAG_DATA && size == LETTER);
    free(bytes);
    /* One send may pass the bound, and one be under way in the sender. */
    mm_must(atomic_load(&reader->sent) - reader->read <= LETTERS_OUT + 2);
    reader->read++;
    const struct timespec pause = {.tv_nsec = 200000};
    (void)nanosleep(&pause, NULL);
}

static void senders_are_held_back(mm_comm *comm)
{
    mm_error err = {0};
    slow_reader reader = {.read = 0};
    const mm_service_options options = {.user = &reader, .receive = read_slowly,
                                        .max_outstanding = LETTERS_OUT * LETTER};
    mm_service *service = NULL;
    mm_must_ok(mm_service_start(comm, &options, &service, &err), err);
    for (int i = 0; i < LETTERS; i++) {
        uint8_t *bytes = calloc(1, LETTER);
        mm_must(bytes != NULL);
        mm_must_ok(mm_service_send(service, mm_comm_rank(comm), TAG_DATA, bytes, LETTER, &err), err);
        atomic_fetch_add(&reader.sent, 1);
    }
    mm_service_stop(service);
    mm_must(reader.read == LETTERS);
}

static void wrong_sends_are_refused(mm_comm *comm)
{
    mm_error err = {0};
    slow_reader reader = {.read = 0};
    const mm_service_options options = {.user = &reader, .receive = read_slowly};
    mm_service *service = NULL;
    mm_must_ok(mm_service_start(comm, &options, &service, &err), err);
    mm_must(mm_service_send(service, mm_comm_size(comm), TAG_DATA, calloc(1, 1), 1, &err) == MM_ERR_INTERNAL);
    mm_must(mm_service_send(service, -1, TAG_DATA, calloc(1, 1), 1, &err) == MM_ERR_INTERNAL);
    mm_must(mm_service_send(service, 0, TAG_DATA, NULL, (size_t)1 << 31, &err) == MM_ERR_LIMIT);
    mm_service_stop(service);
    mm_must(reader.read == 0);
}

int main(int argc, char **argv)
{
    mm_error err = {0};
    mm_comm *comm = NULL;
    mm_must_ok(mm_comm_start(&argc, &argv, &comm, &err), err);
    nothing_is_lost(comm);
    no_one_waits_for_a_busy_rank(comm);
    senders_are_held_back(comm);
    wrong_sends_are_refused(comm);
    mm_comm_stop(comm);
    return 0;
}
