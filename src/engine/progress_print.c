/* What `maskmill status` prints. */
#include <inttypes.h>
#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/format.h"
#include "engine/progress_line.h"

static const char *const life_names[] = {
    [MM_LIFE_ENDED] = "ended", [MM_LIFE_ALIVE] = "alive", [MM_LIFE_SILENT] = "silent", [MM_LIFE_DEAD] = "dead",
};

/* One word for how a run is. */
static const char *word(const mm_run_status *run)
{
    return run->life == MM_LIFE_ENDED || run->life == MM_LIFE_ALIVE ? mm_run_state_name(run->progress.state)
                                                                    : life_names[run->life];
}

static void print_where(const mm_run_progress *p, FILE *out)
{
    const time_t started = (time_t)p->started;
    struct tm parts;
    char when[32];
    if (p->started > 0 && gmtime_r(&started, &parts) && strftime(when, sizeof when, "%Y-%m-%d %H:%M:%S UTC", &parts))
        (void)fprintf(out, ", begun %s", when);
    if (p->host[0])
        (void)fprintf(out, " on %s", p->host);
    if (p->job[0])
        (void)fprintf(out, " (job %s, process %" PRId64 ")", p->job, p->pid);
    else
        (void)fprintf(out, " (process %" PRId64 ")", p->pid);
}

static void print_life(const mm_run_status *run, FILE *out)
{
    const mm_run_progress *p = &run->progress;
    char age[MM_NUMBER_TEXT];
    mm_format_wait(age, sizeof age, run->age);
    switch (run->life) {
    case MM_LIFE_ALIVE:
        (void)fprintf(out, "  alive      last sign of life %s ago\n", age);
        break;
    case MM_LIFE_SILENT:
        (void)fprintf(out, "  silent     no sign of life for %s: it was killed, or its machine or file system hangs;\n"
                           "             when it is surely over, `maskmill run ... --resume` goes on\n", age);
        break;
    case MM_LIFE_DEAD:
        (void)fprintf(out, "  dead       its process is no more, last sign of life %s ago;\n"
                           "             `maskmill run ... --resume` goes on\n", age);
        break;
    case MM_LIFE_ENDED:
        if (p->reason[0])
            (void)fprintf(out, "  reason     %s\n", p->reason);
        if (p->state == MM_RUN_STOPPED && !strstr(p->reason, "--resume"))
            (void)fprintf(out, "  ended      %s ago; `maskmill run ... --resume` goes on\n", age);
        else
            (void)fprintf(out, "  ended      %s ago\n", age);
        break;
    }
}

static void print_counts(const mm_run_progress *p, FILE *out)
{
    char a[MM_NUMBER_TEXT], b[MM_NUMBER_TEXT], c[MM_NUMBER_TEXT];
    const uint64_t finished = p->images_done + p->images_set_aside;
    (void)fprintf(out, "  images     %s of %s (%s)", mm_format_count(a, sizeof a, finished),
                  mm_format_count(b, sizeof b, p->images_total),
                  mm_format_percent(c, sizeof c, finished, p->images_total));
    if (p->images_set_aside)
        (void)fprintf(out, ", %s of them set aside", mm_format_count(a, sizeof a, p->images_set_aside));
    if (p->images_before)
        (void)fprintf(out, ", %s by earlier attempts", mm_format_count(a, sizeof a, p->images_before));
    (void)fprintf(out, "\n  masks      %s", mm_format_count(a, sizeof a, p->masks));
    if (p->images_done)
        (void)fprintf(out, " (%.1f an image)", (double)p->masks / (double)p->images_done);
    (void)fputc('\n', out);
}

static void print_pace(const mm_run_progress *p, FILE *out)
{
    char a[MM_NUMBER_TEXT], b[MM_NUMBER_TEXT];
    if (p->images_per_second >= 0) {
        (void)fprintf(out, "  pace       %s images/s", mm_format_pace(a, sizeof a, p->images_per_second));
        if (p->images_per_second_now >= 0)
            (void)fprintf(out, ", %s now", mm_format_pace(b, sizeof b, p->images_per_second_now));
        (void)fputc('\n', out);
    }
    if (p->elapsed >= 0) {
        (void)fprintf(out, "  time       %s so far", mm_format_wait(a, sizeof a, p->elapsed));
        if (p->left > 0)
            (void)fprintf(out, ", %s left", mm_format_wait(b, sizeof b, p->left));
        (void)fputc('\n', out);
    }
}

static void print_ranks(const mm_run_progress *p, FILE *out)
{
    char a[MM_NUMBER_TEXT], b[MM_NUMBER_TEXT], c[MM_NUMBER_TEXT];
    if (p->ranks)
        (void)fprintf(out, "  ranks      %" PRIu32, p->ranks);
    if (p->ranks > 1 && p->slowest >= 0)
        (void)fprintf(out, "; images/s of one: %s the slowest (rank %" PRIu32 "), %s the median, %s the fastest (rank %"
                      PRIu32 ")", mm_format_pace(a, sizeof a, p->slowest), p->slowest_rank,
                      mm_format_pace(b, sizeof b, p->median), mm_format_pace(c, sizeof c, p->fastest),
                      p->fastest_rank);
    if (p->ranks)
        (void)fputc('\n', out);
    if (p->silent_count == 0)
        return;
    (void)fprintf(out, "  silent     %" PRIu32 " rank%s", p->silent_count, p->silent_count == 1 ? "" : "s");
    if (p->silent_after >= 0)
        (void)fprintf(out, " not heard of for %s", mm_format_wait(a, sizeof a, p->silent_after));
    for (uint32_t i = 0; p->silent_after > 0 && i < p->silent_count && i < MM_PROGRESS_SILENT; i++)
        (void)fprintf(out, "%s%" PRIu32, i ? ", " : ": ", p->silent[i]);
    (void)fprintf(out, "%s\n", p->silent_after > 0 && p->silent_count > MM_PROGRESS_SILENT ? ", ..." : "");
}

static void print_numbers(const mm_run_progress *p, FILE *out)
{
    print_counts(p, out);
    print_pace(p, out);
    print_ranks(p, out);
}

static void print_parts(const mm_run_statuses *statuses, FILE *out)
{
    const mm_run_status sum = mm_run_status_sum(statuses);
    (void)fprintf(out, "%s: %zu part%s", statuses->folder, statuses->count, statuses->count == 1 ? "" : "s");
    if (statuses->waiting)
        (void)fprintf(out, " and %zu in which nothing has begun", statuses->waiting);
    (void)fputc('\n', out);
    print_numbers(&sum.progress, out);
    for (size_t i = 0; i < statuses->count; i++) {
        const mm_run_status *run = &statuses->runs[i];
        char line[256];
        mm_run_progress p = run->progress;
        if (run->life != MM_LIFE_ALIVE) { /* only what lives has a pace */
            p.images_per_second = p.images_per_second_now = p.left = p.slowest = -1;
            p.silent_count = 0;
        }
        (void)mm_progress_line(line, sizeof line, &p, 80);
        (void)fprintf(out, "  %-7s    %s: %s\n", word(run), run->folder + strlen(statuses->folder) + 1, line);
        if (p.reason[0])
            (void)fprintf(out, "             %s\n", p.reason);
    }
}

void mm_run_status_print_text(const mm_run_statuses *statuses, FILE *out)
{
    if (statuses->parts) {
        print_parts(statuses, out);
        return;
    }
    const mm_run_status *run = &statuses->runs[0];
    mm_run_progress p = run->progress;
    (void)fprintf(out, "%s: %s", statuses->folder, word(run));
    print_where(&p, out);
    (void)fputc('\n', out);
    if (run->life != MM_LIFE_ALIVE) {
        p.images_per_second_now = p.left = -1;
        p.silent_count = 0;
    }
    print_life(run, out);
    print_numbers(&p, out);
}

/* progress.json's object, and what a look at it from outside adds. */
static json_t *run_object(const mm_run_status *run)
{
    char *line = mm_run_progress_to_json(&run->progress);
    json_t *object = line ? json_loads(line, 0, NULL) : NULL;
    free(line);
    json_t *folder = run->folder ? json_string(run->folder) : NULL;
    if (!folder)
        folder = json_null(); /* a sum, or a name that is no UTF-8 */
    const int failed = json_object_set_new(object, "folder", folder) |
                       json_object_set_new(object, "life", json_string(life_names[run->life])) |
                       json_object_set_new(object, "age_seconds", json_real(isfinite(run->age) ? run->age : 0));
    if (failed) {
        json_decref(object);
        return NULL;
    }
    return object;
}

static json_t *whole_object(const mm_run_statuses *statuses)
{
    if (!statuses->parts)
        return run_object(&statuses->runs[0]);
    const mm_run_status sum = mm_run_status_sum(statuses);
    json_t *object = run_object(&sum), *parts = json_array();
    int failed = !object || !parts;
    for (size_t i = 0; !failed && i < statuses->count; i++)
        failed = json_array_append_new(parts, run_object(&statuses->runs[i]));
    failed |= json_object_set_new(object, "parts_waiting", json_integer((json_int_t)statuses->waiting));
    failed |= json_object_set_new(object, "parts", parts);
    if (failed) {
        json_decref(object);
        return NULL;
    }
    return object;
}

mm_status mm_run_status_print_json(const mm_run_statuses *statuses, FILE *out, mm_error *err)
{
    json_t *object = whole_object(statuses);
    char *line = object ? json_dumps(object, JSON_INDENT(1) | JSON_REAL_PRECISION(15)) : NULL;
    json_decref(object);
    if (!line)
        return mm_fail_memory(err, "the state of a run");
    (void)fprintf(out, "%s\n", line);
    free(line);
    return MM_OK;
}
