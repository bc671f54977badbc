/* Bytes on their way from rank to rank: numbers and texts are put end to end, and taken in the same order with every
 * length checked. */
#ifndef MM_CORPUS_BUFFER_H
#define MM_CORPUS_BUFFER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "maskmill/comm.h"

typedef struct mm_buffer {
    uint8_t *bytes;
    size_t used, room;
} mm_buffer;

MM_RESULT_USED mm_status mm_buffer_put(mm_buffer *buffer, const void *bytes, size_t size, mm_error *err);
MM_RESULT_USED mm_status mm_buffer_put_u64(mm_buffer *buffer, uint64_t value, mm_error *err);
/* With its terminator. */
MM_RESULT_USED mm_status mm_buffer_put_text(mm_buffer *buffer, const char *text, mm_error *err);
void mm_buffer_free(mm_buffer *buffer);

typedef struct mm_cursor {
    const uint8_t *at, *end;
} mm_cursor;

mm_cursor mm_cursor_of(const void *bytes, size_t size);
bool mm_cursor_done(const mm_cursor *cursor);
/* False, and at the end, when there is not that much left. */
MM_RESULT_USED bool mm_cursor_take(mm_cursor *cursor, void *to, size_t size);
MM_RESULT_USED bool mm_cursor_u64(mm_cursor *cursor, uint64_t *value);
/* *text lies in the bytes. */
MM_RESULT_USED bool mm_cursor_text(mm_cursor *cursor, const char **text);
/* For a message that is not as it must be. */
mm_status mm_cursor_fail(mm_error *err);

/* mm_comm_exchange of buffers[mm_comm_size], which are emptied, with all that came put end to end in rank order. */
MM_RESULT_USED mm_status mm_buffer_exchange(mm_comm *comm, mm_buffer *buffers, mm_buffer *received, mm_error *err);
/* buffers[mm_comm_size], empty; the caller frees each and the array. */
MM_RESULT_USED mm_status mm_buffers_new(const mm_comm *comm, mm_buffer **buffers, mm_error *err);
void mm_buffers_free(const mm_comm *comm, mm_buffer *buffers);
/* Rank 0's bytes to all; the others' buffers are filled. */
MM_RESULT_USED mm_status mm_buffer_broadcast(mm_comm *comm, mm_buffer *buffer, mm_error *err);

#endif
