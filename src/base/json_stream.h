/* Large JSON in bounded memory: the outermost object or list is gone through here, and its parts are handed to jansson
 * one by one. So a file may be of any size, but one image's answer, or one annotation, may not. */
#ifndef MM_BASE_JSON_STREAM_H
#define MM_BASE_JSON_STREAM_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "maskmill/status.h"

enum { MM_JSON_KEY = 256 };
/* jansson takes about twenty times the bytes of a list of small numbers. */
enum { MM_JSON_MOST_BYTES = 32 << 20 };

typedef struct mm_json_stream {
    FILE *file;
    const char *path; /* the caller's */
    uint8_t *buffer;
    size_t used, filled;
    uint64_t offset; /* of buffer[0] in the file */
    char key[MM_JSON_KEY];
} mm_json_stream;

/* Errors are MM_ERR_FORMAT with path and byte; MM_ERR_LIMIT for a part of more than MM_JSON_MOST_BYTES. */
MM_RESULT_USED mm_status mm_json_stream_open(const char *path, mm_json_stream *stream, mm_error *err);
void mm_json_stream_close(mm_json_stream *stream);

/* The next byte that is no white space, which stays; 0 at the end. */
int mm_json_stream_peek(mm_json_stream *stream);
/* '{' or '['. */
MM_RESULT_USED mm_status mm_json_stream_enter(mm_json_stream *stream, char bracket, mm_error *err);
/* Inside of what `bracket` opened: is there another value? `first` is true for the first call. In an object its key,
 * cut to fit, is in stream->key then. False: the closing bracket was read. */
MM_RESULT_USED mm_status mm_json_stream_next(mm_json_stream *stream, char bracket, bool first, bool *more,
                                             mm_error *err);
/* The value that comes, whole; the caller gives it back with json_decref. */
MM_RESULT_USED mm_status mm_json_stream_value(mm_json_stream *stream, json_t **value, mm_error *err);
/* The same, in no memory. Only its brackets and texts are looked at. */
MM_RESULT_USED mm_status mm_json_stream_skip(mm_json_stream *stream, mm_error *err);
/* Nothing but white space follows. */
MM_RESULT_USED mm_status mm_json_stream_end(mm_json_stream *stream, mm_error *err);

#endif
