#include "engine/writer.h"

#include <inttypes.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>

struct mm_writer {
    mm_writer_options options;
    pthread_t thread;
    pthread_mutex_t lock; /* guards what follows */
    pthread_cond_t wake;
    mm_gathering *first, *last;
    bool stopping;
};

static mm_status unpack(const mm_gathering *whole, mm_record *records, mm_error *err)
{
    for (size_t i = 0; i < whole->count; i++) {
        mm_status status = mm_record_unpack(whole->records[i].bytes, whole->records[i].size, &records[i], err);
        if (status != MM_OK)
            return mm_error_prefix(err, "record of image %" PRIu64, whole->first_image + i);
        if (records[i].image_id != whole->first_image + i)
            return mm_fail(err, MM_ERR_INTERNAL, "record of image %" PRIu64 " says that it is image %" PRIu64,
                           whole->first_image + i, records[i].image_id);
    }
    return MM_OK;
}

static mm_status write_shard(const mm_writer *writer, const mm_gathering *whole, mm_error *err)
{
    mm_record *records = calloc(whole->count, sizeof *records);
    if (!records)
        return mm_fail_memory(err, "the records of a shard");
    mm_status status = unpack(whole, records, err);
    if (status == MM_OK)
        status = writer->options.commit(writer->options.user, whole->shard, whole->first_image, records, whole->count,
                                        err);
    for (size_t i = 0; i < whole->count; i++)
        mm_record_free(&records[i]);
    free(records);
    return status;
}

/* The next shard to write; NULL when it is time to go. */
static mm_gathering *take(mm_writer *writer)
{
    pthread_mutex_lock(&writer->lock);
    while (!writer->first && !writer->stopping)
        pthread_cond_wait(&writer->wake, &writer->lock);
    mm_gathering *whole = writer->stopping ? NULL : writer->first;
    if (whole) {
        writer->first = whole->next;
        if (!writer->first)
            writer->last = NULL;
    }
    pthread_mutex_unlock(&writer->lock);
    return whole;
}

static void *write_shards(void *argument)
{
    mm_writer *writer = argument;
    mm_gathering *whole;
    bool failed = false;
    while ((whole = take(writer))) {
        if (!failed) {
            mm_error err = {0};
            const mm_status status = write_shard(writer, whole, &err);
            failed = status != MM_OK;
            writer->options.outcome(writer->options.user, whole->shard, status, &err);
        }
        mm_gathering_free(whole);
    }
    return NULL;
}

mm_status mm_writer_start(const mm_writer_options *options, mm_writer **writer, mm_error *err)
{
    mm_writer *made = calloc(1, sizeof *made);
    if (!made)
        return mm_fail_memory(err, "the writer thread");
    made->options = *options;
    bool ready = pthread_mutex_init(&made->lock, NULL) == 0 && pthread_cond_init(&made->wake, NULL) == 0;
    if (ready) {
        /* Signals are for the main thread: a shard must not be interrupted in HDF5. */
        sigset_t all, before;
        (void)sigfillset(&all);
        ready = pthread_sigmask(SIG_SETMASK, &all, &before) == 0;
        if (ready) {
            ready = pthread_create(&made->thread, NULL, write_shards, made) == 0;
            (void)pthread_sigmask(SIG_SETMASK, &before, NULL); /* fails for a wrong `how` only */
        }
    }
    if (!ready) {
        free(made);
        return mm_fail(err, MM_ERR_IO, "the system gives no further thread; raise the limit on processes (ulimit -u)");
    }
    *writer = made;
    return MM_OK;
}

void mm_writer_give(mm_writer *writer, mm_gathering *whole)
{
    pthread_mutex_lock(&writer->lock);
    whole->next = NULL;
    if (writer->last)
        writer->last->next = whole;
    else
        writer->first = whole;
    writer->last = whole;
    pthread_cond_signal(&writer->wake);
    pthread_mutex_unlock(&writer->lock);
}

void mm_writer_stop(mm_writer *writer)
{
    if (!writer)
        return;
    pthread_mutex_lock(&writer->lock);
    writer->stopping = true;
    pthread_cond_signal(&writer->wake);
    pthread_mutex_unlock(&writer->lock);
    (void)pthread_join(writer->thread, NULL); /* ours, and joined once */
    while (writer->first) {
        mm_gathering *whole = writer->first;
        writer->first = whole->next;
        mm_gathering_free(whole);
    }
    (void)pthread_cond_destroy(&writer->wake);
    (void)pthread_mutex_destroy(&writer->lock);
    free(writer);
}
