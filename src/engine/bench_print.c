/* A bench as a page of text for people, and as one JSON object for programs. */
#include <inttypes.h>
#include <jansson.h>
#include <stdlib.h>

#include "maskmill/bench.h"

static const struct {
    const char *key; /* for programs */
    const char *name;
} stages[MM_BENCH_STAGES] = {
    {"read", "read and decode JPEG"},  {"resize", "resize"},
    {"encode", "encoder"},             {"prepare", "decoder, image side"},
    {"prompts", "prompts to IoU"},     {"upscale", "upscaling of kept"},
    {"masks", "logits to RLE"},        {"filter", "filters, NMS, cleaning"},
    {"detect", "detection"},           {"other", "other"},
    {"total", "whole image"},          {"head", "detector's network"},
};

static double ratio(double part, double whole)
{
    return whole > 0 ? part / whole : 0;
}

static double share(const mm_bench *bench, int stage)
{
    return ratio(bench->seconds[stage].median, bench->seconds[MM_BENCH_TOTAL].median);
}

/* What an image takes more than without a detector. */
static double added(const mm_bench *bench)
{
    const double detect = bench->seconds[MM_BENCH_DETECT].median;
    return ratio(detect, bench->seconds[MM_BENCH_TOTAL].median - detect);
}

static mm_status finish(FILE *out, mm_error *err)
{
    if (fflush(out) == 0 && !ferror(out))
        return MM_OK;
    return mm_fail_errno(err, "cannot write the measurements");
}

static void print_rate(const mm_bench *bench, double gflops, FILE *out)
{
    if (gflops > 0)
        (void)fprintf(out, "%10.1f%8.1f %%", gflops, 100 * ratio(gflops, bench->peak_gflops));
}

static void print_stage(const mm_bench *bench, int stage, FILE *out)
{
    const mm_spread *seconds = &bench->seconds[stage];
    (void)fprintf(out, "  %-24s%10.4f%10.4f%10.4f%8.1f %%", stages[stage].name, seconds->median, seconds->min,
                  seconds->max, 100 * share(bench, stage));
    if (stage == MM_BENCH_ENCODE)
        print_rate(bench, bench->gflops.encode, out);
    else if (stage == MM_BENCH_PROMPTS)
        print_rate(bench, bench->gflops.prompts, out);
    else if (stage == MM_BENCH_UPSCALE)
        print_rate(bench, bench->gflops.upscale, out);
    (void)fputc('\n', out);
}

static void print_detection(const mm_bench *bench, FILE *out)
{
    const double head = bench->seconds[MM_BENCH_HEAD].median, detect = bench->seconds[MM_BENCH_DETECT].median;
    (void)fprintf(out, "  detection adds %.1f %%: %.4f s for boxes, %.4f s for masks of %" PRIu64 " of them, of which "
                       "%" PRIu64 " are confident\n",
                  100 * added(bench), head, detect - head, bench->boxes, bench->confident);
}

mm_status mm_bench_print_text(const mm_bench *bench, FILE *out, mm_error *err)
{
    static const double mb = 1e6;
    (void)fprintf(out, "model    %s\n", bench->model);
    (void)fprintf(out, "kernels  %s; peak %.1f GFLOP/s (product of 4096x1280 by 1280x5120)\n", bench->kernels_text,
                  bench->peak_gflops);
    (void)fprintf(out, "image    %ux%u%s, %" PRIu64 " window%s\n", bench->width, bench->height,
                  bench->drawn ? ", drawn" : "", bench->crops, bench->crops == 1 ? "" : "s");
    (void)fprintf(out, "prompts  %" PRIu64 ", of which %" PRIu64 " (%.1f %%) keep ", bench->prompts, bench->prompts_kept,
                  100 * ratio((double)bench->prompts_kept, (double)bench->prompts));
    (void)fprintf(out, "%" PRIu64 " masks at pred_iou_thresh %.9g\n", bench->masks_scanned,
                  (double)bench->pred_iou_thresh);
    (void)fprintf(out, "masks    %" PRIu64 " in the end\n\n", bench->masks);
    (void)fprintf(out, "  %-24s%10s%10s%10s%10s%10s%10s\n", "seconds", "median", "least", "most", "share", "GFLOP/s",
                  "of peak");
    for (int stage = 0; stage <= MM_BENCH_TOTAL; stage++)
        if (stage != MM_BENCH_DETECT || bench->detects)
            print_stage(bench, stage, out);
    (void)fprintf(out, "  %u run%s after one that does not count; prompts and upscaling together:", bench->runs,
                  bench->runs == 1 ? "" : "s");
    (void)fprintf(out, " %.1f GFLOP/s, %.1f %% of the peak\n", bench->gflops.decode,
                  100 * ratio(bench->gflops.decode, bench->peak_gflops));
    if (bench->detects)
        print_detection(bench, out);
    (void)fputc('\n', out);
    (void)fprintf(out, "rates    %.3g images/s, %.4g prompts/s in the decoder, %.3g masks/s\n", bench->images_per_second,
                  bench->prompts_per_second, bench->masks_per_second);
    (void)fprintf(out, "memory   %.0f MB of its own; %.0f MB of mapped files, which processes share; both %.0f MB at most\n",
                  (double)bench->own_bytes / mb, (double)bench->mapped_bytes / mb, (double)bench->peak_bytes / mb);
    return finish(out, err);
}

/* {"read": {"median": ..., "min": ..., "max": ...}, ...}; NULL without memory. */
static json_t *seconds_object(const mm_bench *bench)
{
    json_t *object = json_object();
    for (int stage = 0; object && stage < MM_BENCH_STAGES; stage++) {
        const mm_spread *s = &bench->seconds[stage];
        json_t *spread = json_pack("{s:f, s:f, s:f}", "median", s->median, "min", s->min, "max", s->max);
        if (json_object_set_new(object, stages[stage].key, spread) != 0) {
            json_decref(object);
            return NULL;
        }
    }
    return object;
}

static json_t *share_object(const mm_bench *bench)
{
    json_t *object = json_object();
    for (int stage = 0; object && stage < MM_BENCH_TOTAL; stage++)
        if (json_object_set_new(object, stages[stage].key, json_real(share(bench, stage))) != 0) {
            json_decref(object);
            return NULL;
        }
    return object;
}

static json_t *rates_object(const mm_bench_rates *rates, double unit)
{
    return json_pack("{s:f, s:f, s:f, s:f}", "encode", ratio(rates->encode, unit), "decode", ratio(rates->decode, unit),
                     "prompts", ratio(rates->prompts, unit), "upscale", ratio(rates->upscale, unit));
}

/* NULL without memory; null without a detector. */
static json_t *detection_object(const mm_bench *bench)
{
    return bench->detects ? json_pack("{s:I, s:I, s:f}", "boxes", (json_int_t)bench->boxes, "confident",
                                      (json_int_t)bench->confident, "added", added(bench))
                          : json_null();
}

static json_t *whole(const mm_bench *bench)
{
    json_t *memory = json_pack("{s:I, s:I, s:I}", "peak_bytes", (json_int_t)bench->peak_bytes, "own_bytes",
                               (json_int_t)bench->own_bytes, "mapped_bytes", (json_int_t)bench->mapped_bytes);
    /* json_pack frees what it was given when it fails, a NULL among its values included. */
    return json_pack("{s:s, s:s, s:s, s:s, s:I, s:I, s:I, s:b, s:I, s:I, s:I, s:I, s:I, s:I, s:f, s:f, s:o, s:o, s:o, s:o, "
                     "s:f, s:f, s:f, s:o, s:o}",
                     "maskmill", MM_VERSION,
                     "model", bench->model,
                     "precision", bench->kernels.precision == MM_PRECISION_BF16 ? "bf16" : "f32",
                     "kernels", bench->kernels_text,
                     "threads", (json_int_t)bench->kernels.threads,
                     "width", (json_int_t)bench->width,
                     "height", (json_int_t)bench->height,
                     "drawn", (int)bench->drawn,
                     "runs", (json_int_t)bench->runs,
                     "crops", (json_int_t)bench->crops,
                     "prompts", (json_int_t)bench->prompts,
                     "prompts_kept", (json_int_t)bench->prompts_kept,
                     "masks_scanned", (json_int_t)bench->masks_scanned,
                     "masks", (json_int_t)bench->masks,
                     "pred_iou_thresh", (double)bench->pred_iou_thresh,
                     "peak_gflops", bench->peak_gflops,
                     "seconds", seconds_object(bench),
                     "share", share_object(bench),
                     "gflops", rates_object(&bench->gflops, 1),
                     "peak_share", rates_object(&bench->gflops, bench->peak_gflops),
                     "images_per_second", bench->images_per_second,
                     "prompts_per_second", bench->prompts_per_second,
                     "masks_per_second", bench->masks_per_second,
                     "detection", detection_object(bench), "memory", memory);
}

mm_status mm_bench_print_json(const mm_bench *bench, FILE *out, mm_error *err)
{
    json_t *object = whole(bench);
    char *text = object ? json_dumps(object, JSON_INDENT(2) | JSON_REAL_PRECISION(9)) : NULL;
    json_decref(object);
    if (!text)
        return mm_fail_memory(err, "the measurements");
    (void)fprintf(out, "%s\n", text); /* a failed write shows when it is flushed */
    free(text);
    return finish(out, err);
}
