/* What an import says of itself: answered.h5, engine.json, run.json. */
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "engine/json_out.h"
#include "maskmill/engine.h"
#include "maskmill/rounds.h"
#include "queue/import.h"

void mm_import_sum(const import *in, mm_answer_counts *counts)
{
    *counts = (mm_answer_counts){0};
    for (size_t i = 0; i < in->answers.count; i++) {
        const counted *one = &in->counts[i];
        counts->images += one->taken;
        counts->kept += one->kept;
        counts->corrected += one->corrected;
        counts->deleted += one->deleted;
        counts->added += one->added;
        counts->accepted += one->accepted;
        counts->seconds += (double)one->microseconds / 1e6;
    }
}

static int by_image(const void *a, const void *b)
{
    const mm_answered *x = a, *y = b;
    return x->image_id < y->image_id ? -1 : x->image_id > y->image_id;
}

/* Earlier answers of the same queue stay in the list, unless they were given anew. */
static mm_status list_answered(const import *in, const mm_answered_list *before, mm_answered_list *list, mm_error *err)
{
    const bool same_queue =
        before->queue.bytes == in->queue->mark.bytes && before->queue.digest == in->queue->mark.digest;
    list->queue = in->queue->mark;
    list->items = calloc(in->answers.count + before->count + 1, sizeof *list->items);
    if (!list->items)
        return mm_fail_memory(err, "answers");
    for (size_t i = 0; i < in->answers.count; i++) {
        const mm_answer *answer = &in->answers.items[i];
        const counted *one = &in->counts[i];
        const mm_answer_counts counts = {1, one->kept, one->corrected, one->deleted, one->added, one->accepted,
                                         (double)one->microseconds / 1e6};
        const uint32_t annotator = answer->annotator ? in->numbers[answer->annotator - 1] : 0;
        if (one->taken)
            list->items[list->count++] =
                mm_answered_of(mm_queue_at(in->queue, answer->index).image_id, &counts, annotator);
    }
    qsort(list->items, list->count, sizeof *list->items, by_image);
    const size_t fresh = list->count;
    for (size_t i = 0; same_queue && i < before->count; i++)
        if (!bsearch(&before->items[i], list->items, fresh, sizeof *list->items, by_image))
            list->items[list->count++] = before->items[i];
    qsort(list->items, list->count, sizeof *list->items, by_image);
    return MM_OK;
}

static mm_status write_answered(const import *in, mm_error *err)
{
    mm_answered_list before = {0}, list = {0};
    bool there;
    mm_status status = mm_answered_read(in->base_path, &there, &before, err);
    if (status == MM_OK)
        status = list_answered(in, &before, &list, err);
    if (status == MM_OK)
        status = mm_answered_write(in->part.path, &list, err);
    free(before.items);
    free(list.items);
    return status;
}

/* A dataset that an earlier maskmill made has no engine.json: what it is can still be told. */
static mm_status earlier_rounds(const import *in, mm_rounds *rounds, mm_error *err)
{
    bool there = false;
    mm_status status = mm_rounds_read(in->base_path, &there, rounds, err);
    if (status != MM_OK || there)
        return status;
    mm_round round = {.stage = (char *)"automatic", .model = (char *)in->origin.model_name,
                      .model_sha256 = (char *)in->origin.model_sha256};
    status = mm_round_count(in->base_path, &round, err);
    return status == MM_OK ? mm_rounds_add(rounds, &round, err) : status;
}

static mm_status write_rounds(const import *in, const mm_answer_counts *counts, mm_error *err)
{
    mm_rounds rounds = {0};
    mm_dataset_mark parent;
    /* Who was shown nothing has drawn everything. */
    const mm_engine_stage stage =
        in->queue->origin.prefill == MM_PREFILL_NOTHING ? MM_ENGINE_ASSISTED_MANUAL : MM_ENGINE_SEMI_AUTOMATIC;
    mm_round round = {.stage = (char *)mm_engine_stage_name(stage), .model = (char *)in->origin.model_name,
                      .model_sha256 = (char *)in->origin.model_sha256};
    mm_status status = earlier_rounds(in, &rounds, err);
    if (status == MM_OK && rounds.count > 0)
        round.detector_sha256 = rounds.items[rounds.count - 1].detector_sha256; /* whose masks people were shown */
    if (status == MM_OK)
        status = mm_dataset_mark_read(in->base_path, &parent, err);
    if (status == MM_OK)
        status = mm_rounds_set_parent(&rounds, in->part.path, in->base_path, parent.digest, err);
    if (status == MM_OK)
        status = mm_round_count(in->part.path, &round, err);
    round.images = counts->images;
    if (status == MM_OK)
        status = mm_rounds_add(&rounds, &round, err);
    if (status == MM_OK)
        status = mm_rounds_write(in->part.path, &rounds, err);
    mm_rounds_free(&rounds);
    return status;
}

/* With the keys that other commands look for in a run's file. */
static mm_status write_run(const import *in, const mm_answer_counts *counts, mm_error *err)
{
    mm_dataset *dataset = NULL;
    mm_stats *stats = malloc(sizeof *stats);
    const time_t ended = time(NULL);
    mm_status status = stats ? mm_dataset_open(in->part.path, &dataset, err) : mm_fail_memory(err, "statistics");
    if (status == MM_OK)
        status = mm_dataset_statistics(dataset, stats, err);
    if (status == MM_OK) {
        json_t *object = json_pack(
            "{s:s, s:o, s:o, s:o, s:o, s:f, s:I, s:I, s:I, s:I, s:I, s:{s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:f}}",
            "maskmill", MM_VERSION, "command",
            mm_json_texts((const char *const *)in->options->argv, (size_t)in->options->argc), "output",
            mm_json_text(in->options->out), "started", mm_json_moment(in->started), "ended", mm_json_moment(ended),
            "seconds", difftime(ended, in->started), "images_done", (json_int_t)stats->images_done, "images_set_aside",
            (json_int_t)stats->images_set_aside, "images_skipped",
            (json_int_t)(mm_dataset_images(dataset) - stats->images_done - stats->images_set_aside), "masks",
            (json_int_t)stats->masks, "shards", (json_int_t)mm_dataset_shards(dataset), "answers", "images",
            (json_int_t)counts->images, "masks_kept", (json_int_t)counts->kept, "masks_corrected",
            (json_int_t)counts->corrected, "masks_deleted", (json_int_t)counts->deleted, "masks_added",
            (json_int_t)counts->added, "hints_accepted", (json_int_t)counts->accepted, "refused",
            (json_int_t)in->faults->refused, "repaired", (json_int_t)in->faults->repaired, "seconds", counts->seconds);
        status = mm_json_put(in->part.path, "run.json", object, JSON_INDENT(2) | JSON_REAL_PRECISION(9), err);
        json_decref(object);
    }
    mm_dataset_close(dataset);
    free(stats);
    return status;
}

mm_status mm_import_books(const import *in, mm_error *err)
{
    mm_answer_counts counts;
    mm_import_sum(in, &counts);
    if (counts.images == 0)
        return mm_fail(err, MM_ERR_USAGE, "nothing was changed in any image that is answered; nothing to import");
    mm_status status = write_answered(in, err);
    if (status == MM_OK)
        status = write_rounds(in, &counts, err);
    return status == MM_OK ? write_run(in, &counts, err) : status;
}
