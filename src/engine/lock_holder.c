#include "engine/lock_holder.h"

#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

void mm_lock_token(char token[33])
{
    uint64_t random[2];
    if (getrandom(random, sizeof random, 0) != (ssize_t)sizeof random) {
        struct timespec now;
        (void)clock_gettime(CLOCK_REALTIME, &now); /* cannot fail for this clock */
        random[0] = (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
        random[1] = (uint64_t)getpid();
    }
    (void)snprintf(token, 33, "%016llx%016llx", (unsigned long long)random[0], (unsigned long long)random[1]);
}

/* The first line of a small file, or nothing. */
static void read_line(const char *path, char *line, size_t size)
{
    line[0] = '\0';
    FILE *file = fopen(path, "re");
    if (!file)
        return;
    if (!fgets(line, (int)size, file))
        line[0] = '\0';
    (void)fclose(file); /* only read */
    line[strcspn(line, "\n")] = '\0';
}

/* Field 22 of /proc/PID/stat; the name in field 2 may hold anything, so count from its closing bracket. Empty for a
 * process that has died (field 3) and is only not yet buried. */
static void read_start(long pid, char *start, size_t size)
{
    char path[64], line[1024];
    (void)snprintf(path, sizeof path, "/proc/%ld/stat", pid);
    read_line(path, line, sizeof line);
    start[0] = '\0';
    char *at = strrchr(line, ')'), *rest = NULL;
    if (!at)
        return;
    int field = 2;
    for (char *word = strtok_r(at + 1, " ", &rest); word; word = strtok_r(NULL, " ", &rest)) {
        field++;
        if (field == 3 && (*word == 'Z' || *word == 'X'))
            return;
        if (field == 22)
            (void)snprintf(start, size, "%s", word);
    }
}

static void describe_job(char *job, size_t size)
{
    static const struct {
        const char *scheduler, *id, *restarts;
    } kinds[] = {{"slurm", "SLURM_JOB_ID", "SLURM_RESTART_COUNT"},
                 {"pbs", "PBS_JOBID", NULL},
                 {"lsf", "LSB_JOBID", NULL}};
    job[0] = '\0';
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0] && !job[0]; i++) {
        const char *id = getenv(kinds[i].id), *restarts = kinds[i].restarts ? getenv(kinds[i].restarts) : NULL;
        if (id && *id)
            (void)snprintf(job, size, "%s %.40s restart %.8s", kinds[i].scheduler, id, restarts ? restarts : "0");
    }
}

void mm_lock_holder_self(mm_lock_holder *holder)
{
    *holder = (mm_lock_holder){.pid = (long)getpid()};
    if (gethostname(holder->host, sizeof holder->host - 1) != 0)
        (void)snprintf(holder->host, sizeof holder->host, "unknown");
    read_line("/proc/sys/kernel/random/boot_id", holder->boot, sizeof holder->boot);
    const ssize_t length = readlink("/proc/self/ns/pid", holder->space, sizeof holder->space - 1);
    holder->space[length > 0 ? length : 0] = '\0';
    read_start(holder->pid, holder->start, sizeof holder->start);
    describe_job(holder->job, sizeof holder->job);
    mm_lock_token(holder->token);
}

void mm_lock_holder_print(const mm_lock_holder *holder, unsigned long beats, char *text, size_t size)
{
    /* The width keeps the file as long as it is, so that a beat cannot leave a rest behind. */
    (void)snprintf(text, size, "maskmill lock\nhost %s\nboot %s\nspace %s\npid %ld\nstart %s\njob %s\ntoken %s\n"
                   "beats %12lu\n", holder->host, holder->boot, holder->space, holder->pid, holder->start, holder->job,
                   holder->token, beats);
}

/* The rest of the line that starts with `key` and a space; empty if there is none. */
static void find_value(const char *text, const char *key, char *value, size_t size)
{
    const size_t length = strlen(key);
    value[0] = '\0';
    for (const char *line = text; line && *line; line = strchr(line, '\n'), line += line != NULL)
        if (strncmp(line, key, length) == 0 && line[length] == ' ') {
            const char *from = line + length + 1;
            const size_t used = strcspn(from, "\n");
            (void)snprintf(value, size, "%.*s", (int)(used < size ? used : size - 1), from);
            return;
        }
}

void mm_lock_holder_parse(const char *text, mm_lock_holder *holder)
{
    char pid[32];
    *holder = (mm_lock_holder){0};
    find_value(text, "host", holder->host, sizeof holder->host);
    find_value(text, "boot", holder->boot, sizeof holder->boot);
    find_value(text, "space", holder->space, sizeof holder->space);
    find_value(text, "pid", pid, sizeof pid);
    find_value(text, "start", holder->start, sizeof holder->start);
    find_value(text, "job", holder->job, sizeof holder->job);
    find_value(text, "token", holder->token, sizeof holder->token);
    holder->pid = strtol(pid, NULL, 10);
}

/* "slurm 4711 restart 1" and "slurm 4711 restart 0": the same job, started again. */
static bool is_earlier_start(const char *job, const char *of)
{
    const char *count = strstr(job, " restart "), *mine = strstr(of, " restart ");
    return count && mine && count - job == mine - of && strncmp(job, of, (size_t)(count - job)) == 0 &&
           strtol(count + strlen(" restart "), NULL, 10) < strtol(mine + strlen(" restart "), NULL, 10);
}

mm_holder_fate mm_lock_holder_fate(const mm_lock_holder *holder)
{
    mm_lock_holder self;
    mm_lock_holder_self(&self);
    if (is_earlier_start(holder->job, self.job))
        return MM_HOLDER_EARLIER_START;
    if (strcmp(holder->host, self.host) != 0)
        return MM_HOLDER_UNKNOWN;
    /* Another machine of the same name, or this one before it was started again; or another container, whose processes
     * cannot be seen from here. */
    if (strcmp(holder->boot, self.boot) != 0 || strcmp(holder->space, self.space) != 0 || holder->pid <= 0)
        return MM_HOLDER_UNKNOWN;
    if (kill((pid_t)holder->pid, 0) != 0 && errno == ESRCH)
        return MM_HOLDER_GONE;
    char start[32];
    read_start(holder->pid, start, sizeof start);
    /* If not, another process has the number now. */
    return strcmp(start, holder->start) == 0 ? MM_HOLDER_LIVES : MM_HOLDER_GONE;
}
