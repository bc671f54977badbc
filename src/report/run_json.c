#include "report/run_json.h"

#include <math.h>
#include <stdint.h>
#include <stdlib.h>

#include "base/file.h"

enum { MAX_BYTES = 64 << 20 };

mm_status mm_run_json_read(const char *path, json_t **object, mm_error *err)
{
    uint8_t *bytes = NULL;
    size_t size = 0;
    json_error_t where;
    *object = NULL;
    if (!mm_file_exists(path))
        return MM_OK;
    const mm_status status = mm_file_read(path, MAX_BYTES, &bytes, &size, err);
    if (status != MM_OK)
        return status;
    json_t *found = json_loadb((const char *)bytes, size, 0, &where);
    free(bytes);
    if (!found)
        return mm_fail(err, MM_ERR_FORMAT, "%s:%d: is not JSON: %s", path, where.line, where.text);
    if (!json_is_object(found)) {
        json_decref(found);
        return mm_fail(err, MM_ERR_FORMAT, "%s: is no JSON object", path);
    }
    *object = found;
    return MM_OK;
}

const char *mm_run_json_text(const json_t *object, const char *key)
{
    return json_string_value(json_object_get(object, key));
}

double mm_run_json_number(const json_t *object, const char *key)
{
    const json_t *value = json_object_get(object, key);
    const double number = json_is_number(value) ? json_number_value(value) : -1;
    return isfinite(number) && number >= 0 ? number : -1;
}
