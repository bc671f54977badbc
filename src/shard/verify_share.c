/* Verifying on many ranks. Checks are dealt out in rounds, and after each round rank 0 tells what was found, in the
 * order of the checks: the same text for any number of ranks, and no more of it in memory than a round can find. */
#include <stdlib.h>
#include <string.h>

#include "shard/verify.h"

enum { CHECKS_A_ROUND = 8 }; /* of each rank: enough that a slow one is made up for, few enough to see faults early */

typedef struct outcome {
    uint64_t faults, images, masks, text_size;
} outcome;

typedef struct round_work {
    outcome mine[CHECKS_A_ROUND];
    char *texts[CHECKS_A_ROUND];
    outcome *all; /* [ranks][CHECKS_A_ROUND] */
} round_work;

void mm_verify_note(mm_findings *findings, const char *format, ...)
{
    mm_error line;
    va_list arguments;
    va_start(arguments, format);
    if (vsnprintf(line.text, sizeof line.text, format, arguments) < 0)
        line.text[0] = '\0';
    va_end(arguments);
    findings->faults++;
    (void)fprintf(findings->lines, "%s\n", line.text);
}

mm_status mm_verify_begin(mm_findings *findings, char **text, size_t *size, mm_error *err)
{
    *text = NULL;
    *size = 0;
    *findings = (mm_findings){.lines = open_memstream(text, size)};
    return findings->lines ? MM_OK : mm_fail_memory(err, "what verifying finds");
}

/* The text is complete afterwards. */
static mm_status end_findings(mm_findings *findings, mm_status so_far, mm_error *err)
{
    const bool bad = ferror(findings->lines);
    const bool unclosed = fclose(findings->lines) != 0;
    findings->lines = NULL;
    return so_far == MM_OK && (bad || unclosed) ? mm_fail_memory(err, "what verifying finds") : so_far;
}

static void tell(mm_verify_share *share, uint64_t faults, const char *text, size_t size)
{
    mm_verify_report *report = share->report;
    if (faults && report->faults == 0) {
        const char *end = memchr(text, '\n', size);
        (void)snprintf(report->first, sizeof report->first, "%.*s", (int)(end ? end - text : (ptrdiff_t)size), text);
    }
    report->faults += faults;
    if (share->out && size)
        (void)fwrite(text, 1, size, share->out); /* whoever gave the stream looks at its error flag */
}

mm_status mm_verify_tell(mm_verify_share *share, mm_findings *findings, char **text, size_t *size, mm_error *err)
{
    const mm_status status = end_findings(findings, MM_OK, err);
    if (status == MM_OK)
        tell(share, findings->faults, *text, *size);
    free(*text);
    *text = NULL;
    return status;
}

static mm_status check_one(mm_verify_share *share, size_t k, mm_verify_check *check, void *user, outcome *found,
                           char **text, mm_error *err)
{
    mm_findings findings;
    size_t size;
    mm_status status = mm_verify_begin(&findings, text, &size, err);
    if (status != MM_OK)
        return status;
    status = check(user, k, &findings, &found->images, &found->masks, share->total, err);
    status = end_findings(&findings, status, err);
    found->faults = findings.faults;
    found->text_size = findings.faults ? size : 0;
    return status;
}

/* Everyone learns what everyone has found. */
static mm_status exchange(const mm_verify_share *share, round_work *work, size_t ranks, mm_error *err)
{
    const mm_status status = mm_comm_gather(share->comm, work->mine, sizeof work->mine, work->all, err);
    return status == MM_OK ? mm_comm_broadcast(share->comm, 0, work->all, ranks * sizeof work->mine, err) : status;
}

/* One check's text from the rank that made it to rank 0. Collective. */
static mm_status tell_one(mm_verify_share *share, const outcome *found, int source, char *mine, mm_error *err)
{
    const int rank = share->comm ? mm_comm_rank(share->comm) : 0;
    char *text = mine;
    mm_status status = MM_OK;
    if (found->text_size && share->comm) {
        if (rank != source)
            text = malloc(found->text_size);
        status = mm_comm_agree(share->comm, text ? MM_OK : mm_fail_memory(err, "what verifying finds"), err);
        if (status == MM_OK)
            status = mm_comm_broadcast(share->comm, source, text, found->text_size, err);
    }
    if (status == MM_OK && rank == 0) {
        tell(share, found->faults, text, found->text_size);
        share->report->images += found->images;
        share->report->masks += found->masks;
        share->report->shards++;
    }
    if (text != mine)
        free(text);
    return status;
}

static mm_status do_round(mm_verify_share *share, round_work *work, size_t first, size_t count, mm_verify_check *check,
                          void *user, mm_error *err)
{
    const size_t ranks = share->comm ? (size_t)mm_comm_size(share->comm) : 1;
    const size_t rank = share->comm ? (size_t)mm_comm_rank(share->comm) : 0;
    mm_status status = MM_OK;
    memset(work->mine, 0, sizeof work->mine);
    for (size_t i = 0; status == MM_OK && i < CHECKS_A_ROUND && first + i * ranks + rank < count; i++)
        status = check_one(share, first + i * ranks + rank, check, user, &work->mine[i], &work->texts[i], err);
    status = mm_comm_agree(share->comm, status, err);
    if (status == MM_OK)
        status = exchange(share, work, ranks, err);
    for (size_t i = 0; i < CHECKS_A_ROUND; i++)
        for (size_t r = 0; status == MM_OK && r < ranks && first + i * ranks + r < count; r++)
            status = tell_one(share, &work->all[r * CHECKS_A_ROUND + i], (int)r, work->texts[i], err);
    for (size_t i = 0; i < CHECKS_A_ROUND; i++) {
        free(work->texts[i]);
        work->texts[i] = NULL;
    }
    return status;
}

mm_status mm_verify_all(mm_verify_share *share, size_t count, mm_verify_check *check, void *user, mm_error *err)
{
    const size_t ranks = share->comm ? (size_t)mm_comm_size(share->comm) : 1;
    round_work work = {.all = calloc(ranks, sizeof work.mine)};
    mm_status status = work.all ? MM_OK : mm_fail_memory(err, "verifying");
    status = mm_comm_agree(share->comm, status, err);
    for (size_t first = 0; status == MM_OK && first < count; first += ranks * CHECKS_A_ROUND)
        status = do_round(share, &work, first, count, check, user, err);
    free(work.all);
    return status;
}
