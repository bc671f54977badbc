/* The service: one thread a rank that makes all MPI calls while images are made.
 *
 * Messages go out with MPI_Issend, so that a finished send means a receiver that has begun to take it. That is what
 * makes stopping safe (the non-blocking consensus of Hoefler, Siebert, Lumsdaine, PPoPP 2010): a rank enters the
 * barrier when its own sends are taken, goes on serving, and leaves when every rank is in. */
#include "comm/internal.h"

#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum {
    /* Sends given to MPI at a time; more wait in the queue. A receiver looks every few milliseconds, so this bounds how
     * many answers rank 0 gives in a second. */
    IN_FLIGHT = 512,
    /* Of these to one rank: one that does not take its messages must not keep the others from theirs, nor gather them
     * all in its MPI library's memory. */
    IN_FLIGHT_TO_ONE = 8,
    SHORTEST_NAP_NS = 200000,
    LONGEST_NAP_NS = 20000000,
    LONGEST_NAP_FLYING_NS = 5000000,
    DEFAULT_OUTSTANDING = 64 << 20
};

typedef struct outgoing {
    struct outgoing *next;
    int rank, tag;
    uint8_t *bytes;
    size_t size;
} outgoing;

typedef struct incoming {
    bool active;
    MPI_Request request;
    int source, tag;
    uint8_t *bytes;
    size_t size;
} incoming;

struct mm_service {
    mm_comm *comm;
    mm_service_options options;
    pthread_t thread;

    pthread_mutex_t lock; /* guards what follows, up to the next blank line */
    pthread_cond_t wake;  /* for the service thread: something to send, or a change below */
    pthread_cond_t room;  /* for senders: outstanding went down, or stopping */
    outgoing *first, *last;
    size_t outstanding;
    bool released, cancelled, stopping, woken;

    /* The service thread's own. */
    outgoing *flying[IN_FLIGHT];
    MPI_Request requests[IN_FLIGHT];
    int flying_count;
    uint8_t *flying_to; /* by rank; [size] */
    incoming incoming;
    bool in_barrier;
    MPI_Request barrier;
};

/* No way to tell the others: without the network there is no agreement. */
static void must(mm_service *service, int code, const char *call)
{
    mm_error err;
    if (mm_comm_check(code, call, &err) != MM_OK)
        mm_comm_abort(service->comm, err.text);
}

/* A message is off our hands. */
static void forget(mm_service *service, outgoing *message)
{
    pthread_mutex_lock(&service->lock);
    service->outstanding -= message->size;
    pthread_cond_broadcast(&service->room);
    pthread_mutex_unlock(&service->lock);
    free(message);
}

/* The first in the queue that may go: messages to one rank keep their order, those to different ranks need not. */
static outgoing *next_outgoing(mm_service *service)
{
    pthread_mutex_lock(&service->lock);
    outgoing **link = &service->first, *previous = NULL;
    while (*link && service->flying_to[(*link)->rank] >= IN_FLIGHT_TO_ONE) {
        previous = *link;
        link = &previous->next;
    }
    outgoing *message = *link;
    if (message) {
        *link = message->next;
        if (service->last == message)
            service->last = previous;
    }
    pthread_mutex_unlock(&service->lock);
    return message;
}

static bool start_sends(mm_service *service)
{
    bool any = false;
    outgoing *message;
    while (service->flying_count < IN_FLIGHT && (message = next_outgoing(service))) {
        any = true;
        if (message->rank == service->comm->rank) {
            service->options.receive(service->options.user, message->rank, message->tag, message->bytes, message->size);
            forget(service, message);
            continue;
        }
        const int slot = service->flying_count++;
        service->flying[slot] = message;
        service->flying_to[message->rank]++;
        must(service,
             MPI_Issend(message->bytes, (int)message->size, MPI_BYTE, message->rank, message->tag,
                        service->comm->world, &service->requests[slot]),
             "MPI_Issend");
    }
    return any;
}

static bool finish_sends(mm_service *service)
{
    if (service->flying_count == 0)
        return false;
    int done = 0, which[IN_FLIGHT];
    must(service, MPI_Testsome(service->flying_count, service->requests, &done, which, MPI_STATUSES_IGNORE),
         "MPI_Testsome");
    if (done == 0)
        return false;
    for (int i = 0; i < service->flying_count;) {
        if (service->requests[i] != MPI_REQUEST_NULL) {
            i++;
            continue;
        }
        outgoing *message = service->flying[i];
        const int last = --service->flying_count;
        service->flying[i] = service->flying[last];
        service->requests[i] = service->requests[last];
        service->flying_to[message->rank]--;
        free(message->bytes);
        forget(service, message);
    }
    return true;
}

/* One message at a time, without blocking in MPI: a large one may take a slow network a while. */
static bool receive(mm_service *service)
{
    incoming *in = &service->incoming;
    if (!in->active) {
        int found = 0;
        MPI_Message handle;
        MPI_Status status;
        must(service, MPI_Improbe(MPI_ANY_SOURCE, MPI_ANY_TAG, service->comm->world, &found, &handle, &status),
             "MPI_Improbe");
        if (!found)
            return false;
        int size = 0;
        must(service, MPI_Get_count(&status, MPI_BYTE, &size), "MPI_Get_count");
        if (size < 0)
            mm_comm_abort(service->comm, "a message from another rank has no size in bytes; do all ranks run the same version?");
        uint8_t *bytes = size > 0 ? malloc((size_t)size) : NULL;
        if (size > 0 && !bytes)
            mm_comm_abort(service->comm, "out of memory for a message from another rank; use fewer ranks on this machine");
        *in = (incoming){true, MPI_REQUEST_NULL, status.MPI_SOURCE, status.MPI_TAG, bytes, (size_t)size};
        must(service, MPI_Imrecv(bytes, size, MPI_BYTE, &handle, &in->request), "MPI_Imrecv");
    }
    int done = 0;
    must(service, MPI_Test(&in->request, &done, MPI_STATUS_IGNORE), "MPI_Test");
    if (!done)
        return false;
    in->active = false;
    service->options.receive(service->options.user, in->source, in->tag, in->bytes, in->size);
    return true;
}

/* True when every rank is in the barrier and nothing is left on this one. */
static bool all_have_stopped(mm_service *service)
{
    if (!service->in_barrier) {
        pthread_mutex_lock(&service->lock);
        const bool drained = service->stopping && !service->first && service->flying_count == 0;
        pthread_mutex_unlock(&service->lock);
        if (!drained)
            return false;
        must(service, MPI_Ibarrier(service->comm->world, &service->barrier), "MPI_Ibarrier");
        service->in_barrier = true;
    }
    int done = 0;
    /* Once complete, the request is MPI_REQUEST_NULL, and testing that is true again. */
    must(service, MPI_Test(&service->barrier, &done, MPI_STATUS_IGNORE), "MPI_Test");
    return done && !service->incoming.active;
}

static void nap(mm_service *service, long nanoseconds)
{
    struct timespec until;
    (void)clock_gettime(CLOCK_MONOTONIC, &until); /* cannot fail for this clock */
    until.tv_nsec += nanoseconds;
    if (until.tv_nsec >= 1000000000) {
        until.tv_nsec -= 1000000000;
        until.tv_sec++;
    }
    pthread_mutex_lock(&service->lock);
    if (!service->woken)
        (void)pthread_cond_timedwait(&service->wake, &service->lock, &until); /* early or late, we look again */
    service->woken = false;
    pthread_mutex_unlock(&service->lock);
}

static void *serve(void *argument)
{
    mm_service *service = argument;
    pthread_mutex_lock(&service->lock);
    while (!service->released && !service->cancelled)
        pthread_cond_wait(&service->wake, &service->lock);
    const bool cancelled = service->cancelled;
    pthread_mutex_unlock(&service->lock);
    if (cancelled)
        return NULL;

    long pause = SHORTEST_NAP_NS;
    for (;;) {
        const bool sent = start_sends(service);
        const bool left = finish_sends(service);
        const bool came = receive(service);
        if (service->options.tick)
            service->options.tick(service->options.user);
        if (all_have_stopped(service))
            return NULL;
        if (sent || left || came) {
            pause = SHORTEST_NAP_NS;
            continue;
        }
        nap(service, pause);
        /* What is under way moves only while both sides look, so look often then. */
        const long longest = service->incoming.active    ? SHORTEST_NAP_NS
                             : service->flying_count > 0 ? LONGEST_NAP_FLYING_NS
                                                         : LONGEST_NAP_NS;
        pause = pause * 2 < longest ? pause * 2 : longest;
    }
}

/* Signals are for the main thread: the service must not be interrupted in MPI. */
static int start_thread(mm_service *service)
{
    sigset_t all, before;
    (void)sigfillset(&all);
    int code = pthread_sigmask(SIG_SETMASK, &all, &before);
    if (code != 0)
        return code;
    code = pthread_create(&service->thread, NULL, serve, service);
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL); /* fails for a wrong `how` only */
    return code;
}

static mm_status new_service(mm_comm *comm, const mm_service_options *options, mm_service **service, mm_error *err)
{
    mm_service *made = calloc(1, sizeof *made);
    if (!made)
        return mm_fail_memory(err, "the service thread");
    made->comm = comm;
    made->options = *options;
    made->flying_to = calloc((size_t)comm->size, sizeof *made->flying_to);
    if (!made->flying_to) {
        free(made);
        return mm_fail_memory(err, "the service thread");
    }
    if (made->options.max_outstanding == 0)
        made->options.max_outstanding = DEFAULT_OUTSTANDING;
    pthread_condattr_t monotonic;
    bool ready = pthread_condattr_init(&monotonic) == 0;
    if (ready) {
        ready = pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC) == 0 &&
                pthread_mutex_init(&made->lock, NULL) == 0 && pthread_cond_init(&made->wake, &monotonic) == 0 &&
                pthread_cond_init(&made->room, NULL) == 0 && start_thread(made) == 0;
        (void)pthread_condattr_destroy(&monotonic);
    }
    if (!ready) {
        free(made->flying_to);
        free(made);
        return mm_fail(err, MM_ERR_IO, "the system gives no further thread; raise the limit on processes (ulimit -u)");
    }
    *service = made;
    return MM_OK;
}

static void free_service(mm_service *service)
{
    while (service->first) {
        outgoing *message = service->first;
        service->first = message->next;
        free(message->bytes);
        free(message);
    }
    (void)pthread_cond_destroy(&service->room);
    (void)pthread_cond_destroy(&service->wake);
    (void)pthread_mutex_destroy(&service->lock);
    free(service->flying_to);
    free(service);
}

static void join(mm_service *service, bool *flag)
{
    pthread_mutex_lock(&service->lock);
    *flag = true;
    service->woken = true;
    pthread_cond_signal(&service->wake);
    pthread_cond_broadcast(&service->room);
    pthread_mutex_unlock(&service->lock);
    (void)pthread_join(service->thread, NULL); /* ours, and joined once */
    free_service(service);
}

mm_status mm_service_start(mm_comm *comm, const mm_service_options *options, mm_service **service, mm_error *err)
{
    mm_service *made = NULL;
    mm_status status = new_service(comm, options, &made, err);
    /* The thread is held until all ranks have theirs, so that the agreement is the only one to call MPI. */
    status = mm_comm_agree(comm, status, err);
    if (status != MM_OK) {
        if (made)
            join(made, &made->cancelled);
        return status;
    }
    *service = made; /* before the thread may call `receive`, which may want to send */
    pthread_mutex_lock(&made->lock);
    made->released = true;
    pthread_cond_signal(&made->wake);
    pthread_mutex_unlock(&made->lock);
    return MM_OK;
}

void mm_service_stop(mm_service *service)
{
    join(service, &service->stopping);
}

mm_status mm_service_send(mm_service *service, int rank, int tag, uint8_t *bytes, size_t size, mm_error *err)
{
    if (rank < 0 || rank >= service->comm->size || size > INT_MAX) {
        free(bytes);
        return size > INT_MAX ? mm_fail(err, MM_ERR_LIMIT, "%zu bytes are more than a message can hold", size)
                              : mm_fail(err, MM_ERR_INTERNAL, "a message for rank %d, which does not exist", rank);
    }
    outgoing *message = malloc(sizeof *message);
    if (!message) {
        free(bytes);
        return mm_fail_memory(err, "a message");
    }
    *message = (outgoing){NULL, rank, tag, bytes, size};

    const bool may_wait = !pthread_equal(pthread_self(), service->thread);
    pthread_mutex_lock(&service->lock);
    while (may_wait && !service->stopping && service->outstanding > service->options.max_outstanding)
        pthread_cond_wait(&service->room, &service->lock);
    const bool dropped = service->stopping;
    if (!dropped) {
        service->outstanding += size;
        if (service->last)
            service->last->next = message;
        else
            service->first = message;
        service->last = message;
        service->woken = true;
        pthread_cond_signal(&service->wake);
    }
    pthread_mutex_unlock(&service->lock);
    if (dropped) {
        free(bytes);
        free(message);
    }
    return MM_OK;
}
