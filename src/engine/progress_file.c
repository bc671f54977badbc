#include "engine/progress_file.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

enum { INTERVAL = 5, FIRST_INTERVAL = 1, FIRST_WRITES = 10 }; /* seconds; more often while people wait to see it run */

struct mm_progress_file {
    char *path, *temporary;
    mm_run_progress own; /* host, process, job and start: the same in every text */
    pthread_t thread;
    pthread_mutex_t lock; /* guards what follows */
    pthread_cond_t news;
    mm_run_progress latest;
    bool over;
};

static double moment(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_REALTIME, &now); /* cannot fail for this clock */
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

/* As schedulers tell it: Slurm (an array's as ARRAY_TASK), PBS, LSF. */
static void find_job(char *job, size_t size)
{
    const char *array = getenv("SLURM_ARRAY_JOB_ID"), *task = getenv("SLURM_ARRAY_TASK_ID");
    static const char *const names[] = {"SLURM_JOB_ID", "PBS_JOBID", "LSB_JOBID"};
    const char *found = NULL;
    for (size_t i = 0; i < sizeof names / sizeof names[0] && !found; i++)
        found = getenv(names[i]);
    if (array && task)
        (void)snprintf(job, size, "%s_%s", array, task);
    else
        (void)snprintf(job, size, "%s", found ? found : "");
}

static void write_text(const mm_progress_file *file, const char *text)
{
    FILE *stream = fopen(file->temporary, "we");
    if (!stream)
        return;
    const bool bad = fputs(text, stream) < 0;
    const bool unclosed = fclose(stream) != 0;
    if (bad || unclosed || rename(file->temporary, file->path) != 0)
        (void)unlink(file->temporary); /* no room: what is not there cannot be read by mistake */
}

static void write_progress(const mm_progress_file *file, mm_run_progress progress)
{
    memcpy(progress.host, file->own.host, sizeof progress.host);
    memcpy(progress.job, file->own.job, sizeof progress.job);
    progress.pid = file->own.pid;
    progress.started = file->own.started;
    progress.interval = INTERVAL;
    progress.updated = moment();
    char *text = mm_run_progress_to_json(&progress);
    if (text)
        write_text(file, text);
    free(text);
}

static void *work(void *user)
{
    mm_progress_file *file = user;
    bool over = false;
    for (int writes = 0; !over; writes += writes < FIRST_WRITES) {
        pthread_mutex_lock(&file->lock);
        const mm_run_progress progress = file->latest;
        over = file->over;
        pthread_mutex_unlock(&file->lock);
        write_progress(file, progress);

        struct timespec until;
        (void)clock_gettime(CLOCK_MONOTONIC, &until);
        until.tv_sec += writes < FIRST_WRITES ? FIRST_INTERVAL : INTERVAL;
        pthread_mutex_lock(&file->lock);
        while (!over && !file->over && pthread_cond_timedwait(&file->news, &file->lock, &until) == 0)
            ;
        pthread_mutex_unlock(&file->lock);
    }
    return NULL;
}

static void release(mm_progress_file *file)
{
    (void)pthread_cond_destroy(&file->news);
    (void)pthread_mutex_destroy(&file->lock);
    free(file->path);
    free(file->temporary);
    free(file);
}

mm_status mm_progress_file_start(const char *out, const mm_run_progress *first, mm_progress_file **file, mm_error *err)
{
    mm_progress_file *made = calloc(1, sizeof *made);
    if (!made)
        return mm_fail_memory(err, "progress.json");
    pthread_condattr_t monotonic; /* initialising these cannot fail on Linux */
    (void)pthread_condattr_init(&monotonic);
    (void)pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    (void)pthread_cond_init(&made->news, &monotonic);
    (void)pthread_condattr_destroy(&monotonic);
    (void)pthread_mutex_init(&made->lock, NULL);
    made->latest = *first;
    made->own.pid = getpid();
    made->own.started = moment();
    if (gethostname(made->own.host, sizeof made->own.host - 1) != 0)
        (void)snprintf(made->own.host, sizeof made->own.host, "unknown");
    find_job(made->own.job, sizeof made->own.job);
    if (asprintf(&made->path, "%s/progress.json", out) < 0)
        made->path = NULL;
    if (asprintf(&made->temporary, "%s/progress.json.tmp", out) < 0)
        made->temporary = NULL;
    if (!made->path || !made->temporary || pthread_create(&made->thread, NULL, work, made) != 0) {
        release(made);
        return mm_fail_memory(err, "progress.json");
    }
    *file = made;
    return MM_OK;
}

void mm_progress_file_put(mm_progress_file *file, const mm_run_progress *progress)
{
    pthread_mutex_lock(&file->lock);
    file->latest = *progress;
    pthread_mutex_unlock(&file->lock);
}

void mm_progress_file_stop(mm_progress_file *file, const mm_run_progress *last)
{
    if (!file)
        return;
    pthread_mutex_lock(&file->lock);
    file->latest = *last;
    file->over = true;
    pthread_cond_signal(&file->news);
    pthread_mutex_unlock(&file->lock);
    (void)pthread_join(file->thread, NULL);
    release(file);
}
