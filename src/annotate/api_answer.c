/* Routes that people draw with: clicks on an image, and answers about it. */
#include <math.h>
#include <string.h>
#include <time.h>

#include "annotate/api_route.h"

/* --- clicks --- */

static bool read_coordinate(const json_t *value, uint32_t side, double *out)
{
    *out = json_number_value(value);
    return json_is_number(value) && *out >= 0 && *out <= (double)side; /* false for NaN */
}

/* What is wrong with the prompt, or NULL. */
static const char *read_points(const json_t *points, const mm_desk_image *image, mm_click *click)
{
    if (points && !json_is_array(points))
        return "\"points\" is to be a list of [x, y, label]";
    if (json_array_size(points) > MM_DESK_POINTS)
        return "too many points";
    for (click->count = 0; click->count < json_array_size(points); click->count++) {
        const json_t *point = json_array_get(points, click->count), *label = json_array_get(point, 2);
        mm_point *out = &click->points[click->count];
        if (json_array_size(point) != 3 || !json_is_integer(label) || json_integer_value(label) < 0 ||
            json_integer_value(label) > 1)
            return "\"points\" is to be a list of [x, y, label] with label 0 or 1";
        if (!read_coordinate(json_array_get(point, 0), mm_desk_width(image), &out->x) ||
            !read_coordinate(json_array_get(point, 1), mm_desk_height(image), &out->y))
            return "a point is outside the image";
        out->label = (int32_t)json_integer_value(label);
    }
    return NULL;
}

static const char *read_box(const json_t *box, const mm_desk_image *image, mm_click *click)
{
    if (!box || json_is_null(box))
        return NULL;
    if (json_array_size(box) != 4)
        return "\"box\" is to be [x0, y0, x1, y1]";
    for (size_t i = 0; i < 4; i++)
        if (!read_coordinate(json_array_get(box, i), i % 2 ? mm_desk_height(image) : mm_desk_width(image),
                             &click->box[i]))
            return "the box reaches outside the image";
    if (click->box[0] >= click->box[2] || click->box[1] >= click->box[3])
        return "the box is empty";
    click->has_box = true;
    return NULL;
}

static const char *read_click(const json_t *json, const mm_desk_image *image, mm_click *click)
{
    const json_t *earlier = json_object_get(json, "earlier"), *mask = json_object_get(json, "mask");
    const char *wrong = read_points(json_object_get(json, "points"), image, click);
    if (!wrong)
        wrong = read_box(json_object_get(json, "box"), image, click);
    if (!wrong && click->count == 0 && !click->has_box)
        wrong = "neither a point nor a box";
    if (!wrong && earlier && !json_is_null(earlier)) {
        if (!json_is_integer(earlier) || json_integer_value(earlier) < 0 || !json_is_integer(mask) ||
            json_integer_value(mask) < 0 || json_integer_value(mask) >= MM_DESK_MASKS)
            return "\"earlier\" and \"mask\" are to be the numbers of a result and of one of its masks";
        click->earlier = (uint64_t)json_integer_value(earlier);
        click->mask = (uint32_t)json_integer_value(mask);
    }
    return wrong;
}

static double number_or_zero(float value)
{
    return isfinite(value) ? (double)value : 0.0;
}

static json_t *result_json(const mm_click_result *result)
{
    json_t *masks = json_array();
    for (size_t i = 0; i < result->count; i++) {
        const mm_click_mask *m = &result->masks[i];
        json_t *item = json_pack("{s:f, s:f, s:I, s:[I, I, I, I], s:o}", "predicted_iou",
                                 number_or_zero(m->predicted_iou),
                                 "stability_score", number_or_zero(m->stability_score), "area", (json_int_t)m->area,
                                     "bbox",
                                 (json_int_t)m->box[0], (json_int_t)m->box[1], (json_int_t)(m->box[2] - m->box[0]),
                                 (json_int_t)(m->box[3] - m->box[1]), "counts",
                                 json_stringn((const char *)m->counts, m->size));
        if (json_array_append_new(masks, item) != 0) {
            json_decref(masks);
            return NULL;
        }
    }
    return json_pack("{s:I, s:b, s:f, s:o}", "result", (json_int_t)result->number, "earlier", (int)result->went_in,
                     "seconds", result->seconds, "masks", masks);
}

void mm_route_prompt(mm_call *call)
{
    mm_api *api = call->api;
    mm_desk_image *image;
    mm_click_result result;
    mm_click click = {0};
    mm_error err = {0};
    uint64_t index;
    if (!mm_call_image(call, &index) || !mm_call_lease(call, index))
        return;
    if (mm_desk_take(api->desk, index, &image, &err) != MM_OK) {
        mm_reply_failure(call->reply, &err);
        return;
    }
    const char *wrong = read_click(call->json, image, &click);
    if (wrong) {
        mm_reply_error(call->reply, 400, "%s", wrong);
    } else if (mm_desk_click(api->desk, image, &click, &result, &err) != MM_OK) {
        mm_reply_failure(call->reply, &err);
    } else {
        mm_reply_json(call->reply, result_json(&result));
        mm_click_result_free(&result);
    }
    mm_desk_leave(api->desk, image);
}

/* --- answers --- */

static bool is_shown(const mm_desk_image *image, const char *name)
{
    size_t count;
    const mm_shown_item *items = mm_desk_items(image, &count);
    for (size_t i = 0; i < count; i++)
        if (strcmp(items[i].name, name) == 0)
            return true;
    return false;
}

/* Of the right size, and about a mask that there is; else a reply. */
static bool fits_image(mm_call *call, uint64_t index, const mm_person_answer *answer)
{
    mm_desk_image *image;
    mm_error err = {0};
    const bool about_shown = answer->mask[0] && !mm_answer_is_id(answer->mask);
    if (answer->kind != MM_ANSWER_ACCEPT && !about_shown)
        return true;
    if (mm_desk_take(call->api->desk, index, &image, &err) != MM_OK) {
        mm_reply_failure(call->reply, &err);
        return false;
    }
    const bool size = answer->kind != MM_ANSWER_ACCEPT ||
                      (answer->width == mm_desk_width(image) && answer->height == mm_desk_height(image));
    const bool there = !about_shown || is_shown(image, answer->mask);
    mm_desk_leave(call->api->desk, image);
    if (!size)
        mm_reply_error(call->reply, 400, "the mask has another size than the image");
    else if (!there)
        mm_reply_error(call->reply, 400, "there is no such mask");
    return size && there;
}

/* Into the book, and only then a reply that says so. */
static void write_answer(mm_call *call, uint64_t index, const mm_person_answer *answer)
{
    mm_api *api = call->api;
    mm_error err = {0};
    bool again = false;
    (void)pthread_mutex_lock(&api->book_mutex);
    const mm_status status = mm_book_add(api->book, answer, &again, &err);
    (void)pthread_mutex_unlock(&api->book_mutex);
    if (status != MM_OK) {
        if (status == MM_ERR_USAGE)
            mm_reply_error(call->reply, 409, "%s", err.text);
        else
            mm_reply_failure(call->reply, &err);
        return;
    }
    if (answer->kind == MM_ANSWER_DONE || answer->kind == MM_ANSWER_SKIP) {
        (void)pthread_mutex_lock(&api->lease_mutex);
        if (!again)
            mm_task_set(api->leases, index, answer->kind == MM_ANSWER_DONE ? MM_TASK_DONE : MM_TASK_SKIPPED);
        mm_lease_give_back(api->leases, call->session, index);
        (void)pthread_mutex_unlock(&api->lease_mutex);
    }
    mm_reply_json(call->reply, json_pack("{s:s, s:b, s:o}", "id", answer->id, "again", (int)again, "progress",
                                         mm_progress_json(api, call->now)));
}

void mm_route_answer(mm_call *call)
{
    mm_api *api = call->api;
    mm_person_answer answer;
    mm_error err = {0};
    uint64_t index;
    if (mm_answer_parse(call->request->body, call->request->body_size, &answer, &err) != MM_OK) {
        mm_reply_failure(call->reply, &err);
        return;
    }
    answer.unix_time = (uint64_t)time(NULL);
    (void)pthread_mutex_lock(&api->book_mutex);
    const bool known = mm_book_has(api->book, answer.id); /* sent again: whoever has the image now */
    (void)pthread_mutex_unlock(&api->book_mutex);
    if (!mm_source_find(api->source, answer.image, &index))
        mm_reply_error(call->reply, 400, "there is no such image");
    else if (known || (mm_call_lease(call, index) && fits_image(call, index, &answer)))
        write_answer(call, index, &answer);
    mm_answer_free(&answer);
}
