/* annotate: a server and a page, on which people draw masks with the model's help. This file brings the parts together:
 * source (images), desk (images at hand, workers), book (answers), leases (who has what), api (requests), server
 * (HTTP). */
#include "maskmill/annotate.h"

#include <inttypes.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "annotate/server.h"
#include "annotate/session.h"
#include "base/clock.h"
#include "maskmill/engine.h"

enum { PLACES = 32, CONNECTIONS = 256, CONNECTIONS_EACH = 64, REQUEST_SECONDS = 60, LEASE_SECONDS = 120, RATE = 40 };

static mm_status find_answers(const mm_annotate_source *what, char path[PATH_MAX], mm_error *err)
{
    static const char name[] = "answers.mma";
    char inner[PATH_MAX];
    struct stat info;
    int length = snprintf(inner, sizeof inner, "%s/queue.h5", what->path);
    const bool is_queue = length > 0 && length < PATH_MAX && stat(inner, &info) == 0;
    if (what->answers)
        length = snprintf(path, PATH_MAX, "%s", what->answers);
    else if (is_queue)
        length = snprintf(path, PATH_MAX, "%s/%s", what->path, name);
    else
        length = snprintf(path, PATH_MAX, "%s", name);
    return length > 0 && length < PATH_MAX - 8 ? MM_OK : mm_fail(err, MM_ERR_LIMIT, "the journal's path is too long");
}

mm_status mm_annotate_open(const mm_annotate_source *what, bool needs_model, mm_annotate_session *session,
                           mm_error *err)
{
    mm_config config = mm_config_defaults();
    *session = (mm_annotate_session){0};
    mm_status status = find_answers(what, session->answers_path, err);
    if (status == MM_OK) {
        status = mm_checkpoint_locate(what->model ? what->model : "default", session->model_path,
                                      sizeof session->model_path, needs_model ? err : NULL);
        if (status == MM_OK)
            status = mm_config_load_for(session->model_path, what->config, what->sets, what->set_count, &config, NULL,
                                        err);
        else if (!needs_model)
            status = mm_config_load(what->config, what->sets, what->set_count, &config, err);
    }
    return status == MM_OK ? mm_source_open(what->path, what->corpus, &config, &session->source, err) : status;
}

/* --- the server --- */

typedef struct serving {
    mm_annotate_session session;
    mm_model *model;
    mm_api api;
    mm_page page;
    mm_server *server;
    uint16_t port;
    bool has_mutexes;
} serving;

static void close_all(serving *s)
{
    if (s->api.desk)
        mm_desk_stop(s->api.desk); /* requests that wait come to their end */
    mm_server_stop(s->server);
    mm_desk_free(s->api.desk);
    mm_book_close(s->api.book);
    mm_leases_free(s->api.leases);
    mm_page_free(&s->page);
    mm_source_close(s->session.source);
    mm_model_close(s->model);
    if (s->has_mutexes) {
        (void)pthread_mutex_destroy(&s->api.lease_mutex);
        (void)pthread_mutex_destroy(&s->api.book_mutex);
    }
}

/* What earlier answers say of the images. */
static void take_verdicts(mm_api *api)
{
    for (size_t i = 0; i < mm_book_images(api->book); i++) {
        const uint64_t image = mm_book_image(api->book, i);
        const mm_answer_kind verdict = mm_book_verdict(api->book, image);
        uint64_t index;
        if (verdict != MM_ANSWER_KINDS && mm_source_find(api->source, image, &index))
            mm_task_set(api->leases, index, verdict == MM_ANSWER_DONE ? MM_TASK_DONE : MM_TASK_SKIPPED);
    }
}

static mm_status open_book(serving *s, const mm_annotate_options *options, mm_error *err)
{
    char token_path[PATH_MAX];
    uint64_t cut = 0;
    mm_api *api = &s->api;
    const mm_book_head head = mm_source_head(s->session.source);
    mm_status status = mm_book_open(s->session.answers_path, &head, false, &api->book, &cut, err);
    if (status == MM_OK && cut > 0 && !options->quiet)
        (void)fprintf(stderr, "maskmill: %s: %" PRIu64 " bytes of an answer that was never confirmed were cut off\n",
                      s->session.answers_path, cut);
    if (status == MM_OK)
        status = mm_leases_new(mm_source_count(s->session.source), api->lease_seconds, &api->leases, err);
    if (status != MM_OK)
        return status;
    take_verdicts(api);
    (void)snprintf(token_path, sizeof token_path, "%.4088s.token",
                   s->session.answers_path); /* fits: see find_answers */
    return mm_token_keep(token_path, api->token, err);
}

static uint32_t workers_wanted(uint32_t asked)
{
    const long cores = sysconf(_SC_NPROCESSORS_ONLN);
    const uint32_t one_each = cores > 2 && cores < 1024 ? (uint32_t)cores : 2;
    return asked ? asked : one_each;
}

static mm_status open_desk(serving *s, const mm_annotate_options *options, mm_error *err)
{
    const mm_model_options model = {.config_path = options->source.model_config, .kernels = options->kernels};
    mm_status status = mm_model_open(s->session.model_path, &model, &s->model, err);
    if (status != MM_OK)
        return status;
    const uint32_t workers = workers_wanted(options->workers);
    const mm_desk_options desk = {.model = s->model, .source = s->session.source, .cache = options->embeddings,
                                  .workers = workers, .images = options->images ? options->images : PLACES,
                                  .hot = workers > 8 ? workers : 8};
    return mm_desk_new(&desk, &s->api.desk, err);
}

static bool is_loopback(const char *address)
{
    return !address || strncmp(address, "127.", 4) == 0 || strcmp(address, "::1") == 0;
}

/* A port that is taken, an address that is none, a journal in use: all of it is found before the model is loaded. */
static mm_status open_all(serving *s, const mm_annotate_options *options, mm_error *err)
{
    const char *address = options->address ? options->address : "127.0.0.1";
    const bool has_peers = !is_loopback(address) && !options->origin; /* who come one by one, and not from a proxy */
    const mm_server_options server = {.address = address, .port = options->port, .connections = CONNECTIONS,
                                      .per_address = has_peers ? CONNECTIONS_EACH : 0, .request_seconds = REQUEST_SECONDS};
    mm_api *api = &s->api;
    api->lease_seconds = options->lease_seconds > 0 ? options->lease_seconds : LEASE_SECONDS;
    api->rate = options->rate < 0 ? 0 : options->rate > 0 ? options->rate : RATE;
    api->quiet = options->quiet;
    mm_status status = mm_server_bind(&server, &s->server, &s->port, err);
    if (status == MM_OK)
        status = mm_own_names_make(address, s->port, options->origin, &api->names, err);
    if (status == MM_OK)
        status = mm_annotate_open(&options->source, true, &s->session, err);
    if (status == MM_OK) {
        api->source = s->session.source;
        status = open_book(s, options, err);
    }
    if (status == MM_OK)
        status = mm_page_make(&s->page, err);
    if (status == MM_OK)
        status = open_desk(s, options, err);
    if (status != MM_OK)
        return status;
    const char *slash = strrchr(options->source.path, '/');
    api->source_name = slash && slash[1] ? slash + 1 : options->source.path;
    api->model_name = mm_model_arch(s->model)->name;
    mm_bucket_fill(&api->strangers, 1, mm_seconds_now());
    return mm_server_start(s->server, api, &s->page, err);
}

/* What ends the server: held back in all threads, those that libraries have started already included, and waited for in
 * this one. */
static mm_status hold_signals(sigset_t *held, mm_error *err)
{
    if (sigemptyset(held) != 0 || sigaddset(held, SIGINT) != 0 || sigaddset(held, SIGTERM) != 0 ||
        sigaddset(held, SIGUSR1) != 0)
        return mm_fail_errno(err, "signals");
    return mm_engine_hold_signals(err);
}

static mm_status tell(const serving *s, const mm_annotate_options *options, FILE *out, mm_error *err)
{
    const char *address = options->address ? options->address : "127.0.0.1";
    const bool is_six = strchr(address, ':') != NULL;
    if (!is_loopback(options->address) && !options->quiet)
        (void)fprintf(stderr,
                      "maskmill: note: anyone on the way can read what goes to %s; docs/annotate.md shows a proxy "
                      "with TLS\n", address);
    if (!options->quiet)
        (void)fprintf(stderr, "maskmill: %" PRIu64 " images; answers go to %s\n", mm_source_count(s->session.source),
                      s->session.answers_path);
    if (options->origin)
        (void)fprintf(out, "%s/?token=%s\n", options->origin, s->api.token);
    else
        (void)fprintf(out, is_six ? "http://[%s]:%u/?token=%s\n" : "http://%s:%u/?token=%s\n", address, s->port,
                      s->api.token);
    return fflush(out) == 0 ? MM_OK : mm_fail_errno(err, "standard output");
}

mm_status mm_annotate(const mm_annotate_options *options, FILE *out, mm_error *err)
{
    serving s = {0};
    sigset_t held;
    int signal_number = 0;
    mm_status status = hold_signals(&held, err);
    if (status == MM_OK && (pthread_mutex_init(&s.api.lease_mutex, NULL) != 0 ||
                            pthread_mutex_init(&s.api.book_mutex, NULL) != 0))
        return mm_fail_memory(err, "the server");
    s.has_mutexes = status == MM_OK;
    if (status == MM_OK)
        status = open_all(&s, options, err);
    if (status == MM_OK)
        status = tell(&s, options, out, err);
    if (status == MM_OK && sigwait(&held, &signal_number) != 0)
        status = mm_fail(err, MM_ERR_INTERNAL, "waiting for signals failed");
    if (status == MM_OK && !options->quiet)
        (void)fprintf(stderr, "maskmill: stopped by SIG%s; %" PRIu64 " masks are in %s\n", sigabbrev_np(signal_number),
                      mm_book_accepted(s.api.book), s.session.answers_path);
    close_all(&s);
    return status;
}
