#include "engine/progress_line.h"

#include <inttypes.h>
#include <string.h>

#include "base/format.h"

/* In the order of the line; `keep` is how much each matters. */
enum { COUNT, SET_ASIDE, MASKS, PACE, NOW, LEFT, RANKS, PARTS };
static const int keep[PARTS] = {[COUNT] = 9, [SET_ASIDE] = 8, [LEFT] = 7, [PACE] = 6, [MASKS] = 3, [NOW] = 2,
                                [RANKS] = 1};

typedef struct parts {
    char text[PARTS][80];
    int keep[PARTS];
} parts;

static void fill_counts(parts *p, const mm_run_progress *progress)
{
    char number[MM_NUMBER_TEXT];
    const uint64_t finished = progress->images_done + progress->images_set_aside;
    (void)snprintf(p->text[COUNT], sizeof p->text[COUNT], "%" PRIu64 "/%" PRIu64 " images", finished,
                   progress->images_total);
    if (progress->images_set_aside)
        (void)snprintf(p->text[SET_ASIDE], sizeof p->text[SET_ASIDE], ", %" PRIu64 " set aside",
                       progress->images_set_aside);
    (void)snprintf(p->text[MASKS], sizeof p->text[MASKS], ", %s masks",
                   mm_format_short(number, sizeof number, progress->masks));
}

static void fill_paces(parts *p, const mm_run_progress *progress)
{
    char number[MM_NUMBER_TEXT];
    if (progress->images_per_second >= 0)
        (void)snprintf(p->text[PACE], sizeof p->text[PACE], ", %s images/s",
                       mm_format_pace(number, sizeof number, progress->images_per_second));
    if (progress->images_per_second_now >= 0)
        (void)snprintf(p->text[NOW], sizeof p->text[NOW], " (now %s)",
                       mm_format_pace(number, sizeof number, progress->images_per_second_now));
    if (progress->left > 0)
        (void)snprintf(p->text[LEFT], sizeof p->text[LEFT], ", %s left",
                       mm_format_wait(number, sizeof number, progress->left));
}

static void fill_ranks(parts *p, const mm_run_progress *progress)
{
    char slow[MM_NUMBER_TEXT], fast[MM_NUMBER_TEXT];
    if (progress->silent_count) {
        (void)snprintf(p->text[RANKS], sizeof p->text[RANKS], ", %" PRIu32 " rank%s silent", progress->silent_count,
                       progress->silent_count == 1 ? "" : "s");
        p->keep[RANKS] = keep[SET_ASIDE];
    } else if (progress->ranks > 1 && progress->slowest >= 0) {
        (void)snprintf(p->text[RANKS], sizeof p->text[RANKS], ", ranks %s-%s",
                       mm_format_pace(slow, sizeof slow, progress->slowest),
                       mm_format_pace(fast, sizeof fast, progress->fastest));
    }
}

static size_t width_of(const parts *p)
{
    size_t width = 0;
    for (int i = 0; i < PARTS; i++)
        width += strlen(p->text[i]);
    return width;
}

static int least_important(const parts *p)
{
    int found = COUNT;
    for (int i = 0; i < PARTS; i++)
        if (p->text[i][0] && p->keep[i] < p->keep[found])
            found = i;
    return found;
}

int mm_progress_line(char *line, size_t size, const mm_run_progress *progress, int columns)
{
    parts p = {0};
    memcpy(p.keep, keep, sizeof p.keep);
    fill_counts(&p, progress);
    fill_paces(&p, progress);
    fill_ranks(&p, progress);
    while (columns > 0 && width_of(&p) > (size_t)columns) {
        const int part = least_important(&p);
        if (part == COUNT)
            break;
        p.text[part][0] = '\0';
    }
    const int width = snprintf(line, size, "%s%s%s%s%s%s%s", p.text[0], p.text[1], p.text[2], p.text[3], p.text[4],
                               p.text[5], p.text[6]);
    return width > 0 && (size_t)width < size ? width : (int)strlen(line);
}
