#include "annotate/server.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <microhttpd.h>

#include "base/clock.h"

enum { HEADERS_MOST = 16 << 10, IDLE_SECONDS = 20, STACK = 1 << 20, BACKLOG = 64 };

/* A connection, in a list that the reaper goes through. */
typedef struct line {
    struct line *next, **link;
    int fd;
    double since; /* the request at hand, or the wait for one, began */
    bool working; /* the request is here whole and is being answered */
} line;

struct mm_server {
    mm_server_options options;
    int fd;
    mm_api *api;
    const mm_page *page;
    struct MHD_Daemon *daemon;
    pthread_mutex_t mutex; /* over the list and `stop` */
    pthread_cond_t stopped;
    line *lines;
    bool stop, reaps;
    pthread_t reaper;
};

/* --- connections that take too long ---
 * The library's own limit is on silence only; a byte now and then would keep a connection for ever. */

static void lock(mm_server *server)
{
    (void)pthread_mutex_lock(&server->mutex); /* fails for mutexes that are none */
}

static void unlock(mm_server *server)
{
    (void)pthread_mutex_unlock(&server->mutex);
}

static void on_connection(void *user, struct MHD_Connection *connection, void **context,
                          enum MHD_ConnectionNotificationCode code)
{
    mm_server *server = user;
    if (code == MHD_CONNECTION_NOTIFY_STARTED) {
        const union MHD_ConnectionInfo *info = MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD);
        line *made = info ? calloc(1, sizeof *made) : NULL;
        *context = made;
        if (!made)
            return; /* then only silence ends it */
        lock(server);
        *made = (line){.next = server->lines, .link = &server->lines, .fd = info->connect_fd, .since = mm_seconds_now()};
        if (server->lines)
            server->lines->link = &made->next;
        server->lines = made;
        unlock(server);
        return;
    }
    line *gone = *context;
    if (!gone)
        return;
    lock(server);
    *gone->link = gone->next;
    if (gone->next)
        gone->next->link = gone->link;
    unlock(server);
    free(gone);
    *context = NULL;
}

static void mark(mm_server *server, struct MHD_Connection *connection, bool working)
{
    const union MHD_ConnectionInfo *info = MHD_get_connection_info(connection, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
    line *l = info ? info->socket_context : NULL;
    if (!l)
        return;
    lock(server);
    l->working = working;
    l->since = mm_seconds_now();
    unlock(server);
}

static void *reap(void *user)
{
    mm_server *server = user;
    lock(server);
    while (!server->stop) {
        struct timespec until = {0};
        if (clock_gettime(CLOCK_REALTIME, &until) == 0)
            until.tv_sec += 1;
        (void)pthread_cond_timedwait(&server->stopped, &server->mutex, &until);
        const double now = mm_seconds_now();
        for (line *l = server->lines; l; l = l->next)
            if (!l->working && now - l->since > server->options.request_seconds)
                (void)shutdown(l->fd, SHUT_RDWR); /* its thread sees the end, and closes it */
    }
    unlock(server);
    return NULL;
}

/* --- requests --- */

typedef struct exchange {
    mm_web_request request;
    char *body;
    size_t used, most;
} exchange;

static const char *header(struct MHD_Connection *connection, const char *name)
{
    return MHD_lookup_connection_value(connection, MHD_HEADER_KIND, name);
}

static enum MHD_Result send_reply(mm_server *server, struct MHD_Connection *connection, mm_web_reply *reply)
{
    static const char *const always[][2] = {
        {"Cache-Control", "no-store"},
        {"X-Content-Type-Options", "nosniff"},
        {"Referrer-Policy", "no-referrer"},
        {"X-Frame-Options", "DENY"},
        {"Cross-Origin-Resource-Policy", "same-origin"},
        {"Cross-Origin-Opener-Policy", "same-origin"},
    };
    struct MHD_Response *response =
        MHD_create_response_from_buffer(reply->size, reply->body,
                                        reply->body ? MHD_RESPMEM_MUST_FREE : MHD_RESPMEM_PERSISTENT);
    if (!response) {
        mm_web_reply_free(reply);
        return MHD_NO;
    }
    bool good = true;
    for (size_t i = 0; i < sizeof always / sizeof always[0]; i++)
        good = good && MHD_add_response_header(response, always[i][0], always[i][1]) == MHD_YES;
    if (reply->type)
        good = good && MHD_add_response_header(response, "Content-Type", reply->type) == MHD_YES;
    good = good && MHD_add_response_header(response, "Content-Security-Policy",
                                           reply->is_page ? server->page->policy : "default-src 'none'") == MHD_YES;
    if (reply->retry_after) {
        char seconds[16];
        (void)snprintf(seconds, sizeof seconds, "%u", reply->retry_after);
        good = good && MHD_add_response_header(response, "Retry-After", seconds) == MHD_YES;
    }
    const enum MHD_Result result = good ? MHD_queue_response(connection, reply->status, response) : MHD_NO;
    MHD_destroy_response(response);
    *reply = (mm_web_reply){0}; /* the body was handed over */
    return result;
}

static enum MHD_Result begin(mm_server *server, struct MHD_Connection *connection, const char *method, const char *path,
                             void **context)
{
    exchange *made = calloc(1, sizeof *made);
    mm_web_reply reply;
    if (!made)
        return MHD_NO;
    *context = made;
    /* These texts live as long as the request. */
    made->request = (mm_web_request){
        .method = method,
        .path = path,
        .query_token = MHD_lookup_connection_value(connection, MHD_GET_ARGUMENT_KIND, "token"),
        .token = header(connection, "X-Maskmill-Token"),
        .session = header(connection, "X-Maskmill-Session"),
        .host = header(connection, MHD_HTTP_HEADER_HOST),
        .origin = header(connection, MHD_HTTP_HEADER_ORIGIN),
        .fetch_site = header(connection, "Sec-Fetch-Site"),
        .content_type = header(connection, MHD_HTTP_HEADER_CONTENT_TYPE),
        .content_length = header(connection, MHD_HTTP_HEADER_CONTENT_LENGTH),
        .transfer_encoding = header(connection, MHD_HTTP_HEADER_TRANSFER_ENCODING),
    };
    mark(server, connection, false);
    if (!mm_api_admit(server->api, &made->request, mm_seconds_now(), &made->most, &reply))
        return send_reply(server, connection, &reply); /* what it still sends is not read: the connection is closed */
    made->body = malloc(1);
    return made->body ? MHD_YES : MHD_NO;
}

static enum MHD_Result add_body(exchange *e, const char *data, size_t size)
{
    if (size > e->most - e->used)
        return MHD_NO; /* more than it said: no reply fits */
    char *more = realloc(e->body, e->used + size + 1);
    if (!more)
        return MHD_NO;
    memcpy(more + e->used, data, size);
    e->body = more;
    e->used += size;
    return MHD_YES;
}

static enum MHD_Result on_request(void *user, struct MHD_Connection *connection, const char *url, const char *method,
                                  const char *version, const char *data, size_t *size, void **context)
{
    mm_server *server = user;
    exchange *e = *context;
    mm_web_reply reply;
    (void)version;
    if (!e)
        return begin(server, connection, method, url, context);
    if (*size > 0) {
        const enum MHD_Result result = add_body(e, data, *size);
        *size = 0;
        return result;
    }
    mark(server, connection, true);
    e->request.path = url;
    e->request.body = e->body;
    e->request.body_size = e->used;
    mm_api_answer(server->api, &e->request, mm_seconds_now(), &reply);
    if (reply.is_page) {
        reply.body = malloc(server->page->size + 1);
        if (!reply.body)
            return MHD_NO;
        memcpy(reply.body, server->page->html, server->page->size);
        reply.size = server->page->size;
    }
    return send_reply(server, connection, &reply);
}

static void on_completed(void *user, struct MHD_Connection *connection, void **context,
                         enum MHD_RequestTerminationCode code)
{
    exchange *e = *context;
    (void)code;
    mark(user, connection, false);
    if (!e)
        return;
    free(e->body);
    free(e);
    *context = NULL;
}

/* --- start and stop --- */

static mm_status listen_at(const mm_server_options *options, int *fd, uint16_t *port, mm_error *err)
{
    char service[8];
    const int yes = 1;
    struct addrinfo *found = NULL;
    struct sockaddr_storage bound;
    socklen_t size = sizeof bound;
    const struct addrinfo hints = {.ai_flags = AI_NUMERICHOST | AI_NUMERICSERV | AI_PASSIVE,
                                   .ai_socktype = SOCK_STREAM};
    (void)snprintf(service, sizeof service, "%u", options->port);
    if (getaddrinfo(options->address, service, &hints, &found) != 0 || !found)
        return mm_fail(err, MM_ERR_USAGE, "--bind %.80s: give an address in numbers, such as 127.0.0.1 or ::1",
                       options->address);
    mm_status status = MM_OK;
    *fd = socket(found->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (*fd < 0 || setsockopt(*fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes) != 0)
        status = mm_fail_errno(err, "a socket");
    else if (bind(*fd, found->ai_addr, found->ai_addrlen) != 0 || listen(*fd, BACKLOG) != 0)
        status = errno == EADDRINUSE
                     ? mm_fail(err, MM_ERR_USAGE, "port %u of %s is in use; give another --port", options->port,
                               options->address)
                     : mm_fail_errno(err, "%s, port %u", options->address, options->port);
    else if (getsockname(*fd, (struct sockaddr *)&bound, &size) != 0)
        status = mm_fail_errno(err, "a socket");
    else
        *port = ntohs(bound.ss_family == AF_INET6 ? ((struct sockaddr_in6 *)&bound)->sin6_port
                                                  : ((struct sockaddr_in *)&bound)->sin_port);
    freeaddrinfo(found);
    return status;
}

mm_status mm_server_bind(const mm_server_options *options, mm_server **server, uint16_t *port, mm_error *err)
{
    mm_server *made = calloc(1, sizeof *made);
    *server = NULL;
    if (!made)
        return mm_fail_memory(err, "the server");
    made->fd = -1;
    made->options = *options;
    if (pthread_mutex_init(&made->mutex, NULL) != 0 || pthread_cond_init(&made->stopped, NULL) != 0) {
        free(made);
        return mm_fail_memory(err, "the server");
    }
    const mm_status status = listen_at(options, &made->fd, port, err);
    if (status != MM_OK) {
        mm_server_stop(made);
        return status;
    }
    *server = made;
    return MM_OK;
}

mm_status mm_server_start(mm_server *server, mm_api *api, const mm_page *page, mm_error *err)
{
    server->api = api;
    server->page = page;
    if ((errno = pthread_create(&server->reaper, NULL, reap, server)) != 0)
        return mm_fail_errno(err, "starting the server");
    server->reaps = true;
    server->daemon = MHD_start_daemon(
        MHD_USE_THREAD_PER_CONNECTION | MHD_USE_INTERNAL_POLLING_THREAD | MHD_USE_POLL | MHD_USE_ITC, 0, NULL, NULL,
        on_request, server, MHD_OPTION_LISTEN_SOCKET, server->fd, MHD_OPTION_CONNECTION_LIMIT,
            server->options.connections,
        MHD_OPTION_PER_IP_CONNECTION_LIMIT, server->options.per_address, /* 0: no limit */
        MHD_OPTION_CONNECTION_TIMEOUT, (unsigned)IDLE_SECONDS, MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)HEADERS_MOST,
        MHD_OPTION_THREAD_STACK_SIZE, (size_t)STACK, MHD_OPTION_NOTIFY_CONNECTION, on_connection, server,
        MHD_OPTION_NOTIFY_COMPLETED, on_completed, server, MHD_OPTION_STRICT_FOR_CLIENT, 1, MHD_OPTION_END);
    if (!server->daemon)
        return mm_fail(err, MM_ERR_IO, "the server could not be started");
    server->fd = -1; /* the library closes it */
    return MM_OK;
}

void mm_server_stop(mm_server *server)
{
    if (!server)
        return;
    if (server->daemon)
        MHD_stop_daemon(server->daemon);
    lock(server);
    server->stop = true;
    (void)pthread_cond_broadcast(&server->stopped);
    unlock(server);
    if (server->reaps)
        (void)pthread_join(server->reaper, NULL);
    if (server->fd >= 0)
        (void)close(server->fd);
    (void)pthread_mutex_destroy(&server->mutex);
    (void)pthread_cond_destroy(&server->stopped);
    free(server);
}
