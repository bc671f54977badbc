/* Answers into a new version of the dataset. All files are read and checked before anything is written; the version is
 * made in NEW.part, by all ranks, and becomes NEW in one step. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/file.h"
#include "engine/output.h"
#include "queue/import.h"
#include "queue/open.h"

/* --- before anything is written --- */

/* `onto` is a later version of the queue's dataset: the same images in the same shards, by the same model. */
static mm_status check_base(const import *in, mm_error *err)
{
    const mm_dataset *a = in->queue->dataset, *b = in->base;
    const mm_shard_origin *of_a = mm_dataset_origin(a), *of_b = mm_dataset_origin(b);
    bool same = mm_dataset_images(a) == mm_dataset_images(b) && mm_dataset_shards(a) == mm_dataset_shards(b) &&
                strcmp(of_a->model_sha256, of_b->model_sha256) == 0 && of_a->confident == of_b->confident &&
                of_a->hints == of_b->hints && of_a->annotator_count <= of_b->annotator_count;
    for (uint64_t k = 0; same && k < mm_dataset_shards(a); k++) {
        const mm_shard_span x = mm_dataset_span(a, k), y = mm_dataset_span(b, k);
        same = x.number == y.number && x.first_row == y.first_row && x.images == y.images;
    }
    for (size_t i = 0; same && i < of_a->annotator_count; i++)
        same = strcmp(of_a->annotators[i], of_b->annotators[i]) == 0;
    return same ? MM_OK
                : mm_fail(err, MM_ERR_USAGE,
                          "%s is no later version of the queue's dataset %s; --onto takes what an import "
                          "from this queue has made",
                          in->options->onto, in->queue->dataset_path);
}

static mm_status read_answers(import *in, mm_error *err)
{
    mm_status status = mm_answers_new(in->queue, &in->answers, err);
    for (size_t i = 0; status == MM_OK && i < in->options->answer_count; i++)
        status =
            mm_answers_read(in->queue, in->options->answers[i], in->options->annotator, &in->answers, in->faults, err);
    if (status == MM_OK && in->options->strict && in->faults->refused > 0)
        status = mm_fail(err, MM_ERR_FORMAT, "%" PRIu64 " answers are not as they should be, and --strict takes all or "
                         "none; the first: %.300s", in->faults->refused, in->faults->first);
    if (status == MM_OK && in->answers.count == 0)
        status = mm_fail(err, MM_ERR_USAGE, "no image of the queue is answered in what was given; nothing to import");
    return status;
}

/* The dataset's annotators, and those of the answers that are new. */
static mm_status join_annotators(import *in, mm_error *err)
{
    const mm_shard_origin *old = mm_dataset_origin(in->base);
    const size_t most = old->annotator_count + in->answers.annotator_count;
    size_t count = old->annotator_count;
    in->annotators = calloc(most + 1, sizeof *in->annotators);
    in->numbers = calloc(in->answers.annotator_count + 1, sizeof *in->numbers);
    if (!in->annotators || !in->numbers)
        return mm_fail_memory(err, "annotators");
    for (size_t i = 0; i < count; i++)
        in->annotators[i] = old->annotators[i];
    for (size_t i = 0; i < in->answers.annotator_count; i++) {
        size_t at = 0;
        while (at < count && strcmp(in->annotators[at], in->answers.annotators[i]) != 0)
            at++;
        if (at == count)
            in->annotators[count++] = in->answers.annotators[i];
        in->numbers[i] = (uint16_t)(at + 1);
    }
    if (count > UINT16_MAX)
        return mm_fail(err, MM_ERR_LIMIT, "there are more than %d annotators", UINT16_MAX);
    in->origin = *old;
    in->origin.human = true;
    in->origin.annotators = in->annotators;
    in->origin.annotator_count = count;
    return MM_OK;
}

static mm_status open_all(import *in, mm_error *err)
{
    mm_status status = mm_part_name(&in->part, in->options->out, err);
    if (status == MM_OK)
        status = mm_queue_open(in->options->queue, in->options->dataset, &in->queue, err);
    if (status == MM_OK) {
        status = mm_dataset_open(in->options->onto ? in->options->onto : in->queue->dataset_path, &in->base, err);
        in->base_path = status == MM_OK ? mm_dataset_folder(in->base) : NULL;
    }
    if (status == MM_OK && in->options->onto)
        status = check_base(in, err);
    if (status == MM_OK)
        status = read_answers(in, err);
    return status == MM_OK ? join_annotators(in, err) : status;
}

/* --- shards --- */

/* Judge the answer of a row of the base, which `record` is, and put the new record in its place. */
static mm_status answer_row(import *in, uint64_t row, mm_answer *answer, mm_record *record, mm_error *err)
{
    mm_record old = {0}, made;
    mm_shown shown = {0};
    mm_verdict verdict = {0};
    const mm_record *shown_record = record;
    mm_status status = MM_OK;
    if (in->options->onto) { /* what annotators saw is in the queue's own dataset */
        status = mm_dataset_read(in->queue->dataset, row, &old, NULL, err);
        shown_record = &old;
    }
    if (status == MM_OK && (shown_record->status != MM_IMAGE_DONE || shown_record->image_id != record->image_id))
        status = mm_fail(err, MM_ERR_FORMAT,
                         "row %" PRIu64 " of the dataset is not the image that the queue has for it", row);
    if (status == MM_OK)
        status = mm_shown_load(shown_record, in->queue->origin.prefill, &shown, err);
    if (status == MM_OK)
        status = mm_verdict_of(&shown, answer, &verdict, err);
    const size_t number = (size_t)(answer - in->answers.items);
    if (status == MM_OK && (mm_verdict_changes(&verdict) || !in->options->skip_unchanged)) {
        status = mm_verdict_apply(shown_record, &shown, answer, &verdict, in->numbers, in->options->keep_automatic,
                                  &made, err);
        if (status == MM_OK) {
            mm_record_free(record);
            *record = made;
            in->counts[number] = (counted){1, verdict.counts.kept, verdict.counts.corrected, verdict.counts.deleted,
                                           verdict.counts.added, verdict.counts.accepted,
                                           (uint64_t)(verdict.counts.seconds * 1e6 + 0.5)};
        }
    }
    if (status != MM_OK && err)
        (void)mm_error_prefix(err, "image %" PRIu64, record->image_id); /* same status */
    mm_verdict_free(&verdict);
    mm_shown_free(&shown);
    mm_record_free(&old);
    return status;
}

static mm_status make_record(import *in, uint64_t row, mm_record *record, char **name, mm_error *err)
{
    uint64_t index;
    mm_status status = mm_dataset_read(in->base, row, record, name, err);
    if (status != MM_OK)
        return status;
    if (!mm_queue_find(in->queue, record->image_id, &index) || in->answers.of_image[index] == 0)
        return MM_OK;
    return answer_row(in, row, &in->answers.items[in->answers.of_image[index] - 1], record, err);
}

static mm_status make_shard(import *in, uint64_t k, mm_error *err)
{
    const mm_shard_span span = mm_dataset_span(in->base, k);
    mm_record *records = calloc((size_t)span.images + 1, sizeof *records);
    char **names = calloc((size_t)span.images + 1, sizeof *names);
    mm_status status = records && names ? MM_OK : mm_fail_memory(err, "a shard");
    uint64_t made = 0;
    for (; status == MM_OK && made < span.images; made++)
        status = make_record(in, span.first_row + made, &records[made], &names[made], err);
    if (status == MM_OK)
        status = mm_shard_write(in->part.path, span.number, records[0].image_id, records, (const char *const *)names,
                                (size_t)span.images, &in->origin, err);
    for (uint64_t i = 0; i < made; i++) {
        mm_record_free(&records[i]);
        free(names[i]);
    }
    free(records);
    free(names);
    return status;
}

/* --- rank 0: the other files --- */

static mm_status carry(const import *in, const char *name, mm_error *err)
{
    char from[PATH_MAX], to[PATH_MAX];
    mm_status status = mm_queue_path(in->base_path, name, from, err);
    if (status == MM_OK)
        status = mm_queue_path(in->part.path, name, to, err);
    if (status != MM_OK || !mm_file_exists(from))
        return status;
    return link(from, to) == 0 ? MM_OK : mm_file_copy(from, to, err); /* another file system, or one without links */
}

static mm_status prepare(import *in, mm_error *err)
{
    mm_status status = mm_part_begin(&in->part, "new version", err);
    if (status == MM_OK)
        status = mm_output_prepare(in->part.path, true, err); /* what an import that was killed has left goes */
    if (status == MM_OK)
        status = carry(in, "manifest.h5", err);
    return status == MM_OK ? carry(in, "quarantine.tsv", err) : status;
}

/* After a failure: the files that were made, and the folders if nothing else is in them. */
static void clean_up(import *in)
{
    char shards[PATH_MAX];
    const bool clear = mm_output_prepare(in->part.path, true, NULL) == MM_OK &&
                       mm_queue_path(in->part.path, "shards", shards, NULL) == MM_OK;
    if (clear)
        (void)rmdir(shards);
    mm_part_leave(&in->part);
    if (clear)
        (void)rmdir(in->part.path); /* what stays is in nobody's way: the next import into NEW clears it */
}

/* --- all of it --- */

_Static_assert(sizeof(counted) % sizeof(uint64_t) == 0, "counts are added up as an array");

static mm_status make_version(mm_comm *comm, import *in, mm_error *err)
{
    const uint64_t ranks = comm ? (uint64_t)mm_comm_size(comm) : 1, rank = comm ? (uint64_t)mm_comm_rank(comm) : 0;
    const mm_shard_span first = mm_dataset_span(in->base, 0);
    mm_status status = MM_OK;
    for (uint64_t k = rank; status == MM_OK && k < mm_dataset_shards(in->base); k += ranks)
        status = make_shard(in, k, err);
    status = mm_comm_agree(comm, status, err);
    if (status == MM_OK) /* each answer was counted by one rank and is zero on the others */
        status =
            mm_comm_sum(comm, (uint64_t *)in->counts, in->answers.count * sizeof *in->counts / sizeof(uint64_t), err);
    if (status == MM_OK)
        status = mm_dataset_index(in->part.path, first.number, mm_dataset_shards(in->base), &in->origin, comm, err);
    if (status == MM_OK && rank == 0)
        status = mm_import_books(in, err);
    if (status == MM_OK && rank == 0)
        status = mm_part_finish(&in->part, err);
    return mm_comm_agree(comm, status, err);
}

mm_status mm_queue_import(mm_comm *comm, const mm_import_options *options, mm_answer_faults *faults,
                          mm_answer_counts *counts, mm_error *err)
{
    const bool first = !comm || mm_comm_rank(comm) == 0;
    mm_answer_faults silent = {0};
    import in = {.options = options, .faults = first ? faults : &silent, .started = time(NULL)};
    *counts = (mm_answer_counts){0};
    mm_status status = mm_comm_agree(comm, open_all(&in, err), err);
    if (status == MM_OK) {
        in.counts = calloc(in.answers.count, sizeof *in.counts);
        status = in.counts ? MM_OK : mm_fail_memory(err, "answers");
        if (status == MM_OK && first)
            status = prepare(&in, err);
        status = mm_comm_agree(comm, status, err);
    }
    if (status == MM_OK)
        status = make_version(comm, &in, err);
    if (status != MM_OK && in.part.lock)
        clean_up(&in); /* rank 0 alone has the lock, from when there is anything */
    if (status == MM_OK)
        mm_import_sum(&in, counts);
    mm_part_leave(&in.part);
    mm_answers_free(&in.answers);
    mm_dataset_close(in.base);
    mm_queue_close(in.queue);
    free(in.annotators);
    free(in.numbers);
    free(in.counts);
    return status;
}
