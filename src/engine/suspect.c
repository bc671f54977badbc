#include "engine/suspect.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "engine/begun.h"
#include "engine/make.h"
#include "engine/output.h"

extern char **environ;

/* What the child sends, on descriptor 3: a byte, mm_status; then the packed record if it is MM_OK, else the error's
 * line. */
enum { CHANNEL = 3, LOOK_MILLISECONDS = 100, ARGUMENTS = 11 };

/* --- The parent. --- */

typedef struct answer {
    uint8_t *bytes;
    size_t size, room;
} answer;

/* --- Words for the command line; numbers of our own enumerations, as both ends are one program. --- */

typedef struct words {
    char image[24], backend[8], precision[8], isa[8], small[8], threads[16], parent[24];
} words;

static words words_of(const mm_suspect_job *job, uint64_t image_id)
{
    const mm_kernels *k = &job->setup->kernels;
    words w;
    (void)snprintf(w.image, sizeof w.image, "%" PRIu64, image_id);
    (void)snprintf(w.backend, sizeof w.backend, "%d", (int)k->backend);
    (void)snprintf(w.precision, sizeof w.precision, "%d", (int)k->precision);
    (void)snprintf(w.isa, sizeof w.isa, "%d", (int)k->isa);
    (void)snprintf(w.small, sizeof w.small, "%d", (int)k->bf16_small_encoders);
    (void)snprintf(w.threads, sizeof w.threads, "%" PRIu32, k->threads);
    (void)snprintf(w.parent, sizeof w.parent, "%ld", (long)getpid());
    return w;
}

/* Signals stay blocked in the child: those for a whole group of processes are for the parent, which sees to the
 * child. */
static mm_status start(const mm_suspect_job *job, uint64_t image_id, pid_t *child, int *from, mm_error *err)
{
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) != 0)
        return mm_fail_errno(err, "cannot make a pipe");
    words w = words_of(job, image_id);
    char *const arguments[] = {(char *)(uintptr_t)"maskmill", (char *)(uintptr_t)"suspect", (char *)(uintptr_t)job->out,
                               w.image, (char *)(uintptr_t)job->setup->model_path,
                               (char *)(uintptr_t)job->setup->model_config, w.backend, w.precision, w.isa, w.small,
                               w.threads, (char *)(uintptr_t)job->setup->detector_path,
                               (char *)(uintptr_t)job->setup->base_path, w.parent, NULL};
    posix_spawn_file_actions_t files;
    int code = posix_spawn_file_actions_init(&files);
    if (code == 0) {
        code = posix_spawn_file_actions_adddup2(&files, ends[1], CHANNEL);
        if (code == 0)
            code = posix_spawn_file_actions_addopen(&files, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
        if (code == 0)
            code = posix_spawn(child, job->program, &files, NULL, arguments, environ);
        (void)posix_spawn_file_actions_destroy(&files);
    }
    (void)close(ends[1]); /* the child's */
    if (code == 0) {
        *from = ends[0];
        return MM_OK;
    }
    (void)close(ends[0]);
    errno = code;
    return mm_fail_errno(err, "cannot start a process for image %" PRIu64, image_id);
}

/* Some of what the child sends; *over at its end. */
static mm_status read_some(int from, answer *a, bool *over, mm_error *err)
{
    enum { STEP = 1 << 16 };
    if (a->room - a->size < STEP) {
        uint8_t *grown = realloc(a->bytes, 2 * a->room + STEP);
        if (!grown)
            return mm_fail_memory(err, "a record");
        a->bytes = grown;
        a->room = 2 * a->room + STEP;
    }
    const ssize_t got = read(from, a->bytes + a->size, a->room - a->size);
    if (got < 0 && errno != EINTR)
        return mm_fail_errno(err, "cannot read from the process that makes an image");
    a->size += got > 0 ? (size_t)got : 0;
    *over = got == 0;
    return MM_OK;
}

static mm_status listen_to(const mm_suspect_job *job, int from, answer *a, mm_error *err)
{
    bool over = false;
    mm_status status = MM_OK;
    while (status == MM_OK && !over) {
        struct pollfd look = {from, POLLIN, 0};
        const int ready = poll(&look, 1, LOOK_MILLISECONDS);
        if (job->give_up && job->give_up(job->user))
            status = mm_fail(err, MM_ERR_STOPPED, "stopped");
        else if (ready > 0)
            status = read_some(from, a, &over, err);
    }
    return status;
}

/* Run it once; *wait_status is how it ended. */
static mm_status try_once(const mm_suspect_job *job, uint64_t image_id, answer *a, int *wait_status, mm_error *err)
{
    pid_t child = 0;
    int from = -1;
    a->size = 0;
    mm_status status = start(job, image_id, &child, &from, err);
    if (status != MM_OK)
        return status;
    status = listen_to(job, from, a, err);
    (void)close(from);
    if (status != MM_OK)
        (void)kill(child, SIGKILL); /* ours, and not waited for yet */
    while (waitpid(child, wait_status, 0) < 0)
        if (errno != EINTR) {
            *wait_status = 0;
            return status == MM_OK ? mm_fail_errno(err, "cannot wait for the process that made an image") : status;
        }
    return status;
}

static mm_status take_record(const answer *a, uint64_t image_id, mm_record *record, mm_status *why, mm_error *err)
{
    mm_status status = a->bytes[0] < MM_ERR_STOPPED ? (mm_status)a->bytes[0] : MM_ERR_INTERNAL;
    if (status != MM_OK)
        return mm_fail(err, status, "%.*s", (int)(a->size - 1 < MM_ERROR_TEXT ? a->size - 1 : MM_ERROR_TEXT - 1),
                       (const char *)a->bytes + 1);
    status = mm_record_unpack(a->bytes + 1, a->size - 1, record, err);
    if (status == MM_OK && record->image_id != image_id) {
        mm_record_free(record);
        status = mm_fail(err, MM_ERR_INTERNAL, "the process for image %" PRIu64 " sent another one", image_id);
    }
    if (status == MM_OK)
        *why = (mm_status)record->why;
    return status;
}

static mm_status set_aside(const mm_suspect_job *job, uint64_t image_id, int wait_status, mm_record *record,
                           mm_status *why, mm_error *err)
{
    char reason[200];
    const int number = WIFSIGNALED(wait_status) ? WTERMSIG(wait_status) : 0;
    if (number == SIGKILL)
        (void)snprintf(reason, sizeof reason, "the process that made it alone was killed, twice; most likely it needs "
                       "more memory than there is");
    else if (number)
        (void)snprintf(reason, sizeof reason, "making it ended the process, and again when it was made alone: signal "
                       "%d (%s)", number, strsignal(number));
    else
        (void)snprintf(reason, sizeof reason, "making it ended the process, and again when it was made alone: exit "
                       "status %d", WEXITSTATUS(wait_status));
    *why = number == SIGKILL ? MM_ERR_NOMEM : MM_ERR_INTERNAL;
    const mm_manifest_entry entry = mm_manifest_at(job->setup->manifest, image_id);
    const mm_status status = mm_record_set_aside(image_id, entry.width, entry.height, reason, record, err);
    record->why = (uint8_t)*why;
    return status;
}

mm_status mm_suspect_make(const mm_suspect_job *job, uint64_t image_id, mm_record *record, mm_status *why,
                          mm_error *err)
{
    answer a = {NULL, 0, 0};
    int wait_status = 0;
    mm_status status = try_once(job, image_id, &a, &wait_status, err);
    if (status == MM_OK && WIFSIGNALED(wait_status) && WTERMSIG(wait_status) == SIGKILL) {
        /* The image's doing, or somebody killed all of us? Then this process is not here much longer. If it is, try
         * once more: nothing but the image kills twice. */
        const struct timespec pause = {.tv_sec = 2};
        (void)nanosleep(&pause, NULL); /* shorter is fine */
        status = try_once(job, image_id, &a, &wait_status, err);
    }
    if (status == MM_OK)
        status = WIFEXITED(wait_status) && a.size > 0 ? take_record(&a, image_id, record, why, err)
                                                      : set_aside(job, image_id, wait_status, record, why, err);
    free(a.bytes);
    return status;
}

/* --- The child. --- */

static mm_status send_all(const void *bytes, size_t size, mm_error *err)
{
    const uint8_t *from = bytes;
    while (size > 0) {
        const ssize_t done = write(CHANNEL, from, size);
        if (done < 0 && errno != EINTR)
            return mm_fail_errno(err, "cannot send an image's record to the run");
        from += done > 0 ? done : 0;
        size -= done > 0 ? (size_t)done : 0;
    }
    return MM_OK;
}

/* This process must not outlive the run, and is the first that the system may end when memory is short. */
static void subordinate(long parent)
{
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL); /* where these fail, the run does without them */
    if ((long)getppid() != parent)
        _exit(EXIT_FAILURE);
    FILE *adjust = fopen("/proc/self/oom_score_adj", "we");
    if (adjust) {
        (void)fputs("1000", adjust);
        (void)fclose(adjust);
    }
}

static mm_status open_setup(char *const *arguments, mm_setup *setup, mm_error *err)
{
    char path[PATH_MAX];
    bool there = false;
    mm_begun begun;
    mm_status status = mm_begun_read(arguments[0], &there, &begun, err);
    if (status != MM_OK)
        return status;
    if (!there)
        return mm_fail(err, MM_ERR_USAGE, "there is no run in %s", arguments[0]);
    status = mm_config_from_yaml(begun.config, &setup->config, err);
    memcpy(setup->detector_sha256, begun.detector_sha256, sizeof setup->detector_sha256);
    (void)snprintf(setup->detector_path, sizeof setup->detector_path, "%s", arguments[9]); /* both as the parent's, */
    (void)snprintf(setup->base_path, sizeof setup->base_path, "%s", arguments[10]);         /* so they fit */
    mm_begun_free(&begun);
    if (status == MM_OK)
        status = mm_output_path(arguments[0], "manifest.h5", path, sizeof path, err);
    if (status == MM_OK)
        status = mm_manifest_open(path, &setup->manifest, err);
    const mm_model_options model = {.config_path = *arguments[3] ? arguments[3] : NULL,
                                    .kernels = {.backend = (mm_backend)atoi(arguments[4]),
                                                .precision = (mm_precision)atoi(arguments[5]),
                                                .isa = (mm_isa)atoi(arguments[6]),
                                                .bf16_small_encoders = atoi(arguments[7]) != 0,
                                                .threads = (uint32_t)atoi(arguments[8])}};
    setup->kernels = model.kernels;
    if (status == MM_OK)
        status = mm_kernels_resolve(&setup->kernels, err);
    if (status == MM_OK)
        status = mm_model_open(arguments[2], &model, &setup->model, err);
    if (status == MM_OK)
        status = mm_embedding_new(setup->model, &setup->embedding, err);
    return status == MM_OK ? mm_setup_open_further(setup, err) : status;
}

static mm_status make_and_pack(char *const *arguments, mm_setup *setup, uint8_t **bytes, size_t *size, mm_error *err)
{
    const uint64_t image_id = strtoull(arguments[1], NULL, 10);
    mm_status status = open_setup(arguments, setup, err);
    if (status != MM_OK)
        return status;
    if (image_id >= mm_manifest_count(setup->manifest))
        return mm_fail(err, MM_ERR_USAGE, "there is no image %s", arguments[1]);
    mm_maker maker = {.setup = setup};
    mm_record record = {0};
    mm_status why = MM_OK;
    status = mm_make_image(&maker, image_id, &record, &why, err);
    if (status == MM_OK)
        status = mm_record_pack(&record, bytes, size, err);
    mm_record_free(&record);
    return status;
}

mm_status mm_engine_suspect(int count, char *const *arguments, mm_error *err)
{
    if (count != ARGUMENTS + 1 || fcntl(CHANNEL, F_GETFD) < 0)
        return mm_fail(err, MM_ERR_USAGE, "suspect: this command is for `maskmill run` alone");
    subordinate(strtol(arguments[ARGUMENTS], NULL, 10));
    mm_setup setup;
    memset(&setup, 0, sizeof setup);
    uint8_t *bytes = NULL;
    size_t size = 0;
    mm_error why = {0};
    const mm_status made = make_and_pack(arguments, &setup, &bytes, &size, &why);
    mm_setup_close(&setup);
    const uint8_t first = (uint8_t)made;
    mm_status status = send_all(&first, 1, err);
    if (status == MM_OK)
        status = made == MM_OK ? send_all(bytes, size, err) : send_all(why.text, strlen(why.text), err);
    free(bytes);
    return status;
}
