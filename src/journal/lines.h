/* Append-only files of text lines that lose nothing: each line is eight hex digits, the CRC-32C of what follows the
 * blank behind them, and that text:
 *
 *     e3069283 123456789
 *
 * The first line is the head, which says what the file is of. A line counts when its newline is there and its CRC is
 * right. What is torn at the end, where a process or a machine died, is cut when the file is opened again. A bad line
 * that has good ones behind it was damaged otherwise; then nothing is cut, and the file is refused. */
#ifndef MM_JOURNAL_LINES_H
#define MM_JOURNAL_LINES_H

#include <stddef.h>
#include <stdint.h>

#include "maskmill/status.h"

/* Of a text; lines beyond are damage. */
#define MM_LINE_MOST ((size_t)64 << 20)

typedef struct mm_lines mm_lines;

typedef struct mm_lines_visitor {
    void *user;
    /* Every good line but the head, in order: text[size] with a zero behind it, and where in the file the line begins.
     * Anything but MM_OK ends the reading with it. */
    mm_status (*line)(void *user, const char *text, size_t size, uint64_t offset, mm_error *err);
} mm_lines_visitor;

/* Go through a file that may still be written to. *head (may be NULL): the caller frees it. *torn: bytes at the end
 * that are no whole lines. MM_ERR_FORMAT for damage before the end, or no head. */
MM_RESULT_USED mm_status mm_lines_read(const char *path, const mm_lines_visitor *visitor, char **head, uint64_t *torn,
                                       mm_error *err);

/* Open for appending, for this process alone (MM_ERR_USAGE if another has it), or make it with `head`. MM_ERR_USAGE if
 * a file that is there has another head. *cut: bytes torn off the end. Not thread-safe. */
MM_RESULT_USED mm_status mm_lines_open(const char *path, const char *head, const mm_lines_visitor *visitor,
                                       mm_lines **lines, uint64_t *cut, mm_error *err);
/* The same only for reading, also while another process appends: lines that come later are not seen. */
MM_RESULT_USED mm_status mm_lines_open_read(const char *path, const char *head, const mm_lines_visitor *visitor,
                                            mm_lines **lines, mm_error *err);
void mm_lines_close(mm_lines *lines);

/* Write a line of text without newlines, and see it to the disk. *offset (may be NULL): where it begins. After a
 * failure the file is as it was, or nothing more can be appended. */
MM_RESULT_USED mm_status mm_lines_append(mm_lines *lines, const char *text, size_t size, uint64_t *offset,
                                         mm_error *err);

/* The text of the line that begins at `offset`, checked again. The caller frees *text. */
MM_RESULT_USED mm_status mm_lines_at(const mm_lines *lines, uint64_t offset, char **text, size_t *size, mm_error *err);

#endif
