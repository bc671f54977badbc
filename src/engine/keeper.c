#include "engine/keeper.h"

#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <time.h>

typedef struct kept_record {
    struct kept_record *next;
    int maker;
    uint64_t image_id;
    uint8_t *bytes;
    size_t size;
} kept_record;

struct mm_keeper {
    mm_keeper_options options;
    pthread_t thread;
    pthread_mutex_t lock; /* guards what follows, up to the blank line */
    pthread_cond_t wake;
    kept_record *first, *last;
    bool hurried, through, stopping;

    /* The keeper's own. */
    bool failed, unsynced;
    struct timespec due; /* while unsynced: when the oldest record has waited long enough */
};

static void fail(mm_keeper *keeper, mm_status status, const mm_error *err)
{
    if (!keeper->failed)
        keeper->options.failed(keeper->options.user, status, err);
    keeper->failed = true;
    keeper->unsynced = false;
}

static void sync_all(mm_keeper *keeper)
{
    mm_error err = {0};
    const mm_status status = mm_owner_sync(keeper->options.owner, &err);
    keeper->unsynced = false;
    if (status != MM_OK)
        fail(keeper, status, &err);
}

static void note_unsynced(mm_keeper *keeper)
{
    if (keeper->unsynced)
        return;
    keeper->unsynced = true;
    (void)clock_gettime(CLOCK_MONOTONIC, &keeper->due); /* cannot fail for this clock */
    const double seconds = keeper->options.sync_seconds;
    keeper->due.tv_sec += (time_t)seconds;
    keeper->due.tv_nsec += (long)((seconds - (double)(time_t)seconds) * 1e9);
    if (keeper->due.tv_nsec >= 1000000000) {
        keeper->due.tv_nsec -= 1000000000;
        keeper->due.tv_sec++;
    }
}

/* False if it was dropped. */
static bool keep(mm_keeper *keeper, const kept_record *record)
{
    mm_journal *journal = NULL;
    mm_error err = {0};
    mm_status status = mm_owner_journal(keeper->options.owner, record->image_id, &journal, &err);
    if (status == MM_OK)
        status = mm_journal_append(journal, record->image_id, record->bytes, record->size, &err);
    if (status != MM_OK) {
        fail(keeper, status, &err);
        return false;
    }
    note_unsynced(keeper);
    if (keeper->options.sync_seconds <= 0)
        sync_all(keeper);
    const mm_journal_origin *origin = mm_journal_origin_of(journal);
    if (!keeper->failed && mm_journal_records(journal) == origin->images)
        keeper->options.whole(keeper->options.user, mm_owner_release(keeper->options.owner, origin->shard));
    return true;
}

static void keep_all(mm_keeper *keeper, kept_record *record)
{
    while (record) {
        kept_record *next = record->next;
        const bool is_kept = !keeper->failed && keep(keeper, record);
        keeper->options.kept(keeper->options.user, record->maker, record->image_id, !is_kept);
        free(record->bytes);
        free(record);
        record = next;
    }
}

static bool is_due(const mm_keeper *keeper)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec > keeper->due.tv_sec || (now.tv_sec == keeper->due.tv_sec && now.tv_nsec >= keeper->due.tv_nsec);
}

/* What is queued, all at once; NULL when it is time to sync. Waits until there is one or the other. *over:
 * stopping, and the queue is empty. */
static kept_record *take_all(mm_keeper *keeper, bool *over)
{
    pthread_mutex_lock(&keeper->lock);
    for (;;) {
        const bool rushed = keeper->hurried || keeper->stopping;
        keeper->through = rushed && !keeper->first && !keeper->unsynced;
        if (keeper->first || keeper->stopping || (keeper->unsynced && (rushed || is_due(keeper))))
            break;
        if (keeper->unsynced)
            (void)pthread_cond_timedwait(&keeper->wake, &keeper->lock, &keeper->due); /* early or late, we look again */
        else
            pthread_cond_wait(&keeper->wake, &keeper->lock);
    }
    kept_record *all = keeper->first;
    keeper->first = keeper->last = NULL;
    *over = !all && keeper->stopping;
    pthread_mutex_unlock(&keeper->lock);
    return all;
}

static void *keep_records(void *argument)
{
    mm_keeper *keeper = argument;
    bool over = false;
    while (!over) {
        kept_record *all = take_all(keeper, &over);
        keep_all(keeper, all);
        if (keeper->unsynced && (over || is_due(keeper) || !all))
            sync_all(keeper);
    }
    return NULL;
}

/* Signals are for a thread of their own (signals.h): a record must not be interrupted half way. */
static int start_thread(mm_keeper *keeper)
{
    sigset_t all, before;
    (void)sigfillset(&all);
    int code = pthread_sigmask(SIG_SETMASK, &all, &before);
    if (code != 0)
        return code;
    code = pthread_create(&keeper->thread, NULL, keep_records, keeper);
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL); /* fails for a wrong `how` only */
    return code;
}

mm_status mm_keeper_start(const mm_keeper_options *options, mm_keeper **keeper, mm_error *err)
{
    mm_keeper *made = calloc(1, sizeof *made);
    if (!made)
        return mm_fail_memory(err, "the keeper's thread");
    made->options = *options;
    pthread_condattr_t monotonic;
    bool ready = pthread_condattr_init(&monotonic) == 0;
    if (ready) {
        ready = pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC) == 0 &&
                pthread_mutex_init(&made->lock, NULL) == 0 && pthread_cond_init(&made->wake, &monotonic) == 0 &&
                start_thread(made) == 0;
        (void)pthread_condattr_destroy(&monotonic);
    }
    if (!ready) {
        free(made);
        return mm_fail(err, MM_ERR_IO, "the system gives no further thread; raise the limit on processes (ulimit -u)");
    }
    *keeper = made;
    return MM_OK;
}

mm_status mm_keeper_give(mm_keeper *keeper, int maker, uint64_t image_id, uint8_t *bytes, size_t size, mm_error *err)
{
    kept_record *record = malloc(sizeof *record);
    if (!record) {
        free(bytes);
        return mm_fail_memory(err, "a record");
    }
    *record = (kept_record){NULL, maker, image_id, bytes, size};
    pthread_mutex_lock(&keeper->lock);
    if (keeper->last)
        keeper->last->next = record;
    else
        keeper->first = record;
    keeper->last = record;
    keeper->through = false;
    pthread_cond_signal(&keeper->wake);
    pthread_mutex_unlock(&keeper->lock);
    return MM_OK;
}

void mm_keeper_hurry(mm_keeper *keeper)
{
    pthread_mutex_lock(&keeper->lock);
    keeper->hurried = true;
    pthread_cond_signal(&keeper->wake);
    pthread_mutex_unlock(&keeper->lock);
}

bool mm_keeper_is_through(mm_keeper *keeper)
{
    pthread_mutex_lock(&keeper->lock);
    const bool through = keeper->through;
    pthread_mutex_unlock(&keeper->lock);
    return through;
}

void mm_keeper_stop(mm_keeper *keeper)
{
    if (!keeper)
        return;
    pthread_mutex_lock(&keeper->lock);
    keeper->stopping = true;
    pthread_cond_signal(&keeper->wake);
    pthread_mutex_unlock(&keeper->lock);
    (void)pthread_join(keeper->thread, NULL); /* ours, and joined once */
    (void)pthread_cond_destroy(&keeper->wake);
    (void)pthread_mutex_destroy(&keeper->lock);
    free(keeper);
}
