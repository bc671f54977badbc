/* Boxes from a COCO file. Everything in it is checked before it is used; segmentations are not looked at. */
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/file.h"
#include "train/samples.h"

#define MAX_JSON (UINT64_C(4) << 30)
enum { MAX_SIDE = 1 << 20 };

/* Images by id, and where their annotations begin in `order`. */
typedef struct coco_image {
    json_int_t id;
    size_t index; /* in the file's list */
} coco_image;

typedef struct coco_box {
    size_t image; /* position in the file's list */
    size_t number;
    double box[4];
} coco_box;

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

static mm_status read_image(const json_t *image, size_t index, coco_image *to, mm_error *err)
{
    const char *name = json_string_value(json_object_get(image, "file_name"));
    if (!json_is_integer(json_object_get(image, "id")))
        return mm_fail(err, MM_ERR_FORMAT, "images[%zu] has no whole number as id", index);
    if (!name || !*name)
        return mm_fail(err, MM_ERR_FORMAT, "images[%zu] has no file_name", index);
    if (!is_side(json_object_get(image, "width")) || !is_side(json_object_get(image, "height")))
        return mm_fail(err, MM_ERR_FORMAT, "images[%zu] (%.100s) has no width and height of 1 to %d pixels", index,
                       name, MAX_SIDE);
    *to = (coco_image){json_integer_value(json_object_get(image, "id")), index};
    return MM_OK;
}

static mm_status read_images(const json_t *list, coco_image *images, mm_error *err)
{
    const size_t count = json_array_size(list);
    for (size_t i = 0; i < count; i++) {
        const mm_status status = read_image(json_array_get(list, i), i, &images[i], err);
        if (status != MM_OK)
            return status;
    }
    qsort(images, count, sizeof *images, by_id);
    for (size_t i = 1; i < count; i++)
        if (images[i].id == images[i - 1].id)
            return mm_fail(err, MM_ERR_FORMAT, "images[%zu] has the id %lld, which another image has, too",
                           images[i].index > images[i - 1].index ? images[i].index : images[i - 1].index,
                           (long long)images[i].id);
    return MM_OK;
}

static mm_status read_box(const json_t *annotation, size_t number, const coco_image *images, size_t image_count,
                          coco_box *to, mm_error *err)
{
    const json_t *bbox = json_object_get(annotation, "bbox"), *id = json_object_get(annotation, "image_id");
    if (!json_is_integer(id))
        return mm_fail(err, MM_ERR_FORMAT, "annotations[%zu] has no whole number as image_id", number);
    const coco_image wanted = {.id = json_integer_value(id)};
    const coco_image *image = image_count ? bsearch(&wanted, images, image_count, sizeof wanted, by_id) : NULL;
    if (!image)
        return mm_fail(err, MM_ERR_FORMAT, "annotations[%zu] is of the image %lld, which is not in images", number,
                       (long long)wanted.id);
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
    *to = (coco_box){image->index, number, {value[0], value[1], value[0] + value[2], value[1] + value[3]}};
    return MM_OK;
}

/* Crowds are regions of many objects: no boxes of any. */
static mm_status read_boxes(const json_t *list, const coco_image *images, size_t image_count, coco_box *boxes,
                            size_t *count, mm_error *err)
{
    *count = 0;
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *annotation = json_array_get(list, i), *crowd = json_object_get(annotation, "iscrowd");
        const mm_status status = read_box(annotation, i, images, image_count, &boxes[*count], err);
        if (status != MM_OK)
            return status;
        *count += !(json_is_integer(crowd) && json_integer_value(crowd) == 1);
    }
    qsort(boxes, *count, sizeof *boxes, by_image);
    return MM_OK;
}

static mm_status add_image(mm_samples *samples, const json_t *image, const char *folder, bool validation, mm_error *err)
{
    const mm_sample sample = {.source = MM_SAMPLE_FILE,
                              .width = (uint32_t)json_integer_value(json_object_get(image, "width")),
                              .height = (uint32_t)json_integer_value(json_object_get(image, "height")),
                              .validation = validation};
    const char *name = json_string_value(json_object_get(image, "file_name"));
    char *path = NULL;
    if (asprintf(&path, "%s/%s", name[0] == '/' ? "" : folder, name) < 0)
        return mm_fail_memory(err, "a path");
    const mm_status status = mm_samples_add(samples, &sample, name[0] == '/' ? name : path, err);
    free(path);
    return status;
}

static mm_status add_all(mm_samples *samples, const json_t *root, const char *folder, bool validation, mm_error *err)
{
    const json_t *images = json_object_get(root, "images"), *annotations = json_object_get(root, "annotations");
    if (!json_is_array(images) || !json_is_array(annotations))
        return mm_fail(err, MM_ERR_FORMAT, "it has no lists `images` and `annotations`");
    const size_t count = json_array_size(images);
    coco_image *table = calloc(count + 1, sizeof *table);
    coco_box *boxes = calloc(json_array_size(annotations) + 1, sizeof *boxes);
    size_t box_count = 0, next = 0;
    mm_status status = table && boxes ? read_images(images, table, err) : mm_fail_memory(err, "a COCO file");
    if (status == MM_OK)
        status = read_boxes(annotations, table, count, boxes, &box_count, err);
    for (size_t i = 0; status == MM_OK && i < count; i++) {
        status = add_image(samples, json_array_get(images, i), folder, validation, err);
        for (; status == MM_OK && next < box_count && boxes[next].image == i; next++)
            status = mm_samples_add_box(samples, boxes[next].box, err);
    }
    free(table);
    free(boxes);
    return status;
}

mm_status mm_samples_add_coco(mm_samples *samples, const char *path, const char *images, bool validation, mm_error *err)
{
    uint8_t *bytes = NULL;
    size_t size = 0;
    char *folder = NULL;
    mm_status status = mm_file_read(path, MAX_JSON, &bytes, &size, err);
    if (status != MM_OK)
        return status;
    json_error_t where;
    json_t *root = json_loadb((const char *)bytes, size, JSON_REJECT_DUPLICATES, &where);
    free(bytes);
    if (!root)
        return mm_fail(err, MM_ERR_FORMAT, "%s is no JSON, or was cut: line %d, column %d: %s", path, where.line,
                       where.column, where.text);
    status = find_folder(path, images, &folder, err);
    if (status == MM_OK) {
        status = add_all(samples, root, folder, validation, err);
        if (status != MM_OK && err)
            (void)mm_error_prefix(err, "%s", path); /* returns the status it has */
    }
    free(folder);
    json_decref(root);
    return status;
}
