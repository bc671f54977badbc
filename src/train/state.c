#include "train/state.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "detect/head_file.h"

enum { VERSION = 1 };

static json_t *sums_json(const mm_detector_loss *sums)
{
    return json_pack("[f,f,f,f,f]", sums->object, sums->box, sums->quality, sums->iou, sums->positive);
}

static bool read_sums(const json_t *json, mm_detector_loss *sums)
{
    double *const to[] = {&sums->object, &sums->box, &sums->quality, &sums->iou, &sums->positive};
    if (!json_is_array(json) || json_array_size(json) != sizeof to / sizeof to[0])
        return false;
    for (size_t i = 0; i < sizeof to / sizeof to[0]; i++) {
        if (!json_is_number(json_array_get(json, i)))
            return false;
        *to[i] = json_number_value(json_array_get(json, i));
    }
    return true;
}

mm_status mm_state_write(const char *path, const mm_head *head, const mm_adamw *optimiser, json_t *setup,
                         const mm_detector_loss *sums, json_t *history, mm_error *err)
{
    mm_head_name names[3 * MM_HEAD_MAX_TENSORS];
    mm_tensor tensors[3 * MM_HEAD_MAX_TENSORS];
    const size_t n = head->tensor_count;
    mm_head_list(head, "", optimiser->parameters, names, tensors);
    mm_head_list(head, "mean.", optimiser->mean, names + n, tensors + n);
    mm_head_list(head, "square.", optimiser->square, names + 2 * n, tensors + 2 * n);
    json_t *json = json_pack("{s:i,s:O,s:I,s:o,s:O}", "version", VERSION, "setup", setup, "step",
                             (json_int_t)optimiser->steps, "sums", sums_json(sums), "history", history);
    char *text = json ? json_dumps(json, JSON_COMPACT | JSON_REAL_PRECISION(17)) : NULL;
    json_decref(json);
    if (!text)
        return mm_fail_memory(err, "the state of the training");
    const mm_status status =
        mm_checkpoint_write(path, tensors, 3 * n, &(const char *const[2]){"maskmill.training", text}, 1, err);
    free(text);
    return status;
}

/* "12", "0.5", "\"abc\"": a value for a message. The caller frees it. */
static char *value_text(const json_t *value)
{
    return value ? json_dumps(value, JSON_ENCODE_ANY | JSON_COMPACT | JSON_REAL_PRECISION(9)) : strdup("not said");
}

mm_status mm_state_compare(const json_t *before, const json_t *now, const char *path, mm_error *err)
{
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)(uintptr_t)now, key, value) { /* the macro only reads */
        const json_t *then = json_object_get(before, key);
        if (then && json_equal(then, value))
            continue;
        char *was = value_text(then), *is = value_text(value);
        const mm_status status = mm_fail(err, MM_ERR_USAGE,
                                         "%s was begun otherwise: %s was %.80s and is now %.80s; give the "
                                                            "same options, or --overwrite to begin anew",
                                         path, key, was ? was : "?", is ? is : "?");
        free(was);
        free(is);
        return status;
    }
    return MM_OK;
}

static mm_status read_json(const char *path, const char *text, const json_t *setup, mm_adamw *optimiser,
                           mm_detector_loss *sums, json_t **history, mm_error *err)
{
    json_t *json = text ? json_loads(text, JSON_REJECT_DUPLICATES, NULL) : NULL;
    const json_t *step = json_object_get(json, "step");
    json_t *epochs = json_object_get(json, "history");
    mm_status status;
    if (json_integer_value(json_object_get(json, "version")) != VERSION || !json_is_integer(step) ||
        json_integer_value(step) < 0 || !read_sums(json_object_get(json, "sums"), sums) || !json_is_array(epochs))
        status = mm_fail(err, MM_ERR_FORMAT,
                         "%s is no state of a training of this version, or damaged; remove it to begin "
                                             "anew",
                         path);
    else
        status = mm_state_compare(json_object_get(json, "setup"), setup, path, err);
    if (status == MM_OK) {
        optimiser->steps = (uint64_t)json_integer_value(step);
        *history = json_incref(epochs);
    }
    json_decref(json);
    return status;
}

mm_status mm_state_read(const char *path, const mm_head *head, mm_adamw *optimiser, const json_t *setup,
                        mm_detector_loss *sums, json_t **history, mm_error *err)
{
    mm_checkpoint *checkpoint = NULL;
    *history = NULL;
    mm_status status = mm_checkpoint_open(path, &checkpoint, err);
    if (status != MM_OK)
        return status;
    const char *text = mm_checkpoint_metadata(checkpoint, "maskmill.training");
    status = read_json(path, text, setup, optimiser, sums, history, err);
    if (status == MM_OK) {
        status = mm_head_collect(head, "", checkpoint, optimiser->parameters, err);
        if (status == MM_OK)
            status = mm_head_collect(head, "mean.", checkpoint, optimiser->mean, err);
        if (status == MM_OK)
            status = mm_head_collect(head, "square.", checkpoint, optimiser->square, err);
        if (status != MM_OK && err)
            (void)mm_error_prefix(err, "%s", path); /* returns the status it has */
    }
    mm_checkpoint_close(checkpoint);
    if (status != MM_OK) {
        json_decref(*history);
        *history = NULL;
    }
    return status;
}
