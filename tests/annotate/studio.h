/* An annotation server without its sockets: two small photographs, the default model, all in the test's scratch
 * folder. */
#ifndef MM_TESTS_ANNOTATE_STUDIO_H
#define MM_TESTS_ANNOTATE_STUDIO_H

#include "corpus/scratch.h"

#include <jansson.h>

#include "annotate/api.h"

#define ADA "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define BOB "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"
#define TOKEN "0123456789abcdef0123456789abcdef"
enum { WIDTH = 64, HEIGHT = 48 };

static mm_api api;
static mm_model *model;
static mm_error err;
static double now; /* the clock of the tests */

static void open_studio(void)
{
    const mm_config config = mm_config_defaults();
    const mm_model_options options = {0};
    uint64_t cut;
    api = (mm_api){.rate = 0, .lease_seconds = 10, .source_name = "photographs", .model_name = "a model",
                   .quiet = true};
    memcpy(api.token, TOKEN, sizeof TOKEN);
    now = 1000;
    mm_bucket_fill(&api.strangers, 50, now);
    ck_assert_int_eq(mm_own_names_make("127.0.0.1", 8470, NULL, &api.names, &err), MM_OK);
    ck_assert_int_eq(pthread_mutex_init(&api.lease_mutex, NULL), 0);
    ck_assert_int_eq(pthread_mutex_init(&api.book_mutex, NULL), 0);
    ck_assert_int_eq(mm_source_open(at("corpus"), NULL, &config, &api.source, &err), MM_OK);
    const mm_book_head head = mm_source_head(api.source);
    ck_assert_int_eq(mm_book_open(at("answers.mma"), &head, false, &api.book, &cut, &err), MM_OK);
    ck_assert_int_eq(mm_leases_new(mm_source_count(api.source), api.lease_seconds, &api.leases, &err), MM_OK);
    ck_assert_int_eq(mm_model_open(MM_SOURCE_DIR "/configs/models/default.safetensors", &options, &model, &err), MM_OK);
    const mm_desk_options desk = {.model = model, .source = api.source, .workers = 2, .images = 4, .hot = 2};
    ck_assert_int_eq(mm_desk_new(&desk, &api.desk, &err), MM_OK);
}

static void close_studio(void)
{
    mm_desk_free(api.desk);
    mm_model_close(model);
    mm_leases_free(api.leases);
    mm_book_close(api.book);
    mm_source_close(api.source);
}

static void set_up(void)
{
    scratch_make();
    put_folder("corpus");
    put_jpeg("corpus/a.jpg", WIDTH, HEIGHT);
    put_text("corpus/b.jpg", "no photograph");
    put_jpeg("corpus/c.jpg", WIDTH, HEIGHT);
    open_studio();
}

static void tear_down(void)
{
    close_studio();
    scratch_remove();
}

static inline mm_web_request get(const char *path, const char *session)
{
    return (mm_web_request){.method = "GET", .path = path, .token = TOKEN, .session = session,
                            .host = "127.0.0.1:8470"};
}

/* As MHD would have it: the length stands in a header. */
static inline mm_web_request post(const char *path, const char *session, const char *body)
{
    static char length[4][24];
    static int next;
    char *text = length[next++ % 4];
    (void)snprintf(text, sizeof length[0], "%zu", strlen(body));
    mm_web_request request = get(path, session);
    request.method = "POST";
    request.origin = "http://127.0.0.1:8470";
    request.fetch_site = "same-origin";
    request.content_type = "application/json";
    request.content_length = text;
    request.body = body;
    request.body_size = strlen(body);
    return request;
}

/* Its status; the reply's JSON (NULL if it is none) to *json, if that is wanted. */
static inline unsigned ask(const mm_web_request *request, json_t **json)
{
    mm_web_reply reply;
    size_t most;
    if (mm_api_admit(&api, request, now, &most, &reply)) {
        ck_assert_uint_le(request->body_size, most);
        mm_api_answer(&api, request, now, &reply);
    }
    const unsigned status = reply.status;
    ck_assert(reply.size == 0 || reply.body != NULL);
    if (json)
        *json = json_loadb(reply.body, reply.size, 0, NULL);
    mm_web_reply_free(&reply);
    return status;
}

static inline unsigned ask_get(const char *path, const char *session)
{
    const mm_web_request request = get(path, session);
    return ask(&request, NULL);
}

static inline unsigned ask_post(const char *path, const char *session, const char *body, json_t **json)
{
    const mm_web_request request = post(path, session, body);
    return ask(&request, json);
}

#endif
