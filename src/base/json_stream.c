#include "base/json_stream.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { BUFFER = 1 << 16 };

mm_status mm_json_stream_open(const char *path, mm_json_stream *stream, mm_error *err)
{
    *stream = (mm_json_stream){.path = path, .buffer = malloc(BUFFER)};
    if (!stream->buffer)
        return mm_fail_memory(err, path);
    stream->file = fopen(path, "rbe"); /* opens folders, too, of which nothing can be read */
    struct stat about;
    mm_status status = MM_OK;
    if (!stream->file)
        status = mm_fail_errno(err, "cannot open %s", path);
    else if (fstat(fileno(stream->file), &about) == 0 && S_ISDIR(about.st_mode))
        status = mm_fail(err, MM_ERR_IO, "%s is a folder; name the files in it", path);
    else
        (void)setvbuf(stream->file, NULL, _IONBF, 0); /* the buffer is here; with another one it would only be slower */
    if (status != MM_OK)
        mm_json_stream_close(stream);
    return status;
}

void mm_json_stream_close(mm_json_stream *stream)
{
    if (stream->file)
        (void)fclose(stream->file); /* only read from */
    free(stream->buffer);
    stream->file = NULL;
    stream->buffer = NULL;
}

/* -1 at the end, and where the system refuses: fail_at looks which. */
static int look(mm_json_stream *stream)
{
    if (stream->used == stream->filled) {
        stream->offset += stream->filled;
        stream->used = 0;
        stream->filled = fread(stream->buffer, 1, BUFFER, stream->file);
        if (stream->filled == 0)
            return -1;
    }
    return stream->buffer[stream->used];
}

static int take(mm_json_stream *stream)
{
    const int c = look(stream);
    stream->used += c >= 0;
    return c;
}

static uint64_t position(const mm_json_stream *stream)
{
    return stream->offset + stream->used;
}

static mm_status fail_at(mm_json_stream *stream, const char *what, mm_error *err)
{
    if (ferror(stream->file))
        return mm_fail_errno(err, "cannot read %s", stream->path);
    if (look(stream) < 0)
        return mm_fail(err, MM_ERR_FORMAT, "%s ends at byte %" PRIu64 ", in the middle: it was cut; export it again",
                       stream->path, position(stream));
    return mm_fail(err, MM_ERR_FORMAT, "%s: byte %" PRIu64 ": %s", stream->path, position(stream), what);
}

int mm_json_stream_peek(mm_json_stream *stream)
{
    int c;
    while ((c = look(stream)) == ' ' || c == '\t' || c == '\n' || c == '\r')
        stream->used++;
    return c < 0 ? 0 : c;
}

mm_status mm_json_stream_enter(mm_json_stream *stream, char bracket, mm_error *err)
{
    if (mm_json_stream_peek(stream) != bracket)
        return fail_at(stream, bracket == '{' ? "there is no JSON object" : "there is no JSON list", err);
    stream->used++;
    return MM_OK;
}

/* A text behind its opening quote; escapes stay as they are, since no key of interest has any. */
static mm_status take_text(mm_json_stream *stream, char *text, size_t size, mm_error *err)
{
    size_t length = 0;
    for (;;) {
        int c = take(stream);
        if (c == '"')
            break;
        if (c >= 0 && text && length + 1 < size)
            text[length++] = (char)c;
        if (c == '\\')
            c = take(stream);
        if (c < 0)
            return fail_at(stream, "this is no JSON", err);
    }
    if (text)
        text[length] = '\0';
    return MM_OK;
}

mm_status mm_json_stream_next(mm_json_stream *stream, char bracket, bool first, bool *more, mm_error *err)
{
    int c = mm_json_stream_peek(stream);
    *more = false;
    if (c == (bracket == '{' ? '}' : ']')) {
        stream->used++;
        return MM_OK;
    }
    if (!first) {
        if (c != ',')
            return fail_at(stream, "a comma is missing", err);
        stream->used++;
        c = mm_json_stream_peek(stream);
    }
    *more = true;
    if (bracket == '[')
        return MM_OK;
    if (c != '"')
        return fail_at(stream, "a key is missing", err);
    stream->used++;
    const mm_status status = take_text(stream, stream->key, sizeof stream->key, err);
    if (status != MM_OK)
        return status;
    if (mm_json_stream_peek(stream) != ':')
        return fail_at(stream, "a colon is missing", err);
    stream->used++;
    return MM_OK;
}

typedef struct part {
    mm_json_stream *stream;
    uint64_t bytes;
} part;

/* One byte at a time: jansson would read beyond the end of the value, and keep that to itself. */
static size_t feed(void *buffer, size_t size, void *user)
{
    part *from = user;
    if (size == 0 || from->bytes >= MM_JSON_MOST_BYTES)
        return 0;
    const int c = take(from->stream);
    if (c < 0)
        return 0;
    from->bytes++;
    *(unsigned char *)buffer = (unsigned char)c;
    return 1;
}

mm_status mm_json_stream_value(mm_json_stream *stream, json_t **value, mm_error *err)
{
    *value = NULL;
    const int c = mm_json_stream_peek(stream);
    if (c != '{' && c != '[')
        return fail_at(stream, "an object or a list should stand here", err);
    const uint64_t start = position(stream);
    part from = {.stream = stream};
    json_error_t why;
    *value = json_load_callback(feed, &from, JSON_DISABLE_EOF_CHECK | JSON_REJECT_DUPLICATES, &why);
    if (*value)
        return MM_OK;
    if (from.bytes >= MM_JSON_MOST_BYTES)
        return mm_fail(err, MM_ERR_LIMIT, "%s: the value at byte %" PRIu64 " is longer than %d MiB, the limit for one "
                       "annotation or one task", stream->path, start, MM_JSON_MOST_BYTES >> 20);
    if (json_error_code(&why) == json_error_out_of_memory)
        return mm_fail_memory(err, stream->path);
    if (look(stream) < 0)
        return fail_at(stream, "this is no JSON", err);
    return mm_fail(err, MM_ERR_FORMAT, "%s: in the value at byte %" PRIu64 ": %.100s", stream->path, start, why.text);
}

mm_status mm_json_stream_skip(mm_json_stream *stream, mm_error *err)
{
    uint64_t depth = 0;
    bool any = false;
    for (;;) {
        const int c = mm_json_stream_peek(stream);
        if (c == 0)
            return fail_at(stream, "this is no JSON", err);
        if (depth == 0 && (c == ',' || c == ']' || c == '}')) /* behind a number or word, or behind nothing */
            return any ? MM_OK : fail_at(stream, "a value is missing", err);
        stream->used++;
        any = true;
        if (c == '"') {
            const mm_status status = take_text(stream, NULL, 0, err);
            if (status != MM_OK)
                return status;
        }
        depth += c == '{' || c == '[';
        depth -= c == '}' || c == ']';
        if (depth == 0 && (c == '"' || c == '}' || c == ']'))
            return MM_OK;
    }
}

mm_status mm_json_stream_end(mm_json_stream *stream, mm_error *err)
{
    if (mm_json_stream_peek(stream) != 0)
        return fail_at(stream, "something follows the end of the JSON", err);
    return ferror(stream->file) ? mm_fail_errno(err, "cannot read %s", stream->path) : MM_OK;
}
