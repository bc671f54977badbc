/* engine: the run. A corpus in, a dataset out: check everything, share the images among the ranks, close the books. */
#include "maskmill/engine.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "engine/progress.h"
#include "engine/quarantine.h"
#include "engine/report.h"
#include "engine/share.h"
#include "maskmill/shard.h"

typedef struct run {
    const mm_run_options *options;
    mm_setup setup;
    double stage_seconds[MM_STAGE_COUNT]; /* the computing thread's */
    /* Rank 0's books, kept by its service thread. */
    mm_run_summary summary;
    mm_progress *progress; /* NULL on other ranks */
    mm_quarantine quarantine;
} run;

/* --- One image. --- */

/* A failure that lies in the image sets it aside; any other stops the run. */
static bool belongs_to_image(mm_status status)
{
    switch (status) {
    case MM_ERR_IO:
    case MM_ERR_FORMAT:
    case MM_ERR_LIMIT:
    case MM_ERR_UNSUPPORTED:
    case MM_ERR_NOMEM:
        return true;
    default:
        return false;
    }
}

static mm_status load_image(run *r, uint64_t image_id, mm_image *image, mm_error *err)
{
    uint8_t *bytes = NULL;
    size_t size = 0;
    const double start = mm_seconds_now();
    mm_status status = mm_corpus_read(r->setup.manifest, image_id, r->setup.config.image.max_bytes, &bytes, &size, err);
    const double read = mm_seconds_now();
    r->stage_seconds[MM_STAGE_READ] += read - start;
    if (status != MM_OK)
        return status;
    const mm_jpeg_options jpeg = {.ignore_orientation = r->setup.config.image.ignore_orientation,
                                  .max_pixels = r->setup.config.image.max_pixels};
    status = mm_image_decode_jpeg(bytes, size, &jpeg, image, err);
    free(bytes);
    r->stage_seconds[MM_STAGE_JPEG] += mm_seconds_now() - read;
    return status;
}

static mm_status annotate(run *r, uint64_t image_id, mm_record *record, mm_error *err)
{
    mm_image image = {0};
    mm_annotations annotations = {0};
    mm_status status = load_image(r, image_id, &image, err);
    if (status != MM_OK)
        return status;
    status = mm_amg_generate(r->setup.model, r->setup.embedding, &r->setup.config.amg, mm_image_whole(&image),
                             &annotations, err);
    mm_image_free(&image);
    if (status != MM_OK)
        return status;
    r->stage_seconds[MM_STAGE_ENCODE] += annotations.seconds_frame + annotations.seconds_encode;
    r->stage_seconds[MM_STAGE_DECODE] += annotations.seconds_decode;
    r->stage_seconds[MM_STAGE_MASKS] += annotations.seconds_masks + annotations.seconds_filter;
    status = mm_record_from_annotations(image_id, &annotations, record, err);
    mm_annotations_free(&annotations);
    return status;
}

static mm_status make(void *user, uint64_t image_id, mm_record *record, mm_status *why, mm_error *err)
{
    run *r = user;
    mm_error reason = {0};
    const mm_status status = annotate(r, image_id, record, &reason);
    if (status == MM_OK)
        return MM_OK;
    const mm_manifest_entry entry = mm_manifest_at(r->setup.manifest, image_id);
    if (!belongs_to_image(status))
        return mm_fail(err, status, "image %s: %s", entry.path, reason.text);
    *why = status;
    return mm_record_set_aside(image_id, entry.width, entry.height, reason.text, record, err);
}

/* --- One shard. --- */

static mm_shard_origin origin_of(const run *r)
{
    return (mm_shard_origin){.config_yaml = r->setup.config_yaml,
                             .model_name = mm_model_arch(r->setup.model)->name,
                             .model_sha256 = r->setup.model_sha256};
}

static mm_status commit(void *user, uint64_t shard, uint64_t first_image, const mm_record *records, size_t count,
                        mm_error *err)
{
    const run *r = user;
    const char **names = calloc(count, sizeof *names);
    if (!names)
        return mm_fail_memory(err, "the file names of a shard");
    for (size_t i = 0; i < count; i++)
        names[i] = mm_manifest_at(r->setup.manifest, first_image + i).path;
    const mm_shard_origin origin = origin_of(r);
    const mm_status status = mm_shard_write(r->options->out, shard, first_image, records, names, count, &origin, err);
    free(names);
    return status;
}

/* --- Rank 0's books. --- */

static mm_status finished(void *user, const mm_finished *image, mm_error *err)
{
    run *r = user;
    const bool set_aside = image->status != MM_OK;
    r->summary.masks += image->masks;
    mm_progress_add(r->progress, image->rank, 1, set_aside, image->masks, mm_seconds_now());
    if (!set_aside) {
        r->summary.images_done++;
        return MM_OK;
    }
    r->summary.images_set_aside++;
    return mm_quarantine_add(&r->quarantine, image->image_id, image->status, image->reason, err);
}

static void tick(void *user)
{
    run *r = user;
    mm_progress_tick(r->progress, mm_seconds_now());
}

/* How wide a line on standard error may be, so that writing over it works; 0 if that is unknown. */
static int terminal_columns(void)
{
    struct winsize size;
    return ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 1 ? size.ws_col - 1 : 0;
}

/* On rank 0. */
static mm_status begin_progress(run *r, uint64_t images, int ranks, mm_error *err)
{
    const bool terminal = isatty(STDERR_FILENO);
    const mm_progress_options options = {.stream = r->options->quiet ? NULL : stderr,
                                         .terminal = terminal,
                                         .columns = terminal ? terminal_columns() : 0,
                                         .out = r->options->out,
                                         .total = images,
                                         .ranks = ranks};
    return mm_progress_begin(&options, mm_seconds_now(), &r->progress, err);
}

static void end_progress(run *r, mm_status status, const mm_error *err)
{
    const mm_run_state state = status == MM_OK ? MM_RUN_DONE : MM_RUN_FAILED;
    mm_progress_end(r->progress, state, status == MM_OK || !err ? NULL : err->text, mm_seconds_now());
}

static mm_status share_images(run *r, mm_comm *comm, mm_error *err)
{
    const mm_share_plan plan = {.images = mm_manifest_count(r->setup.manifest),
                                .images_per_shard = r->setup.config.output.images_per_shard,
                                .user = r,
                                .make = make,
                                .commit = commit,
                                .finished = finished,
                                .tick = tick};
    mm_status status = MM_OK;
    if (mm_comm_rank(comm) == 0)
        status = begin_progress(r, plan.images, mm_comm_size(comm), err);
    status = mm_comm_agree(comm, status, err);
    if (status != MM_OK)
        return status;
    r->summary.shards = plan.images / plan.images_per_shard + (plan.images % plan.images_per_shard != 0);
    status = mm_share_images(comm, &plan, err);
    mm_progress_close(r->progress, mm_seconds_now());
    return status;
}

/* Rank 0, when all shards are there. run.json comes last: where it is, the dataset is whole. */
static mm_status close_books(run *r, mm_report *report, double start, mm_error *err)
{
    const mm_shard_origin origin = origin_of(r);
    mm_status status = mm_dataset_index(r->options->out, r->summary.shards, &origin, err);
    if (status == MM_OK)
        status = mm_quarantine_write(&r->quarantine, r->setup.manifest, r->options->out, err);
    if (status != MM_OK)
        return status;
    report->ended = time(NULL);
    r->summary.seconds = mm_seconds_now() - start;
    return mm_report_write(report, err);
}

static mm_status finish(run *r, mm_comm *comm, time_t started, double start, mm_error *err)
{
    mm_rank_report mine = {0};
    (void)strncpy(mine.host, mm_comm_host(comm), sizeof mine.host - 1);
    mm_kernels_describe(&r->setup.kernels, mine.kernels, sizeof mine.kernels);
    memcpy(mine.seconds, r->stage_seconds, sizeof mine.seconds);

    const bool first = mm_comm_rank(comm) == 0;
    const size_t ranks = (size_t)mm_comm_size(comm);
    mm_rank_report *all = first ? calloc(ranks, sizeof *all) : NULL;
    mm_status status = first && !all ? mm_fail_memory(err, "run.json") : MM_OK;
    status = mm_comm_agree(comm, status, err);
    if (status == MM_OK)
        status = mm_comm_gather(comm, &mine, sizeof mine, all, err);
    if (status == MM_OK && first) {
        mm_report report = {.options = r->options, .setup = &r->setup, .summary = &r->summary, .ranks = all,
                            .rank_count = ranks, .started = started};
        status = close_books(r, &report, start, err);
    }
    free(all);
    /* Also the end of the run for all: no rank leaves, and spins in MPI's finalisation, while rank 0 writes. */
    return mm_comm_agree(comm, status, err);
}

mm_status mm_engine_run(mm_comm *comm, const mm_run_options *options, mm_run_summary *summary, mm_error *err)
{
    const time_t started = time(NULL);
    const double start = mm_seconds_now();
    run r = {.options = options};
    mm_status status = mm_setup_open(comm, options, &r.setup, err);
    if (status == MM_OK)
        status = share_images(&r, comm, err);
    if (status == MM_OK)
        status = finish(&r, comm, started, start, err);
    end_progress(&r, status, err);
    *summary = r.summary;
    mm_quarantine_free(&r.quarantine);
    mm_setup_close(&r.setup);
    return status;
}
