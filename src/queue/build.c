/* Building a queue: each rank weighs the images of its shards into files of QUEUE.part; rank 0 puts them in order. */
#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "queue/open.h"
#include "queue/part.h"
#include "queue/shown.h"

typedef struct build {
    const mm_queue_build_options *options;
    mm_dataset *dataset;
    mm_queue_origin origin;
    mm_part_folder part;
    mm_queue_rows rows;  /* rank 0: all */
} build;

static mm_status part_path(const build *b, uint64_t number, char path[PATH_MAX], mm_error *err)
{
    char name[40];
    (void)snprintf(name, sizeof name, "sa_%06" PRIu64 ".h5", number);
    return mm_queue_path(b->part.path, name, path, err);
}

/* --- one shard --- */

static bool same_origin(const mm_queue_origin *a, const mm_queue_origin *b)
{
    return a->dataset.bytes == b->dataset.bytes && a->dataset.digest == b->dataset.digest && a->prefill == b->prefill &&
           a->skip_human == b->skip_human && a->shard == b->shard;
}

static bool has_human(const mm_record *record)
{
    for (uint64_t i = 0; i < record->mask_count; i++)
        if (record->source[i] == 2)
            return true;
    return false;
}

static mm_status weigh_row(build *b, uint64_t row, mm_queue_rows *rows, mm_error *err)
{
    mm_record record;
    mm_queue_image image;
    mm_status status = mm_dataset_read(b->dataset, row, &record, NULL, err);
    if (status != MM_OK)
        return status;
    if (record.status == MM_IMAGE_DONE && !(b->options->skip_human && has_human(&record))) {
        status = mm_queue_weigh(&record, b->options->prefill, &image, err);
        image.row = row;
        if (status == MM_OK)
            status = mm_queue_rows_add(rows, &image, err);
        if (status != MM_OK && err)
            (void)mm_error_prefix(err, "image %" PRIu64, record.image_id); /* same status */
    }
    mm_record_free(&record);
    return status;
}

static mm_status weigh_shard(build *b, uint64_t k, mm_error *err)
{
    const mm_shard_span span = mm_dataset_span(b->dataset, k);
    char path[PATH_MAX];
    mm_queue_origin origin = b->origin, there;
    mm_queue_rows rows = {0};
    origin.shard = span.number;
    mm_status status = part_path(b, span.number, path, err);
    if (status != MM_OK)
        return status;
    if (mm_queue_file_read(path, "queuepart", &there, &rows, NULL) == MM_OK) {
        free(rows.items);
        if (same_origin(&origin, &there))
            return MM_OK; /* an earlier attempt made it */
        rows = (mm_queue_rows){0};
    }
    for (uint64_t i = 0; status == MM_OK && i < span.images; i++)
        status = weigh_row(b, span.first_row + i, &rows, err);
    if (status == MM_OK)
        status = mm_queue_file_write(path, "queuepart", &origin, &rows, err);
    free(rows.items);
    return status;
}

/* --- rank 0: the folder, and the order --- */

static int by_falling_priority(const void *a, const void *b)
{
    const mm_queue_image *x = a, *y = b;
    if (x->priority != y->priority)
        return x->priority > y->priority ? -1 : 1;
    return x->image_id < y->image_id ? -1 : x->image_id > y->image_id;
}

static mm_status gather_shards(build *b, mm_error *err)
{
    mm_status status = MM_OK;
    for (uint64_t k = 0; status == MM_OK && k < mm_dataset_shards(b->dataset); k++) {
        char path[PATH_MAX];
        mm_queue_origin origin;
        mm_queue_rows rows = {0};
        status = part_path(b, mm_dataset_span(b->dataset, k).number, path, err);
        if (status == MM_OK)
            status = mm_queue_file_read(path, "queuepart", &origin, &rows, err);
        for (size_t i = 0; status == MM_OK && i < rows.count; i++)
            status = mm_queue_rows_add(&b->rows, &rows.items[i], err);
        free(rows.items);
    }
    return status;
}

static mm_status write_queue(build *b, mm_queue_totals *totals, mm_error *err)
{
    char path[PATH_MAX];
    mm_status status = gather_shards(b, err);
    if (status != MM_OK)
        return status;
    if (b->rows.count > 0)
        qsort(b->rows.items, b->rows.count, sizeof *b->rows.items, by_falling_priority);
    if (b->options->most > 0 && b->rows.count > b->options->most)
        b->rows.count = (size_t)b->options->most;
    for (size_t i = 0; i < b->rows.count; i++) {
        b->rows.items[i].batch = (uint32_t)(i / b->origin.batch_size);
        totals->prefilled += b->rows.items[i].prefilled;
        totals->hints += b->rows.items[i].hints;
    }
    totals->images = b->rows.count;
    totals->batches = (b->rows.count + b->origin.batch_size - 1) / b->origin.batch_size;
    if (totals->images == 0)
        return mm_fail(err, MM_ERR_USAGE, "%s has no image to be annotated%s", b->options->dataset,
                       b->options->skip_human ? ", or all have masks by people already" : "");
    status = mm_queue_path(b->part.path, "queue.h5", path, err);
    if (status == MM_OK)
        status = mm_queue_file_write(path, "queue", &b->origin, &b->rows, err);
    return status == MM_OK ? mm_queue_reference_write(b->part.path, mm_dataset_folder(b->dataset), err) : status;
}

/* The shards' files go, also those that an attempt at another dataset left, and the folder gets its name. */
static mm_status put_in_place(build *b, mm_error *err)
{
    DIR *folder = opendir(b->part.path);
    const struct dirent *entry;
    mm_status status = MM_OK;
    if (!folder)
        return mm_fail_errno(err, "cannot read %s", b->part.path);
    while (status == MM_OK && (errno = 0, entry = readdir(folder)))
        if (strncmp(entry->d_name, "sa_", 3) == 0 && unlinkat(dirfd(folder), entry->d_name, 0) != 0)
            status = mm_fail_errno(err, "cannot remove %s in %s", entry->d_name, b->part.path);
    if (status == MM_OK && errno)
        status = mm_fail_errno(err, "cannot read %s", b->part.path);
    (void)closedir(folder); /* only read */
    return status == MM_OK ? mm_part_finish(&b->part, err) : status;
}

static mm_status prepare(build *b, mm_error *err)
{
    const mm_shard_origin *origin = mm_dataset_origin(b->dataset);
    if (b->options->prefill == MM_PREFILL_CONFIDENT && !origin->confident && !origin->human)
        return mm_fail(err, MM_ERR_USAGE,
                       "%s has no confident masks; `maskmill detect` makes them, and --prefill masks shows annotators "
                       "the masks of the grid instead",
                       b->options->dataset);
    return mm_part_begin(&b->part, "queue", err);
}

static mm_status begin(build *b, mm_error *err)
{
    b->origin.prefill = b->options->prefill;
    b->origin.skip_human = b->options->skip_human;
    b->origin.batch_size = b->options->batch_size ? b->options->batch_size : 200;
    mm_status status = mm_part_name(&b->part, b->options->out, err);
    if (status == MM_OK)
        status = mm_dataset_open(b->options->dataset, &b->dataset, err);
    return status == MM_OK ? mm_dataset_mark_read(mm_dataset_folder(b->dataset), &b->origin.dataset, err) : status;
}

mm_status mm_queue_build(mm_comm *comm, const mm_queue_build_options *options, mm_queue_totals *totals, mm_error *err)
{
    const uint64_t ranks = comm ? (uint64_t)mm_comm_size(comm) : 1, rank = comm ? (uint64_t)mm_comm_rank(comm) : 0;
    build b = {.options = options};
    *totals = (mm_queue_totals){0};
    mm_status status = mm_comm_agree(comm, begin(&b, err), err);
    if (status == MM_OK)
        status = mm_comm_agree(comm, rank == 0 ? prepare(&b, err) : MM_OK, err);
    if (status == MM_OK) {
        for (uint64_t k = rank; status == MM_OK && k < mm_dataset_shards(b.dataset); k += ranks)
            status = weigh_shard(&b, k, err);
        status = mm_comm_agree(comm, status, err);
    }
    if (status == MM_OK) {
        if (rank == 0)
            status = write_queue(&b, totals, err);
        if (status == MM_OK && rank == 0)
            status = put_in_place(&b, err);
        status = mm_comm_agree(comm, status, err);
    }
    mm_part_leave(&b.part);
    free(b.rows.items);
    mm_dataset_close(b.dataset);
    return status;
}
