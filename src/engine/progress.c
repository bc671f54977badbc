#include "engine/progress.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>

#include "engine/progress_file.h"
#include "engine/progress_line.h"

static const double terminal_seconds = 1, plain_seconds = 10, file_seconds = 0.5;
static const double sample_seconds = 15, now_seconds = 30, silent_seconds = 60, silent_unknown = 600;
enum { SAMPLES = 61, NOW_IMAGES = 10, SILENT_IMAGES = 10, COLUMNS = 100 };

/* How many images of this attempt were finished at a moment; the ring reaches a quarter of an hour back. */
typedef struct sample {
    double time;
    uint64_t finished;
} sample;

typedef struct rank_progress {
    uint64_t finished;
    double heard;
} rank_progress;

struct mm_progress {
    mm_progress_options options;
    mm_progress_file *file; /* NULL: none */
    mm_run_state state;
    uint64_t done, set_aside, masks; /* whole run */
    uint64_t finished;               /* images of this attempt */
    double start, printed, put;
    int width; /* of the line that stands on the terminal */
    sample samples[SAMPLES];
    size_t oldest, sample_count;
    rank_progress *ranks;
    double *paces; /* room for sorting them */
};

/* How wide a line may be so that writing over it works: the last column would make a terminal go to the next line. */
static int columns_of(FILE *terminal)
{
    struct winsize size;
    return terminal && ioctl(fileno(terminal), TIOCGWINSZ, &size) == 0 && size.ws_col > 1 ? size.ws_col - 1 : COLUMNS;
}

static const sample *sample_at(const mm_progress *progress, size_t i) /* 0 is the oldest */
{
    return &progress->samples[(progress->oldest + i) % SAMPLES];
}

static void take_sample(mm_progress *progress, double now)
{
    if (progress->sample_count && now - sample_at(progress, progress->sample_count - 1)->time < sample_seconds)
        return;
    if (progress->sample_count == SAMPLES)
        progress->oldest = (progress->oldest + 1) % SAMPLES;
    else
        progress->sample_count++;
    progress->samples[(progress->oldest + progress->sample_count - 1) % SAMPLES] = (sample){now, progress->finished};
}

static double pace_since(const mm_progress *progress, const sample *then, double now)
{
    return now > then->time ? (double)(progress->finished - then->finished) / (now - then->time) : -1;
}

/* Of the last half minute, or as far back as ten images take. */
static double pace_now(const mm_progress *progress, double now)
{
    size_t i = progress->sample_count - 1;
    while (i > 0 && (now - sample_at(progress, i)->time < now_seconds ||
                     progress->finished - sample_at(progress, i)->finished < NOW_IMAGES))
        i--;
    return i > 0 ? pace_since(progress, sample_at(progress, i), now) : -1;
}

static double seconds_left(const mm_progress *progress, uint64_t images, double now)
{
    const double pace = pace_since(progress, sample_at(progress, 0), now);
    return images == 0 ? 0 : pace > 0 ? (double)images / pace : -1;
}

static int rising(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Not before each rank had time for an image: until then the slowest says nothing. */
static void measure_spread(const mm_progress *progress, mm_run_progress *m)
{
    const size_t ranks = (size_t)progress->options.ranks;
    uint64_t least = UINT64_MAX, most = 0;
    m->slowest = m->median = m->fastest = -1;
    for (size_t i = 0; i < ranks; i++) {
        const uint64_t finished = progress->ranks[i].finished;
        progress->paces[i] = m->elapsed > 0 ? (double)finished / m->elapsed : 0;
        if (finished < least) {
            least = finished;
            m->slowest_rank = (uint32_t)i;
        }
        if (finished > most) {
            most = finished;
            m->fastest_rank = (uint32_t)i;
        }
    }
    if (m->elapsed <= 0 || most == 0 || (least == 0 && m->elapsed < m->silent_after))
        return;
    qsort(progress->paces, ranks, sizeof progress->paces[0], rising);
    m->slowest = progress->paces[0];
    m->median = progress->paces[ranks / 2];
    m->fastest = progress->paces[ranks - 1];
}

/* A rank is silent that was not heard of for the time that ten images take; at the end there is nothing to be said. */
static void measure_silence(const mm_progress *progress, uint64_t images_left, double now, mm_run_progress *m)
{
    const double per_image =
        progress->finished ? m->elapsed * progress->options.ranks / (double)progress->finished : 0;
    m->silent_after = progress->finished ? fmax(silent_seconds, SILENT_IMAGES * per_image) : silent_unknown;
    for (int i = 0; i < progress->options.ranks && images_left >= m->ranks && m->state == MM_RUN_RUNNING; i++) {
        if (now - progress->ranks[i].heard < m->silent_after)
            continue;
        if (m->silent_count < MM_PROGRESS_SILENT)
            m->silent[m->silent_count] = (uint32_t)i;
        m->silent_count++;
    }
}

mm_run_progress mm_progress_measure(const mm_progress *progress, double now)
{
    const mm_progress_options *options = &progress->options;
    const uint64_t finished = progress->done + progress->set_aside;
    const uint64_t images_left = options->total > finished ? options->total - finished : 0;
    mm_run_progress m = {.state = progress->state,
                         .images_total = options->total,
                         .images_done = progress->done,
                         .images_set_aside = progress->set_aside,
                         .images_before = options->done_before + options->set_aside_before,
                         .masks = progress->masks,
                         .elapsed = now - progress->start,
                         .images_per_second = -1,
                         .ranks = (uint32_t)options->ranks};
    if (progress->finished && m.elapsed > 0)
        m.images_per_second = (double)progress->finished / m.elapsed;
    m.images_per_second_now = pace_now(progress, now);
    m.left = seconds_left(progress, images_left, now);
    measure_silence(progress, images_left, now, &m);
    measure_spread(progress, &m);
    return m;
}

mm_status mm_progress_begin(const mm_progress_options *options, double now, mm_progress **progress, mm_error *err)
{
    mm_progress *made = calloc(1, sizeof *made);
    if (!made)
        return mm_fail_memory(err, "progress");
    made->options = *options;
    if (options->columns <= 0)
        made->options.columns = options->terminal ? columns_of(options->stream) : COLUMNS;
    made->done = options->done_before;
    made->set_aside = options->set_aside_before;
    made->masks = options->masks_before;
    made->start = made->printed = made->put = now;
    take_sample(made, now);
    const size_t ranks = (size_t)options->ranks;
    made->ranks = calloc(ranks, sizeof *made->ranks);
    made->paces = calloc(ranks, sizeof *made->paces);
    mm_status status = made->ranks && made->paces ? MM_OK : mm_fail_memory(err, "progress");
    for (size_t i = 0; status == MM_OK && i < ranks; i++)
        made->ranks[i].heard = now;
    if (status == MM_OK && options->out) {
        const mm_run_progress first = mm_progress_measure(made, now);
        status = mm_progress_file_start(options->out, &first, &made->file, err);
    }
    if (status == MM_OK) {
        *progress = made;
        return MM_OK;
    }
    free(made->ranks);
    free(made->paces);
    free(made);
    return status;
}

void mm_progress_heard(mm_progress *progress, int rank, double now)
{
    if (progress && rank >= 0 && rank < progress->options.ranks)
        progress->ranks[rank].heard = now;
}

void mm_progress_add(mm_progress *progress, int rank, uint64_t images, uint64_t set_aside, uint64_t masks, double now)
{
    if (!progress)
        return;
    take_sample(progress, now);
    progress->finished += images;
    progress->done += images - set_aside;
    progress->set_aside += set_aside;
    progress->masks += masks;
    if (rank >= 0 && rank < progress->options.ranks)
        progress->ranks[rank].finished += images;
    mm_progress_heard(progress, rank, now);
}

static void print_line(mm_progress *progress, const mm_run_progress *measured, double now)
{
    char line[256];
    FILE *stream = progress->options.stream;
    const int width = mm_progress_line(line, sizeof line, measured, progress->options.columns);
    /* Nobody can be told that standard error is closed. */
    if (progress->options.terminal)
        (void)fprintf(stream, "\r%s%*s", line, progress->width > width ? progress->width - width : 0, "");
    else
        (void)fprintf(stream, "%s\n", line);
    (void)fflush(stream);
    progress->width = width;
    progress->printed = now;
}

void mm_progress_tick(mm_progress *progress, double now)
{
    if (!progress)
        return;
    take_sample(progress, now);
    const bool prints = progress->options.stream &&
                        now - progress->printed >= (progress->options.terminal ? terminal_seconds : plain_seconds);
    const bool puts = progress->file && now - progress->put >= file_seconds;
    if (!prints && !puts)
        return;
    const mm_run_progress measured = mm_progress_measure(progress, now);
    if (prints)
        print_line(progress, &measured, now);
    if (puts) {
        mm_progress_file_put(progress->file, &measured);
        progress->put = now;
    }
}

void mm_progress_close(mm_progress *progress, double now)
{
    if (!progress || progress->state != MM_RUN_RUNNING)
        return;
    progress->state = MM_RUN_CLOSING;
    const mm_run_progress measured = mm_progress_measure(progress, now);
    if (progress->file)
        mm_progress_file_put(progress->file, &measured);
    if (!progress->options.stream)
        return;
    print_line(progress, &measured, now);
    if (progress->options.terminal)
        (void)fputc('\n', progress->options.stream);
    progress->options.stream = NULL;
}

void mm_progress_end(mm_progress *progress, mm_run_state state, const char *reason, double now)
{
    if (!progress)
        return;
    mm_progress_close(progress, now);
    progress->state = state;
    mm_run_progress last = mm_progress_measure(progress, now);
    if (reason)
        (void)snprintf(last.reason, sizeof last.reason, "%s", reason);
    mm_progress_file_stop(progress->file, &last);
    free(progress->ranks);
    free(progress->paces);
    free(progress);
}
