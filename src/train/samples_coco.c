/* Boxes from a COCO file of any size: it is gone through item by item, and what is kept of one are a few numbers.
 * Everything is checked before it is used; segmentations are not looked at. */
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/json_stream.h"
#include "train/samples.h"

enum { MAX_SIDE = 1 << 20 };

typedef struct coco_image {
    json_int_t id;
    size_t number; /* in the file's list */
} coco_image;

typedef struct coco_box {
    json_int_t id; /* its image's */
    size_t image;  /* the image's number, when all images are known: lists may come in any order */
    size_t number; /* in the file's list */
    double box[4];
} coco_box;

typedef struct coco_file {
    const char *path, *folder; /* of the file, and of its photographs */
    bool validation;
    mm_samples *samples;
    coco_image *images;
    size_t image_count, image_room;
    coco_box *boxes;
    size_t box_count, box_room;
    bool has_images, has_annotations;
} coco_file;

/* What is made of an item of a list. */
typedef mm_status read_item(coco_file *coco, size_t number, const json_t *item, mm_error *err);

static int by_id(const void *a, const void *b)
{
    const coco_image *x = a, *y = b;
    return (x->id > y->id) - (x->id < y->id);
}

static int by_image(const void *a, const void *b)
{
    const coco_box *x = a, *y = b;
    if (x->image != y->image)
        return x->image < y->image ? -1 : 1;
    return (x->number > y->number) - (x->number < y->number);
}

/* A folder for the photographs: the one that was named, else "images" beside the JSON, else the JSON's own. */
static mm_status find_folder(const char *path, const char *images, char **folder, mm_error *err)
{
    struct stat info;
    const char *slash = strrchr(path, '/');
    const int length = slash ? (int)(slash - path) : 1;
    const char *own = slash ? (slash == path ? "" : path) : ".";
    *folder = NULL;
    if (images)
        *folder = strdup(images);
    else if (asprintf(folder, "%.*s/images", length, own) < 0)
        *folder = NULL;
    if (*folder && !images && (stat(*folder, &info) != 0 || !S_ISDIR(info.st_mode))) {
        free(*folder);
        if (asprintf(folder, "%.*s", length, own) < 0)
            *folder = NULL;
    }
    return *folder ? MM_OK : mm_fail_memory(err, "a path");
}

static bool is_side(const json_t *value)
{
    return json_is_integer(value) && json_integer_value(value) >= 1 && json_integer_value(value) <= MAX_SIDE;
}

static mm_status add_sample(coco_file *coco, const json_t *image, const char *name, mm_error *err)
{
    const mm_sample sample = {.source = MM_SAMPLE_FILE,
                              .width = (uint32_t)json_integer_value(json_object_get(image, "width")),
                              .height = (uint32_t)json_integer_value(json_object_get(image, "height")),
                              .validation = coco->validation};
    char *path = NULL;
    if (name[0] == '/')
        return mm_samples_add(coco->samples, &sample, name, err);
    if (asprintf(&path, "%s/%s", coco->folder, name) < 0)
        return mm_fail_memory(err, "a path");
    const mm_status status = mm_samples_add(coco->samples, &sample, path, err);
    free(path);
    return status;
}

static mm_status read_image(coco_file *coco, size_t number, const json_t *image, mm_error *err)
{
    const char *name = json_string_value(json_object_get(image, "file_name"));
    const json_t *id = json_object_get(image, "id");
    if (!json_is_integer(id))
        return mm_fail(err, MM_ERR_FORMAT, "images[%zu] has no whole number as id", number);
    if (!name || !*name)
        return mm_fail(err, MM_ERR_FORMAT, "images[%zu] has no file_name", number);
    if (!is_side(json_object_get(image, "width")) || !is_side(json_object_get(image, "height")))
        return mm_fail(err, MM_ERR_FORMAT, "images[%zu] (%.100s) has no width and height of 1 to %d pixels", number,
                       name, MAX_SIDE);
    void *images = coco->images;
    const bool good = mm_samples_room(&images, &coco->image_room, number, 1, sizeof *coco->images);
    coco->images = images;
    if (!good)
        return mm_fail_memory(err, "a COCO file");
    coco->images[coco->image_count++] = (coco_image){json_integer_value(id), number};
    return add_sample(coco, image, name, err);
}

/* Crowds are regions of many objects: no boxes of any. */
static mm_status read_annotation(coco_file *coco, size_t number, const json_t *annotation, mm_error *err)
{
    const json_t *bbox = json_object_get(annotation, "bbox"), *id = json_object_get(annotation, "image_id");
    const json_t *crowd = json_object_get(annotation, "iscrowd");
    if (!json_is_integer(id))
        return mm_fail(err, MM_ERR_FORMAT, "annotations[%zu] has no whole number as image_id", number);
    if (!json_is_array(bbox) || json_array_size(bbox) != 4)
        return mm_fail(err, MM_ERR_FORMAT, "annotations[%zu] has no bbox of four numbers", number);
    double value[4];
    for (size_t k = 0; k < 4; k++) {
        const json_t *entry = json_array_get(bbox, k);
        value[k] = json_number_value(entry);
        if (!json_is_number(entry) || !isfinite(value[k]) || fabs(value[k]) > 1e7 || (k >= 2 && value[k] < 0))
            return mm_fail(err, MM_ERR_FORMAT, "annotations[%zu]: bbox is not x, y, width and height in pixels",
                           number);
    }
    void *boxes = coco->boxes;
    const bool good = mm_samples_room(&boxes, &coco->box_room, coco->box_count, 1, sizeof *coco->boxes);
    coco->boxes = boxes;
    if (!good)
        return mm_fail_memory(err, "a COCO file");
    coco->boxes[coco->box_count] = (coco_box){.id = json_integer_value(id), .number = number,
                                              .box = {value[0], value[1], value[0] + value[2], value[1] + value[3]}};
    coco->box_count += !(json_is_integer(crowd) && json_integer_value(crowd) == 1);
    return MM_OK;
}

static mm_status read_list(coco_file *coco, mm_json_stream *stream, const char *name, read_item *read, mm_error *err)
{
    mm_status status = mm_json_stream_enter(stream, '[', err);
    for (size_t number = 0; status == MM_OK; number++) {
        bool more;
        json_t *item;
        status = mm_json_stream_next(stream, '[', number == 0, &more, err);
        if (status != MM_OK || !more)
            break;
        const int c = mm_json_stream_peek(stream);
        if (c != '{' && c != 0) /* 0: it was cut, as the stream says better */
            return mm_fail(err, MM_ERR_FORMAT, "%s: %s[%zu] is no object", coco->path, name, number);
        status = mm_json_stream_value(stream, &item, err);
        if (status != MM_OK)
            break;
        status = read(coco, number, item, err);
        if (status != MM_OK && err)
            (void)mm_error_prefix(err, "%s", coco->path); /* returns the status it has */
        json_decref(item);
    }
    return status;
}

static mm_status read_file(coco_file *coco, mm_json_stream *stream, mm_error *err)
{
    bool more = mm_json_stream_peek(stream) == '{';
    mm_status status = more ? mm_json_stream_enter(stream, '{', err) : MM_OK;
    for (bool first = true; status == MM_OK && more; first = false) {
        status = mm_json_stream_next(stream, '{', first, &more, err);
        if (status != MM_OK || !more)
            break;
        const bool images = strcmp(stream->key, "images") == 0, annotations = strcmp(stream->key, "annotations") == 0;
        if ((images && coco->has_images) || (annotations && coco->has_annotations))
            return mm_fail(err, MM_ERR_FORMAT, "%s has two lists `%s`", coco->path, stream->key);
        const int c = mm_json_stream_peek(stream);
        if ((images || annotations) && c != '[' && c != 0)
            break;
        coco->has_images |= images;
        coco->has_annotations |= annotations;
        status = images        ? read_list(coco, stream, "images", read_image, err)
                 : annotations ? read_list(coco, stream, "annotations", read_annotation, err)
                               : mm_json_stream_skip(stream, err);
    }
    if (status == MM_OK && !(coco->has_images && coco->has_annotations))
        return mm_fail(err, MM_ERR_FORMAT, "%s has no lists `images` and `annotations`", coco->path);
    return status == MM_OK ? mm_json_stream_end(stream, err) : status;
}

static mm_status sort_images(coco_file *coco, mm_error *err)
{
    if (coco->image_count)
        qsort(coco->images, coco->image_count, sizeof *coco->images, by_id);
    for (size_t i = 1; i < coco->image_count; i++) {
        const coco_image *a = &coco->images[i - 1], *b = &coco->images[i];
        if (a->id == b->id)
            return mm_fail(err, MM_ERR_FORMAT, "%s: images[%zu] has the id %lld, which another image has, too",
                           coco->path, a->number > b->number ? a->number : b->number, (long long)a->id);
    }
    return MM_OK;
}

/* Boxes in the order of their images. */
static mm_status sort_boxes(coco_file *coco, mm_error *err)
{
    for (size_t i = 0; i < coco->box_count; i++) {
        coco_box *box = &coco->boxes[i];
        const coco_image wanted = {.id = box->id};
        const coco_image *image =
            coco->image_count ? bsearch(&wanted, coco->images, coco->image_count, sizeof wanted, by_id) : NULL;
        if (!image)
            return mm_fail(err, MM_ERR_FORMAT, "%s: annotations[%zu] is of the image %lld, which is not in images",
                           coco->path, box->number, (long long)box->id);
        box->image = image->number;
    }
    if (coco->box_count)
        qsort(coco->boxes, coco->box_count, sizeof *coco->boxes, by_image);
    return MM_OK;
}

mm_status mm_samples_add_coco(mm_samples *samples, const char *path, const char *images, bool validation, mm_error *err)
{
    char *folder = NULL;
    mm_json_stream stream;
    mm_status status = mm_json_stream_open(path, &stream, err);
    if (status != MM_OK)
        return status;
    const size_t first = samples->count;
    coco_file coco = {.path = path, .validation = validation, .samples = samples};
    status = find_folder(path, images, &folder, err);
    coco.folder = folder;
    if (status == MM_OK)
        status = read_file(&coco, &stream, err);
    mm_json_stream_close(&stream);
    if (status == MM_OK)
        status = sort_images(&coco, err);
    if (status == MM_OK)
        status = sort_boxes(&coco, err);
    for (size_t i = 0; status == MM_OK && i < coco.box_count; i++)
        status = mm_samples_add_box(samples, first + coco.boxes[i].image, coco.boxes[i].box, err);
    free(coco.images);
    free(coco.boxes);
    free(folder);
    return status;
}
