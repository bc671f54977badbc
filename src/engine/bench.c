/* engine: one image, measured. Open, choose the threshold, run once for nothing and then for the record, sum up. */
#include "maskmill/bench.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "base/clock.h"
#include "engine/bench_parts.h"
#include "engine/share.h"
#include "maskmill/corpus.h"
#include "maskmill/work.h"

enum { DRAWN_WIDTH = 1800, DRAWN_HEIGHT = 1200 };

typedef struct session {
    const mm_bench_options *options;
    mm_config config;
    mm_model *model;
    mm_embedding *embedding;
    mm_detector *detector; /* NULL without detect.enabled */
    mm_detect_params detect;
    mm_image drawn; /* empty if there is a file */
    double *samples[MM_BENCH_STAGES]; /* [runs] each; all in one allocation, which samples[0] points at */
} session;

static mm_status read_jpeg(const session *s, mm_image *image, mm_error *err)
{
    const char *path = s->options->image;
    const mm_jpeg_options jpeg = {.ignore_orientation = s->config.image.ignore_orientation,
                                  .max_pixels = s->config.image.max_pixels};
    uint8_t *bytes = NULL;
    size_t size = 0;
    mm_status status = mm_corpus_read_path(path, s->config.image.max_bytes, &bytes, &size, err);
    if (status != MM_OK)
        return status;
    status = mm_image_decode_jpeg(bytes, size, &jpeg, image, err);
    free(bytes);
    return status == MM_OK ? MM_OK : mm_error_prefix(err, "%s", path);
}

/* The image to work on, and in *own what is to be freed afterwards. */
static mm_status load_image(session *s, mm_image *own, mm_image_view *view, mm_error *err)
{
    *own = (mm_image){0};
    if (!s->options->image) {
        *view = mm_image_whole(&s->drawn);
        return MM_OK;
    }
    const mm_status status = read_jpeg(s, own, err);
    if (status == MM_OK)
        *view = mm_image_whole(own);
    return status;
}

static mm_status open_detector(session *s, const char *path, mm_error *err)
{
    mm_status status = mm_detector_open(path, s->model, &s->detector, err);
    if (status == MM_OK) {
        s->detect = mm_config_detect_params(&s->config, s->detector);
        status = mm_detect_check(&s->detect, err);
    }
    return status;
}

/* Cheap things first, so that mistakes show before the model is loaded. */
static mm_status open_session(session *s, mm_bench *bench, mm_error *err)
{
    const mm_bench_options *options = s->options;
    char path[PATH_MAX], detector[PATH_MAX];
    mm_image image = {0};
    mm_image_view view;
    mm_status status = mm_checkpoint_locate(options->model ? options->model : "default", path, sizeof path, err);
    if (status == MM_OK)
        status = mm_config_load_for(path, options->config_path, options->sets, options->set_count, &s->config, NULL,
                                    err);
    bench->detects = status == MM_OK && s->config.detect.enabled;
    if (bench->detects)
        status = mm_config_find_detector(path, &s->config, detector, sizeof detector, err);
    if (status == MM_OK && !options->image)
        status = mm_bench_picture(DRAWN_WIDTH, DRAWN_HEIGHT, &s->drawn, err);
    if (status == MM_OK)
        status = load_image(s, &image, &view, err);
    if (status == MM_OK) {
        bench->width = view.width;
        bench->height = view.height;
        mm_image_free(&image);
    }
    if (status == MM_OK)
        status = mm_kernels_resolve(&bench->kernels, err);
    const mm_model_options model = {.config_path = options->model_config, .kernels = bench->kernels};
    if (status == MM_OK)
        status = mm_model_open(path, &model, &s->model, err);
    if (status == MM_OK && bench->detects)
        status = open_detector(s, detector, err);
    if (status == MM_OK)
        status = mm_embedding_new(s->model, &s->embedding, err);
    if (status != MM_OK)
        return status;
    double *samples = calloc((size_t)MM_BENCH_STAGES * options->runs, sizeof *samples);
    for (size_t stage = 0; samples && stage < MM_BENCH_STAGES; stage++)
        s->samples[stage] = samples + stage * options->runs;
    return samples ? MM_OK : mm_fail_memory(err, "the times of the runs");
}

static void close_session(session *s)
{
    free(s->samples[0]);
    mm_image_free(&s->drawn);
    mm_embedding_free(s->embedding);
    mm_detector_close(s->detector);
    mm_model_close(s->model);
}

/* Before any run: pred_iou_thresh at which the wanted share of the prompts keeps a mask. */
static mm_status choose_threshold(session *s, mm_error *err)
{
    mm_image image;
    mm_image_view view;
    float *best;
    size_t count;
    mm_status status = load_image(s, &image, &view, err);
    if (status != MM_OK)
        return status;
    status = mm_amg_best_ious(s->model, s->embedding, &s->config.amg, view, &best, &count, err);
    mm_image_free(&image);
    if (status != MM_OK)
        return status;
    s->config.amg.pred_iou_thresh = mm_amg_keep_threshold(best, count, s->options->keep);
    free(best);
    return MM_OK;
}

/* What a detection in the middle of an image took, and gave. */
typedef struct detection {
    session *session;
    double seconds, head;
    uint64_t boxes, confident;
} detection;

static mm_status detect(void *user, mm_embedding *embedding, mm_error *err)
{
    detection *d = user;
    mm_confident found;
    const mm_status status =
        mm_detect_confident(d->session->model, embedding, d->session->detector, &d->session->detect, &found, err);
    if (status != MM_OK)
        return status;
    d->head = found.seconds_detect;
    d->seconds = found.seconds_detect + found.seconds_masks;
    d->boxes = found.annotations.funnel.candidates;
    d->confident = found.annotations.count;
    mm_confident_free(&found);
    return MM_OK;
}

/* One image from file to masks. */
static mm_status run_once(session *s, double seconds[MM_BENCH_STAGES], mm_bench *bench, mm_error *err)
{
    mm_image image;
    mm_image_view view;
    mm_annotations a;
    detection detected = {.session = s};
    const mm_amg_observer observer = {.user = &detected, .whole_image = s->detector ? detect : NULL};
    const double start = mm_seconds_now();
    mm_status status = load_image(s, &image, &view, err);
    if (status != MM_OK)
        return status;
    const double loaded = mm_seconds_now();
    status = mm_amg_generate_observed(s->model, s->embedding, &s->config.amg, view, &observer, &a, err);
    const double end = mm_seconds_now();
    mm_image_free(&image);
    if (status != MM_OK)
        return status;
    seconds[MM_BENCH_READ] = s->options->image ? loaded - start : 0;
    seconds[MM_BENCH_RESIZE] = a.seconds_frame + a.model_times.resize;
    seconds[MM_BENCH_ENCODE] = a.model_times.encoder;
    seconds[MM_BENCH_PREPARE] = a.model_times.image_side;
    seconds[MM_BENCH_PROMPTS] = a.model_times.to_iou;
    seconds[MM_BENCH_UPSCALE] = a.model_times.upscale;
    seconds[MM_BENCH_MASKS] = a.seconds_masks;
    seconds[MM_BENCH_FILTER] = a.seconds_filter;
    seconds[MM_BENCH_DETECT] = detected.seconds;
    seconds[MM_BENCH_HEAD] = detected.head;
    seconds[MM_BENCH_TOTAL] = seconds[MM_BENCH_OTHER] = end - start;
    for (int stage = MM_BENCH_READ; stage < MM_BENCH_OTHER; stage++)
        seconds[MM_BENCH_OTHER] -= seconds[stage];
    bench->crops = a.crops;
    bench->prompts = a.prompts;
    bench->prompts_kept = a.prompts_kept;
    bench->masks_scanned = a.funnel.after_iou;
    bench->masks = a.count;
    bench->boxes = detected.boxes;
    bench->confident = detected.confident;
    mm_annotations_free(&a);
    return MM_OK;
}

static mm_status run_all(session *s, mm_bench *bench, mm_error *err)
{
    double seconds[MM_BENCH_STAGES];
    mm_status status = run_once(s, seconds, bench, err); /* first touches of memory, clocks, the file's cache */
    for (uint32_t run = 0; run < s->options->runs && status == MM_OK; run++) {
        status = run_once(s, seconds, bench, err);
        for (int stage = 0; stage < MM_BENCH_STAGES && status == MM_OK; stage++)
            s->samples[stage][run] = seconds[stage];
    }
    return status;
}

static int ascending(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

mm_spread mm_bench_spread(double *seconds, size_t count)
{
    qsort(seconds, count, sizeof *seconds, ascending);
    return (mm_spread){.median = (seconds[(count - 1) / 2] + seconds[count / 2]) / 2,
                       .min = seconds[0],
                       .max = seconds[count - 1]};
}

static double rate(double amount, double seconds)
{
    return seconds > 0 ? amount / seconds : 0;
}

static void sum_up(session *s, mm_bench *bench)
{
    for (int stage = 0; stage < MM_BENCH_STAGES; stage++)
        bench->seconds[stage] = mm_bench_spread(s->samples[stage], s->options->runs);
    const mm_spread *seconds = bench->seconds;
    const mm_work work = mm_arch_work(mm_model_arch(s->model));
    const double to_iou = seconds[MM_BENCH_PROMPTS].median, upscale = seconds[MM_BENCH_UPSCALE].median;
    /* A multiply-add is two operations. */
    const double encode_work = 2e-9 * (double)bench->crops * work.encode;
    const double prompt_work = 2e-9 * (double)bench->prompts * work.prompt;
    const double upscale_work = 2e-9 * (double)bench->prompts_kept * work.upscale;
    bench->gflops = (mm_bench_rates){.encode = rate(encode_work, seconds[MM_BENCH_ENCODE].median),
                                     .decode = rate(prompt_work + upscale_work, to_iou + upscale),
                                     .prompts = rate(prompt_work, to_iou),
                                     .upscale = rate(upscale_work, upscale)};
    bench->images_per_second = rate(1, seconds[MM_BENCH_TOTAL].median);
    bench->prompts_per_second = rate((double)bench->prompts, to_iou + upscale);
    bench->masks_per_second = rate((double)bench->masks, seconds[MM_BENCH_TOTAL].median);
}

/* Kilobytes in a line of /proc/self/status, as bytes; 0 if the line is of another key. */
static uint64_t status_line(const char *line, const char *key)
{
    const size_t length = strlen(key);
    return strncmp(line, key, length) == 0 ? 1024 * (uint64_t)strtoull(line + length, NULL, 10) : 0;
}

void mm_bench_memory(uint64_t *peak_bytes, uint64_t *own_bytes, uint64_t *mapped_bytes)
{
    *peak_bytes = *own_bytes = *mapped_bytes = 0;
    FILE *file = fopen("/proc/self/status", "re");
    char line[256];
    while (file && fgets(line, sizeof line, file)) {
        *peak_bytes += status_line(line, "VmHWM:");
        *own_bytes += status_line(line, "RssAnon:");
        *mapped_bytes += status_line(line, "RssFile:");
    }
    if (file)
        (void)fclose(file); /* was only read */
    struct rusage usage;
    /* The second choice: Linux hands a large parent's peak on to the program that it starts. */
    if (*peak_bytes == 0 && getrusage(RUSAGE_SELF, &usage) == 0)
        *peak_bytes = 1024 * (uint64_t)usage.ru_maxrss;
}

static mm_status measure(session *s, mm_bench *bench, mm_error *err)
{
    mm_status status = open_session(s, bench, err);
    if (status == MM_OK && s->options->keep > 0)
        status = choose_threshold(s, err);
    if (status == MM_OK)
        status = run_all(s, bench, err);
    if (status != MM_OK)
        return status;
    (void)snprintf(bench->model, sizeof bench->model, "%s", mm_model_arch(s->model)->name); /* of the same size */
    mm_kernels_describe(&bench->kernels, bench->kernels_text, sizeof bench->kernels_text);
    bench->pred_iou_thresh = s->config.amg.pred_iou_thresh;
    sum_up(s, bench);
    mm_bench_memory(&bench->peak_bytes, &bench->own_bytes, &bench->mapped_bytes);
    /* Last, because its matrices are no part of the work's memory. */
    return mm_kernels_peak(&bench->kernels, &bench->peak_gflops, err);
}

mm_status mm_bench_run(const mm_bench_options *options, mm_bench *bench, mm_error *err)
{
    *bench = (mm_bench){.kernels = options->kernels, .drawn = !options->image, .runs = options->runs};
    if (options->runs < 1 || !(options->keep >= 0 && options->keep <= 1))
        return mm_fail(err, MM_ERR_USAGE, "a bench needs at least one run and a share of prompts from 0 to 1");
    session s = {.options = options};
    const mm_status status = measure(&s, bench, err);
    close_session(&s);
    return status;
}
