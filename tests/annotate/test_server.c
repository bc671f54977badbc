/* The server over real connections: what comes slowly, by halves, or far too long. */
#include "check_main.h"
#include "studio.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/time.h>

#include "annotate/server.h"

static mm_server *server;
static mm_page page;
static uint16_t port;

static void start_for(unsigned connections, unsigned per_address, double request_seconds)
{
    const mm_server_options options = {.address = "127.0.0.1", .connections = connections, .per_address = per_address,
                                       .request_seconds = request_seconds};
    ck_assert_int_eq(mm_server_bind(&options, &server, &port, &err), MM_OK);
    ck_assert_int_eq(mm_own_names_make("127.0.0.1", port, NULL, &api.names, &err), MM_OK);
    ck_assert_int_eq(mm_page_make(&page, &err), MM_OK);
    ck_assert_int_eq(mm_server_start(server, &api, &page, &err), MM_OK);
}

static void start(unsigned connections, double request_seconds)
{
    start_for(connections, 0, request_seconds);
}

static void stop(void)
{
    mm_desk_stop(api.desk);
    mm_server_stop(server);
    mm_page_free(&page);
}

/* From 127.0.0.`from`. */
static int connect_from(unsigned char from)
{
    const struct sockaddr_in ours = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(0x7f000000U | from)};
    const struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port),
                                        .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    const struct timeval patience = {.tv_sec = 60};
    const int fd = socket(AF_INET, SOCK_STREAM, 0);
    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience), 0);
    ck_assert_int_eq(bind(fd, (const struct sockaddr *)&ours, sizeof ours), 0);
    ck_assert_int_eq(connect(fd, (const struct sockaddr *)&address, sizeof address), 0);
    return fd;
}

static int connect_to(void)
{
    return connect_from(1);
}

static void say(int fd, const char *text)
{
    ck_assert_int_eq(send(fd, text, strlen(text), MSG_NOSIGNAL), (ssize_t)strlen(text));
}

/* The status of the reply, and that the connection ends; 0 if it ended without one. */
static unsigned hear(int fd, char *text, size_t room)
{
    size_t used = 0;
    unsigned status = 0;
    for (;;) {
        const ssize_t got = recv(fd, text + used, room - 1 - used, 0);
        ck_assert_msg(got >= 0 || errno == ECONNRESET, "no reply in a minute");
        if (got <= 0)
            break;
        used += (size_t)got;
        if (used == room - 1)
            break;
    }
    text[used] = '\0';
    (void)close(fd);
    return sscanf(text, "HTTP/1.1 %u", &status) == 1 ? status : 0;
}

static char text[200000];

/* A request with everything right but what is given: `line` and further headers. */
static unsigned ask_raw(const char *line, const char *headers, const char *body)
{
    char request[4096];
    ssize_t sent;
    (void)snprintf(request, sizeof request, "%s HTTP/1.1\r\nHost: 127.0.0.1:%u\r\nX-Maskmill-Token: " TOKEN
                   "\r\nX-Maskmill-Session: " ADA "\r\nConnection: close\r\n%s\r\n%s", line, port, headers, body);
    const int fd = connect_to();
    sent = send(fd, request, strlen(request), MSG_NOSIGNAL); /* where all places are taken it is hung up on at once */
    ck_assert(sent == (ssize_t)strlen(request) || errno == EPIPE || errno == ECONNRESET);
    return hear(fd, text, sizeof text);
}

#define JSON "Content-Type: application/json\r\n"

START_TEST(the_page_comes_with_its_policy)
{
    char request[256];
    start(16, 60);
    (void)snprintf(request, sizeof request,
                   "GET /?token=" TOKEN " HTTP/1.1\r\nHost: localhost:%u\r\nConnection: close\r\n\r\n",
                   port);
    const int fd = connect_to();
    say(fd, request);
    ck_assert_uint_eq(hear(fd, text, sizeof text), 200);
    ck_assert_ptr_nonnull(strstr(text, "default-src 'none'"));
    ck_assert_ptr_null(strstr(text, "unsafe"));
    ck_assert_ptr_nonnull(strstr(text, "nosniff"));
    ck_assert_ptr_nonnull(strstr(text, "no-referrer"));
    ck_assert_ptr_nonnull(strstr(text, "<canvas"));
    ck_assert_ptr_nonnull(strstr(text, "class View"));
    ck_assert_ptr_null(strstr(text, "http://")); /* nothing from elsewhere */
    ck_assert_ptr_null(strstr(text, "https://"));
    ck_assert_ptr_null(strstr(text, TOKEN));
    stop();
}
END_TEST

START_TEST(requests_over_a_connection)
{
    start(16, 60);
    ck_assert_uint_eq(ask_raw("GET /api/state", "", ""), 200);
    ck_assert_uint_eq(ask_raw("POST /api/next", JSON "Content-Length: 2\r\n", "{}"), 200);
    ck_assert_ptr_nonnull(strstr(text, "\"image\":0"));
    ck_assert_uint_eq(ask_raw("GET /api/photo/0", "", ""), 200);
    ck_assert_ptr_nonnull(strstr(text, "image/jpeg"));
    ck_assert_uint_eq(ask_raw("GET /%2e%2e/%2e%2e/etc/passwd", "", ""), 404);
    ck_assert_uint_eq(ask_raw("GET /api/photo/..%2f..%2fetc%2fpasswd", "", ""), 404);
    ck_assert_uint_eq(ask_raw("GET http://127.0.0.1/etc/passwd", "", ""), 404);
    ck_assert_uint_eq(ask_raw("GET /api/state", "Origin: http://evil.org\r\n", ""), 403);
    ck_assert_uint_eq(ask_raw("OPTIONS /api/state", "Origin: http://evil.org\r\n", ""), 403);
    ck_assert_uint_eq(ask_raw("TRACE /api/state", "", ""), 405);
    stop();
}
END_TEST

START_TEST(too_much_is_refused_before_it_comes)
{
    start(16, 60);
    ck_assert_uint_eq(ask_raw("POST /api/answer", JSON "Content-Length: 2147483648\r\n", "{"), 413);
    ck_assert_uint_eq(ask_raw("POST /api/prompt", JSON "Content-Length: 65537\r\n", "{"), 413);
    ck_assert_uint_eq(ask_raw("POST /api/answer", JSON "Transfer-Encoding: chunked\r\n", "2\r\n{}\r\n0\r\n\r\n"), 411);
    const unsigned negative = ask_raw("POST /api/answer", JSON "Content-Length: -5\r\n", "{");
    ck_assert_msg(negative == 0 || negative == 400, "%u", negative);
    char *headers = malloc(100000); /* longer than any that a browser sends */
    memset(headers, 'x', 99999);
    headers[99999] = '\0';
    const int fd = connect_to();
    say(fd, "GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nCookie: ");
    for (int i = 0; i < 10; i++)
        if (send(fd, headers, 99999, MSG_NOSIGNAL) < 0)
            break; /* it has hung up, as it should */
    const unsigned status = hear(fd, text, sizeof text);
    ck_assert_msg(status == 0 || status == 413 || status == 431, "%u", status);
    free(headers);
    ck_assert_uint_eq(ask_raw("GET /api/state", "", ""), 200);
    stop();
}
END_TEST

/* Connections that say nothing, or half of it, hold their places only for a while. */
START_TEST(half_open_connections_are_cut)
{
    enum { PLACES = 8 };
    int fds[PLACES];
    char half[4];
    start(PLACES, 1);
    for (int i = 0; i < PLACES; i++) {
        fds[i] = connect_to();
        if (i % 3 == 1)
            say(fds[i], "GET /api/state HTTP/1.1\r\nHo");
        if (i % 3 == 2)
            say(fds[i], "POST /api/next HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 50\r\n\r\n{");
    }
    unsigned status = 0;
    for (int i = 0; i < 1000 && status != 200; i++) { /* hung up on, until one of them has been cut */
        ck_assert_msg(status == 0, "%u", status);
        status = ask_raw("GET /api/state", "", "");
        (void)usleep(50000);
    }
    ck_assert_uint_eq(status, 200);
    for (int i = 0; i < PLACES; i++) {
        if (i % 3 != 2) /* those were told no at once: they gave no token */
            ck_assert_int_le(recv(fds[i], half, sizeof half, 0), 0);
        (void)close(fds[i]);
    }
    ck_assert_uint_eq(ask_raw("GET /api/state", "", ""), 200);
    stop();
}
END_TEST

/* One address cannot hold all places. */
START_TEST(an_address_has_its_share_of_connections)
{
    int fds[2];
    start_for(8, 2, 60);
    for (int i = 0; i < 2; i++) {
        fds[i] = connect_to();
        say(fds[i], "GET /");
    }
    const int third = connect_to(), other = connect_from(2);
    ck_assert_int_le(recv(third, text, sizeof text, 0), 0);
    say(other, "GET /nothing HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n");
    ck_assert_uint_eq(hear(other, text, sizeof text), 403);
    (void)close(third);
    (void)close(fds[0]);
    (void)close(fds[1]);
    stop();
}
END_TEST

START_TEST(garbage_does_no_harm)
{
    static const char *const garbage[] = {"\r\n\r\n", "GET\r\n\r\n", "\x16\x03\x01\x02", "GET / HTTP/9.9\r\n\r\n",
                                          "GET / HTTP/1.1\r\nHost\r\n\r\n", "GET / HTTP/1.1\r\n: x\r\n\r\n",
                                          "GET /\xff\xfe HTTP/1.1\r\nHost: x\r\n\r\n",
                                              "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
                                          "GET / HTTP/1.1\r\n\r\n"};
    start(32, 1);
    for (size_t i = 0; i < sizeof garbage / sizeof garbage[0]; i++) {
        const int fd = connect_to();
        say(fd, garbage[i]);
        (void)shutdown(fd, SHUT_WR);
        const unsigned status = hear(fd, text, sizeof text);
        ck_assert_msg(status == 0 || (status >= 400 && status < 600), "%u for garbage %zu", status, i);
    }
    ck_assert_uint_eq(ask_raw("GET /api/state", "", ""), 200);
    stop();
}
END_TEST

START_TEST(addresses_and_ports)
{
    mm_server *second;
    uint16_t got;
    start(4, 60);
    const mm_server_options taken = {.address = "127.0.0.1", .port = port, .connections = 4, .request_seconds = 60};
    ck_assert_int_eq(mm_server_bind(&taken, &second, &got, &err), MM_ERR_USAGE);
    const mm_server_options name = {.address = "localhost", .connections = 4, .request_seconds = 60};
    ck_assert_int_eq(mm_server_bind(&name, &second, &got, &err), MM_ERR_USAGE);
    ck_assert_ptr_null(second);
    stop();
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("annotate server");
    TCase *tests = tcase_create("server");
    tcase_add_checked_fixture(tests, set_up, tear_down);
    tcase_set_timeout(tests, 300);
    tcase_add_test(tests, the_page_comes_with_its_policy);
    tcase_add_test(tests, requests_over_a_connection);
    tcase_add_test(tests, too_much_is_refused_before_it_comes);
    tcase_add_test(tests, half_open_connections_are_cut);
    tcase_add_test(tests, an_address_has_its_share_of_connections);
    tcase_add_test(tests, garbage_does_no_harm);
    tcase_add_test(tests, addresses_and_ports);
    suite_add_tcase(suite, tests);
    return mm_check_main(suite);
}
