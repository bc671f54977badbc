/* The steps of a round that make a dataset and its queue. Each is one call of a library function that goes on by itself,
 * and one entry in engine.json. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "engine/signals.h"
#include "loop/loop.h"
#include "maskmill/rounds.h"

/* --- common --- */

void mm_loop_tell(const mm_loop *loop, size_t k, const char *what)
{
    if (!loop->first || loop->options->quiet)
        return;
    if (k == MM_LOOP_BASELINE)
        (void)fprintf(stderr, "maskmill: before the first round: %s\n", what);
    else
        (void)fprintf(stderr, "maskmill: round %zu of %zu, %s: %s\n", k + 1, loop->config.round_count,
                      mm_loop_stage_name(loop->config.rounds[k].stage), what);
}

static void leave(void *user, int signal)
{
    enum { EXIT_STOPPED = 3 };
    const mm_loop *loop = user;
    if (loop->first) {
        (void)fprintf(stderr, "maskmill: stopped by signal %d; what is done is kept, --resume goes on\n", signal);
        mm_lock_drop(loop->lock);
    }
    _exit(EXIT_STOPPED);
}

mm_status mm_loop_leaving(mm_loop *loop, size_t k, mm_loop_work *work, mm_error *err)
{
    mm_signals *signals = NULL;
    mm_status status = mm_comm_agree(loop->comm, mm_signals_start(&signals, err), err);
    mm_signals_leave_by(signals, leave, loop, true);
    if (status == MM_OK)
        status = work(loop, k, err);
    mm_signals_stop(signals);
    return status;
}

/* --- the run --- */

json_t *mm_loop_counts(const char *folder, mm_error *err)
{
    mm_round round = {0};
    mm_rounds rounds = {0};
    bool there = false;
    mm_status status = mm_round_count(folder, &round, err);
    if (status == MM_OK)
        status = mm_rounds_read(folder, &there, &rounds, err);
    if (status != MM_OK)
        return NULL;
    const mm_round *last = rounds.count > 0 ? &rounds.items[rounds.count - 1] : NULL;
    json_t *counts = json_pack("{s:I, s:{s:I, s:I, s:I}, s:I, s:I, s:s?, s:s?}", "images", (json_int_t)round.images,
                               "masks", "automatic", (json_int_t)round.masks[0], "confident",
                               (json_int_t)round.masks[1], "human", (json_int_t)round.masks[2], "confident_masks",
                               (json_int_t)round.confident, "hint_masks", (json_int_t)round.hints, "model_sha256",
                               last ? last->model_sha256 : NULL, "detector_sha256", last ? last->detector_sha256 : NULL);
    mm_rounds_free(&rounds);
    return counts;
}

static mm_status finish_run(mm_loop *loop, size_t k, const char *folder, uint64_t set_aside, mm_error *err)
{
    mm_error why = {0};
    json_t *counts = loop->first ? mm_loop_counts(folder, &why) : NULL;
    json_t *fields = counts ? json_pack("{s:o, s:I}", "run", counts, "set_aside", (json_int_t)set_aside) : NULL;
    return mm_loop_finish_if(loop, k, "run", fields, &why, err);
}

mm_status mm_loop_step_run(mm_loop *loop, size_t k, mm_error *err)
{
    const mm_loop_round *round = &loop->config.rounds[k];
    char out[PATH_MAX], model[PATH_MAX], head[PATH_MAX], head_set[MM_LOOP_HEAD_SET], after[PATH_MAX], config[PATH_MAX];
    mm_run_summary summary = {0};
    bool done;
    mm_status status = mm_loop_is_done(loop, k, "run", &done, err);
    if (status != MM_OK || done)
        return status;
    mm_loop_tell(loop, k, "the run");
    const char **sets = calloc(round->run.set.count + MM_LOOP_STAGE_SETS, sizeof *sets);
    status = sets ? mm_loop_place(loop, k, "run", out, err) : mm_fail_memory(err, "a configuration");
    if (status == MM_OK)
        status = mm_loop_model(loop, k, false, model, err);
    if (status == MM_OK)
        status = mm_loop_head(loop, k, false, head, err);
    if (status == MM_OK && k > 0)
        status = mm_loop_version(loop, k - 1, after, err);
    if (status == MM_OK && round->run.config)
        status = mm_config_locate(round->run.config, config, sizeof config, err);
    status = mm_comm_agree(loop->comm, status, err);
    if (status == MM_OK) {
        const mm_run_options options = {
            .sources = round->paths->items,
            .source_count = round->paths->count,
            .out = out,
            .config_path = round->run.config ? config : NULL,
            .sets = sets,
            .set_count = mm_loop_run_sets(round, head[0] ? head : NULL, head_set, sets),
            .model = model,
            .model_config = mm_loop_model_config(loop, model),
            .kernels = loop->config.kernels,
            .after = k > 0 ? after : NULL,
            .resume = true,
            .program = loop->options->program,
            .quiet = loop->options->quiet,
            .argc = loop->options->argc,
            .argv = loop->options->argv,
        };
        status = mm_engine_run(loop->comm, &options, &summary, err);
    }
    free(sets);
    return status == MM_OK ? finish_run(loop, k, out, summary.images_set_aside, err) : status;
}

/* --- the queue --- */

static json_t *queue_fields(const char *path, mm_error *err)
{
    mm_queue *queue = NULL;
    uint64_t prefilled = 0, hints = 0;
    if (mm_queue_open(path, NULL, &queue, err) != MM_OK)
        return NULL;
    for (uint64_t i = 0; i < mm_queue_images(queue); i++) {
        const mm_queue_image image = mm_queue_at(queue, i);
        prefilled += image.prefilled;
        hints += image.hints;
    }
    json_t *fields = json_pack("{s:{s:I, s:I, s:I, s:I}}", "queue", "images", (json_int_t)mm_queue_images(queue),
                               "batches", (json_int_t)mm_queue_batches(queue), "prefilled", (json_int_t)prefilled,
                               "hints", (json_int_t)hints);
    mm_queue_close(queue);
    return fields;
}

static mm_status build_queue(mm_loop *loop, size_t k, mm_error *err)
{
    const mm_loop_round *round = &loop->config.rounds[k];
    char dataset[PATH_MAX], out[PATH_MAX];
    mm_queue_totals totals;
    struct stat info;
    bool there = false;
    mm_status status = mm_loop_place(loop, k, "run", dataset, err);
    if (status == MM_OK)
        status = mm_loop_place(loop, k, "queue", out, err);
    if (status == MM_OK) /* it gets its name when it is whole */
        status = mm_loop_decide(loop, loop->first && stat(out, &info) == 0, &there, err);
    const mm_queue_build_options options = {
        .dataset = dataset,
        .out = out,
        .batch_size = round->queue.batch,
        .most = round->queue.images,
        .prefill = round->stage == MM_LOOP_ASSISTED ? MM_PREFILL_NOTHING : (mm_prefill_mode)round->queue.prefill,
    };
    if (status == MM_OK && !there)
        status = mm_queue_build(loop->comm, &options, &totals, err);
    if (status != MM_OK)
        return status;
    mm_error why = {0};
    json_t *fields = loop->first ? queue_fields(out, &why) : NULL;
    return mm_loop_finish_if(loop, k, "queue", fields, &why, err);
}

mm_status mm_loop_step_queue(mm_loop *loop, size_t k, mm_error *err)
{
    bool done;
    const mm_status status = mm_loop_is_done(loop, k, "queue", &done, err);
    if (status != MM_OK || done)
        return status;
    mm_loop_tell(loop, k, "the queue");
    return mm_loop_leaving(loop, k, build_queue, err);
}
