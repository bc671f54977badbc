/* JSON that the engine writes: values of bytes and times, and whole files of an output folder. */
#ifndef MM_ENGINE_JSON_OUT_H
#define MM_ENGINE_JSON_OUT_H

#include <jansson.h>
#include <time.h>

#include "maskmill/status.h"

/* Arguments, paths and host names may be any bytes, JSON strings may not: what is no UTF-8 gets question marks. NULL without
 * memory, as the following. */
json_t *mm_json_text(const char *bytes);
json_t *mm_json_texts(const char *const *items, size_t count);
/* "2026-03-01T12:00:00Z"; NULL, too, for a time that has no such form. */
json_t *mm_json_moment(time_t when);

/* Put OUT/name in its place (mm_output_put) with the object, or whatever it is, and a last line end. `flags` are
 * json_dumps's. The object stays the caller's; NULL is MM_ERR_NOMEM. */
MM_RESULT_USED mm_status mm_json_put(const char *out, const char *name, const json_t *object, size_t flags, mm_error *err);

#endif
