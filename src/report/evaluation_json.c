/* Evaluations as JSON, and back. */
#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "maskmill/evaluation.h"
#include "report/run_json.h"

enum { MAX_BYTES = 16 << 20 };

const char *const mm_evaluation_size_names[MM_EVALUATE_SIZES] = {"small", "medium", "large"};
const char *const mm_evaluation_source_names[MM_EVALUATE_SOURCES] = {"automatic", "confident", "human"};

int mm_evaluation_size(double area, double frame)
{
    const double side = frame > 0 ? sqrt(area / frame) : 0;
    return side < 1.0 / 16 ? 0 : side < 1.0 / 6 ? 1 : 2;
}

double mm_evaluation_iou(int i)
{
    return (50 + 5 * i) / 100.0;
}

/* --- Writing. jansson's "o" takes a reference, and NULL makes the whole fail. --- */

static json_t *list_of(const double *values, size_t count)
{
    json_t *list = json_array();
    for (size_t i = 0; i < count; i++)
        if (json_array_append_new(list, json_real(values[i])) != 0) {
            json_decref(list);
            return NULL;
        }
    return list;
}

static json_t *parts_of(const mm_evaluation_part *parts, const char *const *names, size_t count, uint32_t clicks)
{
    json_t *list = json_array();
    for (size_t i = 0; i < count; i++) {
        const mm_evaluation_part *part = &parts[i];
        json_t *item = json_pack("{s:s,s:f,s:o,s:f,s:f,s:o}", "name", names[i], "masks", part->masks, "clicks",
                                 list_of(part->clicks, clicks), "box", part->box, "sought", part->sought, "recall",
                                 list_of(part->recall, MM_EVALUATE_IOUS));
        if (json_array_append_new(list, item) != 0) {
            json_decref(list);
            return NULL;
        }
    }
    return list;
}

static json_t *calibration_of(const mm_evaluation_result *r)
{
    json_t *list = json_array();
    for (int i = 0; i < MM_EVALUATE_BINS; i++)
        if (json_array_append_new(list, json_pack("{s:f,s:f,s:f,s:f}", "from", i / 10.0, "answers", r->calibration[i].count,
                                                  "predicted", r->calibration[i].predicted, "true",
                                                  r->calibration[i].truth)) != 0) {
            json_decref(list);
            return NULL;
        }
    return list;
}

static json_t *generated_of(const mm_evaluation_result *r)
{
    if (!r->generated.images)
        return json_null();
    return json_pack("{s:I,s:f,s:f,s:f,s:f,s:f,s:o,s:o}", "images", (json_int_t)r->generated.images, "pred_iou_thresh",
                     r->generated.pred_iou_thresh, "stability_score_thresh", r->generated.stability_score_thresh, "sought",
                     r->generated.sought, "made", r->generated.made, "made_per_image",
                     r->generated.made / (double)r->generated.images, "recall",
                     list_of(r->generated.recall, MM_EVALUATE_IOUS), "precision",
                     list_of(r->generated.precision, MM_EVALUATE_IOUS));
}

/* Paths may be bytes that are no UTF-8, which JSON has no way to say. */
static json_t *text_of(const char *text)
{
    json_t *string = json_string(text);
    return string ? string : json_string("(a name that is no UTF-8)");
}

static json_t *result_of(const mm_evaluation_result *r)
{
    return json_pack("{s:o,s:o,s:I,s:I,s:f,s:o,s:o,s:f,s:f,s:f,s:o,s:o,s:o,s:o}", "model", text_of(r->model), "dataset",
                     text_of(r->dataset), "datasets", (json_int_t)r->datasets, "images", (json_int_t)r->images, "masks",
                     r->masks, "clicks", list_of(r->clicks, r->click_count), "clicks_best",
                     list_of(r->best, r->click_count), "box", r->box, "box_best", r->box_best, "iou_error", r->iou_error,
                     "calibration", calibration_of(r), "generated", generated_of(r), "sizes",
                     parts_of(r->sizes, mm_evaluation_size_names, MM_EVALUATE_SIZES, r->click_count), "sources",
                     parts_of(r->sources, mm_evaluation_source_names, MM_EVALUATE_SOURCES, r->click_count));
}

mm_status mm_evaluation_write(const mm_evaluation_result *results, size_t count, FILE *out, mm_error *err)
{
    json_t *json = count == 1 ? result_of(&results[0]) : json_array();
    for (size_t i = 0; count != 1 && i < count; i++)
        if (json_array_append_new(json, result_of(&results[i])) != 0) {
            json_decref(json);
            json = NULL;
        }
    char *text = json ? json_dumps(json, JSON_INDENT(2) | JSON_REAL_PRECISION(6)) : NULL;
    json_decref(json);
    if (!text)
        return mm_fail_memory(err, "the evaluation");
    (void)fprintf(out, "%s\n", text);
    free(text);
    return MM_OK;
}

/* --- Reading. --- */

/* Shares and means of IoUs are numbers from 0 to 1; counts are not below 0. */
static bool take_number(const json_t *object, const char *key, double most, double *to)
{
    *to = mm_run_json_number(object, key);
    return *to >= 0 && *to <= most;
}

static bool take_list(const json_t *object, const char *key, size_t count, double *to)
{
    const json_t *list = json_object_get(object, key);
    bool good = json_array_size(list) == count && count > 0;
    for (size_t i = 0; good && i < count; i++) {
        const json_t *item = json_array_get(list, i);
        to[i] = json_number_value(item);
        good = json_is_number(item) && to[i] >= 0 && to[i] <= 1;
    }
    return good;
}

static bool take_text(const json_t *object, const char *key, char to[MM_EVALUATE_NAME])
{
    const char *text = mm_run_json_text(object, key);
    return text && snprintf(to, MM_EVALUATE_NAME, "%s", text) < MM_EVALUATE_NAME;
}

static bool take_parts(const json_t *object, const char *key, size_t count, uint32_t clicks, mm_evaluation_part *parts)
{
    const json_t *list = json_object_get(object, key);
    bool good = json_array_size(list) == count;
    for (size_t i = 0; good && i < count; i++) {
        const json_t *item = json_array_get(list, i);
        mm_evaluation_part *part = &parts[i];
        good = take_number(item, "masks", 1e15, &part->masks) && take_list(item, "clicks", clicks, part->clicks) &&
               take_number(item, "box", 1, &part->box) && take_number(item, "sought", 1e15, &part->sought) &&
               take_list(item, "recall", MM_EVALUATE_IOUS, part->recall);
    }
    return good;
}

static bool take_calibration(const json_t *object, mm_evaluation_result *r)
{
    const json_t *list = json_object_get(object, "calibration");
    bool good = json_array_size(list) == MM_EVALUATE_BINS;
    for (size_t i = 0; good && i < MM_EVALUATE_BINS; i++) {
        const json_t *item = json_array_get(list, i), *predicted = json_object_get(item, "predicted");
        r->calibration[i].predicted = json_number_value(predicted); /* a model may predict anything */
        good = json_is_number(predicted) && fabs(r->calibration[i].predicted) < 1e6 &&
               take_number(item, "answers", 1e15, &r->calibration[i].count) &&
               take_number(item, "true", 1, &r->calibration[i].truth);
    }
    return good;
}

static bool take_generated(const json_t *object, mm_evaluation_result *r)
{
    const json_t *from = json_object_get(object, "generated");
    double images;
    if (json_is_null(from))
        return true;
    if (!take_number(from, "images", 1e15, &images) || images < 1)
        return false;
    r->generated.images = (uint64_t)images;
    return take_number(from, "pred_iou_thresh", 1e6, &r->generated.pred_iou_thresh) &&
           take_number(from, "stability_score_thresh", 1e6, &r->generated.stability_score_thresh) &&
           take_number(from, "sought", 1e15, &r->generated.sought) && take_number(from, "made", 1e15, &r->generated.made) &&
           take_list(from, "recall", MM_EVALUATE_IOUS, r->generated.recall) &&
           take_list(from, "precision", MM_EVALUATE_IOUS, r->generated.precision);
}

static bool take_result(const json_t *object, mm_evaluation_result *r)
{
    double datasets, images;
    const size_t clicks = json_array_size(json_object_get(object, "clicks"));
    *r = (mm_evaluation_result){.click_count = (uint32_t)(clicks <= MM_EVALUATE_CLICKS ? clicks : 0)};
    const bool good = take_text(object, "model", r->model) && take_text(object, "dataset", r->dataset) &&
                      take_number(object, "datasets", 1e6, &datasets) && take_number(object, "images", 1e15, &images) &&
                      take_number(object, "masks", 1e15, &r->masks) &&
                      take_list(object, "clicks", r->click_count, r->clicks) &&
                      take_list(object, "clicks_best", r->click_count, r->best) &&
                      take_number(object, "box", 1, &r->box) && take_number(object, "box_best", 1, &r->box_best) &&
                      take_number(object, "iou_error", 1e6, &r->iou_error) && take_calibration(object, r) &&
                      take_generated(object, r) &&
                      take_parts(object, "sizes", MM_EVALUATE_SIZES, r->click_count, r->sizes) &&
                      take_parts(object, "sources", MM_EVALUATE_SOURCES, r->click_count, r->sources);
    r->datasets = good ? (uint32_t)datasets : 0;
    r->images = good ? (uint64_t)images : 0;
    return good;
}

mm_status mm_evaluation_read(const char *path, mm_evaluation_result *results, size_t room, size_t *count, mm_error *err)
{
    uint8_t *bytes = NULL;
    size_t size = 0;
    mm_status status = mm_file_read(path, MAX_BYTES, &bytes, &size, err);
    if (status != MM_OK)
        return status;
    json_t *json = json_loadb((const char *)bytes, size, JSON_REJECT_DUPLICATES, NULL);
    free(bytes);
    const size_t items = json_is_array(json) ? json_array_size(json) : 1;
    if (items > room - *count)
        status = mm_fail(err, MM_ERR_USAGE, "%s: with its %zu evaluations there are more than the %zu that can be compared",
                         path, items, room);
    for (size_t i = 0; status == MM_OK && i < items; i++)
        if (!take_result(json_is_array(json) ? json_array_get(json, i) : json, &results[*count + i]))
            status = mm_fail(err, MM_ERR_FORMAT,
                             "%s: is no evaluation of this version; make one with `maskmill eval DATASET --json`", path);
    json_decref(json);
    *count += status == MM_OK ? items : 0;
    return status;
}
