/* COCO's JSON: {"images": [...], "annotations": [...], "categories": [...]}. The file is gone through twice, because
 * the order of its parts is free: first images and categories, then annotations. Each image that is listed counts as
 * answered, also one without annotations: all of its masks were deleted. */
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "queue/answers.h"
#include "queue/id_set.h"
#include "base/json_stream.h"
#include "queue/queue.h"
#include "queue/segmentation.h"

#define NO_ANSWER SIZE_MAX

typedef struct listed_image {
    json_int_t id;
    size_t answer; /* in answers->items; NO_ANSWER: it was refused, and so are its annotations */
} listed_image;

typedef struct coco_file {
    mm_answer_reader *reader;
    listed_image *images; /* sorted by id before annotations are read */
    size_t count, room;
    json_int_t *hints; /* ids of categories named "hint" */
    size_t hint_count;
    bool has_categories, has_images, has_annotations;
    mm_id_set image_ids, annotation_ids;
    uint64_t annotation; /* number of the one at hand */
} coco_file;

typedef mm_status read_item(coco_file *coco, const json_t *item, mm_error *err);

/* --- images --- */

static const char *text_of(const json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));
    return text ? text : "";
}

static mm_status keep_image(coco_file *coco, json_int_t id, size_t answer, mm_error *err)
{
    if (coco->count == coco->room) {
        const size_t room = coco->room ? 2 * coco->room : 256;
        listed_image *more = reallocarray(coco->images, room, sizeof *more);
        if (!more)
            return mm_fail_memory(err, "answers");
        coco->images = more;
        coco->room = room;
    }
    coco->images[coco->count++] = (listed_image){id, answer};
    return MM_OK;
}

/* Why an image is refused, or NULL. */
static const char *find_image(coco_file *coco, const json_t *item, uint64_t *index, char text[160])
{
    const json_t *width = json_object_get(item, "width"), *height = json_object_get(item, "height");
    if (!mm_answer_find_image(coco->reader, text_of(item, "file_name"), index))
        return "is not in the queue";
    const mm_queue_image image = mm_queue_at(coco->reader->queue, *index);
    if ((width || height) && (!json_is_integer(width) || !json_is_integer(height) ||
                              json_integer_value(width) != (json_int_t)image.width ||
                              json_integer_value(height) != (json_int_t)image.height)) {
        (void)snprintf(text, 160, "has another size: %" JSON_INTEGER_FORMAT " x %" JSON_INTEGER_FORMAT ", not %" PRIu32
                       " x %" PRIu32 " pixels", json_integer_value(width), json_integer_value(height), image.width,
                       image.height);
        return text;
    }
    return NULL;
}

static mm_status read_image(coco_file *coco, const json_t *item, mm_error *err)
{
    const json_t *id = json_object_get(item, "id");
    const char *name = text_of(item, "file_name");
    char text[160];
    uint64_t index;
    bool fresh = true;
    mm_answer *answer;
    mm_error why = {0};
    if (!json_is_integer(id) || !*name) {
        mm_answer_refuse(coco->reader, "image number %zu in its list has no id or no file_name", coco->count);
        return MM_OK;
    }
    mm_status status = mm_id_set_add(&coco->image_ids, (uint64_t)json_integer_value(id), &fresh, err);
    if (status != MM_OK)
        return status;
    if (!fresh) {
        mm_answer_refuse(coco->reader, "image %.120s: its id %" JSON_INTEGER_FORMAT " is that of another", name,
                         json_integer_value(id));
        return MM_OK;
    }
    const char *wrong = find_image(coco, item, &index, text);
    if (!wrong && mm_answer_begin(coco->reader, index, &answer, &why) == MM_OK)
        return keep_image(coco, json_integer_value(id), coco->reader->answers->count - 1, err);
    if (!wrong && why.status != MM_ERR_USAGE)
        return mm_fail(err, why.status, "%s", why.text);
    mm_answer_refuse(coco->reader, "image %.120s: %s", name, wrong ? wrong : why.text);
    return keep_image(coco, json_integer_value(id), NO_ANSWER, err);
}

static mm_status read_category(coco_file *coco, const json_t *item, mm_error *err)
{
    const json_t *id = json_object_get(item, "id");
    if (!json_is_integer(id) || strcmp(text_of(item, "name"), "hint") != 0)
        return MM_OK; /* all others are objects: masks have no classes */
    json_int_t *more = reallocarray(coco->hints, coco->hint_count + 1, sizeof *more);
    if (!more)
        return mm_fail_memory(err, "answers");
    coco->hints = more;
    more[coco->hint_count++] = json_integer_value(id);
    return MM_OK;
}

/* --- annotations --- */

static int by_id(const void *a, const void *b)
{
    const listed_image *x = a, *y = b;
    return x->id < y->id ? -1 : x->id > y->id;
}

static bool is_hint(const coco_file *coco, const json_t *item)
{
    const json_t *category = json_object_get(item, "category_id");
    if (!json_is_integer(category))
        return false;
    for (size_t i = 0; i < coco->hint_count; i++)
        if (coco->hints[i] == json_integer_value(category))
            return true;
    return false;
}

/* A number as an attribute has it: tools make texts of numbers. 0 if there is none that is sensible. */
static double attribute_number(const json_t *attributes, const char *key, double most)
{
    const json_t *value = json_object_get(attributes, key);
    double number = json_is_number(value) ? json_number_value(value) : 0;
    if (json_is_string(value))
        number = strtod(json_string_value(value), NULL);
    return number > 0 && number <= most ? number : 0;
}

static mm_status read_attributes(coco_file *coco, const json_t *item, mm_answer_mask *mask, mm_error *err)
{
    const json_t *attributes = json_object_get(item, "attributes"), *id = json_object_get(item, "id");
    const char *annotator = text_of(attributes, "annotator");
    mask->named = mm_shown_from_text(text_of(attributes, "maskmill"), &mask->name) ||
                  (json_is_integer(id) && json_integer_value(id) > 0 &&
                   mm_shown_from_number((uint64_t)json_integer_value(id), &mask->name));
    mask->seconds = (float)attribute_number(attributes, "seconds", 1e9);
    mask->clicks = (uint16_t)attribute_number(attributes, "clicks", 65535);
    return *annotator ? mm_answer_annotator(coco->reader->answers, annotator, &mask->annotator, err) : MM_OK;
}

/* True if the annotation is to be taken; else it was told why not. */
static bool belongs(coco_file *coco, const json_t *item, char name[64], mm_answer **answer, mm_status *status,
                    mm_error *err)
{
    const json_t *id = json_object_get(item, "id"), *image = json_object_get(item, "image_id");
    bool fresh = true;
    if (json_is_integer(id)) {
        (void)snprintf(name, 64, "annotation %" JSON_INTEGER_FORMAT, json_integer_value(id));
        *status = mm_id_set_add(&coco->annotation_ids, (uint64_t)json_integer_value(id), &fresh, err);
    } else {
        (void)snprintf(name, 64, "annotation number %" PRIu64 " in its list", coco->annotation);
    }
    if (*status != MM_OK)
        return false;
    if (!json_is_integer(image)) {
        mm_answer_refuse(coco->reader, "%s: it has no image_id", name);
        return false;
    }
    const listed_image key = {.id = json_integer_value(image)};
    const listed_image *found =
        coco->count ? bsearch(&key, coco->images, coco->count, sizeof key, by_id) : NULL;
    if (!found) {
        mm_answer_refuse(coco->reader, "%s: its image_id %" JSON_INTEGER_FORMAT " is not among the images", name,
                         key.id);
        return false;
    }
    if (found->answer == NO_ANSWER)
        return false; /* its image was refused, and that was told */
    *answer = &coco->reader->answers->items[found->answer];
    if (!fresh) {
        char photograph[MM_SHOWN_TEXT];
        mm_photograph_name(mm_queue_at(coco->reader->queue, (*answer)->index).image_id, photograph);
        mm_answer_refuse(coco->reader, "image %s, %s: another annotation has this id", photograph, name);
        return false;
    }
    return true;
}

static mm_status read_annotation(coco_file *coco, const json_t *item, mm_error *err)
{
    char name[64], photograph[MM_SHOWN_TEXT], repaired[256];
    mm_answer *answer = NULL;
    mm_status status = MM_OK;
    mm_error why = {0};
    mm_answer_mask mask = {0};
    mm_rle rle;
    unsigned repairs;
    coco->annotation++;
    if (!belongs(coco, item, name, &answer, &status, err))
        return status;
    const mm_queue_image image = mm_queue_at(coco->reader->queue, answer->index);
    mm_photograph_name(image.image_id, photograph);
    mask.is_hint = is_hint(coco, item);
    mask.annotator = answer->annotator;
    status = read_attributes(coco, item, &mask, err);
    if (status != MM_OK)
        return status;
    status = mm_segmentation_read(json_object_get(item, "segmentation"), image.height, image.width, &rle, &mask.exact,
                                  &repairs, &why);
    if (status == MM_ERR_NOMEM)
        return mm_fail_memory(err, "an answer");
    if (status != MM_OK) {
        mm_answer_refuse(coco->reader, "image %s, %s: %s", photograph, name, why.text);
        return mm_answer_add(answer, &mask, NULL, err);
    }
    if (repairs) {
        mm_repair_text(repairs, repaired, sizeof repaired);
        mm_answer_repair(coco->reader, "image %s, %s: %s", photograph, name, repaired);
    }
    status = mm_answer_add(answer, &mask, &rle, err);
    mm_rle_free(&rle);
    return status;
}

/* --- the file --- */

static mm_status read_list(coco_file *coco, mm_json_stream *stream, read_item *read, mm_error *err)
{
    bool more = true, first = true;
    mm_status status = mm_json_stream_enter(stream, '[', err);
    while (status == MM_OK && (status = mm_json_stream_next(stream, '[', first, &more, err)) == MM_OK && more) {
        json_t *item = NULL;
        first = false;
        status = mm_json_stream_value(stream, &item, err);
        if (status == MM_OK)
            status = read(coco, item, err);
        json_decref(item);
    }
    return status;
}

static mm_status read_part(coco_file *coco, mm_json_stream *stream, bool second, mm_error *err)
{
    if (strcmp(stream->key, "images") == 0) {
        coco->has_images = true;
        return second ? mm_json_stream_skip(stream, err) : read_list(coco, stream, read_image, err);
    }
    if (strcmp(stream->key, "categories") == 0 && !second)
        return read_list(coco, stream, read_category, err);
    if (strcmp(stream->key, "annotations") == 0) {
        coco->has_annotations = true;
        return second ? read_list(coco, stream, read_annotation, err) : mm_json_stream_skip(stream, err);
    }
    return mm_json_stream_skip(stream, err);
}

static mm_status go_through(coco_file *coco, bool second, mm_error *err)
{
    mm_json_stream stream;
    bool more = true, first = true;
    mm_status status = mm_json_stream_open(coco->reader->path, &stream, err);
    if (status != MM_OK)
        return status;
    status = mm_json_stream_enter(&stream, '{', err);
    while (status == MM_OK && (status = mm_json_stream_next(&stream, '{', first, &more, err)) == MM_OK && more) {
        first = false;
        status = read_part(coco, &stream, second, err);
    }
    if (status == MM_OK)
        status = mm_json_stream_end(&stream, err);
    mm_json_stream_close(&stream);
    return status;
}

mm_status mm_answers_read_coco(mm_answer_reader *reader, mm_error *err)
{
    coco_file coco = {.reader = reader};
    mm_status status = go_through(&coco, false, err);
    if (status == MM_OK && (!coco.has_images || !coco.has_annotations))
        status = mm_fail(err, MM_ERR_FORMAT,
                         "%s has no \"images\" or no \"annotations\": it is not COCO's JSON; from Label "
                         "Studio, export as JSON",
                         reader->path);
    if (status == MM_OK && coco.count > 0)
        qsort(coco.images, coco.count, sizeof *coco.images, by_id);
    if (status == MM_OK)
        status = go_through(&coco, true, err);
    mm_id_set_free(&coco.image_ids);
    mm_id_set_free(&coco.annotation_ids);
    free(coco.images);
    free(coco.hints);
    return status;
}
