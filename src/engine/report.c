#include "engine/report.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "engine/json_out.h"
#include "engine/output.h"

static const char *const stage_names[MM_STAGE_COUNT] = {"read", "jpeg", "encode", "decode", "masks"};

/* [{"host": ..., "ranks": n}, ...] in the order of their first rank. */
static json_t *hosts(const mm_report *report)
{
    json_t *list = json_array();
    for (size_t i = 0; list && i < report->rank_count; i++) {
        const char *host = report->ranks[i].host;
        size_t before = 0, all = 0;
        for (size_t j = 0; j < report->rank_count; j++)
            if (strcmp(report->ranks[j].host, host) == 0) {
                before += j < i;
                all++;
            }
        if (before == 0 && json_array_append_new(list, json_pack("{s:o, s:I}", "host", mm_json_text(host), "ranks",
                                                                 (json_int_t)all)) != 0) {
            json_decref(list);
            return NULL;
        }
    }
    return list;
}

/* The descriptions that occur; more than one means that libraries or CPUs differ between hosts. */
static json_t *kernels(const mm_report *report)
{
    json_t *list = json_array();
    for (size_t i = 0; list && i < report->rank_count; i++) {
        size_t before = 0;
        for (size_t j = 0; j < i; j++)
            before += strcmp(report->ranks[j].kernels, report->ranks[i].kernels) == 0;
        if (before == 0 && json_array_append_new(list, mm_json_text(report->ranks[i].kernels)) != 0) {
            json_decref(list);
            return NULL;
        }
    }
    return list;
}

static json_t *stages(const mm_report *report)
{
    json_t *object = json_object();
    for (size_t stage = 0; object && stage < MM_STAGE_COUNT; stage++) {
        double sum = 0;
        for (size_t i = 0; i < report->rank_count; i++)
            sum += report->ranks[i].seconds[stage];
        if (json_object_set_new(object, stage_names[stage], json_real(sum)) != 0) {
            json_decref(object);
            return NULL;
        }
    }
    return object;
}

static json_t *corpus(const mm_report *report)
{
    const mm_scan_report *scan = &report->setup->scan;
    return json_pack("{s:o, s:I, s:I, s:I}", "sources", mm_json_texts(report->options->sources, report->options->source_count),
                     "images", (json_int_t)scan->images, "ignored", (json_int_t)scan->ignored, "unreadable_folders",
                     (json_int_t)scan->unreadable);
}

/* Those that this attempt made: its seconds are its own, too. */
static uint64_t images_of_attempt(const mm_report *report)
{
    const uint64_t images = report->summary->images_done + report->summary->images_set_aside;
    const size_t attempts = json_array_size(report->attempts);
    const json_t *last = attempts ? json_array_get(report->attempts, attempts - 1) : NULL;
    const json_int_t kept = json_integer_value(json_object_get(last, "images_kept"));
    return kept > 0 && (uint64_t)kept <= images ? images - (uint64_t)kept : images;
}

static json_t *whole(const mm_report *report)
{
    const mm_run_summary *summary = report->summary;
    const mm_setup *setup = report->setup;
    const double pace = summary->seconds > 0 ? (double)images_of_attempt(report) / summary->seconds : 0;
    json_t *model = json_pack("{s:o, s:o, s:s}", "name", mm_json_text(mm_model_arch(setup->model)->name), "path",
                              mm_json_text(setup->model_path), "sha256", setup->model_sha256);
    /* json_pack frees what it was given when it fails, a NULL among its values included. */
    return json_pack("{s:s, s:o, s:o, s:o, s:o, s:o, s:I, s:I, s:o, s:o, s:o, s:o, s:f, s:I, s:I, s:I, s:I, s:I, s:f, s:o, "
                     "s:O}",
                     "maskmill", MM_VERSION,
                     "command", mm_json_texts((const char *const *)report->options->argv, (size_t)report->options->argc),
                     "corpus", corpus(report),
                     "model", model,
                     "hosts", hosts(report),
                     "kernels", kernels(report),
                     "ranks", (json_int_t)report->rank_count,
                     "threads_per_rank", (json_int_t)setup->kernels.threads,
                     "config", mm_json_text(setup->config_yaml),
                     "output", mm_json_text(report->options->out),
                     "started", mm_json_moment(report->started),
                     "ended", mm_json_moment(report->ended),
                     "seconds", summary->seconds,
                     "images_done", (json_int_t)summary->images_done,
                     "images_set_aside", (json_int_t)summary->images_set_aside,
                     "images_skipped", (json_int_t)summary->images_skipped,
                     "masks", (json_int_t)summary->masks,
                     "shards", (json_int_t)summary->shards,
                     "images_per_second", pace,
                     "stage_seconds", stages(report),
                     "attempts", report->attempts);
}

mm_status mm_report_write(const mm_report *report, mm_error *err)
{
    json_t *object = whole(report);
    const mm_status status = mm_json_put(report->options->out, "run.json", object,
                                         JSON_INDENT(2) | JSON_REAL_PRECISION(9), err);
    json_decref(object);
    return status;
}

mm_status mm_report_read(const char *out, mm_run_summary *summary, mm_error *err)
{
    char path[PATH_MAX];
    uint8_t *bytes = NULL;
    size_t size = 0;
    mm_status status = mm_output_path(out, "run.json", path, sizeof path, err);
    if (status == MM_OK)
        status = mm_file_read(path, 64 << 20, &bytes, &size, err);
    if (status != MM_OK)
        return status;
    json_error_t why;
    json_t *object = json_loadb((const char *)bytes, size, 0, &why);
    free(bytes);
    json_int_t done = 0, set_aside = 0, skipped = 0, masks = 0, shards = 0;
    double seconds = 0;
    if (!object || json_unpack_ex(object, &why, 0, "{s:I, s:I, s?I, s:I, s:I, s:F}", "images_done", &done,
                                  "images_set_aside", &set_aside, "images_skipped", &skipped, "masks", &masks,
                                  "shards", &shards, "seconds", &seconds) != 0)
        status = mm_fail(err, MM_ERR_FORMAT, "%s is damaged (%s); remove it, and --resume closes the run again", path,
                         why.text);
    json_decref(object);
    if (status == MM_OK)
        *summary = (mm_run_summary){.images_done = (uint64_t)done, .images_set_aside = (uint64_t)set_aside,
                                    .images_skipped = (uint64_t)skipped,
                                    .masks = (uint64_t)masks, .shards = (uint64_t)shards, .seconds = seconds,
                                    .was_done = true};
    return status;
}
