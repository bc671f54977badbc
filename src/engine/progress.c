#include "engine/progress.h"

#include <inttypes.h>

static const double terminal_seconds = 1.0, plain_seconds = 10.0;

mm_progress mm_progress_begin(FILE *stream, bool terminal, uint64_t total, double now)
{
    return (mm_progress){.stream = stream, .terminal = terminal, .total = total, .start = now, .printed = now};
}

void mm_progress_add(mm_progress *progress, uint64_t images, uint64_t set_aside, uint64_t masks)
{
    progress->done += images;
    progress->set_aside += set_aside;
    progress->masks += masks;
}

/* "42 s", "3 min 20 s", "2 h 05 min" */
static void print_duration(char *text, size_t size, double seconds)
{
    const uint64_t s = seconds < 1e9 ? (uint64_t)(seconds + 0.5) : 1000000000;
    if (s < 60)
        (void)snprintf(text, size, "%" PRIu64 " s", s);
    else if (s < 3600)
        (void)snprintf(text, size, "%" PRIu64 " min %02" PRIu64 " s", s / 60, s % 60);
    else
        (void)snprintf(text, size, "%" PRIu64 " h %02" PRIu64 " min", s / 3600, s % 3600 / 60);
}

static void print_line(mm_progress *progress, double now)
{
    const double elapsed = now - progress->start;
    char aside[48] = "", pace[64] = "", left[64] = "", duration[32];
    if (progress->set_aside)
        (void)snprintf(aside, sizeof aside, ", %" PRIu64 " set aside", progress->set_aside);
    if (progress->done && elapsed > 0) {
        const double per_second = (double)progress->done / elapsed;
        (void)snprintf(pace, sizeof pace, ", %.3g images/s", per_second);
        if (progress->done < progress->total) {
            print_duration(duration, sizeof duration, (double)(progress->total - progress->done) / per_second);
            (void)snprintf(left, sizeof left, ", %s left", duration);
        }
    }
    char line[256];
    int width = snprintf(line, sizeof line, "%" PRIu64 "/%" PRIu64 " images%s, %" PRIu64 " masks%s%s", progress->done,
                         progress->total, aside, progress->masks, pace, left);
    if (width < 0)
        width = 0;
    /* Nobody can be told that standard error is closed. */
    if (progress->terminal)
        (void)fprintf(progress->stream, "\r%s%*s", line, progress->width > width ? progress->width - width : 0, "");
    else
        (void)fprintf(progress->stream, "%s\n", line);
    (void)fflush(progress->stream);
    progress->width = width;
    progress->printed = now;
}

void mm_progress_tick(mm_progress *progress, double now)
{
    if (progress->stream && now - progress->printed >= (progress->terminal ? terminal_seconds : plain_seconds))
        print_line(progress, now);
}

void mm_progress_end(mm_progress *progress, double now)
{
    if (!progress->stream)
        return;
    print_line(progress, now);
    if (progress->terminal)
        (void)fputc('\n', progress->stream);
    progress->stream = NULL;
}
