/* Routes about images: what there is, which comes next, how it looks, and whose it is. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "annotate/api_route.h"

enum { AHEAD = 3, TRIES = 64 };

void mm_route_state(mm_call *call)
{
    mm_api *api = call->api;
    mm_reply_json(call->reply, json_pack("{s:s?, s:s?, s:f, s:o}", "source", api->source_name, "model", api->model_name,
                                         "lease_seconds", api->lease_seconds, "progress",
                                         mm_progress_json(api, call->now)));
}

/* --- an image with its masks --- */

static mm_status add_accepted(void *user, const mm_person_answer *answer, mm_error *err)
{
    json_t *item = json_pack("{s:s, s:s, s:s, s:f, s:i, s:o}", "name", answer->id, "kind", "human", "annotator",
                             answer->annotator, "seconds", answer->seconds, "clicks", (int)answer->clicks, "counts",
                             json_stringn((const char *)answer->counts, answer->size));
    return json_array_append_new(user, item) == 0 ? MM_OK : mm_fail_memory(err, "masks");
}

static json_t *masks_json(mm_api *api, mm_desk_image *image, uint64_t image_id, mm_error *err)
{
    size_t count;
    const mm_shown_item *items = mm_desk_items(image, &count);
    json_t *masks = json_array();
    mm_status status = masks ? MM_OK : mm_fail_memory(err, "masks");
    (void)pthread_mutex_lock(&api->book_mutex);
    for (size_t i = 0; status == MM_OK && i < count; i++) {
        if (mm_book_gone(api->book, image_id, items[i].name))
            continue;
        json_t *item = json_pack("{s:s, s:s, s:o}", "name", items[i].name, "kind", items[i].hint ? "hint" : "shown",
                                 "counts", json_stringn((const char *)items[i].counts, items[i].size));
        if (json_array_append_new(masks, item) != 0)
            status = mm_fail_memory(err, "masks");
    }
    if (status == MM_OK)
        status = mm_book_masks(api->book, image_id, add_accepted, masks, err);
    (void)pthread_mutex_unlock(&api->book_mutex);
    if (status == MM_OK)
        return masks;
    json_decref(masks);
    return NULL;
}

static const char *state_name(mm_task_state state)
{
    static const char *const names[] = {"open", "done", "skipped", "unusable"};
    return names[state];
}

/* The image's JSON, and what comes after it to the desk. */
static void reply_image(mm_call *call, uint64_t index, mm_desk_image *image)
{
    mm_api *api = call->api;
    mm_error err = {0};
    uint64_t ahead[AHEAD];
    const uint64_t image_id = mm_source_image_id(api->source, index);
    (void)pthread_mutex_lock(&api->lease_mutex);
    const mm_task_state state = mm_task_get(api->leases, index);
    const size_t count = mm_lease_peek(api->leases, call->session, index, call->now, ahead, AHEAD);
    (void)pthread_mutex_unlock(&api->lease_mutex);
    for (size_t i = 0; i < count; i++)
        mm_desk_expect(api->desk, ahead[i]);
    json_t *masks = masks_json(api, image, image_id, &err);
    if (!masks) {
        mm_reply_failure(call->reply, &err);
        return;
    }
    json_t *name = json_string(mm_source_name(api->source, index));
    if (!name) /* it is no UTF-8 */
        name = json_string("?");
    mm_reply_json(call->reply,
                  json_pack("{s:I, s:I, s:o, s:i, s:i, s:s, s:b, s:o, s:o}", "image", (json_int_t)image_id, "place",
                            (json_int_t)index, "name", name, "width", (int)mm_desk_width(image), "height",
                            (int)mm_desk_height(image), "state", state_name(state), "ready",
                            (int)mm_desk_ready(api->desk, image), "masks", masks, "progress",
                            mm_progress_json(api, call->now)));
}

static void give_back(mm_call *call, uint64_t index)
{
    (void)pthread_mutex_lock(&call->api->lease_mutex);
    mm_lease_give_back(call->api->leases, call->session, index);
    (void)pthread_mutex_unlock(&call->api->lease_mutex);
}

/* An image that cannot be shown to anybody: told, and not offered again. */
static void set_unusable(mm_call *call, uint64_t index, const mm_error *err)
{
    mm_api *api = call->api;
    if (!api->quiet)
        (void)fprintf(stderr, "maskmill: %s: is left out: %s\n", mm_source_name(api->source, index), err->text);
    (void)pthread_mutex_lock(&api->lease_mutex);
    mm_task_set(api->leases, index, MM_TASK_UNUSABLE);
    mm_lease_give_back(api->leases, call->session, index);
    (void)pthread_mutex_unlock(&api->lease_mutex);
}

static bool is_for_later(const mm_error *err)
{
    return err->status == MM_ERR_LIMIT || err->status == MM_ERR_NOMEM || err->status == MM_ERR_STOPPED;
}

void mm_route_next(mm_call *call)
{
    mm_api *api = call->api;
    const json_t *after = json_object_get(call->json, "after");
    uint64_t from = 0, index;
    if (json_is_integer(after) && json_integer_value(after) >= 0 &&
        mm_source_find(api->source, (uint64_t)json_integer_value(after), &from))
        from++;
    for (int i = 0; i < TRIES; i++) {
        mm_desk_image *image;
        mm_error err = {0};
        (void)pthread_mutex_lock(&api->lease_mutex);
        const bool found = mm_lease_next(api->leases, call->session, from, call->now, &index);
        (void)pthread_mutex_unlock(&api->lease_mutex);
        if (!found) {
            mm_reply_json(call->reply, json_pack("{s:n, s:o}", "image", "progress", mm_progress_json(api, call->now)));
            return;
        }
        if (mm_desk_take(api->desk, index, &image, &err) == MM_OK) {
            reply_image(call, index, image);
            mm_desk_leave(api->desk, image);
            return;
        }
        if (is_for_later(&err)) {
            give_back(call, index);
            mm_reply_failure(call->reply, &err);
            return;
        }
        set_unusable(call, index, &err);
    }
    mm_reply_error(call->reply, 503, "%d images in a row cannot be shown; the server's messages say why", TRIES);
}

void mm_route_open(mm_call *call)
{
    mm_desk_image *image;
    mm_error err = {0};
    uint64_t index;
    if (!mm_call_image(call, &index) || !mm_call_lease(call, index))
        return;
    if (mm_desk_take(call->api->desk, index, &image, &err) != MM_OK) {
        give_back(call, index);
        mm_reply_failure(call->reply, &err);
        return;
    }
    reply_image(call, index, image);
    mm_desk_leave(call->api->desk, image);
}

/* The image stays with this page; and whether its embedding is there. */
void mm_route_beat(mm_call *call)
{
    mm_desk_image *image;
    mm_error err = {0};
    uint64_t index;
    if (!mm_call_image(call, &index) || !mm_call_lease(call, index))
        return;
    if (mm_desk_take(call->api->desk, index, &image, &err) != MM_OK) {
        mm_reply_failure(call->reply, &err);
        return;
    }
    const bool ready = mm_desk_ready(call->api->desk, image);
    mm_desk_leave(call->api->desk, image);
    mm_reply_json(call->reply,
                  json_pack("{s:b, s:o}", "ready", (int)ready, "progress", mm_progress_json(call->api, call->now)));
}

void mm_route_leave(mm_call *call)
{
    uint64_t index;
    if (!mm_call_image(call, &index))
        return;
    give_back(call, index);
    mm_reply_json(call->reply, json_pack("{s:b}", "left", 1));
}

void mm_route_photo(mm_call *call)
{
    mm_desk_image *image;
    mm_error err = {0};
    uint64_t index;
    size_t size;
    if (!mm_source_find(call->api->source, call->number, &index)) {
        mm_reply_error(call->reply, 404, "there is no such image");
        return;
    }
    if (!mm_call_lease(call, index))
        return;
    if (mm_desk_take(call->api->desk, index, &image, &err) != MM_OK) {
        mm_reply_failure(call->reply, &err);
        return;
    }
    const uint8_t *jpeg = mm_desk_jpeg(image, &size);
    char *copy = malloc(size + 1);
    if (copy) {
        memcpy(copy, jpeg, size);
        *call->reply = (mm_web_reply){.status = 200, .type = "image/jpeg", .body = copy, .size = size};
    } else {
        mm_reply_error(call->reply, 503, "memory is short");
    }
    mm_desk_leave(call->api->desk, image);
}

/* The server puts the page in, which it has once for all. */
void mm_route_page(mm_call *call)
{
    *call->reply = (mm_web_reply){.status = 200, .type = "text/html; charset=utf-8", .is_page = true};
}
