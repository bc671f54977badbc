#include "annotate/api.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "annotate/api_route.h"

/* Without our token: so many requests a second are told why not, the others only that it is enough. */
#define STRANGER_RATE 50.0
/* A page may do for this long what it may do on average. */
#define BURST_SECONDS 3.0

typedef struct route {
    const char *method, *path;
    mm_route *answer;
    size_t most;     /* of its body */
    bool has_number; /* behind the path */
    bool has_session;
} route;

static const route routes[] = {
    {"GET", "/", mm_route_page, 0, false, false},
    {"GET", "/api/state", mm_route_state, 0, false, true},
    {"GET", "/api/photo/", mm_route_photo, 0, true, true},
    {"POST", "/api/next", mm_route_next, MM_BODY_USUAL, false, true},
    {"POST", "/api/open", mm_route_open, MM_BODY_USUAL, false, true},
    {"POST", "/api/beat", mm_route_beat, MM_BODY_USUAL, false, true},
    {"POST", "/api/leave", mm_route_leave, MM_BODY_USUAL, false, true},
    {"POST", "/api/prompt", mm_route_prompt, MM_BODY_USUAL, false, true},
    {"POST", "/api/answer", mm_route_answer, MM_BODY_MOST, false, true},
};

/* --- replies --- */

void mm_web_reply_free(mm_web_reply *reply)
{
    free(reply->body);
    *reply = (mm_web_reply){0};
}

void mm_reply_json(mm_web_reply *reply, json_t *json)
{
    char *text = json ? json_dumps(json, JSON_COMPACT | JSON_REAL_PRECISION(9)) : NULL;
    json_decref(json);
    mm_web_reply_free(reply);
    *reply = (mm_web_reply){.status = text ? 200 : 503, .type = "application/json", .body = text,
                            .size = text ? strlen(text) : 0};
}

void mm_reply_error(mm_web_reply *reply, unsigned status, const char *format, ...)
{
    char text[MM_ERROR_TEXT];
    va_list arguments;
    va_start(arguments, format);
    if (vsnprintf(text, sizeof text, format, arguments) < 0)
        text[0] = '\0';
    va_end(arguments);
    mm_reply_json(reply, json_pack("{s:s?}", "error", text)); /* no text where it is no UTF-8 */
    if (reply->body)
        reply->status = status;
    if (status == 429 || status == 503)
        reply->retry_after = 1;
}

void mm_reply_failure(mm_web_reply *reply, const mm_error *err)
{
    const mm_status s = err->status;
    const unsigned status = s == MM_ERR_FORMAT || s == MM_ERR_USAGE                         ? 400
                            : s == MM_ERR_LIMIT || s == MM_ERR_STOPPED || s == MM_ERR_NOMEM ? 503
                                                                                            : 500;
    mm_reply_error(reply, status, "%s", err->text);
}

/* --- who is let in --- */

/* The number at the end of a path: digits only. */
static bool read_number(const char *text, uint64_t *number)
{
    char *end;
    if (!*text || strspn(text, "0123456789") != strlen(text) || strlen(text) > 18)
        return false;
    errno = 0;
    *number = strtoull(text, &end, 10);
    return errno == 0 && *end == '\0';
}

/* The route of a path; *method_fits is false if it has another method. */
static const route *find_route(const mm_web_request *request, bool *method_fits, uint64_t *number)
{
    const route *found = NULL;
    *method_fits = false;
    for (size_t i = 0; i < sizeof routes / sizeof routes[0] && !*method_fits; i++) {
        const route *r = &routes[i];
        const size_t length = strlen(r->path);
        const bool fits = r->has_number ? strncmp(request->path, r->path, length) == 0 &&
                                              read_number(request->path + length, number)
                                        : strcmp(request->path, r->path) == 0;
        if (fits) {
            found = r;
            *method_fits = strcmp(request->method, r->method) == 0;
        }
    }
    return found;
}

static bool refuse(mm_web_reply *reply, unsigned status, const char *why)
{
    mm_reply_error(reply, status, "%s", why);
    return false;
}

/* A name that is not ours, a page that is not ours, a token that is not ours, in this order; and nothing else is
 * told. */
static bool is_known(mm_api *api, const mm_web_request *request, double now, mm_web_reply *reply)
{
    const char *why = NULL;
    unsigned status = 403;
    const bool at_page = strcmp(request->path, "/") == 0;
    if (!mm_own_host(&api->names, request->host))
        why = "this server does not go by that name; --origin names a proxy";
    else if (!mm_own_origin(&api->names, request->origin))
        why = "requests of other pages are refused";
    else if (!at_page && request->fetch_site && strcmp(request->fetch_site, "same-origin") != 0)
        why = "requests of other pages are refused";
    else if (!mm_token_equal(api->token, request->token ? request->token : at_page ? request->query_token : NULL)) {
        why = "the token is missing or wrong; use the URL that maskmill annotate printed";
        status = 401;
    }
    if (!why)
        return true;
    (void)pthread_mutex_lock(&api->lease_mutex);
    const bool told = mm_bucket_take(&api->strangers, STRANGER_RATE, STRANGER_RATE, now);
    (void)pthread_mutex_unlock(&api->lease_mutex);
    return told ? refuse(reply, status, why) : refuse(reply, 429, "too many requests");
}

static bool has_good_body(const mm_web_request *request, size_t most, mm_web_reply *reply)
{
    uint64_t length = 0;
    if (request->transfer_encoding)
        return refuse(reply, 411, "give a Content-Length; other codings are refused");
    if (request->content_length && !read_number(request->content_length, &length))
        return strspn(request->content_length, "0123456789") == strlen(request->content_length)
                   ? refuse(reply, 413, "the body is longer than any that is sent here")
                   : refuse(reply, 400, "the Content-Length is not one");
    if (most > 0 && !request->content_length)
        return refuse(reply, 411, "give a Content-Length");
    if (length > most)
        return refuse(reply, 413, "the body is longer than any that is sent here");
    if (most > 0 && (!request->content_type || strncmp(request->content_type, "application/json", 16) != 0))
        return refuse(reply, 415, "the body is to be application/json");
    return true;
}

bool mm_api_admit(mm_api *api, const mm_web_request *request, double now, size_t *most, mm_web_reply *reply)
{
    uint64_t number;
    bool method_fits;
    *most = 0;
    *reply = (mm_web_reply){0};
    if (!is_known(api, request, now, reply))
        return false;
    const route *r = find_route(request, &method_fits, &number);
    if (!r)
        return refuse(reply, 404, "there is nothing here");
    if (!method_fits)
        return refuse(reply, 405, "not with this method");
    if (!has_good_body(request, r->most, reply))
        return false;
    *most = r->most;
    if (!r->has_session)
        return true;
    mm_error err = {0};
    uint32_t session;
    (void)pthread_mutex_lock(&api->lease_mutex);
    mm_status status = mm_session_find(api->leases, request->session, now, &session, &err);
    bool in_time = true;
    if (status == MM_OK && api->rate > 0) {
        mm_bucket *bucket = mm_session_bucket(api->leases, session);
        if (bucket->since == 0)
            mm_bucket_fill(bucket, api->rate * BURST_SECONDS, now);
        in_time = mm_bucket_take(bucket, api->rate, api->rate * BURST_SECONDS, now);
    }
    (void)pthread_mutex_unlock(&api->lease_mutex);
    if (status != MM_OK)
        mm_reply_failure(reply, &err);
    return status == MM_OK && (in_time || refuse(reply, 429, "too many requests"));
}

void mm_api_answer(mm_api *api, const mm_web_request *request, double now, mm_web_reply *reply)
{
    mm_call call = {.api = api, .request = request, .now = now, .reply = reply};
    mm_error err = {0};
    bool method_fits;
    *reply = (mm_web_reply){0};
    const route *r = find_route(request, &method_fits, &call.number);
    if (!r || !method_fits) {
        mm_reply_error(reply, 404, "there is nothing here");
        return;
    }
    if (r->has_session) {
        (void)pthread_mutex_lock(&api->lease_mutex);
        const mm_status status = mm_session_find(api->leases, request->session, now, &call.session, &err);
        (void)pthread_mutex_unlock(&api->lease_mutex);
        if (status != MM_OK) {
            mm_reply_failure(reply, &err);
            return;
        }
    }
    if (r->most > 0) {
        json_error_t where;
        call.json = json_loadb(request->body, request->body_size, JSON_REJECT_DUPLICATES, &where);
        if (!json_is_object(call.json)) {
            json_decref(call.json);
            mm_reply_error(reply, 400, "the body is no JSON object");
            return;
        }
    }
    r->answer(&call);
    json_decref(call.json);
    if (reply->status >= 500 && !api->quiet && reply->status != 503)
        (void)fprintf(stderr, "maskmill: %s %s: %.*s\n", r->method, r->path, (int)reply->size, reply->body);
}

/* --- what routes share --- */

bool mm_call_image(mm_call *call, uint64_t *index)
{
    const json_t *image = json_object_get(call->json, "image");
    if (json_is_integer(image) && json_integer_value(image) >= 0 &&
        mm_source_find(call->api->source, (uint64_t)json_integer_value(image), index))
        return true;
    mm_reply_error(call->reply, 400, "there is no such image");
    return false;
}

bool mm_call_lease(mm_call *call, uint64_t index)
{
    (void)pthread_mutex_lock(&call->api->lease_mutex);
    const bool ours = mm_lease_take(call->api->leases, call->session, index, call->now);
    (void)pthread_mutex_unlock(&call->api->lease_mutex);
    if (!ours)
        mm_reply_error(call->reply, 409, "somebody else has this image now");
    return ours;
}

json_t *mm_progress_json(mm_api *api, double now)
{
    (void)pthread_mutex_lock(&api->lease_mutex);
    const mm_task_counts counts = mm_tasks_count(api->leases, now);
    (void)pthread_mutex_unlock(&api->lease_mutex);
    (void)pthread_mutex_lock(&api->book_mutex);
    const uint64_t masks = mm_book_accepted(api->book);
    (void)pthread_mutex_unlock(&api->book_mutex);
    return json_pack("{s:I, s:I, s:I, s:I, s:i, s:I}", "images", (json_int_t)counts.all, "done",
                     (json_int_t)counts.done,
                     "skipped", (json_int_t)counts.skipped, "unusable", (json_int_t)counts.unusable, "people",
                     (int)counts.people, "masks", (json_int_t)masks);
}
