/* Small files, and where the files that come with maskmill are. */
#ifndef MM_BASE_FILE_H
#define MM_BASE_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "maskmill/status.h"

/* A whole file of at most max_bytes (0: no limit; MM_ERR_LIMIT above), pipes too. *bytes has *size bytes and a zero
 * byte behind them; the caller frees it. */
MM_RESULT_USED mm_status mm_file_read(const char *path, uint64_t max_bytes, uint8_t **bytes, size_t *size,
                                      mm_error *err);

/* A file that comes into its place in one step: written to `path`.tmp, fsync, renamed, fsync of the folder. Readers see
 * the old file or the new one; nothing is left behind on failure. */
typedef struct mm_file_draft {
    FILE *stream; /* to be written to; its error flag is looked at in the end */
    char *path, *temporary;
} mm_file_draft;

MM_RESULT_USED mm_status mm_file_begin(const char *path, mm_file_draft *draft, mm_error *err);
/* Close and put in place; or, if `so_far` is a failure (already told in err), close and remove, and return it. */
MM_RESULT_USED mm_status mm_file_finish(mm_file_draft *draft, mm_status so_far, mm_error *err);

/* A draft that is `size` bytes from memory. */
MM_RESULT_USED mm_status mm_file_commit(const char *path, const void *bytes, size_t size, mm_error *err);

/* A draft that is the file `from` as it is. */
MM_RESULT_USED mm_status mm_file_copy(const char *from, const char *to, mm_error *err);

/* fsync of the folder that `path` lies in, so that the file's name outlives a crash of the machine. */
MM_RESULT_USED mm_status mm_file_sync_folder(const char *path, mm_error *err);

/* Whether there is something at `path` that is not a folder. */
bool mm_file_exists(const char *path);

/* Look for `file` in share/maskmill/`folder` beside the running program's own folder, then in `source_folder`, the
 * source tree's. False if it is in neither, or does not fit into path[size]. */
bool mm_file_find_shipped(const char *folder, const char *source_folder, const char *file, char *path, size_t size);

#endif
