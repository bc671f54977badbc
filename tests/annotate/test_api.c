/* Requests and replies, by the people they are for and by others. */
#include "check_main.h"
#include "studio.h"

/* A square of 10 x 10 pixels at (3, 4) of 64 x 48, as an answer. */
static const char *accept_text(const char *id, const char *mask)
{
    static char texts[4][1024];
    static int next;
    char *text = texts[next++ % 4];
    uint8_t bits[HEIGHT * WIDTH] = {0}, *counts;
    char escaped[512] = ""; /* counts may have backslashes */
    size_t size;
    mm_rle rle;
    for (int y = 4; y < 14; y++)
        memset(bits + y * WIDTH + 3, 1, 10);
    ck_assert_int_eq(mm_rle_from_bits(bits, HEIGHT, WIDTH, &rle, &err), MM_OK);
    ck_assert_int_eq(mm_rle_to_counts(&rle, &counts, &size, &err), MM_OK);
    for (size_t i = 0; i < size; i++)
        (void)snprintf(escaped + strlen(escaped), sizeof escaped - strlen(escaped), counts[i] == '\\' ? "\\%c" : "%c",
                       counts[i]);
    (void)snprintf(text, sizeof texts[0],
                   "{\"do\":\"accept\",\"id\":\"%s\",\"image\":0,\"annotator\":\"Ada\",\"seconds\":2.5,"
                   "\"clicks\":2,\"size\":[%d,%d],\"counts\":\"%s\"%s%s%s}", id, HEIGHT, WIDTH, escaped,
                   mask ? ",\"mask\":\"" : "", mask ? mask : "", mask ? "\"" : "");
    free(counts);
    mm_rle_free(&rle);
    return text;
}

#define ID1 "11111111111111111111111111111111"
#define ID2 "22222222222222222222222222222222"
#define DONE "{\"do\":\"done\",\"id\":\"" ID2 "\",\"image\":0,\"annotator\":\"Ada\"}"

/* --- who is let in --- */

START_TEST(only_our_page_with_the_token_is_let_in)
{
    mm_web_request r = get("/api/state", ADA);
    ck_assert_uint_eq(ask(&r, NULL), 200);
    r.token = NULL;
    ck_assert_uint_eq(ask(&r, NULL), 401);
    r.query_token = TOKEN; /* counts for the page alone */
    ck_assert_uint_eq(ask(&r, NULL), 401);
    r.path = "/";
    ck_assert_uint_eq(ask(&r, NULL), 200);
    r.query_token = "1123456789abcdef0123456789abcdef";
    ck_assert_uint_eq(ask(&r, NULL), 401);
    r.path = "/nothing/here"; /* strangers do not learn what there is */
    ck_assert_uint_eq(ask(&r, NULL), 401);
    r = get("/api/state", ADA);
    r.host = "evil.org:8470"; /* rebound DNS */
    ck_assert_uint_eq(ask(&r, NULL), 403);
    r.host = NULL;
    ck_assert_uint_eq(ask(&r, NULL), 403);
    r = get("/api/state", ADA);
    r.origin = "http://evil.org";
    ck_assert_uint_eq(ask(&r, NULL), 403);
    r = get("/api/state", ADA);
    r.fetch_site = "cross-site";
    ck_assert_uint_eq(ask(&r, NULL), 403);
    r.fetch_site = "same-site"; /* another port of this machine */
    ck_assert_uint_eq(ask(&r, NULL), 403);
}
END_TEST

START_TEST(what_there_is_not)
{
    static const char *const paths[] = {"/x", "/api", "/api/", "/api/state/", "/../etc/passwd",
                                        "/api/photo/../../etc/passwd",
                                        "/api/photo/", "/api/photo/0/", "/api/photo/-1", "/api/photo/0x0",
                                            "/api/photo/ 0",
                                        "/api/photo/99999999999999999999", "/api/photo/\xff", "", "//"};
    for (size_t i = 0; i < sizeof paths / sizeof paths[0]; i++)
        ck_assert_msg(ask_get(paths[i], ADA) == 404, "%s", paths[i]);
    ck_assert_uint_eq(ask_get("/api/photo/3", ADA), 404);
    ck_assert_uint_eq(ask_get("/api/next", ADA), 405);
    ck_assert_uint_eq(ask_post("/api/state", ADA, "{}", NULL), 405);
    mm_web_request r = get("/api/state", ADA);
    r.method = "DELETE";
    ck_assert_uint_eq(ask(&r, NULL), 405);
    ck_assert_uint_eq(ask_get("/api/state", NULL), 400);
    ck_assert_uint_eq(ask_get("/api/state", "../../../../../../../../etc/pass"), 400);
}
END_TEST

START_TEST(bodies_have_a_length_a_kind_and_a_limit)
{
    mm_web_request r = post("/api/next", ADA, "{}");
    r.content_length = "2147483648";
    ck_assert_uint_eq(ask(&r, NULL), 413);
    r.content_length = "99999999999999999999999";
    ck_assert_uint_eq(ask(&r, NULL), 413);
    r.content_length = "-1";
    ck_assert_uint_eq(ask(&r, NULL), 400);
    r.content_length = NULL;
    ck_assert_uint_eq(ask(&r, NULL), 411);
    r.content_length = "2";
    r.transfer_encoding = "chunked";
    ck_assert_uint_eq(ask(&r, NULL), 411);
    r.transfer_encoding = NULL;
    r.content_type = "text/plain"; /* what a form of another page could send */
    ck_assert_uint_eq(ask(&r, NULL), 415);
    r.content_type = NULL;
    ck_assert_uint_eq(ask(&r, NULL), 415);
    r = get("/api/state", ADA);
    r.content_length = "1";
    ck_assert_uint_eq(ask(&r, NULL), 413);
    static const char *const bodies[] = {"", "x", "[]", "null", "7", "{", "{}x", "{\"a\":1,\"a\":2}",
                                         "{\"a\":\"\xff\"}"};
    for (size_t i = 0; i < sizeof bodies / sizeof bodies[0]; i++)
        ck_assert_msg(ask_post("/api/next", ADA, bodies[i], NULL) == 400, "%s", bodies[i]);
    char deep[4001]; /* brackets that would take a stack each */
    memset(deep, '[', 4000);
    deep[4000] = '\0';
    ck_assert_uint_eq(ask_post("/api/next", ADA, deep, NULL), 400);
}
END_TEST

START_TEST(one_page_may_ask_so_often)
{
    int good = 0;
    api.rate = 10;
    for (int i = 0; i < 100; i++)
        good += ask_get("/api/state", ADA) == 200;
    ck_assert_int_eq(good, 30);
    ck_assert_uint_eq(ask_get("/api/state", ADA), 429);
    ck_assert_uint_eq(ask_get("/api/state", BOB), 200); /* is not held up by her */
    now += 1;
    ck_assert_uint_eq(ask_get("/api/state", ADA), 200);
    mm_web_request stranger = get("/api/state", ADA);
    stranger.token = NULL;
    int told = 0;
    for (int i = 0; i < 200; i++)
        told += ask(&stranger, NULL) == 401;
    ck_assert_int_eq(told, 50);
    ck_assert_uint_eq(ask(&stranger, NULL), 429);
}
END_TEST

/* --- the work --- */

START_TEST(an_image_from_beginning_to_end)
{
    json_t *json;
    ck_assert_uint_eq(ask_post("/api/next", ADA, "{}", &json), 200);
    ck_assert_int_eq(json_integer_value(json_object_get(json, "image")), 0);
    ck_assert_int_eq(json_integer_value(json_object_get(json, "width")), WIDTH);
    ck_assert_str_eq(json_string_value(json_object_get(json, "name")), "a.jpg");
    json_decref(json);
    ck_assert_uint_eq(ask_get("/api/photo/0", ADA), 200);
    ck_assert_uint_eq(ask_post("/api/prompt", ADA, "{\"image\":0,\"points\":[[20,20,1]]}", &json), 200);
    const json_int_t result = json_integer_value(json_object_get(json, "result"));
    ck_assert_uint_eq(json_array_size(json_object_get(json, "masks")), 3);
    ck_assert(json_is_false(json_object_get(json, "earlier")));
    double last = 2;
    for (size_t i = 0; i < 3; i++) { /* best first */
        const double iou =
            json_number_value(json_object_get(json_array_get(json_object_get(json, "masks"), i), "predicted_iou"));
        ck_assert_double_le(iou, last);
        last = iou;
    }
    json_decref(json);
    char body[256];
    (void)snprintf(body, sizeof body, "{\"image\":0,\"points\":[[20,20,1],[5,5,0]],\"earlier\":%lld,\"mask\":1}",
                   (long long)result);
    ck_assert_uint_eq(ask_post("/api/prompt", ADA, body, &json), 200);
    ck_assert(json_is_true(json_object_get(json, "earlier")));
    json_decref(json);
    (void)snprintf(body, sizeof body, "{\"image\":0,\"box\":[1,2,30,40],\"earlier\":12345,\"mask\":1}");
    ck_assert_uint_eq(ask_post("/api/prompt", ADA, body, &json), 200);
    ck_assert(json_is_false(json_object_get(json, "earlier"))); /* of a server that is no more: goes without */
    json_decref(json);
    ck_assert_uint_eq(ask_post("/api/answer", ADA, accept_text(ID1, NULL), &json), 200);
    ck_assert(json_is_false(json_object_get(json, "again")));
    ck_assert_int_eq(json_integer_value(json_object_get(json_object_get(json, "progress"), "masks")), 1);
    json_decref(json);
    ck_assert_uint_eq(ask_post("/api/answer", ADA, accept_text(ID1, NULL), &json), 200);
    ck_assert(json_is_true(json_object_get(json, "again")));
    ck_assert_int_eq(json_integer_value(json_object_get(json_object_get(json, "progress"), "masks")), 1);
    json_decref(json);
    ck_assert_uint_eq(ask_post("/api/open", ADA, "{\"image\":0}", &json), 200);
    ck_assert_uint_eq(json_array_size(json_object_get(json, "masks")), 1);
    json_decref(json);
    ck_assert_uint_eq(ask_post("/api/answer", ADA, DONE, NULL), 200);
    /* b.jpg is no photograph: it is left out, and the next one comes. */
    ck_assert_uint_eq(ask_post("/api/next", ADA, "{\"after\":0}", &json), 200);
    ck_assert_int_eq(json_integer_value(json_object_get(json, "image")), 2);
    const json_t *progress = json_object_get(json, "progress");
    ck_assert_int_eq(json_integer_value(json_object_get(progress, "done")), 1);
    ck_assert_int_eq(json_integer_value(json_object_get(progress, "unusable")), 1);
    json_decref(json);
    ck_assert_uint_eq(ask_post("/api/next", BOB, "{}", &json), 200); /* nothing left for him */
    ck_assert(json_is_null(json_object_get(json, "image")));
    json_decref(json);
    close_studio();
    open_studio(); /* after a restart: what was accepted is there, what is done is done */
    ck_assert_uint_eq(ask_post("/api/beat", ADA, "{\"image\":2}", NULL), 200);
    ck_assert_uint_eq(ask_post("/api/open", BOB, "{\"image\":0}", &json), 200);
    ck_assert_uint_eq(json_array_size(json_object_get(json, "masks")), 1);
    json_decref(json);
    ck_assert_uint_eq(ask_post("/api/answer", ADA, accept_text(ID1, NULL), &json), 200); /* a reply that was lost */
    ck_assert(json_is_true(json_object_get(json, "again")));
    json_decref(json);
}
END_TEST

START_TEST(two_people_never_have_one_image)
{
    ck_assert_uint_eq(ask_post("/api/next", ADA, "{}", NULL), 200);
    ck_assert_uint_eq(ask_post("/api/open", BOB, "{\"image\":0}", NULL), 409);
    ck_assert_uint_eq(ask_get("/api/photo/0", BOB), 409);
    ck_assert_uint_eq(ask_post("/api/prompt", BOB, "{\"image\":0,\"points\":[[20,20,1]]}", NULL), 409);
    ck_assert_uint_eq(ask_post("/api/answer", BOB, accept_text(ID1, NULL), NULL), 409);
    ck_assert_uint_eq(mm_book_accepted(api.book), 0);
    now += 9;
    ck_assert_uint_eq(ask_post("/api/beat", ADA, "{\"image\":0}", NULL), 200);
    now += 9;
    ck_assert_uint_eq(ask_post("/api/beat", BOB, "{\"image\":0}", NULL), 409);
    now += 2; /* she went away */
    ck_assert_uint_eq(ask_post("/api/beat", BOB, "{\"image\":0}", NULL), 200);
    ck_assert_uint_eq(ask_post("/api/answer", ADA, accept_text(ID1, NULL), NULL), 409);
    ck_assert_uint_eq(ask_post("/api/leave", BOB, "{\"image\":0}", NULL), 200);
    ck_assert_uint_eq(ask_post("/api/answer", ADA, accept_text(ID1, NULL), NULL), 200);
}
END_TEST

START_TEST(bad_prompts_and_answers_are_refused)
{
    static const char *const prompts[] = {
        "{}", "{\"image\":0}", "{\"image\":\"0\",\"points\":[[1,1,1]]}", "{\"image\":-1,\"points\":[[1,1,1]]}",
        "{\"image\":3,\"points\":[[1,1,1]]}", "{\"image\":0,\"points\":[]}", "{\"image\":0,\"points\":{}}",
        "{\"image\":0,\"points\":[[1,1]]}", "{\"image\":0,\"points\":[[1,1,2]]}",
            "{\"image\":0,\"points\":[[1,1,true]]}",
        "{\"image\":0,\"points\":[[-0.5,1,1]]}", "{\"image\":0,\"points\":[[65,1,1]]}",
            "{\"image\":0,\"points\":[[1,49,1]]}",
        "{\"image\":0,\"points\":[[1e308,1,1]]}", "{\"image\":0,\"points\":[[\"1\",1,1]]}",
            "{\"image\":0,\"box\":[1,2,3]}",
        "{\"image\":0,\"box\":[3,2,3,4]}", "{\"image\":0,\"box\":[1,2,3,49]}", "{\"image\":0,\"box\":7}",
        "{\"image\":0,\"points\":[[1,1,1]],\"earlier\":1}",
            "{\"image\":0,\"points\":[[1,1,1]],\"earlier\":1,\"mask\":-1}",
        "{\"image\":0,\"points\":[[1,1,1]],\"earlier\":1,\"mask\":1000000}",
    };
    ck_assert_uint_eq(ask_post("/api/next", ADA, "{}", NULL), 200);
    for (size_t i = 0; i < sizeof prompts / sizeof prompts[0]; i++)
        ck_assert_msg(ask_post("/api/prompt", ADA, prompts[i], NULL) == 400, "%s", prompts[i]);
    char many[8192] = "{\"image\":0,\"points\":[[1,1,1]";
    for (int i = 0; i < 64; i++)
        strcat(many, ",[1,1,1]");
    strcat(many, "]}");
    ck_assert_uint_eq(ask_post("/api/prompt", ADA, many, NULL), 400);
    ck_assert_uint_eq(ask_post("/api/answer", ADA, accept_text(ID1, "mm-0-c0"), NULL), 400); /* none was shown */
    ck_assert_uint_eq(ask_post("/api/answer", ADA, accept_text(ID1, ID2), NULL), 409);       /* none was accepted */
    ck_assert_uint_eq(ask_post("/api/answer", ADA, accept_text("x", NULL), NULL), 400);
    ck_assert_uint_eq(ask_post("/api/answer", ADA,
                               "{\"do\":\"accept\",\"id\":\"" ID1 "\",\"image\":0,\"annotator\":\"Ada\","
                               "\"size\":[2,3],\"counts\":\"123\"}", NULL), 400); /* a mask of another size */
    ck_assert_uint_eq(mm_book_images(api.book), 0);
}
END_TEST

/* --- what nobody meant to send --- */

static uint32_t state = 12345;
static uint32_t roll(uint32_t sides)
{
    state ^= state << 13;
    state ^= state >> 17;
    state ^= state << 5;
    return state % sides;
}

static const char *mutate(const char *text, char *out, size_t room)
{
    static const char *const pieces[] = {"\"", "{", "}", "[", "]", "-", "1e999", "0", "null", "\\u0000", "\xc3",
                                         "/..", "%00",
                                         "99999999999999999999", ",", ":", "true", "\"image\":1,", "\n"};
    size_t length = strlen(text);
    if (length >= room - 64)
        length = room - 64;
    memcpy(out, text, length);
    for (uint32_t times = 1 + roll(3); times > 0; times--) {
        const size_t place = length ? roll((uint32_t)length) : 0;
        const char *piece = pieces[roll(sizeof pieces / sizeof pieces[0])];
        switch (roll(4)) {
        case 0:
            if (length)
                out[place] = (char)(1 + roll(255));
            break;
        case 1: /* cut a piece out */
            if (length) {
                const size_t gone = 1 + roll((uint32_t)(length - place));
                memmove(out + place, out + place + gone, length - place - gone);
                length -= gone;
            }
            break;
        case 2:
            if (length + strlen(piece) < room) {
                memmove(out + place + strlen(piece), out + place, length - place);
                memcpy(out + place, piece, strlen(piece));
                length += strlen(piece);
            }
            break;
        default:
            length = place;
        }
    }
    out[length] = '\0';
    return out;
}

#ifdef __SANITIZE_ADDRESS__
static const bool memory_is_told = false; /* freed memory is kept for a while; what is lost, the sanitizer tells */
#else
static const bool memory_is_told = true;
#endif

static size_t resident_pages(void)
{
    unsigned long all = 0, resident = 0;
    FILE *file = fopen("/proc/self/statm", "r");
    ck_assert_ptr_nonnull(file);
    ck_assert_int_eq(fscanf(file, "%lu %lu", &all, &resident), 2);
    (void)fclose(file);
    return resident;
}

static void send_mutated(int i)
{
    static const char *const posts[][2] = {
        {"/api/next", "{\"after\":0}"}, {"/api/open", "{\"image\":0}"}, {"/api/beat", "{\"image\":2}"},
        {"/api/leave", "{\"image\":2}"}, {"/api/prompt",
                                          "{\"image\":0,\"points\":[[20,20.5,1],[3,4,0]],\"box\":[1,2,30,40]}"},
        {"/api/answer", NULL}, {"/api/answer", DONE},
        {"/api/answer",
         "{\"do\":\"delete\",\"id\":\"" ID2 "\",\"image\":0,\"annotator\":\"Ada\",\"mask\":\"" ID1 "\"}"},
    };
    char path[128], body[2048], token[128], length[32];
    const size_t which = roll(8);
    const char *valid = posts[which][1] ? posts[which][1] : accept_text(ID1, NULL);
    mm_web_request r = post(posts[which][0], ADA, valid);
    switch (i % 8) {
    case 0:
        r.path = mutate(r.path, path, sizeof path);
        break;
    case 1:
        r.token = mutate(TOKEN, token, sizeof token);
        break;
    case 2:
        r.session = mutate(ADA, token, sizeof token);
        break;
    case 3:
        r.host = mutate(r.host, token, sizeof token);
        break;
    case 4:
        r.origin = mutate(r.origin, token, sizeof token);
        break;
    default:
        r.body = mutate(valid, body, sizeof body);
        r.body_size = strlen(body);
        (void)snprintf(length, sizeof length, "%zu", r.body_size);
        r.content_length = length;
    }
    const unsigned status = ask(&r, NULL);
    static const unsigned right[] = {200, 400, 401, 403, 404, 405, 409, 429};
    bool is_right = false;
    for (size_t k = 0; k < sizeof right / sizeof right[0]; k++)
        is_right = is_right || status == right[k];
    ck_assert_msg(is_right, "status %u for %s %s %s", status, r.method, r.path, r.body);
    now += 1; /* sessions come and go */
}

START_TEST(ten_thousand_mutations)
{
    ck_assert_uint_eq(ask_post("/api/next", ADA, "{}", NULL), 200);
    for (int i = 0; i < 1000; i++)
        send_mutated(i);
    const size_t before = resident_pages();
    for (int i = 1000; i < 10000; i++)
        send_mutated(i);
    const size_t after = resident_pages();
    ck_assert_msg(!memory_is_told || after < before + 4096, "memory grew from %zu to %zu pages", before, after); /* 16 MB */
    ck_assert_uint_eq(ask_get("/api/state", ADA), 200);
    /* What is in the book is still a book. */
    close_studio();
    open_studio();
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("annotate api");
    TCase *tests = tcase_create("api");
    tcase_add_checked_fixture(tests, set_up, tear_down);
    tcase_set_timeout(tests, 300);
    tcase_add_test(tests, only_our_page_with_the_token_is_let_in);
    tcase_add_test(tests, what_there_is_not);
    tcase_add_test(tests, bodies_have_a_length_a_kind_and_a_limit);
    tcase_add_test(tests, one_page_may_ask_so_often);
    tcase_add_test(tests, an_image_from_beginning_to_end);
    tcase_add_test(tests, two_people_never_have_one_image);
    tcase_add_test(tests, bad_prompts_and_answers_are_refused);
    tcase_add_test(tests, ten_thousand_mutations);
    suite_add_tcase(suite, tests);
    return mm_check_main(suite);
}
