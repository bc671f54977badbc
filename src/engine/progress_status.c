/* What OUT/progress.json says about a run, and whether it is still alive. */
#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <math.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "maskmill/progress.h"

enum { MAX_BYTES = 1 << 20 };
static const double alive_seconds = 60, alive_intervals = 12;

void mm_run_status_free(mm_run_statuses *statuses)
{
    for (size_t i = 0; i < statuses->count; i++)
        free(statuses->runs[i].folder);
    free(statuses->runs);
    free(statuses->folder);
    *statuses = (mm_run_statuses){0};
}

/* The process is looked for only where it can be: on the host that it named. Another process may have its number by
 * now, so that one is there proves nothing. */
static bool is_gone(const mm_run_progress *progress)
{
    char host[256] = "";
    if (progress->pid <= 0 || progress->pid > INT_MAX || gethostname(host, sizeof host - 1) != 0 ||
        strcmp(host, progress->host) != 0)
        return false;
    return kill((pid_t)progress->pid, 0) != 0 && errno == ESRCH;
}

static void judge(mm_run_status *run, const char *lock, double now)
{
    const mm_run_progress *progress = &run->progress;
    double sign = progress->updated;
    struct stat about;
    if (stat(lock, &about) == 0)
        sign = fmax(sign, (double)about.st_mtim.tv_sec);
    run->age = fmax(0, now - sign); /* clocks of two hosts may differ a little */
    if (progress->state != MM_RUN_RUNNING && progress->state != MM_RUN_CLOSING)
        run->life = MM_LIFE_ENDED;
    else if (is_gone(progress))
        run->life = MM_LIFE_DEAD;
    else
        run->life = run->age <= fmax(alive_seconds, alive_intervals * progress->interval) ? MM_LIFE_ALIVE
                                                                                         : MM_LIFE_SILENT;
}

/* Takes `folder` over, also on failure. */
static mm_status read_run(mm_run_statuses *statuses, char *folder, double now, mm_error *err)
{
    char path[PATH_MAX], lock[PATH_MAX];
    uint8_t *bytes = NULL;
    size_t size = 0;
    mm_run_status *runs = realloc(statuses->runs, (statuses->count + 1) * sizeof *runs);
    if (!runs) {
        free(folder);
        return mm_fail_memory(err, "the state of a run");
    }
    statuses->runs = runs;
    mm_run_status *run = &runs[statuses->count++];
    *run = (mm_run_status){.folder = folder};
    const int length = snprintf(path, sizeof path, "%s/progress.json", folder);
    if (length < 0 || (size_t)length >= sizeof path || snprintf(lock, sizeof lock, "%s/lock", folder) < 0)
        return mm_fail(err, MM_ERR_LIMIT, "the path %.100s... is too long", folder);
    mm_status status = mm_file_read(path, MAX_BYTES, &bytes, &size, err);
    if (status == MM_OK)
        status = mm_run_progress_from_json((const char *)bytes, size, path, &run->progress, err);
    free(bytes);
    if (status == MM_OK)
        judge(run, lock, now);
    return status;
}

static int by_name(const struct dirent **a, const struct dirent **b)
{
    return strverscmp((*a)->d_name, (*b)->d_name); /* part-9-9 before part-10-19 */
}

static int is_part(const struct dirent *entry)
{
    return strncmp(entry->d_name, "part-", 5) == 0;
}

static mm_status read_part(mm_run_statuses *statuses, const char *name, double now, mm_error *err)
{
    char *folder = NULL, path[PATH_MAX];
    if (asprintf(&folder, "%s/%s", statuses->folder, name) < 0)
        return mm_fail_memory(err, "a path");
    struct stat about;
    const int length = snprintf(path, sizeof path, "%s/progress.json", folder);
    if (length > 0 && (size_t)length < sizeof path && mm_file_exists(path))
        return read_run(statuses, folder, now, err);
    statuses->waiting += stat(folder, &about) == 0 && S_ISDIR(about.st_mode);
    free(folder);
    return MM_OK;
}

static mm_status read_parts(mm_run_statuses *statuses, double now, mm_error *err)
{
    struct dirent **entries = NULL;
    const int count = scandir(statuses->folder, &entries, is_part, by_name);
    if (count < 0)
        return mm_fail_errno(err, "cannot read the folder %s", statuses->folder);
    mm_status status = MM_OK;
    statuses->parts = true;
    for (int i = 0; i < count; i++) {
        if (status == MM_OK)
            status = read_part(statuses, entries[i]->d_name, now, err);
        free(entries[i]);
    }
    free(entries);
    if (status != MM_OK || statuses->count > 0)
        return status;
    char path[PATH_MAX];
    const int length = snprintf(path, sizeof path, "%s/run.json", statuses->folder);
    return mm_fail(err, MM_ERR_IO, "%s has no progress.json: %s", statuses->folder,
                   length > 0 && (size_t)length < sizeof path && mm_file_exists(path)
                       ? "the dataset there is complete (run.json), made by `merge` or an older maskmill"
                       : "no run has begun to make images there");
}

mm_status mm_run_status_read(const char *out, double now, mm_run_statuses *statuses, mm_error *err)
{
    *statuses = (mm_run_statuses){.folder = strdup(out)};
    char path[PATH_MAX];
    const int length = snprintf(path, sizeof path, "%s/progress.json", out);
    mm_status status = statuses->folder ? MM_OK : mm_fail_memory(err, "a path");
    if (status == MM_OK && (length < 0 || (size_t)length >= sizeof path))
        status = mm_fail(err, MM_ERR_LIMIT, "the path %.100s... is too long", out);
    if (status == MM_OK && !mm_file_exists(path)) {
        status = read_parts(statuses, now, err);
    } else if (status == MM_OK) {
        char *folder = strdup(out);
        status = folder ? read_run(statuses, folder, now, err) : mm_fail_memory(err, "a path");
    }
    if (status != MM_OK)
        mm_run_status_free(statuses);
    return status;
}

static void add_pace(double *sum, double pace)
{
    if (pace >= 0)
        *sum = fmax(*sum, 0) + pace;
}

/* Worse ones win: how runs are when none is alive. */
static mm_run_state worse(mm_run_state a, mm_run_state b)
{
    static const int order[] = {[MM_RUN_DONE] = 0, [MM_RUN_CLOSING] = 1, [MM_RUN_RUNNING] = 2, [MM_RUN_STOPPED] = 3,
                                [MM_RUN_FAILED] = 4};
    return order[a] >= order[b] ? a : b;
}

static void add_run(mm_run_status *sum, const mm_run_status *run)
{
    static const int liveliness[] = {[MM_LIFE_ENDED] = 0, [MM_LIFE_DEAD] = 1, [MM_LIFE_SILENT] = 2,
                                     [MM_LIFE_ALIVE] = 3};
    const mm_run_progress *p = &run->progress;
    mm_run_progress *s = &sum->progress;
    s->images_total += p->images_total;
    s->images_done += p->images_done;
    s->images_set_aside += p->images_set_aside;
    s->images_before += p->images_before;
    s->masks += p->masks;
    s->state = worse(s->state, p->state);
    sum->life = liveliness[run->life] > liveliness[sum->life] ? run->life : sum->life;
    sum->age = fmin(sum->age, run->age);
    s->started = fmin(s->started, p->started);
    s->updated = fmax(s->updated, p->updated);
    if (run->life != MM_LIFE_ALIVE)
        return;
    s->ranks += p->ranks;
    s->silent_count += p->silent_count;
    s->elapsed = fmax(s->elapsed, p->elapsed);
    add_pace(&s->images_per_second, p->images_per_second);
    add_pace(&s->images_per_second_now, p->images_per_second_now >= 0 ? p->images_per_second_now
                                                                      : p->images_per_second);
    if (p->left < 0)
        s->left = NAN; /* unknown, whatever the others say */
    else
        s->left = isnan(s->left) ? s->left : fmax(s->left, p->left);
}

mm_run_status mm_run_status_sum(const mm_run_statuses *statuses)
{
    mm_run_status sum = {.life = MM_LIFE_ENDED, .age = INFINITY};
    sum.progress = (mm_run_progress){.state = MM_RUN_DONE, .started = INFINITY, .images_per_second = -1,
                                     .images_per_second_now = -1, .elapsed = -1, .left = -1, .slowest = -1,
                                     .median = -1, .fastest = -1};
    for (size_t i = 0; i < statuses->count; i++)
        add_run(&sum, &statuses->runs[i]);
    if (isnan(sum.progress.left))
        sum.progress.left = -1;
    if (sum.life == MM_LIFE_ALIVE)
        sum.progress.state = MM_RUN_RUNNING;
    return sum;
}
