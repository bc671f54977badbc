#include "engine/writer.h"

#include <inttypes.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>

typedef struct whole_shard {
    struct whole_shard *next;
    mm_journal *journal;
} whole_shard;

struct mm_writer {
    mm_writer_options options;
    pthread_t thread;
    pthread_mutex_t lock; /* guards what follows */
    pthread_cond_t wake;
    whole_shard *first, *last;
    bool stopping;
};

/* Packed records are fetched one by one, so only their unpacked form is in memory as a whole. */
static mm_status fetch(mm_journal *journal, mm_record *records, mm_error *err)
{
    const mm_journal_origin *origin = mm_journal_origin_of(journal);
    for (uint64_t i = 0; i < origin->images; i++) {
        const uint64_t image_id = origin->first_image + i;
        uint8_t *bytes = NULL;
        size_t size = 0;
        mm_status status = mm_journal_read(journal, image_id, &bytes, &size, err);
        if (status != MM_OK)
            return status;
        status = mm_record_unpack(bytes, size, &records[i], err);
        free(bytes);
        if (status != MM_OK)
            return mm_error_prefix(err, "record of image %" PRIu64, image_id);
        if (records[i].image_id != image_id)
            return mm_fail(err, MM_ERR_INTERNAL, "record of image %" PRIu64 " says that it is image %" PRIu64, image_id,
                           records[i].image_id);
    }
    return MM_OK;
}

/* The shard is in its place. Its journal has one more thing to say: why images were set aside. */
static mm_status reduce(mm_journal *journal, const mm_record *records, uint64_t count, mm_error *err)
{
    uint64_t *set_aside = calloc(count + 1, sizeof *set_aside);
    if (!set_aside)
        return mm_fail_memory(err, "the images set aside in a shard");
    size_t found = 0;
    for (uint64_t i = 0; i < count; i++)
        if (records[i].status == MM_IMAGE_SET_ASIDE)
            set_aside[found++] = records[i].image_id;
    const mm_status status = mm_journal_reduce(journal, set_aside, found, err);
    free(set_aside);
    return status;
}

static mm_status write_shard(const mm_writer *writer, mm_journal *journal, mm_error *err)
{
    const mm_journal_origin *origin = mm_journal_origin_of(journal);
    mm_record *records = calloc(origin->images, sizeof *records);
    if (!records)
        return mm_fail_memory(err, "the records of a shard");
    mm_status status = fetch(journal, records, err);
    if (status == MM_OK)
        status = writer->options.commit(writer->options.user, origin->shard, origin->first_image, records,
                                        origin->images, err);
    if (status == MM_OK)
        status = reduce(journal, records, origin->images, err);
    for (uint64_t i = 0; i < origin->images; i++)
        mm_record_free(&records[i]);
    free(records);
    return status;
}

/* The next shard to write; NULL when it is time to go. */
static whole_shard *take(mm_writer *writer)
{
    pthread_mutex_lock(&writer->lock);
    while (!writer->first && !writer->stopping)
        pthread_cond_wait(&writer->wake, &writer->lock);
    whole_shard *whole = writer->stopping ? NULL : writer->first;
    if (whole) {
        writer->first = whole->next;
        if (!writer->first)
            writer->last = NULL;
    }
    pthread_mutex_unlock(&writer->lock);
    return whole;
}

/* A journal whose shard was not written yet rests until the run is resumed. */
static void put_away(whole_shard *whole)
{
    const mm_status synced = mm_journal_sync(whole->journal, NULL);
    (void)synced; /* the run has stopped; at worst what the machine forgets is made again */
    mm_journal_close(whole->journal);
    free(whole);
}

static void *write_shards(void *argument)
{
    mm_writer *writer = argument;
    whole_shard *whole;
    bool failed = false;
    while ((whole = take(writer))) {
        if (!failed) {
            mm_error err = {0};
            const uint64_t shard = mm_journal_origin_of(whole->journal)->shard;
            const mm_status status = write_shard(writer, whole->journal, &err);
            failed = status != MM_OK;
            writer->options.outcome(writer->options.user, shard, status, &err);
        }
        put_away(whole);
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
        /* Signals are for a thread of their own (signals.h): a shard must not be interrupted in HDF5. */
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

void mm_writer_give(mm_writer *writer, mm_journal *journal)
{
    whole_shard *whole = malloc(sizeof *whole);
    if (!whole) {
        const mm_error err = {MM_ERR_NOMEM, "out of memory for a shard; use fewer ranks on this machine"};
        const uint64_t shard = mm_journal_origin_of(journal)->shard;
        mm_journal_close(journal);
        writer->options.outcome(writer->options.user, shard, err.status, &err);
        return;
    }
    *whole = (whole_shard){NULL, journal};
    pthread_mutex_lock(&writer->lock);
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
        whole_shard *whole = writer->first;
        writer->first = whole->next;
        put_away(whole);
    }
    (void)pthread_cond_destroy(&writer->wake);
    (void)pthread_mutex_destroy(&writer->lock);
    free(writer);
}
