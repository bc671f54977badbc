#include "engine/signals.h"

#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <ucontext.h>
#include <unistd.h>

#include "maskmill/engine.h"

struct mm_signals {
    pthread_t thread;
    bool held;            /* the signals are blocked, so there is a thread */
    pthread_mutex_t lock; /* guards what follows */
    mm_stop asked;
    int signal;
    bool stopping, soon_too;
    void (*leave)(void *user, int signal);
    void *user;
};

static sigset_t stop_signals(void)
{
    sigset_t set;
    (void)sigemptyset(&set); /* these fail for numbers that are no signals only */
    (void)sigaddset(&set, SIGUSR1);
    (void)sigaddset(&set, SIGTERM);
    (void)sigaddset(&set, SIGINT);
    return set;
}

/* Libraries start threads before main does (OpenBLAS), which do not hold signals back. One that is given a signal holds
 * them from now on, and the signal goes back to the process, until it comes to the thread that waits for it. */
static void pass_on(int number, siginfo_t *info, void *context)
{
    (void)info;
    ucontext_t *here = context;
    (void)sigaddset(&here->uc_sigmask, SIGUSR1);
    (void)sigaddset(&here->uc_sigmask, SIGTERM);
    (void)sigaddset(&here->uc_sigmask, SIGINT);
    (void)kill(getpid(), number);
}

mm_status mm_engine_hold_signals(mm_error *err)
{
    static const int numbers[] = {SIGUSR1, SIGTERM, SIGINT};
    const sigset_t set = stop_signals();
    bool held = pthread_sigmask(SIG_BLOCK, &set, NULL) == 0;
    struct sigaction action = {.sa_sigaction = pass_on, .sa_flags = SA_SIGINFO | SA_RESTART, .sa_mask = set};
    for (size_t i = 0; held && i < sizeof numbers / sizeof numbers[0]; i++)
        held = sigaction(numbers[i], &action, NULL) == 0;
    return held ? MM_OK : mm_fail(err, MM_ERR_INTERNAL, "cannot hold signals back");
}

/* With the lock held. */
static void leave_if_asked(mm_signals *signals)
{
    if (signals->leave && (signals->asked == MM_STOP_NOW || (signals->asked == MM_STOP_SOON && signals->soon_too)))
        signals->leave(signals->user, signals->signal);
}

static void *receive(void *argument)
{
    mm_signals *signals = argument;
    const sigset_t set = stop_signals();
    bool stopping = false;
    while (!stopping) {
        int number = 0;
        if (sigwait(&set, &number) != 0)
            continue;
        const mm_stop stop = number == SIGUSR1 ? MM_STOP_SOON : MM_STOP_NOW;
        pthread_mutex_lock(&signals->lock);
        stopping = signals->stopping; /* then it was mm_signals_stop that woke us */
        if (!stopping && stop > signals->asked) {
            signals->asked = stop;
            signals->signal = number;
        }
        if (!stopping)
            leave_if_asked(signals);
        pthread_mutex_unlock(&signals->lock);
    }
    return NULL;
}

static bool are_held(void)
{
    sigset_t now;
    return pthread_sigmask(SIG_BLOCK, NULL, &now) == 0 && sigismember(&now, SIGUSR1) == 1 &&
           sigismember(&now, SIGTERM) == 1 && sigismember(&now, SIGINT) == 1;
}

mm_status mm_signals_start(mm_signals **signals, mm_error *err)
{
    mm_signals *made = calloc(1, sizeof *made);
    if (!made)
        return mm_fail_memory(err, "the signals' thread");
    made->held = are_held();
    if (pthread_mutex_init(&made->lock, NULL) != 0 ||
        (made->held && pthread_create(&made->thread, NULL, receive, made) != 0)) {
        free(made);
        return mm_fail(err, MM_ERR_IO, "the system gives no further thread; raise the limit on processes (ulimit -u)");
    }
    *signals = made;
    return MM_OK;
}

void mm_signals_stop(mm_signals *signals)
{
    if (!signals)
        return;
    if (signals->held) {
        pthread_mutex_lock(&signals->lock);
        signals->stopping = true;
        pthread_mutex_unlock(&signals->lock);
        (void)pthread_kill(signals->thread, SIGUSR1); /* the thread is ours and there */
        (void)pthread_join(signals->thread, NULL);
    }
    (void)pthread_mutex_destroy(&signals->lock);
    free(signals);
}

mm_stop mm_signals_asked(mm_signals *signals, int *signal)
{
    if (!signals)
        return MM_STOP_NONE;
    pthread_mutex_lock(&signals->lock);
    const mm_stop asked = signals->asked;
    if (signal)
        *signal = signals->signal;
    pthread_mutex_unlock(&signals->lock);
    return asked;
}

void mm_signals_leave_by(mm_signals *signals, void (*leave)(void *user, int signal), void *user, bool soon_too)
{
    if (!signals)
        return;
    pthread_mutex_lock(&signals->lock);
    signals->leave = leave;
    signals->user = user;
    signals->soon_too = soon_too;
    leave_if_asked(signals);
    pthread_mutex_unlock(&signals->lock);
}
