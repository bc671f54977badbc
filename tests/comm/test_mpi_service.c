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

/* What ranks tell each other without MPI, past their services: memory that they share. */
typedef struct blackboard {
    atomic_int through; /* ranks that got their answers while the last rank was stalled */
    atomic_int sent[];  /* by rank: letters to the last rank whose send has returned */
} blackboard;

typedef struct stalled {
    mm_comm *comm;
    mm_service *service;
    blackboard *board;
    int read[64];     /* letters that came, by rank */
    int most_waiting; /* letters that a rank may have sent beyond those read */
    atomic_int answers;
} stalled;

/* The last rank takes no message until all others are through with theirs to rank 0. */
static void serve_stalled(void *user, int source, int tag, uint8_t *bytes, size_t size)
{
    stalled *s = user;
    mm_error err = {0};
    free(bytes);
    if (tag == TAG_ASK) {
        mm_must_ok(mm_service_send(s->service, source, TAG_ANSWER, NULL, 0, &err), err);
    } else if (tag == TAG_ANSWER) {
        atomic_fetch_add(&s->answers, 1);
    } else {
        mm_must(tag == TAG_DATA && size == LETTER);
        const struct timespec pause = {.tv_nsec = 100000};
        while (atomic_load(&s->board->through) < mm_comm_size(s->comm) - 1)
            (void)nanosleep(&pause, NULL);
        /* This one is read now, one send may pass the bound, one may have been counted before it was taken. */
        mm_must(atomic_load(&s->board->sent[source]) - s->read[source] <= s->most_waiting + 2);
        s->read[source]++;
    }
}

static void send_letter(stalled *s)
{
    mm_error err = {0};
    const int last = mm_comm_size(s->comm) - 1;
    uint8_t *bytes = calloc(1, LETTER);
    mm_must(bytes != NULL);
    mm_must_ok(mm_service_send(s->service, last, TAG_DATA, bytes, LETTER, &err), err);
    atomic_fetch_add(&s->board->sent[mm_comm_rank(s->comm)], 1);
}

/* Each rank has more letters for the stalled one than may be on their way to it, and still gets its answers from
 * rank 0, or the stalled one would never go on. Then it sends so many that it must be held back. */
static void a_stalled_rank_holds_back_its_own_messages_only(mm_comm *comm)
{
    enum { EARLY = 100, LATE = 300, QUESTIONS = 20 };
    const int rank = mm_comm_rank(comm), size = mm_comm_size(comm);
    if (size == 1)
        return;
    mm_must(size <= 64);
    MPI_Win window;
    stalled s = {.comm = comm, .most_waiting = EARLY + 1};
    const MPI_Aint bytes = (MPI_Aint)(sizeof *s.board + (size_t)size * sizeof s.board->sent[0]);
    void *mine = NULL;
    mm_must(MPI_Win_allocate_shared(bytes, 1, MPI_INFO_NULL, MPI_COMM_WORLD, &mine, &window) == MPI_SUCCESS);
    memset(mine, 0, (size_t)bytes);
    MPI_Aint found = 0;
    int unit = 0;
    mm_must(MPI_Win_shared_query(window, 0, &found, &unit, &s.board) == MPI_SUCCESS);
    mm_must(MPI_Barrier(MPI_COMM_WORLD) == MPI_SUCCESS);

    mm_error err = {0};
    const mm_service_options options = {.user = &s, .receive = serve_stalled, .max_outstanding = (EARLY + 1) * LETTER};
    mm_must_ok(mm_service_start(comm, &options, &s.service, &err), err);
    if (rank < size - 1) {
        for (int i = 0; i < EARLY; i++)
            send_letter(&s);
        for (int i = 0; i < QUESTIONS; i++) {
            mm_must_ok(mm_service_send(s.service, 0, TAG_ASK, NULL, 0, &err), err);
            while (atomic_load(&s.answers) <= i) {
                const struct timespec pause = {.tv_nsec = 100000};
                (void)nanosleep(&pause, NULL);
            }
        }
        atomic_fetch_add(&s.board->through, 1);
        for (int i = 0; i < LATE; i++)
            send_letter(&s);
    }
    mm_service_stop(s.service);
    for (int source = 0; source < size - 1 && rank == size - 1; source++)
        mm_must(s.read[source] == EARLY + LATE);
    mm_must(MPI_Win_free(&window) == MPI_SUCCESS);
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
    a_stalled_rank_holds_back_its_own_messages_only(comm);
    wrong_sends_are_refused(comm);
    mm_comm_stop(comm);
    return 0;
}
