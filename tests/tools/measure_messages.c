/* maskmill-measure-messages: what an ask costs rank 0. All other ranks ask as fast as they are answered; rank 0's
 * main thread sleeps. Prints one JSON object: CPU of rank 0's service thread and wall-clock time, per ask. Needs two
 * ranks. */
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "engine/messages.h"
#include "maskmill/comm.h"

enum { AT_ONCE = 8, ASKS_PER_RANK = 20000 };

typedef struct bench {
    mm_comm *comm;
    mm_service *service;
    mm_scheduler *scheduler; /* rank 0 */
    atomic_int answers, finished_ranks;
    double cpu_first, cpu_last, first, last; /* rank 0 */
    uint64_t asks;
} bench;

static double seconds_of(clockid_t clock)
{
    struct timespec now;
    (void)clock_gettime(clock, &now); /* cannot fail for these clocks */
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

static void send(bench *b, int rank, int tag, const void *value, size_t size)
{
    mm_error err;
    uint8_t *bytes = malloc(size + 1);
    if (!bytes)
        mm_comm_abort(b->comm, "out of memory for a message");
    if (size > 0)
        memcpy(bytes, value, size);
    if (mm_service_send(b->service, rank, tag, bytes, size, &err) != MM_OK)
        mm_comm_abort(b->comm, err.text);
}

static void receive(void *user, int source, int tag, uint8_t *bytes, size_t size)
{
    bench *b = user;
    if (tag == MM_TAG_ASK && size == sizeof(mm_ask)) {
        mm_ask ask;
        memcpy(&ask, bytes, sizeof ask);
        if (b->asks++ == 0) {
            b->first = seconds_of(CLOCK_MONOTONIC);
            b->cpu_first = seconds_of(CLOCK_THREAD_CPUTIME_ID);
        }
        mm_turn_reply reply = {0};
        mm_scheduler_measured(b->scheduler, source, ask.made.done, ask.made.seconds);
        reply.turn = mm_scheduler_next(b->scheduler, source, true, &reply.batch);
        send(b, source, MM_TAG_TURN, &reply, sizeof reply);
        b->last = seconds_of(CLOCK_MONOTONIC);
        b->cpu_last = seconds_of(CLOCK_THREAD_CPUTIME_ID);
    } else if (tag == MM_TAG_TURN) {
        atomic_fetch_add(&b->answers, 1);
    } else {
        atomic_fetch_add(&b->finished_ranks, 1);
    }
    free(bytes);
}

static void nap(void)
{
    const struct timespec pause = {.tv_nsec = 200000};
    (void)nanosleep(&pause, NULL);
}

int main(void)
{
    mm_error err = {0};
    bench b = {0};
    if (mm_comm_start(NULL, NULL, &b.comm, &err) != MM_OK) {
        (void)fprintf(stderr, "maskmill-measure-messages: %s\n", err.text);
        return 4;
    }
    const int rank = mm_comm_rank(b.comm), size = mm_comm_size(b.comm);
    if (size < 2)
        mm_comm_abort(b.comm, "maskmill-measure-messages needs two ranks");
    const mm_scheduler_plan plan = {.end = 100000000, .images_per_shard = 1000, .ranks = size};
    const mm_service_options options = {.user = &b, .receive = receive};
    if (mm_scheduler_new(&plan, &b.scheduler, &err) != MM_OK ||
        mm_service_start(b.comm, &options, &b.service, &err) != MM_OK)
        mm_comm_abort(b.comm, err.text);
    if (rank == 0) {
        while (atomic_load(&b.finished_ranks) < size - 1)
            nap();
    } else {
        const mm_ask ask = {.made = {.done = 16, .seconds = 4.0}, .want = MM_WANT_AHEAD};
        for (int i = 0; i < ASKS_PER_RANK; i++) {
            while (i - atomic_load(&b.answers) >= AT_ONCE)
                nap();
            send(&b, 0, MM_TAG_ASK, &ask, sizeof ask);
        }
        while (atomic_load(&b.answers) < ASKS_PER_RANK)
            nap();
        send(&b, 0, MM_TAG_END, NULL, 0);
    }
    mm_service_stop(b.service);
    if (rank == 0)
        printf("{\"asks\": %llu, \"cpu_per_ask\": %.3g, \"seconds_per_ask\": %.3g}\n", (unsigned long long)b.asks,
               (b.cpu_last - b.cpu_first) / (double)b.asks, (b.last - b.first) / (double)b.asks);
    mm_scheduler_free(b.scheduler);
    mm_comm_stop(b.comm);
    return 0;
}
