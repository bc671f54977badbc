/* What every fallible call returns, and the one line that says why.
 *
 * A function that can fail returns an mm_status and takes an `mm_error *` as its last argument. On failure it
 * fills the error with one line for the user: what went wrong, in which file or key, and what to do about it.
 * On success the error is left alone. `err` may be NULL where the caller needs only the status. */
#ifndef MASKMILL_STATUS_H
#define MASKMILL_STATUS_H

#include <stdarg.h>

#define MM_RESULT_USED __attribute__((warn_unused_result))
#define MM_PRINTF(format_index, first) __attribute__((format(printf, format_index, first)))

typedef enum mm_status {
    MM_OK = 0,
    MM_ERR_NOMEM,       /* memory could not be had */
    MM_ERR_IO,          /* the system refused: open, read, write, no space */
    MM_ERR_FORMAT,      /* content is damaged, or not of the kind it should be */
    MM_ERR_LIMIT,       /* well formed, but beyond a limit on size or memory */
    MM_ERR_UNSUPPORTED, /* well formed, but of a kind maskmill does not handle */
    MM_ERR_USAGE,       /* a wrong argument, config key or value */
    MM_ERR_INTERNAL,    /* a self-check failed or a library broke its contract */
    MM_ERR_STOPPED      /* asked to stop by a signal; what was done is kept */
} mm_status;

#define MM_ERROR_TEXT 512

typedef struct mm_error {
    mm_status status;
    char text[MM_ERROR_TEXT]; /* one line, no newline, always terminated */
} mm_error;

/* Fill `err` (if not NULL) and return `status`, so that a failing function can `return mm_fail(...)`. */
mm_status mm_fail(mm_error *err, mm_status status, const char *format, ...) MM_PRINTF(3, 4);

/* The same for a failed system call: appends ": " and the text of errno; MM_ERR_NOMEM for ENOMEM, else MM_ERR_IO. */
mm_status mm_fail_errno(mm_error *err, const char *format, ...) MM_PRINTF(2, 3);

/* MM_ERR_NOMEM with a line that names what the memory was for. */
mm_status mm_fail_memory(mm_error *err, const char *what);

/* Put "context: " before the line that is already there; returns err->status. `err` must hold a failure. */
mm_status mm_error_prefix(mm_error *err, const char *format, ...) MM_PRINTF(2, 3);

/* The status as a word, for logs and quarantine.tsv: "format", "io", "limit", ... */
const char *mm_status_name(mm_status status);

#endif
