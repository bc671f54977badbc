/* Progress in one line. */
#ifndef MM_ENGINE_PROGRESS_LINE_H
#define MM_ENGINE_PROGRESS_LINE_H

#include "maskmill/progress.h"

/* Into line[size]: as much as fits into `columns`, the least important left out. Returns its length. */
int mm_progress_line(char *line, size_t size, const mm_run_progress *progress, int columns);

#endif
