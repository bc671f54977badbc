#include "engine/lock.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/file.h"
#include "engine/lock_holder.h"

enum { BEAT_SECONDS = 10, STALE_SECONDS = 120 };

#define HEX "0123456789abcdef"

struct mm_lock {
    char path[PATH_MAX], out[PATH_MAX];
    mm_lock_holder holder;
    pthread_t thread;
    pthread_mutex_t sleep; /* guards `stopping` */
    pthread_cond_t wake;
    bool stopping;
    atomic_bool lost;
    unsigned long beats;
};

static mm_status path_of(const char *out, const char *name, char path[PATH_MAX], mm_error *err)
{
    const int length = snprintf(path, PATH_MAX, "%s/%s", out, name);
    return length > 0 && length < PATH_MAX
               ? MM_OK
               : mm_fail(err, MM_ERR_LIMIT, "the path of the output folder %.100s... is too long", out);
}

/* A new file of the caller's own in OUT, with `text` in it. */
static mm_status write_own(const char *out, const char *token, const char *text, char path[PATH_MAX], mm_error *err)
{
    char name[64];
    (void)snprintf(name, sizeof name, "lock.%.32s", token);
    mm_status status = path_of(out, name, path, err);
    if (status != MM_OK)
        return status;
    const int file = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
    if (file < 0)
        return mm_fail_errno(err, "cannot create %s", path);
    const size_t length = strlen(text);
    if (write(file, text, length) != (ssize_t)length || fsync(file) != 0)
        status = mm_fail_errno(err, "cannot write %s", path);
    if (close(file) != 0 && status == MM_OK)
        status = mm_fail_errno(err, "cannot write %s", path);
    if (status != MM_OK)
        (void)unlink(path); /* what failed is told already */
    return status;
}

static mm_status read_holder(const char *path, mm_lock_holder *holder, mm_error *err)
{
    uint8_t *text = NULL;
    size_t length = 0;
    const mm_status status = mm_file_read(path, 4096, &text, &length, err);
    if (status != MM_OK)
        return status;
    mm_lock_holder_parse((const char *)text, holder);
    free(text);
    return MM_OK;
}

/* Seconds since the lock's heart beat, by the file server's clock. Negative if there is no lock (any more). */
static mm_status age_of(const char *out, const char *path, double *seconds, mm_error *err)
{
    char probe[PATH_MAX], token[33];
    struct stat lock, now;
    mm_lock_token(token);
    const mm_status status = write_own(out, token, "probe\n", probe, err);
    if (status != MM_OK)
        return status;
    const bool seen = stat(probe, &now) == 0;
    (void)unlink(probe); /* ours */
    if (!seen)
        return mm_fail_errno(err, "cannot look at %s", probe);
    if (stat(path, &lock) != 0) {
        *seconds = -1;
        return errno == ENOENT ? MM_OK : mm_fail_errno(err, "cannot look at %s", path);
    }
    *seconds = (double)(now.st_mtim.tv_sec - lock.st_mtim.tv_sec) +
               1e-9 * (double)(now.st_mtim.tv_nsec - lock.st_mtim.tv_nsec);
    if (*seconds < 0) /* it beat in between */
        *seconds = 0;
    return MM_OK;
}

/* The lock that is there: its holder, and why it is stale, if it is. *there is false without one. MM_ERR_USAGE if it is
 * alive. */
static mm_status judge(const char *out, const char *path, bool *there, mm_lock_holder *holder, char *why, size_t size,
                       mm_error *err)
{
    double age = 0;
    *there = mm_file_exists(path);
    if (!*there)
        return MM_OK;
    mm_status status = read_holder(path, holder, err);
    if (status != MM_OK && errno == ENOENT) { /* it went in between, and another may have come since */
        *there = false;
        return MM_OK;
    }
    if (status != MM_OK)
        return status;
    switch (mm_lock_holder_fate(holder)) {
    case MM_HOLDER_GONE:
        (void)snprintf(why, size, "process %ld on this host is no more", holder->pid);
        return MM_OK;
    case MM_HOLDER_EARLIER_START:
        (void)snprintf(why, size, "it is of an earlier start of this job (%s)", holder->job);
        return MM_OK;
    case MM_HOLDER_LIVES:
        return mm_fail(err, MM_ERR_USAGE, "another run writes into %s: process %ld on this host%s%s; wait for its end "
                       "or choose another folder", out, holder->pid, holder->job[0] ? ", job " : "", holder->job);
    case MM_HOLDER_UNKNOWN:
        break;
    }
    status = age_of(out, path, &age, err);
    if (status != MM_OK)
        return status;
    *there = age >= 0;
    if (age < STALE_SECONDS && *there)
        return mm_fail(err, MM_ERR_USAGE, "another run writes into %s: process %ld on host %.64s%s%s, whose last sign "
                       "of life is %.0f seconds old; if that host is down, try again in %.0f seconds", out, holder->pid,
                       holder->host, holder->job[0] ? ", job " : "", holder->job, age, STALE_SECONDS - age);
    (void)snprintf(why, size, "its last sign of life is %.0f seconds old", age);
    return MM_OK;
}

mm_status mm_lock_inspect(const char *out, mm_error *err)
{
    char path[PATH_MAX], why[160];
    bool there = false;
    mm_lock_holder holder;
    const mm_status status = path_of(out, "lock", path, err);
    return status == MM_OK ? judge(out, path, &there, &holder, why, sizeof why, err) : status;
}

/* --- Taking it. --- */

/* Put a file with our name in it at `place` if there is none. */
static mm_status put(const mm_lock *lock, const char *place, bool *taken, mm_error *err)
{
    char own[PATH_MAX], text[2048];
    mm_lock_holder_print(&lock->holder, lock->beats, text, sizeof text);
    mm_status status = write_own(lock->out, lock->holder.token, text, own, err);
    if (status != MM_OK)
        return status;
    struct stat about;
    /* Network file systems may lose the answer to a link that was made: the count of names tells. */
    *taken = link(own, place) == 0 || (stat(own, &about) == 0 && about.st_nlink == 2);
    if (!*taken && errno != EEXIST && !mm_file_exists(place)) {
        /* A file system without links. Renaming is as good, but for two runs at the same moment. */
        if (rename(own, place) == 0) {
            *taken = true;
            return MM_OK;
        }
        status = mm_fail_errno(err, "cannot create %s", place);
    }
    (void)unlink(own); /* ours; what is in its place is its other name */
    return status;
}

/* Two runs may find the same stale lock. Only that which puts lock.over.TOKEN there, with the token of the stale lock, may
 * remove it, and so neither removes the other's new one. A run that died in here left such a file behind; that is a
 * stale lock like any other, and goes the same way. */
static mm_status remove_stale(const mm_lock *lock, const char *stale, const mm_lock_holder *holder, int depth,
                              mm_error *err)
{
    char over[PATH_MAX], name[64], why[160];
    bool taken = false, there = false;
    mm_lock_holder now;
    const size_t digits = strspn(holder->token, HEX); /* none in a damaged lock */
    (void)snprintf(name, sizeof name, "lock.over.%.*s", (int)digits, holder->token);
    mm_status status = path_of(lock->out, name, over, err);
    if (status == MM_OK)
        status = put(lock, over, &taken, err);
    if (status != MM_OK)
        return status;
    if (!taken) {
        status = judge(lock->out, over, &there, &now, why, sizeof why, err);
        if (status != MM_OK || !there)
            return status;
        return depth > 0 ? remove_stale(lock, over, &now, depth - 1, err)
                         : mm_fail(err, MM_ERR_USAGE, "runs that died left %s; remove it if none writes into that folder",
                                   over);
    }
    if (read_holder(stale, &now, NULL) == MM_OK && strcmp(now.token, holder->token) == 0 && unlink(stale) != 0 &&
        errno != ENOENT)
        status = mm_fail_errno(err, "cannot remove the stale lock %s", stale);
    (void)unlink(over); /* ours */
    return status;
}

/* Whether the file is still ours. One that cannot be read for the moment is. */
static bool is_ours(const mm_lock *lock)
{
    mm_lock_holder now;
    if (read_holder(lock->path, &now, NULL) != MM_OK)
        return errno != ENOENT;
    return strcmp(now.token, lock->holder.token) == 0;
}

static void beat(mm_lock *lock)
{
    if (!is_ours(lock)) {
        atomic_store(&lock->lost, true);
        return;
    }
    char text[2048];
    lock->beats++;
    mm_lock_holder_print(&lock->holder, lock->beats, text, sizeof text);
    const int file = open(lock->path, O_WRONLY | O_CLOEXEC);
    if (file < 0)
        return; /* the next beat may do better; twelve missed ones make it stale */
    /* The time of change is what counts, also on a disk that has no room. Closing brings it to the file server. */
    if (pwrite(file, text, strlen(text), 0) < 0)
        (void)futimens(file, NULL);
    (void)close(file);
}

static void *keep_beating(void *argument)
{
    mm_lock *lock = argument;
    pthread_mutex_lock(&lock->sleep);
    while (!lock->stopping && !atomic_load(&lock->lost)) {
        struct timespec until;
        (void)clock_gettime(CLOCK_MONOTONIC, &until); /* cannot fail for this clock */
        until.tv_sec += BEAT_SECONDS;
        if (pthread_cond_timedwait(&lock->wake, &lock->sleep, &until) != ETIMEDOUT)
            continue;
        pthread_mutex_unlock(&lock->sleep);
        beat(lock);
        pthread_mutex_lock(&lock->sleep);
    }
    pthread_mutex_unlock(&lock->sleep);
    return NULL;
}

static bool start_thread(mm_lock *lock)
{
    pthread_condattr_t monotonic;
    sigset_t all, before;
    (void)sigfillset(&all);
    bool ready = pthread_condattr_init(&monotonic) == 0;
    if (!ready)
        return false;
    ready = pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC) == 0 &&
            pthread_mutex_init(&lock->sleep, NULL) == 0 && pthread_cond_init(&lock->wake, &monotonic) == 0 &&
            pthread_sigmask(SIG_SETMASK, &all, &before) == 0;
    if (ready) {
        ready = pthread_create(&lock->thread, NULL, keep_beating, lock) == 0;
        (void)pthread_sigmask(SIG_SETMASK, &before, NULL); /* fails for a wrong `how` only */
    }
    (void)pthread_condattr_destroy(&monotonic);
    return ready;
}

static mm_status take(mm_lock *lock, char *note, size_t size, mm_error *err)
{
    enum { TRIES = 10, DEPTH = 5 }; /* a lock may go, or come, between looking and taking */
    for (int i = 0; i < TRIES; i++) {
        char why[160];
        bool there = false, taken = false;
        mm_lock_holder holder;
        mm_status status = judge(lock->out, lock->path, &there, &holder, why, sizeof why, err);
        if (status == MM_OK && there) {
            status = remove_stale(lock, lock->path, &holder, DEPTH, err);
            (void)snprintf(note, size, "took over the lock of a run on host %.64s: %s", holder.host, why);
        }
        if (status == MM_OK)
            status = put(lock, lock->path, &taken, err);
        if (status != MM_OK || taken)
            return status;
    }
    return mm_fail(err, MM_ERR_USAGE, "another run is just beginning in %s", lock->out);
}

/* A name that write_own or remove_stale gives, and nothing else that somebody may keep here. */
static bool is_helper(const char *name)
{
    static const char lock[] = "lock.", over[] = "over.";
    if (strncmp(name, lock, strlen(lock)) != 0)
        return false;
    name += strlen(lock);
    if (strncmp(name, over, strlen(over)) == 0)
        name += strlen(over);
    return strspn(name, HEX) == 32 && name[32] == '\0';
}

/* The files beside the lock that were left by runs that died while they took it. */
static void sweep(const mm_lock *lock)
{
    DIR *folder = opendir(lock->out);
    if (!folder)
        return; /* they are no hindrance */
    for (const struct dirent *entry = readdir(folder); entry; entry = readdir(folder)) {
        char path[PATH_MAX], why[160];
        bool there = false;
        mm_lock_holder holder;
        if (is_helper(entry->d_name) && path_of(lock->out, entry->d_name, path, NULL) == MM_OK &&
            judge(lock->out, path, &there, &holder, why, sizeof why, NULL) == MM_OK && there)
            (void)unlink(path); /* the next run finds it again */
    }
    (void)closedir(folder); /* only read */
}

mm_status mm_lock_take(const char *out, mm_lock **lock, char *note, size_t size, mm_error *err)
{
    mm_lock *made = calloc(1, sizeof *made);
    if (!made)
        return mm_fail_memory(err, "the lock of the output folder");
    note[0] = '\0';
    mm_lock_holder_self(&made->holder);
    mm_status status = path_of(out, "lock", made->path, err);
    if (status == MM_OK)
        status = path_of(out, ".", made->out, err);
    if (status == MM_OK)
        status = take(made, note, size, err);
    if (status == MM_OK && !start_thread(made)) {
        mm_lock_drop(made);
        status =
            mm_fail(err, MM_ERR_IO, "the system gives no further thread; raise the limit on processes (ulimit -u)");
    }
    if (status != MM_OK) {
        free(made);
        return status;
    }
    sweep(made);
    *lock = made;
    return MM_OK;
}

bool mm_lock_is_held(mm_lock *lock)
{
    return !atomic_load(&lock->lost);
}

void mm_lock_drop(mm_lock *lock)
{
    if (lock && is_ours(lock))
        (void)unlink(lock->path); /* a lock that stays is found to be stale */
}

void mm_lock_release(mm_lock *lock)
{
    if (!lock)
        return;
    pthread_mutex_lock(&lock->sleep);
    lock->stopping = true;
    pthread_cond_signal(&lock->wake);
    pthread_mutex_unlock(&lock->sleep);
    (void)pthread_join(lock->thread, NULL); /* ours, and joined once */
    mm_lock_drop(lock);
    (void)pthread_cond_destroy(&lock->wake);
    (void)pthread_mutex_destroy(&lock->sleep);
    free(lock);
}
