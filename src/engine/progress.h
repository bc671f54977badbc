/* How far the run is, for people: one line that is written over on a terminal, a line now and then elsewhere. */
#ifndef MM_ENGINE_PROGRESS_H
#define MM_ENGINE_PROGRESS_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

typedef struct mm_progress {
    FILE *stream; /* NULL: count, print nothing */
    bool terminal;
    uint64_t total, done, set_aside, masks; /* images, images, images, masks; `done` includes those set aside */
    double start, printed;                  /* seconds */
    int width;                              /* of the line that stands on the terminal */
} mm_progress;

mm_progress mm_progress_begin(FILE *stream, bool terminal, uint64_t total, double now);
/* So many more images, `set_aside` of them set aside. */
void mm_progress_add(mm_progress *progress, uint64_t images, uint64_t set_aside, uint64_t masks);
/* Print if it is time: every second on a terminal, every ten seconds elsewhere. */
void mm_progress_tick(mm_progress *progress, double now);
/* The last line, which stays. */
void mm_progress_end(mm_progress *progress, double now);

#endif
