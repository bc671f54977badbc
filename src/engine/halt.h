/* A run that ends early, by a fault or a signal: what was ordered, who has come to rest, and when it is time to leave.
 * The service thread's own; rank 0's counts for all. */
#ifndef MM_ENGINE_HALT_H
#define MM_ENGINE_HALT_H

#include "engine/messages.h"

typedef struct mm_halt {
    int ranks;
    /* Rank 0's. */
    mm_stop ordered;
    mm_verdict verdict; /* the first, once something is ordered */
    int idle, through;  /* ranks */
    /* Every rank's. */
    mm_stop asked;      /* what this rank's signals have asked for, and rank 0 was told */
    mm_stop how;        /* what rank 0 has ordered */
    double since;       /* seconds, of the last order */
    bool through_told;
} mm_halt;

/* "stopped by SIGTERM" */
mm_verdict mm_halt_verdict_of(int signal);
/* Rank 0: order it; the first verdict stays. True if the ranks must be told, as it is more urgent than before. */
bool mm_halt_order(mm_halt *halt, mm_stop how, const mm_verdict *why);
/* Rank 0: something was ordered, and all ranks are idle. */
bool mm_halt_is_over(const mm_halt *halt);
/* A rank's signals ask for more than rank 0 was told; counts as told from now on. */
bool mm_halt_is_news(mm_halt *halt, mm_stop asked);
/* An order has come. */
void mm_halt_begin(mm_halt *halt, mm_stop how, double now);
/* MM_STOP_NOW: should this process end itself? `through`: its own journals are on the disk. */
bool mm_halt_is_time_to_leave(const mm_halt *halt, int rank, bool through, double now);

#endif
