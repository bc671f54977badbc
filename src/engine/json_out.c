#include "engine/json_out.h"

#include <stdlib.h>
#include <string.h>

#include "engine/output.h"

json_t *mm_json_text(const char *bytes)
{
    json_t *value = json_string(bytes);
    if (value)
        return value;
    char *copy = strdup(bytes);
    if (!copy)
        return NULL;
    for (char *c = copy; *c; c++)
        if ((unsigned char)*c >= 0x80)
            *c = '?';
    value = json_string(copy);
    free(copy);
    return value;
}

json_t *mm_json_texts(const char *const *items, size_t count)
{
    json_t *list = json_array();
    for (size_t i = 0; list && i < count; i++)
        if (json_array_append_new(list, mm_json_text(items[i])) != 0) {
            json_decref(list);
            return NULL;
        }
    return list;
}

json_t *mm_json_moment(time_t when)
{
    struct tm parts;
    char line[32];
    if (!gmtime_r(&when, &parts) || strftime(line, sizeof line, "%Y-%m-%dT%H:%M:%SZ", &parts) == 0)
        return NULL;
    return json_string(line);
}

mm_status mm_json_put(const char *out, const char *name, const json_t *object, size_t flags, mm_error *err)
{
    char *text = object ? json_dumps(object, flags) : NULL;
    if (!text)
        return mm_fail_memory(err, name);
    const size_t size = strlen(text);
    text[size] = '\n'; /* in place of the terminator: what is written has a size of its own */
    const mm_status status = mm_output_put(out, name, text, size + 1, err);
    free(text);
    return status;
}
