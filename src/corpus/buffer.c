#include "corpus/buffer.h"

#include <stdlib.h>
#include <string.h>

mm_status mm_buffer_put(mm_buffer *buffer, const void *bytes, size_t size, mm_error *err)
{
    if (size > buffer->room - buffer->used) {
        const size_t room = buffer->used + size + buffer->used / 2 + 4096;
        uint8_t *moved = realloc(buffer->bytes, room);
        if (!moved)
            return mm_fail_memory(err, "a message to another rank");
        buffer->bytes = moved;
        buffer->room = room;
    }
    if (size > 0)
        memcpy(buffer->bytes + buffer->used, bytes, size);
    buffer->used += size;
    return MM_OK;
}

mm_status mm_buffer_put_u64(mm_buffer *buffer, uint64_t value, mm_error *err)
{
    return mm_buffer_put(buffer, &value, sizeof value, err);
}

mm_status mm_buffer_put_text(mm_buffer *buffer, const char *text, mm_error *err)
{
    return mm_buffer_put(buffer, text, strlen(text) + 1, err);
}

void mm_buffer_free(mm_buffer *buffer)
{
    free(buffer->bytes);
    *buffer = (mm_buffer){0};
}

mm_cursor mm_cursor_of(const void *bytes, size_t size)
{
    const uint8_t *start = bytes;
    return (mm_cursor){start, size ? start + size : start};
}

bool mm_cursor_done(const mm_cursor *cursor)
{
    return cursor->at == cursor->end;
}

bool mm_cursor_take(mm_cursor *cursor, void *to, size_t size)
{
    if (size > (size_t)(cursor->end - cursor->at)) {
        cursor->at = cursor->end;
        return false;
    }
    memcpy(to, cursor->at, size);
    cursor->at += size;
    return true;
}

bool mm_cursor_u64(mm_cursor *cursor, uint64_t *value)
{
    return mm_cursor_take(cursor, value, sizeof *value);
}

bool mm_cursor_text(mm_cursor *cursor, const char **text)
{
    const size_t left = (size_t)(cursor->end - cursor->at);
    const uint8_t *end = left ? memchr(cursor->at, 0, left) : NULL;
    if (!end) {
        cursor->at = cursor->end;
        return false;
    }
    *text = (const char *)cursor->at;
    cursor->at = end + 1;
    return true;
}

mm_status mm_cursor_fail(mm_error *err)
{
    return mm_fail(err, MM_ERR_INTERNAL, "a message from another rank makes no sense while the corpus is listed");
}

mm_status mm_buffers_new(const mm_comm *comm, mm_buffer **buffers, mm_error *err)
{
    *buffers = calloc((size_t)mm_comm_size(comm), sizeof **buffers);
    return *buffers ? MM_OK : mm_fail_memory(err, "messages to other ranks");
}

void mm_buffers_free(const mm_comm *comm, mm_buffer *buffers)
{
    for (int i = 0; buffers && i < mm_comm_size(comm); i++)
        mm_buffer_free(&buffers[i]);
    free(buffers);
}

static mm_status join(const mm_parcel *in, size_t ranks, mm_buffer *received, mm_error *err)
{
    mm_status status = MM_OK;
    for (size_t i = 0; status == MM_OK && i < ranks; i++)
        status = mm_buffer_put(received, in[i].bytes, in[i].size, err);
    return status;
}

static mm_status exchange(mm_comm *comm, mm_buffer *buffers, mm_parcel *parcels, mm_buffer *received, mm_error *err)
{
    const size_t ranks = (size_t)mm_comm_size(comm);
    mm_parcel *out = parcels, *in = parcels + ranks;
    for (size_t i = 0; i < ranks; i++)
        out[i] = (mm_parcel){buffers[i].bytes, buffers[i].used};
    mm_status status = mm_comm_exchange(comm, out, in, err);
    for (size_t i = 0; i < ranks; i++)
        mm_buffer_free(&buffers[i]);
    if (status != MM_OK)
        return status;
    status = join(in, ranks, received, err);
    for (size_t i = 0; i < ranks; i++)
        free(in[i].bytes);
    return mm_comm_agree(comm, status, err);
}

mm_status mm_buffer_exchange(mm_comm *comm, mm_buffer *buffers, mm_buffer *received, mm_error *err)
{
    *received = (mm_buffer){0};
    if (mm_comm_size(comm) == 1) { /* to oneself: nothing to copy */
        *received = buffers[0];
        buffers[0] = (mm_buffer){0};
        return MM_OK;
    }
    mm_parcel *parcels = calloc(2 * (size_t)mm_comm_size(comm), sizeof *parcels);
    mm_status status = mm_comm_agree(comm, parcels ? MM_OK : mm_fail_memory(err, "messages to other ranks"), err);
    if (status == MM_OK)
        status = exchange(comm, buffers, parcels, received, err);
    free(parcels);
    if (status != MM_OK)
        mm_buffer_free(received);
    return status;
}

mm_status mm_buffer_broadcast(mm_comm *comm, mm_buffer *buffer, mm_error *err)
{
    const bool first = mm_comm_rank(comm) == 0;
    uint64_t size = first ? buffer->used : 0;
    mm_status status = mm_comm_broadcast(comm, 0, &size, sizeof size, err);
    if (status != MM_OK)
        return status;
    if (!first) {
        *buffer = (mm_buffer){.bytes = malloc(size ? size : 1), .used = size, .room = size};
        if (!buffer->bytes)
            status = mm_fail_memory(err, "a message from rank 0");
    }
    status = mm_comm_agree(comm, status, err);
    return status == MM_OK && size > 0 ? mm_comm_broadcast(comm, 0, buffer->bytes, size, err) : status;
}
