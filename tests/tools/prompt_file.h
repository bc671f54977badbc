/* Prompts from a JSON file, for the comparison with the reference: a list of
 * {"points": [[x, y, label], ...], "box": [x0, y0, x1, y1], "mask_input": "logits.f32"}, each key optional; mask_input
 * names a file of little-endian f32 [L][L] in `folder`. Also reading such files and pictures. */
#ifndef MM_TESTS_PROMPT_FILE_H
#define MM_TESTS_PROMPT_FILE_H

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "maskmill/image.h"
#include "maskmill/model.h"

typedef struct prompt_list {
    mm_prompt *prompts;
    size_t count;
    void **owned; /* what the prompts point at: points, box and mask of each */
} prompt_list;

/* A file of f32; the caller frees it. NULL with err filled on failure. */
static inline float *read_floats(const char *folder, const char *name, size_t *count, mm_error *err)
{
    char path[4096];
    uint8_t *bytes = NULL;
    size_t size = 0;
    (void)snprintf(path, sizeof path, "%s/%s", folder, name);
    if (mm_file_read(path, 0, &bytes, &size, err) != MM_OK)
        return NULL;
    *count = size / sizeof(float);
    return (float *)(void *)bytes; /* malloc'ed, so aligned for float */
}

/* MM_OK, or why the JPEG at `path` could not be had. */
static inline mm_status read_picture(const char *path, mm_image *image, mm_error *err)
{
    uint8_t *bytes = NULL;
    size_t size = 0;
    mm_status status = mm_file_read(path, 0, &bytes, &size, err);
    if (status == MM_OK)
        status = mm_image_decode_jpeg(bytes, size, &(mm_jpeg_options){.max_pixels = 0}, image, err);
    free(bytes);
    return status;
}

static inline void prompt_list_free(prompt_list *list)
{
    for (size_t i = 0; list->owned && i < 3 * list->count; i++)
        free(list->owned[i]);
    free(list->owned);
    free(list->prompts);
    *list = (prompt_list){0};
}

static inline bool prompt_read_points(const json_t *points, mm_prompt *prompt, void **owned)
{
    const size_t count = json_array_size(points);
    mm_point *read = calloc(count ? count : 1, sizeof *read);
    *owned = read;
    if (!read)
        return false;
    for (size_t i = 0; i < count; i++) {
        const json_t *point = json_array_get(points, i);
        if (json_array_size(point) != 3)
            return false;
        read[i] = (mm_point){.x = json_number_value(json_array_get(point, 0)),
                             .y = json_number_value(json_array_get(point, 1)),
                             .label = (int32_t)json_integer_value(json_array_get(point, 2))};
    }
    prompt->points = read;
    prompt->point_count = count;
    return true;
}

static inline bool prompt_read_box(const json_t *box, mm_prompt *prompt, void **owned)
{
    double *read = calloc(4, sizeof *read);
    *owned = read;
    if (!read || json_array_size(box) != 4)
        return false;
    for (size_t i = 0; i < 4; i++)
        read[i] = json_number_value(json_array_get(box, i));
    prompt->box = read;
    return true;
}

/* Prompts for a model whose low-res logits are low_res x low_res. */
static inline mm_status prompt_list_read(const json_t *array, const char *folder, uint32_t low_res, prompt_list *list,
                                         mm_error *err)
{
    const size_t count = json_array_size(array);
    *list = (prompt_list){.prompts = calloc(count ? count : 1, sizeof *list->prompts),
                          .count = count,
                          .owned = calloc(3 * count + 1, sizeof *list->owned)};
    bool good = list->prompts && list->owned && json_is_array(array);
    for (size_t i = 0; i < count && good; i++) {
        const json_t *entry = json_array_get(array, i), *points = json_object_get(entry, "points");
        const json_t *box = json_object_get(entry, "box"), *mask = json_object_get(entry, "mask_input");
        if (points)
            good = prompt_read_points(points, &list->prompts[i], &list->owned[3 * i]);
        if (box)
            good = good && prompt_read_box(box, &list->prompts[i], &list->owned[3 * i + 1]);
        if (mask) {
            size_t floats = 0;
            float *logits = json_is_string(mask) ? read_floats(folder, json_string_value(mask), &floats, err) : NULL;
            list->owned[3 * i + 2] = logits;
            list->prompts[i].mask_input = logits;
            good = good && logits && floats == (size_t)low_res * low_res;
        }
    }
    if (good)
        return MM_OK;
    prompt_list_free(list);
    return mm_fail(err, MM_ERR_FORMAT, "these prompts cannot be read; see tests/tools/prompt_file.h for their form");
}

/* Where a decoder's results go: every mask token's logits [P][K][L][L] and predicted IoU [P][K]. */
typedef struct decoded {
    float *logits, *predicted_iou;
    uint32_t masks;
    size_t plane; /* L * L */
} decoded;

static inline uint32_t decoded_select(void *user, size_t prompt, const float *predicted_iou)
{
    decoded *all = user;
    memcpy(all->predicted_iou + prompt * all->masks, predicted_iou, all->masks * sizeof(float));
    return (1u << all->masks) - 1;
}

static inline mm_status decoded_take(void *user, size_t prompt, uint32_t mask, const float *logits, mm_error *err)
{
    decoded *all = user;
    (void)err; /* copying cannot fail */
    memcpy(all->logits + (prompt * all->masks + mask) * all->plane, logits, all->plane * sizeof(float));
    return MM_OK;
}

/* Decode all prompts, keeping everything; the caller frees both arrays of *all. */
static inline mm_status decode_all(const mm_model *model, mm_embedding *embedding, const prompt_list *list, decoded *all,
                                   mm_error *err)
{
    const mm_frame frame = mm_embedding_frame(embedding);
    *all = (decoded){.masks = mm_model_arch(model)->decoder.mask_tokens, .plane = (size_t)frame.low_res * frame.low_res};
    all->logits = calloc(list->count * all->masks * all->plane + 1, sizeof(float));
    all->predicted_iou = calloc(list->count * all->masks + 1, sizeof(float));
    if (!all->logits || !all->predicted_iou)
        return mm_fail_memory(err, "logits");
    const mm_mask_sink sink = {.user = all, .select = decoded_select, .take = decoded_take, .padding = true};
    return mm_model_decode(model, embedding, list->prompts, list->count, &sink, err);
}

#endif
