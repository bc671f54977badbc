/* progress.json: the text of a run's progress, and back from a text that may be anything. */
#include <inttypes.h>
#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "engine/json_out.h"
#include "maskmill/progress.h"

static const char *const state_names[] = {
    [MM_RUN_RUNNING] = "running", [MM_RUN_CLOSING] = "closing", [MM_RUN_DONE] = "done",
    [MM_RUN_STOPPED] = "stopped", [MM_RUN_FAILED] = "failed",
};
enum { STATES = sizeof state_names / sizeof state_names[0], FORMAT = 1 };

const char *mm_run_state_name(mm_run_state state)
{
    return (size_t)state < STATES ? state_names[state] : "unknown";
}

static json_t *moment(double seconds)
{
    json_t *value = mm_json_moment((time_t)seconds);
    return value ? value : json_null();
}

/* What is unknown is null. */
static json_t *measured(double value)
{
    return value >= 0 && isfinite(value) ? json_real(value) : json_null();
}

static json_t *ranks(const mm_run_progress *p)
{
    json_t *silent = json_array();
    for (uint32_t i = 0; silent && i < p->silent_count && i < MM_PROGRESS_SILENT; i++)
        if (json_array_append_new(silent, json_integer(p->silent[i])) != 0) {
            json_decref(silent);
            return NULL;
        }
    return json_pack("{s:I, s:o, s:I, s:o, s:o, s:I, s:I, s:o, s:o}",
                     "count", (json_int_t)p->ranks,
                     "slowest_images_per_second", measured(p->slowest),
                     "slowest_rank", (json_int_t)p->slowest_rank,
                     "median_images_per_second", measured(p->median),
                     "fastest_images_per_second", measured(p->fastest),
                     "fastest_rank", (json_int_t)p->fastest_rank,
                     "silent_count", (json_int_t)p->silent_count,
                     "silent", silent,
                     "silent_after_seconds", measured(p->silent_after));
}

char *mm_run_progress_to_json(const mm_run_progress *p)
{
    /* json_pack frees what it was given when it fails, a NULL among its values included. */
    json_t *object = json_pack("{s:i, s:s, s:o, s:o, s:o, s:I, s:o, s:f, s:o, s:f, s:f, s:I, s:I, s:I, s:I, s:I, s:o, "
                               "s:o,"
                               " s:o, s:o, s:o}",
                               "format", FORMAT,
                               "state", mm_run_state_name(p->state),
                               "reason", mm_json_text(p->reason),
                               "host", mm_json_text(p->host),
                               "job", mm_json_text(p->job),
                               "pid", (json_int_t)p->pid,
                               "started", moment(p->started),
                               "started_unix", p->started,
                               "updated", moment(p->updated),
                               "updated_unix", p->updated,
                               "interval_seconds", p->interval,
                               "images_total", (json_int_t)p->images_total,
                               "images_done", (json_int_t)p->images_done,
                               "images_set_aside", (json_int_t)p->images_set_aside,
                               "images_before", (json_int_t)p->images_before,
                               "masks", (json_int_t)p->masks,
                               "seconds", measured(p->elapsed),
                               "images_per_second", measured(p->images_per_second),
                               "images_per_second_now", measured(p->images_per_second_now),
                               "seconds_left", measured(p->left),
                               "ranks", ranks(p));
    char *line = object ? json_dumps(object, JSON_INDENT(1) | JSON_REAL_PRECISION(15)) : NULL;
    json_decref(object);
    return line;
}

/* --- Reading. A key that is missing or of another type is 0, unknown or empty: later versions may drop some. --- */

static uint64_t count_of(const json_t *object, const char *key, uint64_t most)
{
    const json_int_t value = json_integer_value(json_object_get(object, key));
    return value < 0 ? 0 : (uint64_t)value < most ? (uint64_t)value : most;
}

static double number_of(const json_t *object, const char *key, double otherwise)
{
    const json_t *value = json_object_get(object, key);
    return json_is_number(value) && isfinite(json_number_value(value)) ? json_number_value(value) : otherwise;
}

/* Control characters would reach a terminal. */
static void text_of(const json_t *object, const char *key, char *line, size_t size)
{
    const char *value = json_string_value(json_object_get(object, key));
    (void)snprintf(line, size, "%s", value ? value : "");
    for (char *c = line; *c; c++)
        if ((unsigned char)*c < 0x20 || *c == 0x7f)
            *c = '?';
}

static void read_ranks(const json_t *object, mm_run_progress *p)
{
    const json_t *part = json_object_get(object, "ranks"), *silent = json_object_get(part, "silent");
    p->ranks = (uint32_t)count_of(part, "count", UINT32_MAX);
    p->slowest = number_of(part, "slowest_images_per_second", -1);
    p->median = number_of(part, "median_images_per_second", -1);
    p->fastest = number_of(part, "fastest_images_per_second", -1);
    p->slowest_rank = (uint32_t)count_of(part, "slowest_rank", UINT32_MAX);
    p->fastest_rank = (uint32_t)count_of(part, "fastest_rank", UINT32_MAX);
    p->silent_after = number_of(part, "silent_after_seconds", -1);
    p->silent_count = (uint32_t)count_of(part, "silent_count", UINT32_MAX);
    const size_t named = json_array_size(silent);
    for (size_t i = 0; i < MM_PROGRESS_SILENT && i < named; i++)
        p->silent[i] = (uint32_t)json_integer_value(json_array_get(silent, i));
    if (named < MM_PROGRESS_SILENT && p->silent_count > named)
        p->silent_count = (uint32_t)named; /* only those that are named can be told */
}

mm_status mm_run_progress_from_json(const char *bytes, size_t size, const char *path, mm_run_progress *p,
                                    mm_error *err)
{
    *p = (mm_run_progress){0};
    json_t *object = json_loadb(bytes, size, 0, NULL);
    const char *name = json_string_value(json_object_get(object, "state"));
    size_t state = 0;
    while (name && state < STATES && strcmp(name, state_names[state]) != 0)
        state++;
    if (!name || state == STATES || json_integer_value(json_object_get(object, "format")) != FORMAT) {
        json_decref(object);
        return mm_fail(err, MM_ERR_FORMAT, "%s: is not the progress of a run, or of another version of maskmill", path);
    }
    p->state = (mm_run_state)state;
    text_of(object, "reason", p->reason, sizeof p->reason);
    text_of(object, "host", p->host, sizeof p->host);
    text_of(object, "job", p->job, sizeof p->job);
    p->pid = json_integer_value(json_object_get(object, "pid"));
    p->started = number_of(object, "started_unix", 0);
    p->updated = number_of(object, "updated_unix", 0);
    p->interval = number_of(object, "interval_seconds", 0);
    const uint64_t most = UINT64_C(1) << 48; /* so that sums of many cannot overflow */
    p->images_total = count_of(object, "images_total", most);
    p->images_done = count_of(object, "images_done", most);
    p->images_set_aside = count_of(object, "images_set_aside", most);
    p->images_before = count_of(object, "images_before", most);
    p->masks = count_of(object, "masks", most);
    p->elapsed = number_of(object, "seconds", -1);
    p->images_per_second = number_of(object, "images_per_second", -1);
    p->images_per_second_now = number_of(object, "images_per_second_now", -1);
    p->left = number_of(object, "seconds_left", -1);
    read_ranks(object, p);
    json_decref(object);
    return MM_OK;
}
