/* Signals that ask a run to stop, received by a thread of their own, so nothing is interrupted.
 *
 * SIGUSR1: soon, when the images in hand are finished. SIGTERM, SIGINT: now, for mpirun kills a second later. */
#ifndef MM_ENGINE_SIGNALS_H
#define MM_ENGINE_SIGNALS_H

#include <stdbool.h>

#include "maskmill/status.h"

typedef enum mm_stop { MM_STOP_NONE = 0, MM_STOP_SOON, MM_STOP_NOW } mm_stop;

typedef struct mm_signals mm_signals;

/* The signals must be blocked in all threads of the process (mm_engine_hold_signals, before MPI starts its own);
 * otherwise nothing is received and the system's defaults hold. */
MM_RESULT_USED mm_status mm_signals_start(mm_signals **signals, mm_error *err);
/* NULL is fine. */
void mm_signals_stop(mm_signals *signals);

/* The most urgent that was asked for so far; *signal (may be NULL) is its number. NULL signals: none. */
mm_stop mm_signals_asked(mm_signals *signals, int *signal);
/* While nothing is at stake (setup, closing the books): SIGTERM and SIGINT, also one that came already, call
 * leave(user, signal) in the signals' thread, which ends the process; and so does SIGUSR1 if `soon_too`. NULL `leave`
 * goes back to just telling. NULL signals are fine. */
void mm_signals_leave_by(mm_signals *signals, void (*leave)(void *user, int signal), void *user, bool soon_too);

#endif
