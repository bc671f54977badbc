/* How far the people are: images done and open by batch, what they did, how long it took. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/format.h"
#include "queue/answered.h"
#include "queue/answers.h"
#include "queue/verdict.h"

typedef struct overview {
    const mm_queue *queue;
    mm_answered *of; /* [images of the queue] */
    bool *done;      /* likewise */
} overview;

typedef struct tally {
    uint64_t images, timed; /* done; of these, with a time */
    mm_answer_counts counts;
} tally;

static void tally_add(tally *sum, const mm_answered *one)
{
    sum->images++;
    sum->counts.kept += one->kept;
    sum->counts.corrected += one->corrected;
    sum->counts.deleted += one->deleted;
    sum->counts.added += one->added;
    sum->counts.accepted += one->accepted;
    if (one->seconds > 0) {
        sum->timed++;
        sum->counts.seconds += (double)one->seconds;
    }
}

/* --- what is answered --- */

static mm_status add_dataset(overview *view, const char *folder, mm_error *err)
{
    mm_answered_list list;
    bool there;
    mm_status status = mm_answered_read(folder, &there, &list, err);
    if (status == MM_OK && !there)
        status = mm_fail(err, MM_ERR_USAGE, "%s has no answered.h5: no answers were imported into it", folder);
    if (status == MM_OK &&
        (list.queue.bytes != view->queue->mark.bytes || list.queue.digest != view->queue->mark.digest))
        status =
            mm_fail(err, MM_ERR_USAGE, "the answers in %s are of another queue than %s", folder, view->queue->folder);
    for (size_t i = 0; status == MM_OK && i < list.count; i++) {
        uint64_t index;
        if (mm_queue_find(view->queue, list.items[i].image_id, &index) && !view->done[index]) {
            view->of[index] = list.items[i];
            view->done[index] = true;
        }
    }
    free(list.items);
    return status;
}

static mm_status judge(overview *view, const mm_answer *answer, mm_error *err)
{
    const mm_queue_image image = mm_queue_at(view->queue, answer->index);
    mm_record record;
    mm_shown shown = {0};
    mm_verdict verdict = {0};
    mm_status status = mm_dataset_read(view->queue->dataset, image.row, &record, NULL, err);
    if (status != MM_OK)
        return status;
    status = mm_shown_load(&record, view->queue->origin.prefill, &shown, err);
    if (status == MM_OK)
        status = mm_verdict_of(&shown, answer, &verdict, err);
    if (status == MM_OK) {
        view->of[answer->index] = mm_answered_of(image.image_id, &verdict.counts, 0);
        view->done[answer->index] = true;
    }
    mm_verdict_free(&verdict);
    mm_shown_free(&shown);
    mm_record_free(&record);
    return status;
}

static mm_status add_answers(overview *view, const mm_answers *answers, mm_error *err)
{
    mm_status status = MM_OK;
    for (size_t i = 0; status == MM_OK && i < answers->count; i++)
        if (!view->done[answers->items[i].index])
            status = judge(view, &answers->items[i], err);
    return status;
}

static mm_status look(overview *view, const char *const *what, size_t count, mm_answer_faults *faults, mm_error *err)
{
    mm_answers answers;
    struct stat about;
    mm_status status = mm_answers_new(view->queue, &answers, err);
    for (size_t i = 0; status == MM_OK && i < count; i++) {
        if (stat(what[i], &about) != 0)
            status = mm_fail_errno(err, "cannot open %s", what[i]);
        else if (S_ISDIR(about.st_mode))
            status = add_dataset(view, what[i], err);
        else
            status = mm_answers_read(view->queue, what[i], NULL, &answers, faults, err);
    }
    if (status == MM_OK)
        status = add_answers(view, &answers, err);
    mm_answers_free(&answers);
    return status;
}

/* --- telling it --- */

static double per_image(uint64_t count, const tally *sum)
{
    return sum->images ? (double)count / (double)sum->images : 0;
}

static void print_line(FILE *out, const char *name, uint64_t images, const tally *sum)
{
    char time[MM_NUMBER_TEXT];
    const mm_answer_counts *counts = &sum->counts;
    (void)fprintf(out,
                  "%-8s%10" PRIu64 "%10" PRIu64 "%10" PRIu64 "%10" PRIu64 "%11" PRIu64 "%9" PRIu64 "%8" PRIu64
                  "%10" PRIu64 "%14s\n",
                  name, images, sum->images, images - sum->images, counts->kept, counts->corrected, counts->deleted,
                  counts->added, counts->accepted,
                  mm_format_duration(time, sizeof time, sum->timed ? counts->seconds / (double)sum->timed : -1));
}

static void print_counts(FILE *out, uint64_t images, const tally *sum)
{
    const mm_answer_counts *counts = &sum->counts;
    (void)fprintf(out, "\"images\": %" PRIu64 ", \"done\": %" PRIu64 ", \"open\": %" PRIu64 ", \"masks_kept\": %" PRIu64
                  ", \"masks_corrected\": %" PRIu64 ", \"masks_deleted\": %" PRIu64 ", \"masks_added\": %" PRIu64
                  ", \"hints_accepted\": %" PRIu64, images, sum->images, images - sum->images, counts->kept,
                  counts->corrected, counts->deleted, counts->added, counts->accepted);
    if (sum->timed)
        (void)fprintf(out, ", \"seconds\": %.9g, \"images_timed\": %" PRIu64, counts->seconds, sum->timed);
}

static void print_batches(const overview *view, bool json, FILE *out, tally *all)
{
    const uint64_t size = view->queue->origin.batch_size, images = mm_queue_images(view->queue);
    for (uint64_t batch = 0; batch < mm_queue_batches(view->queue); batch++) {
        char name[24];
        tally sum = {0};
        const uint64_t first = batch * size, end = first + size < images ? first + size : images;
        for (uint64_t i = first; i < end; i++)
            if (view->done[i]) {
                tally_add(&sum, &view->of[i]);
                tally_add(all, &view->of[i]);
            }
        (void)snprintf(name, sizeof name, "%" PRIu64, batch);
        if (json) {
            (void)fprintf(out, "%s{\"batch\": %s, ", batch ? ",\n  " : "\n  ", name);
            print_counts(out, end - first, &sum);
            (void)fputc('}', out);
        } else {
            print_line(out, name, end - first, &sum);
        }
    }
}

static void print(const overview *view, bool json, FILE *out)
{
    tally all = {0};
    const uint64_t images = mm_queue_images(view->queue);
    if (json) {
        (void)fputs("{\"batches\": [", out);
        print_batches(view, true, out, &all);
        (void)fputs("],\n ", out);
        print_counts(out, images, &all);
        (void)fprintf(out,
                      ",\n \"added_per_image\": %.9g, \"corrected_per_image\": %.9g, \"deleted_per_image\": %.9g}\n",
                      per_image(all.counts.added, &all), per_image(all.counts.corrected, &all),
                      per_image(all.counts.deleted, &all));
        return;
    }
    (void)fprintf(out, "%-8s%10s%10s%10s%10s%11s%9s%8s%10s%14s\n", "batch", "images", "done", "open", "kept",
                  "corrected", "deleted", "added", "accepted", "time an image");
    print_batches(view, false, out, &all);
    print_line(out, "all", images, &all);
    (void)fprintf(out, "\n%" PRIu64 " of %" PRIu64 " images are done; in each, on average, %.2f masks were added, %.2f "
                  "corrected, %.2f deleted\n", all.images, images, per_image(all.counts.added, &all),
                  per_image(all.counts.corrected, &all), per_image(all.counts.deleted, &all));
}

mm_status mm_queue_status(const mm_queue *queue, const char *const *what, size_t count, bool json, FILE *out,
                          mm_answer_faults *faults, mm_error *err)
{
    const size_t images = (size_t)mm_queue_images(queue);
    overview view = {
        .queue = queue, .of = calloc(images + 1, sizeof *view.of), .done = calloc(images + 1, sizeof *view.done)};
    mm_status status = view.of && view.done ? look(&view, what, count, faults, err) : mm_fail_memory(err, "a queue");
    if (status == MM_OK)
        print(&view, json, out);
    if (status == MM_OK && (fflush(out) != 0 || ferror(out)))
        status = mm_fail_errno(err, "cannot write the status of the queue");
    free(view.of);
    free(view.done);
    return status;
}
