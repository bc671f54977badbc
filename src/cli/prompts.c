#include "prompts.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "arguments.h"
#include "base/file.h"

enum { MAX_FILE = 1 << 26, MAX_OBJECTS = 1000000 };

bool mm_cli_parse_point(const char *text, mm_point *point)
{
    double numbers[3] = {0, 0, 1};
    size_t count;
    if (!mm_cli_numbers(text, numbers, 2, 3, &count) || (numbers[2] != 0 && numbers[2] != 1))
        return false;
    *point = (mm_point){numbers[0], numbers[1], (int32_t)numbers[2]};
    return true;
}

bool mm_cli_parse_box(const char *text, double box[4])
{
    size_t count;
    return mm_cli_numbers(text, box, 4, 4, &count);
}

static mm_status allocate(size_t objects, size_t points, mm_cli_prompts *prompts, mm_error *err)
{
    prompts->count = objects;
    prompts->items = calloc(objects + 1, sizeof prompts->items[0]); /* + 1: never NULL for nothing */
    prompts->points = calloc(points + 1, sizeof prompts->points[0]);
    prompts->boxes = calloc(objects + 1, sizeof prompts->boxes[0]);
    if (prompts->items && prompts->points && prompts->boxes)
        return MM_OK;
    mm_cli_prompts_free(prompts);
    return mm_fail_memory(err, "prompts");
}

void mm_cli_prompts_free(mm_cli_prompts *prompts)
{
    free(prompts->items);
    free(prompts->points);
    free(prompts->boxes);
    *prompts = (mm_cli_prompts){0};
}

mm_status mm_cli_prompts_from_options(const mm_point *points, size_t count, const double *box,
                                      mm_cli_prompts *prompts, mm_error *err)
{
    const mm_status status = allocate(1, count, prompts, err);
    if (status != MM_OK)
        return status;
    if (count > 0)
        memcpy(prompts->points, points, count * sizeof points[0]);
    if (box)
        memcpy(prompts->boxes[0], box, sizeof prompts->boxes[0]);
    prompts->items[0] = (mm_prompt){.points = prompts->points, .point_count = count,
                                    .box = box ? prompts->boxes[0] : NULL};
    return MM_OK;
}

/* A list of `least` to `most` numbers. */
static bool read_numbers(const json_t *list, double *numbers, size_t least, size_t most)
{
    const size_t count = json_array_size(list); /* 0 for what is no list */
    if (count < least || count > most)
        return false;
    for (size_t i = 0; i < count; i++) {
        const json_t *number = json_array_get(list, i);
        if (!json_is_number(number))
            return false;
        numbers[i] = json_number_value(number);
    }
    return true;
}

static bool read_point(const json_t *list, mm_point *point)
{
    double numbers[3] = {0, 0, 1};
    if (!read_numbers(list, numbers, 2, 3) || (numbers[2] != 0 && numbers[2] != 1))
        return false;
    *point = (mm_point){numbers[0], numbers[1], (int32_t)numbers[2]};
    return true;
}

/* Object `index`; its points go to prompts->points from *used on. Returns what is wrong, or NULL. */
static const char *read_object(const json_t *object, size_t index, mm_cli_prompts *prompts, size_t *used)
{
    const json_t *points = json_object_get(object, "points"), *box = json_object_get(object, "box");
    mm_prompt *prompt = &prompts->items[index];
    if (!json_is_object(object))
        return "is not an object";
    if (json_object_size(object) != (points != NULL) + (size_t)(box != NULL))
        return "has keys other than points and box";
    if (points && !json_is_array(points))
        return "points: is not a list";
    if (!box && json_array_size(points) == 0)
        return "needs points or a box";
    prompt->points = prompts->points + *used;
    prompt->point_count = json_array_size(points);
    for (size_t i = 0; i < prompt->point_count; i++)
        if (!read_point(json_array_get(points, i), &prompts->points[(*used)++]))
            return "points: each is [x, y] or [x, y, label] with label 0 or 1";
    if (box) {
        if (!read_numbers(box, prompts->boxes[index], 4, 4))
            return "box: is [x0, y0, x1, y1]";
        prompt->box = prompts->boxes[index];
    }
    return NULL;
}

static mm_status read_objects(const char *path, const json_t *list, mm_cli_prompts *prompts, mm_error *err)
{
    const size_t count = json_array_size(list);
    size_t points = 0, used = 0;
    if (count == 0 || count > MAX_OBJECTS)
        return mm_fail(err, MM_ERR_USAGE, "%s: is not a list of 1 to %d objects", path, (int)MAX_OBJECTS);
    for (size_t i = 0; i < count; i++)
        points += json_array_size(json_object_get(json_array_get(list, i), "points"));
    const mm_status status = allocate(count, points, prompts, err);
    if (status != MM_OK)
        return status;
    for (size_t i = 0; i < count; i++) {
        const char *wrong = read_object(json_array_get(list, i), i, prompts, &used);
        if (wrong) {
            mm_cli_prompts_free(prompts);
            return mm_fail(err, MM_ERR_USAGE, "%s: object %zu (from 0): %s", path, i, wrong);
        }
    }
    return MM_OK;
}

mm_status mm_cli_prompts_read(const char *path, mm_cli_prompts *prompts, mm_error *err)
{
    uint8_t *bytes = NULL;
    size_t size = 0;
    json_error_t wrong;
    mm_status status = mm_file_read(path, MAX_FILE, &bytes, &size, err);
    if (status != MM_OK)
        return status;
    json_t *list = json_loadb((const char *)bytes, size, JSON_REJECT_DUPLICATES, &wrong);
    free(bytes);
    if (!list)
        return mm_fail(err, MM_ERR_USAGE, "%s:%d: is not JSON: %s", path, wrong.line, wrong.text);
    status = read_objects(path, list, prompts, err);
    json_decref(list);
    return status;
}
