#include "engine/halt.h"

#include <signal.h>
#include <stdio.h>

/* mpirun kills a second after it has passed SIGTERM on. Rank 0 leaves first, with the status, and mpirun ends the
 * others; where nobody does that, they leave by themselves. */
static const double patience_with_others = 0.5, patience_with_disk = 0.8, patience_of_others = 5.0;

mm_verdict mm_halt_verdict_of(int signal)
{
    const char *name = signal == SIGUSR1 ? "SIGUSR1" : signal == SIGINT ? "SIGINT" : "SIGTERM";
    mm_verdict verdict = {.status = MM_ERR_STOPPED};
    (void)snprintf(verdict.text, sizeof verdict.text, "stopped by %s", name);
    return verdict;
}

bool mm_halt_order(mm_halt *halt, mm_stop how, const mm_verdict *why)
{
    if (halt->ordered == MM_STOP_NONE)
        halt->verdict = *why;
    const bool more = how > halt->ordered;
    if (more)
        halt->ordered = how;
    return more;
}

bool mm_halt_is_over(const mm_halt *halt)
{
    return halt->ordered != MM_STOP_NONE && halt->idle == halt->ranks;
}

bool mm_halt_is_news(mm_halt *halt, mm_stop asked)
{
    const bool news = asked > halt->asked;
    if (news)
        halt->asked = asked;
    return news;
}

void mm_halt_begin(mm_halt *halt, mm_stop how, double now)
{
    halt->how = how;
    halt->since = now;
}

bool mm_halt_is_time_to_leave(const mm_halt *halt, int rank, bool through, double now)
{
    const double waited = now - halt->since;
    if (halt->how != MM_STOP_NOW)
        return false;
    if (rank != 0)
        return waited > patience_of_others;
    return (through && (halt->through == halt->ranks || waited > patience_with_others)) || waited > patience_with_disk;
}
