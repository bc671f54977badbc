/* The one thread of a rank that writes shards: HDF5 may not be thread-safe, so while a writer lives, no other thread of
 * the process calls HDF5. */
#ifndef MM_ENGINE_WRITER_H
#define MM_ENGINE_WRITER_H

#include "maskmill/journal.h"

typedef struct mm_writer_options {
    void *user;
    /* Write and commit; in the writer's thread. records[i] is image first_image + i. */
    mm_status (*commit)(void *user, uint64_t shard, uint64_t first_image, const mm_record *records, size_t count,
                        mm_error *err);
    /* What became of each shard given, in order, in the writer's thread. After a failure no more are written. */
    void (*outcome)(void *user, uint64_t shard, mm_status status, const mm_error *err);
} mm_writer_options;

typedef struct mm_writer mm_writer;

MM_RESULT_USED mm_status mm_writer_start(const mm_writer_options *options, mm_writer **writer, mm_error *err);
/* Queue a shard whose records are all in this journal, which now belongs to the writer. Never waits. Once the shard is
 * in its place the journal is reduced to the images that were set aside, or removed. */
void mm_writer_give(mm_writer *writer, mm_journal *journal);
/* Finish the shard in hand, leave what is queued to its journals, end the thread. NULL is fine. */
void mm_writer_stop(mm_writer *writer);

#endif
