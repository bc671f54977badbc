/* engine: the run. A corpus in, a dataset out: check everything, share the images among the ranks, close the books. */
#include "maskmill/engine.h"

#include <inttypes.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "engine/attempts.h"
#include "engine/base.h"
#include "engine/halt.h"
#include "engine/make.h"
#include "engine/output.h"
#include "engine/progress.h"
#include "engine/rounds.h"
#include "engine/share.h"
#include "engine/suspect.h"
#include "maskmill/shard.h"

typedef struct run {
    const mm_run_options *options;
    bool speaks; /* rank 0 */
    mm_signals *signals;
    mm_setup setup;
    mm_maker maker; /* the computing thread's */
    pthread_mutex_t hdf5; /* the writer's and, where masks are read from a dataset, the computing thread's */
    mm_owner *owner;
    mm_hand *hand;
    /* Rank 0's. */
    mm_recovered recovered;
    mm_attempts *attempts;
    /* Rank 0's books, kept by its service thread. */
    mm_run_summary summary;
    mm_progress *progress; /* NULL on other ranks */
    mm_quarantine quarantine;
} run;

/* --- One image. --- */

static bool gives_up(void *user)
{
    const run *r = user;
    return mm_signals_asked(r->signals, NULL) == MM_STOP_NOW;
}

/* It is a near-duplicate, and the configuration says not to make masks of those. */
static bool is_skipped(const run *r, uint64_t image_id)
{
    return r->setup.config.corpus.duplicates == MM_DUPLICATES_SKIP &&
           mm_manifest_duplicate_of(r->setup.manifest, image_id) != image_id;
}

static mm_status make(void *user, uint64_t image_id, bool suspect, mm_record *record, mm_status *why, mm_error *err)
{
    run *r = user;
    if (is_skipped(r, image_id)) {
        const mm_manifest_entry entry = mm_manifest_at(r->setup.manifest, image_id);
        return mm_record_skip(image_id, entry.width, entry.height, record, err);
    }
    if (!suspect || !r->options->program)
        return mm_make_image(&r->maker, image_id, record, why, err);
    const mm_suspect_job job = {.program = r->options->program, .out = r->options->out, .setup = &r->setup, .user = r,
                                .give_up = gives_up};
    return mm_suspect_make(&job, image_id, record, why, err);
}

/* --- One shard. --- */

static mm_shard_origin origin_of(const run *r)
{
    const mm_setup *setup = &r->setup;
    mm_shard_origin origin = {.config_yaml = setup->config_yaml,
                              .model_name = mm_model_arch(setup->model)->name,
                              .model_sha256 = setup->model_sha256,
                              .detector_sha256 = setup->detector ? setup->detector_sha256 : NULL,
                              .confident = setup->config.detect.enabled,
                              .hints = setup->config.hints.enabled};
    if (setup->base) { /* what its masks have is kept */
        const mm_shard_origin *base = mm_dataset_origin(setup->base);
        origin.hints = base->hints;
        origin.human = base->human;
        origin.annotators = base->annotators;
        origin.annotator_count = base->annotator_count;
    }
    return origin;
}

static mm_status commit(void *user, uint64_t shard, uint64_t first_image, const mm_record *records, size_t count,
                        mm_error *err)
{
    run *r = user;
    const char **names = calloc(count, sizeof *names);
    if (!names)
        return mm_fail_memory(err, "the file names of a shard");
    for (size_t i = 0; i < count; i++)
        names[i] = mm_manifest_at(r->setup.manifest, first_image + i).path;
    const mm_shard_origin origin = origin_of(r);
    mm_record *copy = NULL;
    mm_status status = MM_OK;
    pthread_mutex_lock(&r->hdf5);
    if (r->setup.base)
        status = mm_base_add_funnel(r->setup.base, shard, records, count, &copy, err);
    if (status == MM_OK)
        status = mm_shard_write(r->options->out, shard, first_image, copy ? copy : records, names, count, &origin, err);
    pthread_mutex_unlock(&r->hdf5);
    free(copy); /* its arrays are the records' */
    free(names);
    return status;
}

/* --- Rank 0's books. --- */

static mm_status set_aside(void *user, const mm_set_aside *image, mm_error *err)
{
    run *r = user;
    return mm_quarantine_add(&r->quarantine, image->image_id, image->status, image->reason, err);
}

static void made(void *user, int rank, const mm_made *made)
{
    run *r = user;
    r->summary.images_done += made->done;
    r->summary.images_set_aside += made->set_aside;
    r->summary.masks += made->masks;
    mm_progress_add(r->progress, rank, made->done + made->set_aside, made->set_aside, made->masks, mm_seconds_now());
}

/* What an image's time grows with: reading, decoding and masks go by pixels, the encoder does not. */
static uint64_t pixels(void *user, uint64_t image_id)
{
    const run *r = user;
    const mm_manifest_entry entry = mm_manifest_at(r->setup.manifest, image_id);
    return (uint64_t)entry.width * entry.height;
}

static bool is_kept(void *user, uint64_t image_id)
{
    const run *r = user;
    return mm_recovered_has(&r->recovered, image_id);
}

static void tick(void *user)
{
    run *r = user;
    mm_progress_tick(r->progress, mm_seconds_now());
}

/* --- Signals. --- */

enum { EXIT_STOPPED = 3 };

static mm_status watch(void *user, mm_stop *stop, int *signal, mm_error *err)
{
    run *r = user;
    *stop = mm_signals_asked(r->signals, signal);
    if (r->setup.lock && !mm_lock_is_held(r->setup.lock))
        return mm_fail(err, MM_ERR_IO, "another run has taken over %s, as this one gave no sign of life for minutes; "
                       "let one of them go on", r->options->out);
    return MM_OK;
}

static void print_stopped(const run *r, const char *how, bool at_least)
{
    const uint64_t kept = r->summary.images_done + r->summary.images_set_aside;
    (void)fprintf(stderr, "maskmill: %s; %s%" PRIu64 " of %" PRIu64 " images are kept, --resume goes on with the others"
                  "\n", how, at_least ? "at least " : "", kept, r->setup.end - r->setup.first);
}

/* The computing thread cannot be waited for. */
static void leave_sharing(void *user, const mm_verdict *verdict)
{
    run *r = user;
    if (r->speaks) {
        mm_progress_end(r->progress, MM_RUN_STOPPED, verdict->text, mm_seconds_now());
        print_stopped(r, verdict->text, true);
        mm_lock_drop(r->setup.lock);
    }
    _exit(EXIT_STOPPED);
}

/* Before and after sharing nothing is lost by leaving at once. */
static void leave_early(void *user, int signal)
{
    const run *r = user;
    const mm_verdict verdict = mm_halt_verdict_of(signal);
    if (r->speaks)
        (void)fprintf(stderr, "maskmill: %s before any image was begun\n", verdict.text);
    _exit(EXIT_STOPPED);
}

static void leave_late(void *user, int signal)
{
    const run *r = user;
    const mm_verdict verdict = mm_halt_verdict_of(signal);
    if (r->speaks) {
        mm_progress_end(r->progress, MM_RUN_STOPPED, verdict.text, mm_seconds_now());
        print_stopped(r, verdict.text, false);
        mm_lock_drop(r->setup.lock);
    }
    _exit(EXIT_STOPPED);
}

/* --- The phases. --- */

/* What is there already, and what this attempt works with. */
static mm_status begin_attempt(run *r, mm_comm *comm, time_t started, mm_error *err)
{
    char folder[PATH_MAX];
    const mm_setup *setup = &r->setup;
    mm_owner_plan own = {.first = setup->first, .end = setup->end, .rank = mm_comm_rank(comm),
                         .ranks = mm_comm_size(comm), .folder = folder,
                         .images_per_shard = setup->config.output.images_per_shard};
    memcpy(own.run, setup->run, sizeof own.run);
    mm_status status = mm_output_path(r->options->out, "journal", folder, sizeof folder, err);
    if (status == MM_OK)
        status = mm_owner_new(&own, &r->owner, err);
    status = mm_comm_agree(comm, status, err);
    if (status != MM_OK)
        return status;
    const mm_recover_plan plan = {.out = r->options->out, .first = own.first, .end = own.end, .owner = r->owner,
                                  .images_per_shard = own.images_per_shard, .origin = origin_of(r)};
    status = mm_recover(comm, &plan, &r->quarantine, &r->recovered, err);
    if (status == MM_OK && r->speaks)
        status = mm_attempts_begin(r->options->out, mm_comm_host(comm), own.ranks, started, &r->recovered, &r->attempts,
                                   err);
    status = mm_comm_agree(comm, status, err); /* no note of a new hand before the old ones were read */
    if (status == MM_OK)
        status = mm_comm_agree(comm, mm_hand_open(folder, own.rank, &r->hand, err), err);
    return status;
}

static mm_status begin_progress(run *r, uint64_t images, int ranks, mm_error *err)
{
    const mm_progress_options options = {.stream = r->options->quiet ? NULL : stderr,
                                         .terminal = isatty(STDERR_FILENO),
                                         .out = r->options->out,
                                         .total = images,
                                         .done_before = r->recovered.images_done,
                                         .set_aside_before = r->recovered.images_set_aside,
                                         .masks_before = r->recovered.masks,
                                         .ranks = ranks};
    return mm_progress_begin(&options, mm_seconds_now(), &r->progress, err);
}

/* When no signal can end it any more. */
static void end_progress(run *r, mm_status status, const mm_error *err)
{
    const mm_run_state state = status == MM_OK            ? MM_RUN_DONE
                               : status == MM_ERR_STOPPED ? MM_RUN_STOPPED
                                                          : MM_RUN_FAILED;
    mm_progress_end(r->progress, state, status == MM_OK || !err ? NULL : err->text, mm_seconds_now());
    r->progress = NULL;
}

/* Rank 0's books begin with what is there. */
static mm_status open_books(run *r, const mm_share_plan *plan, int ranks, mm_error *err)
{
    const mm_recovered *found = &r->recovered;
    const uint64_t kept = found->images_done + found->images_set_aside;
    r->summary.shards = mm_shard_total(plan->end, plan->images_per_shard) - plan->first / plan->images_per_shard;
    r->summary.images_done = found->images_done;
    r->summary.images_set_aside = found->images_set_aside;
    r->summary.masks = found->masks;
    if (!r->speaks)
        return MM_OK;
    for (uint64_t i = plan->first; i < plan->end; i++)
        r->summary.images_skipped += is_skipped(r, i);
    if (!r->options->quiet && r->setup.resumes)
        (void)fprintf(stderr, "maskmill: %s is resumed: %" PRIu64 " of %" PRIu64 " images are kept\n", r->options->out,
                      kept, plan->end - plan->first);
    return begin_progress(r, plan->end - plan->first, ranks, err);
}

static mm_status share_images(run *r, mm_comm *comm, mm_error *err)
{
    mm_share_plan plan = {.first = r->setup.first,
                          .end = r->setup.end,
                          .images_per_shard = r->setup.config.output.images_per_shard,
                          .user = r,
                          .make = make,
                          .commit = commit,
                          .set_aside = set_aside,
                          .made = made,
                          .tick = tick,
                          .watch = watch,
                          .leave = leave_sharing,
                          .owner = r->owner,
                          .sync_seconds = r->setup.config.journal.sync_seconds,
                          .hand = r->hand,
                          .shards_there = r->recovered.shards,
                          .skip = r->setup.resumes ? is_kept : NULL,
                          .cost = pixels};
    if (r->attempts)
        plan.suspects = mm_attempts_suspects(r->attempts, &plan.suspect_count);
    mm_status status = open_books(r, &plan, mm_comm_size(comm), err);
    status = mm_comm_agree(comm, status, err);
    if (status != MM_OK)
        return status;
    mm_signals_leave_by(r->signals, NULL, NULL, false);
    status = mm_share_images(comm, &plan, err);
    if (status == MM_OK && r->speaks)
        r->summary.images_done -= r->summary.images_skipped; /* they are made in no time, but made they were not */
    mm_signals_leave_by(r->signals, status == MM_OK ? leave_late : NULL, r, false);
    mm_progress_close(r->progress, mm_seconds_now());
    return status;
}

/* This run's round in engine.json. Confident masks for a dataset that was made before are the next of its rounds. */
static mm_status note_round(const run *r, mm_error *err)
{
    const mm_setup *setup = &r->setup;
    const char *after = r->options->after;
    const bool more = setup->base && setup->config.engine.stage == MM_ENGINE_AUTOMATIC;
    const mm_engine_stage stage = more ? MM_ENGINE_SEMI_AUTOMATIC : setup->config.engine.stage;
    mm_round round = {.stage = (char *)mm_engine_stage_name(stage),
                      .model = (char *)mm_model_arch(setup->model)->name,
                      .model_sha256 = (char *)setup->model_sha256,
                      .detector_sha256 = setup->detector ? (char *)setup->detector_sha256 : NULL};
    mm_status status = MM_OK;
    if (!after && setup->base) {
        mm_rounds rounds = {0};
        bool there = false;
        status = mm_rounds_read(mm_dataset_folder(setup->base), &there, &rounds, err);
        mm_rounds_free(&rounds);
        after = there ? mm_dataset_folder(setup->base) : NULL;
    }
    return status == MM_OK ? mm_rounds_follow(r->options->out, after, &round, err) : status;
}

/* Rank 0, when all shards are there. run.json comes last: where it is, the dataset is whole. */
static mm_status close_books(run *r, mm_report *report, double start, mm_error *err)
{
    mm_status status = mm_quarantine_write(&r->quarantine, r->setup.manifest, r->options->out, err);
    if (status != MM_OK)
        return status;
    report->ended = time(NULL);
    status = note_round(r, err);
    if (status != MM_OK)
        return status;
    r->summary.seconds = mm_seconds_now() - start;
    status = mm_report_write(report, err);
    return status == MM_OK ? mm_output_remove_journal(r->options->out, err) : status;
}

/* All ranks: reading the shards is shared. */
static mm_status index_shards(const run *r, mm_comm *comm, mm_error *err)
{
    const mm_shard_origin origin = origin_of(r);
    return mm_dataset_index(r->options->out, r->setup.first / r->setup.config.output.images_per_shard,
                            r->summary.shards, &origin, comm, err);
}

static mm_status finish(run *r, mm_comm *comm, time_t started, double start, mm_error *err)
{
    mm_rank_report mine = {0};
    (void)strncpy(mine.host, mm_comm_host(comm), sizeof mine.host - 1);
    mm_kernels_describe(&r->setup.kernels, mine.kernels, sizeof mine.kernels);
    memcpy(mine.seconds, r->maker.seconds, sizeof mine.seconds);
    mine.begun = mm_hand_begun(r->hand);

    const bool first = mm_comm_rank(comm) == 0;
    const size_t ranks = (size_t)mm_comm_size(comm);
    mm_rank_report *all = first ? calloc(ranks, sizeof *all) : NULL;
    mm_status status = first && !all ? mm_fail_memory(err, "run.json") : MM_OK;
    status = mm_comm_agree(comm, status, err);
    if (status == MM_OK)
        status = index_shards(r, comm, err);
    if (status == MM_OK)
        status = mm_comm_gather(comm, &mine, sizeof mine, all, err);
    if (status == MM_OK && first) {
        uint64_t begun = 0;
        for (size_t i = 0; i < ranks; i++)
            begun += all[i].begun;
        status = mm_attempts_end(r->attempts, begun, err);
        json_t *attempts = mm_attempts_json(r->attempts);
        mm_report report = {.options = r->options, .setup = &r->setup, .summary = &r->summary, .ranks = all,
                            .rank_count = ranks, .started = started, .attempts = attempts};
        if (status == MM_OK)
            status = close_books(r, &report, start, err);
        json_decref(attempts);
    }
    free(all);
    /* Also the end of the run for all: no rank leaves, and spins in MPI's finalisation, while rank 0 writes. */
    return mm_comm_agree(comm, status, err);
}

/* What the user should know when a run that has begun ends early. */
static mm_status say_how_to_go_on(const run *r, mm_status status, mm_error *err)
{
    const uint64_t kept = r->summary.images_done + r->summary.images_set_aside;
    if (!err || !r->speaks)
        return status;
    const mm_error why = *err;
    if (status == MM_ERR_STOPPED)
        return mm_fail(err, status, "%.200s; %" PRIu64 " of %" PRIu64 " images are kept, --resume goes on with the "
                       "others", why.text, kept, r->setup.end - r->setup.first);
    return mm_fail(err, status, "%.440s; what is done is kept, --resume goes on", why.text);
}

static void clear(run *r)
{
    mm_signals_stop(r->signals); /* its thread looks at the others */
    mm_hand_close(r->hand);
    mm_owner_free(r->owner);
    mm_attempts_free(r->attempts);
    mm_recovered_free(&r->recovered);
    mm_quarantine_free(&r->quarantine);
    mm_setup_close(&r->setup);
    pthread_mutex_destroy(&r->hdf5);
}

mm_status mm_engine_run_with(mm_comm *comm, const mm_run_options *options, const mm_stand_in *stand_in,
                             mm_run_summary *summary, mm_error *err)
{
    const time_t started = time(NULL);
    const double start = mm_seconds_now();
    run r = {.options = options, .speaks = mm_comm_rank(comm) == 0, .hdf5 = PTHREAD_MUTEX_INITIALIZER};
    r.maker = (mm_maker){.setup = &r.setup, .stand_in = stand_in, .hdf5 = &r.hdf5};
    mm_status status = mm_comm_agree(comm, mm_signals_start(&r.signals, err), err);
    mm_signals_leave_by(r.signals, leave_early, &r, true);
    if (status == MM_OK)
        status = mm_comm_agree(comm, mm_rounds_check(options->after, err), err);
    if (status == MM_OK)
        status = mm_setup_open(comm, options, &r.setup, err);
    if (status == MM_OK && r.setup.was_done) {
        r.summary = r.setup.finished;
    } else if (status == MM_OK) {
        status = begin_attempt(&r, comm, started, err);
        if (status == MM_OK)
            status = share_images(&r, comm, err);
        if (status == MM_OK)
            status = finish(&r, comm, started, start, err);
        if (status != MM_OK)
            (void)say_how_to_go_on(&r, status, err); /* the same status */
    }
    mm_signals_stop(r.signals);
    r.signals = NULL;
    end_progress(&r, status, err);
    *summary = r.summary;
    clear(&r);
    return status;
}

mm_status mm_engine_run(mm_comm *comm, const mm_run_options *options, mm_run_summary *summary, mm_error *err)
{
    if (!options->dataset)
        return mm_engine_run_with(comm, options, NULL, summary, err);
    char manifest[PATH_MAX];
    const char *const source = manifest;
    mm_run_options over = *options; /* its images are those of its manifest */
    over.sources = &source;
    over.source_count = 1;
    struct stat info;
    const bool folder = stat(options->dataset, &info) == 0 && S_ISDIR(info.st_mode);
    const char *slash = strrchr(options->dataset, '/');
    const int length = folder || !slash ? snprintf(manifest, sizeof manifest, "%s/manifest.h5", folder ? options->dataset : ".")
                                        : snprintf(manifest, sizeof manifest, "%.*s/manifest.h5",
                                                   (int)(slash - options->dataset), options->dataset);
    if (length < 0 || (size_t)length >= sizeof manifest)
        return mm_fail(err, MM_ERR_LIMIT, "the path %.100s... is too long", options->dataset);
    return mm_engine_run_with(comm, &over, NULL, summary, err);
}
