/* The clock that durations are measured with. */
#ifndef MM_BASE_CLOCK_H
#define MM_BASE_CLOCK_H

/* Seconds on a clock that only goes forward. */
double mm_seconds_now(void);

#endif
