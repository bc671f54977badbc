/* Reading and writing a detector's file. */
#include "detect/head_file.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tensor/memory.h"

mm_detect_params mm_detect_general_defaults(void)
{
    return (mm_detect_params){
        .score_thresh = 0.05f,
        .nms_thresh = 0.4,
        .nms_sigma = 0.2,
        .max_boxes = 100,
        .confident_score_thresh = 0.5f,
        .confident_iou_thresh = 0.8f,
        .confident_stability_thresh = 0.9f,
        .stability_score_offset = 1.0f,
        .min_mask_region_area = 100,
        .mask_nms_thresh = 0.7,
    };
}

/* The thresholds of the file, as JSON names them. */
typedef struct threshold {
    const char *name;
    size_t at;
    enum { AS_FLOAT, AS_DOUBLE, AS_U32 } type;
} threshold;

static const threshold thresholds[] = {
    {"score", offsetof(mm_detect_params, score_thresh), AS_FLOAT},
    {"nms", offsetof(mm_detect_params, nms_thresh), AS_DOUBLE},
    {"nms_sigma", offsetof(mm_detect_params, nms_sigma), AS_DOUBLE},
    {"max_boxes", offsetof(mm_detect_params, max_boxes), AS_U32},
    {"confident_score", offsetof(mm_detect_params, confident_score_thresh), AS_FLOAT},
    {"confident_iou", offsetof(mm_detect_params, confident_iou_thresh), AS_FLOAT},
    {"confident_stability", offsetof(mm_detect_params, confident_stability_thresh), AS_FLOAT},
    {"stability_offset", offsetof(mm_detect_params, stability_score_offset), AS_FLOAT},
    {"min_mask_region_area", offsetof(mm_detect_params, min_mask_region_area), AS_U32},
    {"mask_nms", offsetof(mm_detect_params, mask_nms_thresh), AS_DOUBLE},
};

enum { THRESHOLDS = sizeof thresholds / sizeof thresholds[0] };

static double get_threshold(const threshold *t, const mm_detect_params *params)
{
    const char *at = (const char *)params + t->at;
    float number;
    switch (t->type) {
    case AS_FLOAT:
        memcpy(&number, at, sizeof number);
        return (double)number;
    case AS_DOUBLE:
        return *(const double *)(const void *)at;
    default:
        return (double)*(const uint32_t *)(const void *)at;
    }
}

static bool set_threshold(const threshold *t, double value, mm_detect_params *params)
{
    char *at = (char *)params + t->at;
    if (t->type == AS_FLOAT)
        *(float *)(void *)at = (float)value;
    else if (t->type == AS_DOUBLE)
        *(double *)(void *)at = value;
    else if (value >= 0 && value <= UINT32_MAX && value == floor(value))
        *(uint32_t *)(void *)at = (uint32_t)value;
    else
        return false;
    return true;
}

static mm_status read_thresholds(const json_t *json, mm_detect_params *params, mm_error *err)
{
    *params = mm_detect_general_defaults();
    if (json_object_get(json, "nms") && !json_object_get(json, "nms_sigma"))
        params->nms_sigma = 0; /* written when there was no other */
    for (int i = 0; i < THRESHOLDS; i++) {
        const json_t *value = json_object_get(json, thresholds[i].name);
        if (value && (!json_is_number(value) || !set_threshold(&thresholds[i], json_number_value(value), params)))
            return mm_fail(err, MM_ERR_FORMAT, "its threshold %s is no number that fits", thresholds[i].name);
    }
    return mm_detect_check(params, err);
}

/* The shortest decimal text that reads back as the same float, so that 0.7f is written as 0.7. */
static json_t *shortest(double value, bool is_float)
{
    char text[40];
    for (int digits = 1; digits <= 17; digits++) {
        (void)snprintf(text, sizeof text, "%.*g", digits, value); /* fits */
        const double back = strtod(text, NULL);
        if (is_float ? (float)back == (float)value : back == value)
            return json_real(back);
    }
    return json_real(value);
}

static json_t *thresholds_json(const mm_detect_params *params)
{
    json_t *json = json_object();
    for (int i = 0; json && i < THRESHOLDS; i++) {
        const double value = get_threshold(&thresholds[i], params);
        json_t *number = thresholds[i].type == AS_U32 ? json_integer((json_int_t)value)
                                                      : shortest(value, thresholds[i].type == AS_FLOAT);
        if (json_object_set_new(json, thresholds[i].name, number) != 0) {
            json_decref(json);
            return NULL;
        }
    }
    return json;
}

static bool read_u32(const json_t *json, const char *key, uint32_t *value)
{
    const json_t *number = json_object_get(json, key);
    if (!json_is_integer(number) || json_integer_value(number) < 0 || json_integer_value(number) > UINT32_MAX)
        return false;
    *value = (uint32_t)json_integer_value(number);
    return true;
}

static mm_status read_metadata(const json_t *json, mm_head_file *file, mm_error *err)
{
    mm_detector_shape shape;
    uint32_t version;
    const char *encoder = json_string_value(json_object_get(json, "encoder_sha256"));
    if (!read_u32(json, "version", &version))
        return mm_fail(err, MM_ERR_FORMAT, "its metadata maskmill.detector has no version");
    if (version != MM_DETECTOR_VERSION)
        return mm_fail(err, MM_ERR_UNSUPPORTED, "it is a detector of version %u, and this program reads version %d",
                       version, MM_DETECTOR_VERSION);
    if (!encoder || strlen(encoder) != 64 || strspn(encoder, "0123456789abcdef") != 64 ||
        !read_u32(json, "embed_dim", &shape.embed_dim) || !read_u32(json, "embedding_side", &shape.embedding_side) ||
        !read_u32(json, "width", &shape.width) || !read_u32(json, "depth", &shape.depth))
        return mm_fail(err, MM_ERR_FORMAT, "its metadata maskmill.detector lacks encoder_sha256, embed_dim, "
                                           "embedding_side, width or depth, or they are no such values");
    memcpy(file->encoder_sha256, encoder, sizeof file->encoder_sha256);
    const mm_status status = mm_head_plan(&shape, &file->head, err);
    return status == MM_OK ? read_thresholds(json_object_get(json, "thresholds"), &file->defaults, err) : status;
}

mm_status mm_head_collect(const mm_head *head, const char *prefix, const mm_checkpoint *checkpoint, float *values,
                          mm_error *err)
{
    for (size_t i = 0; i < head->tensor_count; i++) {
        const mm_head_tensor *wanted = &head->tensors[i];
        char name[sizeof(mm_head_name)];
        (void)snprintf(name, sizeof name, "%s%s", prefix, wanted->name); /* prefixes are short */
        const mm_tensor *tensor = mm_checkpoint_find(checkpoint, name);
        if (tensor && (tensor->dims != wanted->dims || memcmp(tensor->shape, wanted->shape,
                                                              wanted->dims * sizeof wanted->shape[0]) != 0))
            return mm_fail(err, MM_ERR_FORMAT, "tensor %s has another shape than the metadata say", name);
        const mm_status status = mm_checkpoint_read_f32(checkpoint, name, values + wanted->first, wanted->count, err);
        if (status != MM_OK)
            return status;
        for (size_t k = 0; k < wanted->count; k++)
            if (!isfinite(values[wanted->first + k]))
                return mm_fail(err, MM_ERR_FORMAT, "tensor %s has values that are no numbers", name);
    }
    return MM_OK;
}

static mm_status read_checkpoint(const mm_checkpoint *checkpoint, mm_head_file *file, mm_error *err)
{
    const char *text = mm_checkpoint_metadata(checkpoint, "maskmill.detector");
    if (!text)
        return mm_fail(err, MM_ERR_FORMAT, "it is no detector: it has no metadata maskmill.detector");
    json_error_t where;
    json_t *json = json_loads(text, JSON_REJECT_DUPLICATES, &where);
    if (!json)
        return mm_fail(err, MM_ERR_FORMAT, "its metadata maskmill.detector is no JSON: %s", where.text);
    mm_status status = read_metadata(json, file, err);
    json_decref(json);
    if (status == MM_OK && mm_checkpoint_count(checkpoint) != file->head.tensor_count)
        status = mm_fail(err, MM_ERR_FORMAT, "it has %zu tensors, and a detector of this shape has %zu",
                         mm_checkpoint_count(checkpoint), file->head.tensor_count);
    if (status != MM_OK)
        return status;
    file->metadata = strdup(text);
    file->parameters = mm_floats(file->head.parameters);
    if (!file->metadata || !file->parameters)
        return mm_fail_memory(err, "a detector");
    return mm_head_collect(&file->head, "", checkpoint, file->parameters, err);
}

mm_status mm_head_file_read(const char *path, mm_head_file *file, mm_error *err)
{
    *file = (mm_head_file){0};
    mm_checkpoint *checkpoint = NULL;
    mm_status status = mm_checkpoint_open(path, &checkpoint, err);
    if (status != MM_OK)
        return status;
    status = read_checkpoint(checkpoint, file, err);
    mm_checkpoint_close(checkpoint);
    if (status != MM_OK) {
        mm_head_file_free(file);
        if (err)
            status = mm_error_prefix(err, "the detector %s", path);
    }
    return status;
}

void mm_head_file_free(mm_head_file *file)
{
    free(file->parameters);
    free(file->metadata);
    *file = (mm_head_file){0};
}

void mm_head_list(const mm_head *head, const char *prefix, const float *values, mm_head_name *names, mm_tensor *tensors)
{
    for (size_t i = 0; i < head->tensor_count; i++) {
        const mm_head_tensor *from = &head->tensors[i];
        (void)snprintf(names[i], sizeof names[i], "%s%s", prefix, from->name); /* prefixes are short */
        tensors[i] = (mm_tensor){.name = names[i], .dtype = MM_F32, .dims = from->dims, .elements = from->count,
                                 .data = values + from->first};
        memcpy(tensors[i].shape, from->shape, sizeof from->shape);
    }
}

mm_status mm_head_file_write(const char *path, const mm_head *head, const float *parameters, const char *encoder_sha256,
                             const mm_detect_params *defaults, json_t *training, mm_error *err)
{
    mm_head_name names[MM_HEAD_MAX_TENSORS];
    mm_tensor tensors[MM_HEAD_MAX_TENSORS];
    json_t *json = json_pack("{s:i,s:s,s:I,s:I,s:I,s:I,s:o}", "version", MM_DETECTOR_VERSION, "encoder_sha256",
                             encoder_sha256, "embed_dim", (json_int_t)head->shape.embed_dim, "embedding_side",
                             (json_int_t)head->shape.embedding_side, "width", (json_int_t)head->shape.width, "depth",
                             (json_int_t)head->shape.depth, "thresholds", thresholds_json(defaults));
    if (training && json && json_object_set(json, "training", training) != 0) {
        json_decref(json);
        json = NULL;
    }
    char *text = json ? json_dumps(json, JSON_COMPACT | JSON_REAL_PRECISION(15)) : NULL;
    json_decref(json);
    if (!text)
        return mm_fail_memory(err, "a detector's metadata");
    mm_head_list(head, "", parameters, names, tensors);
    const mm_status status = mm_checkpoint_write(path, tensors, head->tensor_count,
                                                 &(const char *const[2]){"maskmill.detector", text}, 1, err);
    free(text);
    return status;
}
