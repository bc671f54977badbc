/* Label Studio's JSON export: a list of tasks, each with its annotations. A task without one is not answered; where
 * there are several, the newest that was not cancelled counts. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "queue/answers.h"
#include "queue/brush.h"
#include "base/json_stream.h"
#include "queue/queue.h"
#include "queue/segmentation.h"

typedef struct task_reader {
    mm_answer_reader *reader;
    uint64_t task; /* number of the one at hand */
    mm_answer *answer;
    mm_queue_image image;
    char photograph[MM_SHOWN_TEXT];
} task_reader;

static const char *text_of(const json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));
    return text ? text : "";
}

/* --- which image, which annotation --- */

/* The task's own image_id, if it is one of ours; else the first of its texts that names an image. */
static bool find_image(task_reader *t, const json_t *data, uint64_t *index)
{
    const json_t *id = json_object_get(data, "image_id"), *value;
    void *at = json_object_iter((json_t *)data); /* only read from */
    if (mm_answer_find_image(t->reader, text_of(data, "image"), index))
        return true;
    if (json_is_integer(id) && json_integer_value(id) >= 0)
        return mm_queue_find(t->reader->queue, (uint64_t)json_integer_value(id), index);
    for (; at; at = json_object_iter_next((json_t *)data, at)) {
        value = json_object_iter_value(at);
        uint64_t image_id;
        if (json_is_string(value) && mm_photograph_number(json_string_value(value), &image_id))
            return mm_queue_find(t->reader->queue, image_id, index);
    }
    return false;
}

/* ISO 8601 in UTC sorts as text. */
static const json_t *newest(const json_t *annotations, size_t *finished)
{
    const json_t *best = NULL;
    *finished = 0;
    for (size_t i = 0; i < json_array_size(annotations); i++) {
        const json_t *one = json_array_get(annotations, i);
        if (!json_is_array(json_object_get(one, "result")) || json_is_true(json_object_get(one, "was_cancelled")))
            continue;
        (*finished)++;
        if (!best || strcmp(text_of(one, "updated_at"), text_of(best, "updated_at")) >= 0)
            best = one;
    }
    return best;
}

static mm_status find_annotator(task_reader *t, const json_t *annotation, mm_error *err)
{
    const json_t *by = json_object_get(annotation, "completed_by");
    char text[64];
    const char *name = json_is_object(by) ? text_of(by, "email") : json_is_string(by) ? json_string_value(by) : "";
    const json_t *id = json_is_object(by) ? json_object_get(by, "id") : by;
    if (t->reader->annotator)
        return MM_OK; /* --annotator goes before what the tool's users are called */
    if (!*name && json_is_integer(id)) {
        (void)snprintf(text, sizeof text, "user %" JSON_INTEGER_FORMAT, json_integer_value(id));
        name = text;
    }
    return *name ? mm_answer_annotator(t->reader->answers, name, &t->answer->annotator, err) : MM_OK;
}

/* --- regions --- */

static mm_status read_brush(const task_reader *t, const json_t *value, mm_rle *rle, mm_error *err)
{
    const json_t *list = json_object_get(value, "rle");
    const size_t count = json_array_size(list);
    if (!json_is_array(list))
        return mm_fail(err, MM_ERR_FORMAT, "it has no \"rle\"");
    uint8_t *bytes = malloc(count + 1);
    mm_status status = bytes ? MM_OK : mm_fail_memory(err, "a brush");
    for (size_t i = 0; status == MM_OK && i < count; i++) {
        const json_t *byte = json_array_get(list, i);
        const json_int_t number = json_is_integer(byte) ? json_integer_value(byte) : -1;
        if (number < 0 || number > 255)
            status = mm_fail(err, MM_ERR_FORMAT, "number %zu of its \"rle\" is no byte", i);
        else
            bytes[i] = (uint8_t)number;
    }
    if (status == MM_OK)
        status = mm_brush_decode(bytes, count, t->image.height, t->image.width, rle, err);
    free(bytes);
    return status;
}

/* Points are in hundredths of the image's sides. */
static mm_status read_polygon(const task_reader *t, const json_t *value, mm_rle *rle, unsigned *repairs, mm_error *err)
{
    const json_t *list = json_object_get(value, "points");
    const size_t count = json_array_size(list);
    double (*points)[2] = calloc(count + 1, sizeof *points);
    mm_status status = points ? MM_OK : mm_fail_memory(err, "a polygon");
    for (size_t i = 0; status == MM_OK && i < count; i++) {
        const json_t *point = json_array_get(list, i), *x = json_array_get(point, 0), *y = json_array_get(point, 1);
        if (!json_is_number(x) || !json_is_number(y)) {
            status = mm_fail(err, MM_ERR_FORMAT, "point %zu of its polygon is not two numbers", i);
            break;
        }
        points[i][0] = json_number_value(x) * t->image.width / 100;
        points[i][1] = json_number_value(y) * t->image.height / 100;
    }
    if (status == MM_OK)
        status = mm_segmentation_ring((const double (*)[2])points, count, t->image.height, t->image.width, rle, repairs,
                                      err);
    free(points);
    return status;
}

typedef enum region_kind { REGION_BRUSH, REGION_POLYGON, REGION_MASKLESS, REGION_OTHER } region_kind;

/* What has to do with masks and what not: choices, texts and relations may stand in the same list. */
static region_kind kind_of(const char *type)
{
    static const struct {
        const char *type;
        region_kind kind;
    } kinds[] = {
        {"brushlabels", REGION_BRUSH},        {"brush", REGION_BRUSH},
        {"polygonlabels", REGION_POLYGON},    {"polygon", REGION_POLYGON},
        {"rectanglelabels", REGION_MASKLESS}, {"rectangle", REGION_MASKLESS},
        {"ellipselabels", REGION_MASKLESS},   {"ellipse", REGION_MASKLESS},
        {"keypointlabels", REGION_MASKLESS},  {"keypoint", REGION_MASKLESS},
        {"bitmasklabels", REGION_MASKLESS},   {"bitmask", REGION_MASKLESS},
        {"vectorlabels", REGION_MASKLESS},    {"vector", REGION_MASKLESS},
    };
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++)
        if (strcmp(type, kinds[i].type) == 0)
            return kinds[i].kind;
    return REGION_OTHER;
}

static bool is_hint(const json_t *value, region_kind kind)
{
    const json_t *labels = json_object_get(value, kind == REGION_BRUSH ? "brushlabels" : "polygonlabels");
    const char *label = json_string_value(json_array_get(labels, 0));
    return label && strcmp(label, "hint") == 0;
}

static mm_status check_frame(const task_reader *t, const json_t *region, mm_error *err)
{
    const json_t *width = json_object_get(region, "original_width"), *height = json_object_get(region, "original_"
                                                                                                       "height");
    const json_t *rotation = json_object_get(region, "image_rotation");
    if (json_is_number(rotation) && json_number_value(rotation) != 0)
        return mm_fail(err, MM_ERR_FORMAT, "it was drawn on the image turned by %g degrees; turn it back",
                       json_number_value(rotation));
    if ((width || height) &&
        (json_number_value(width) != t->image.width || json_number_value(height) != t->image.height))
        return mm_fail(err, MM_ERR_FORMAT, "it is of an image of %g x %g pixels, not %" PRIu32 " x %" PRIu32,
                       json_number_value(width), json_number_value(height), t->image.width, t->image.height);
    return MM_OK;
}

static mm_status read_mask(task_reader *t, const json_t *region, region_kind kind, mm_rle *rle, unsigned *repairs,
                           mm_error *err)
{
    const json_t *value = json_object_get(region, "value");
    mm_status status = check_frame(t, region, err);
    *rle = (mm_rle){0};
    if (status == MM_OK)
        status = kind == REGION_BRUSH ? read_brush(t, value, rle, err) : read_polygon(t, value, rle, repairs, err);
    if (status == MM_OK && mm_rle_area(rle) == 0) {
        mm_rle_free(rle);
        status = mm_fail(err, MM_ERR_FORMAT, "its mask has no pixel inside the image");
    }
    return status;
}

/* The ids of regions are few: those of one image. */
static bool seen_before(const json_t *result, size_t i, const char *id)
{
    for (size_t k = 0; *id && k < i; k++) {
        const json_t *other = json_array_get(result, k);
        const region_kind kind = kind_of(text_of(other, "type"));
        if ((kind == REGION_BRUSH || kind == REGION_POLYGON) && strcmp(text_of(other, "id"), id) == 0)
            return true;
    }
    return false;
}

static mm_status read_region(task_reader *t, const json_t *result, size_t i, mm_error *err)
{
    const json_t *region = json_array_get(result, i);
    const char *type = text_of(region, "type"), *id = text_of(region, "id");
    const region_kind kind = kind_of(type);
    char repaired[256];
    unsigned repairs = 0;
    mm_error why = {0};
    mm_rle rle;
    if (kind == REGION_OTHER)
        return MM_OK;
    if (kind == REGION_MASKLESS) {
        mm_answer_refuse(t->reader,
                         "image %s, region %.40s: a %.40s is no mask; draw it with the brush or as a polygon",
                         t->photograph, id, type);
        return MM_OK;
    }
    if (seen_before(result, i, id)) {
        mm_answer_refuse(t->reader, "image %s, region %.40s: another region has this id", t->photograph, id);
        return MM_OK;
    }
    mm_answer_mask mask = {.exact = kind == REGION_BRUSH, .annotator = t->answer->annotator};
    mask.named = mm_shown_from_text(id, &mask.name);
    mask.is_hint = is_hint(json_object_get(region, "value"), kind);
    mm_status status = read_mask(t, region, kind, &rle, &repairs, &why);
    if (status == MM_ERR_NOMEM)
        return mm_fail_memory(err, "an answer");
    if (status != MM_OK) {
        mm_answer_refuse(t->reader, "image %s, region %.40s: %s", t->photograph, id, why.text);
        return mm_answer_add(t->answer, &mask, NULL, err);
    }
    if (repairs) {
        mm_repair_text(repairs, repaired, sizeof repaired);
        mm_answer_repair(t->reader, "image %s, region %.40s: %s", t->photograph, id, repaired);
    }
    status = mm_answer_add(t->answer, &mask, &rle, err);
    mm_rle_free(&rle);
    return status;
}

/* --- tasks --- */

static mm_status read_annotation(task_reader *t, const json_t *annotation, mm_error *err)
{
    const json_t *result = json_object_get(annotation, "result");
    const double seconds = json_number_value(json_object_get(annotation, "lead_time"));
    t->answer->seconds = seconds > 0 && seconds <= 1e9 ? seconds : 0;
    mm_status status = find_annotator(t, annotation, err);
    for (size_t i = 0; status == MM_OK && i < json_array_size(result); i++)
        status = read_region(t, result, i, err);
    return status;
}

static mm_status read_task(task_reader *t, const json_t *task, mm_error *err)
{
    const json_t *data = json_object_get(task, "data");
    uint64_t index;
    size_t finished;
    mm_error why = {0};
    t->task++;
    const json_t *annotation = newest(json_object_get(task, "annotations"), &finished);
    if (!json_is_object(data)) {
        mm_answer_refuse(t->reader, "task number %" PRIu64 " in the list has no \"data\"; export as JSON, not JSON-MIN",
                         t->task);
        return MM_OK;
    }
    if (!annotation)
        return MM_OK; /* nobody has answered yet */
    if (!find_image(t, data, &index)) {
        mm_answer_refuse(t->reader, "image %.120s, task number %" PRIu64 " in the list: is not in the queue",
                         text_of(data, "image"), t->task);
        return MM_OK;
    }
    t->image = mm_queue_at(t->reader->queue, index);
    mm_photograph_name(t->image.image_id, t->photograph);
    mm_status status = mm_answer_begin(t->reader, index, &t->answer, &why);
    if (status == MM_ERR_USAGE) {
        mm_answer_refuse(t->reader, "image %s: %s", t->photograph, why.text);
        return MM_OK;
    }
    if (status != MM_OK)
        return mm_fail(err, status, "%s", why.text);
    if (finished > 1)
        mm_answer_repair(t->reader, "image %s: has %zu annotations; the newest counts", t->photograph, finished);
    return read_annotation(t, annotation, err);
}

mm_status mm_answers_read_labelstudio(mm_answer_reader *reader, mm_error *err)
{
    task_reader t = {.reader = reader};
    mm_json_stream stream;
    bool more = true, first = true;
    mm_status status = mm_json_stream_open(reader->path, &stream, err);
    if (status != MM_OK)
        return status;
    status = mm_json_stream_enter(&stream, '[', err);
    while (status == MM_OK && (status = mm_json_stream_next(&stream, '[', first, &more, err)) == MM_OK && more) {
        json_t *task = NULL;
        first = false;
        status = mm_json_stream_value(&stream, &task, err);
        if (status == MM_OK)
            status = read_task(&t, task, err);
        json_decref(task);
    }
    if (status == MM_OK)
        status = mm_json_stream_end(&stream, err);
    mm_json_stream_close(&stream);
    return status;
}
