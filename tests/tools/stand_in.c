/* maskmill-stand-in: a run whose inference is a sleep, for tests and benchmarks of everything else. Corpus, scheduling,
 * messages, records, shards and books are the real ones. Prints one JSON object with what it cost. */
#include <argp.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

#include "base/clock.h"
#include "engine/share.h"
#include "engine/stand_in.h"
#include "tools/stand_in_masks.h"

typedef struct arguments {
    const char *sources[64], *sets[64];
    size_t source_count, set_count;
    const char *out;
    double seconds, spread; /* an image's time: see mm_stand_in_seconds */
    bool spin;
    uint32_t masks, width, height;
    bool overwrite, quiet;
} arguments;

typedef struct worker {
    const arguments *given;
    double first;       /* when the first image began; 0 before */
    double cpu_setup;   /* CPU seconds of the process until then */
    double worked;      /* seconds slept or spun */
    double overslept;   /* seconds that sleeping took longer than asked for */
    double cpu_of_mine; /* CPU seconds of this file's own doing, which are not the engine's */
    uint64_t sampled_bytes, sampled_masks; /* of some images' packed records */
} worker;

/* What each rank tells rank 0. */
typedef struct share_of_rank {
    double first, worked, overslept, cpu, cpu_setup;
    uint64_t peak_bytes, sampled_bytes, sampled_masks;
} share_of_rank;

static double cpu_of_thread(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now); /* cannot fail for this clock */
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

static double cpu_of_process(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now); /* cannot fail for this clock */
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

/* What a record weighs in messages and journals: of every 16th image, since nobody needs it of all. */
static mm_status weigh(worker *w, uint64_t image_id, const mm_annotations *annotations, mm_error *err)
{
    if (image_id % 16 != 0)
        return MM_OK;
    mm_record record = {0};
    uint8_t *bytes = NULL;
    size_t size = 0;
    mm_status status = mm_record_from_annotations(image_id, annotations, &record, err);
    if (status == MM_OK)
        status = mm_record_pack(&record, &bytes, &size, err);
    w->sampled_bytes += size;
    w->sampled_masks += record.mask_count;
    mm_record_free(&record);
    free(bytes);
    return status;
}

static void work_until(worker *w, double start, double seconds)
{
    volatile double x = 1;
    while (w->given->spin && mm_seconds_now() < start + seconds)
        for (int i = 0; i < 1000; i++)
            x = x * 1.0000001 + 1e-9;
    const double left = start + seconds - mm_seconds_now();
    if (left > 0) {
        const struct timespec pause = {(time_t)left, (long)((left - (double)(time_t)left) * 1e9)};
        (void)nanosleep(&pause, NULL); /* woken early by a signal: the image is done early */
    }
}

/* Sleeping goes by the clock, so what making the masks took is slept less. */
static mm_status annotate(void *user, uint64_t image_id, const mm_image *image, mm_annotations *annotations,
                          mm_error *err)
{
    worker *w = user;
    const double start = mm_seconds_now(), cpu = cpu_of_thread();
    if (w->first == 0) {
        w->first = start;
        w->cpu_setup = cpu_of_process();
    }
    const double seconds = mm_stand_in_seconds(image_id, w->given->seconds, w->given->spread);
    const uint32_t width = w->given->width ? w->given->width : image->width;
    const uint32_t height = w->given->height ? w->given->height : image->height;
    mm_status status = mm_stand_in_masks(image_id, w->given->masks, width, height, annotations, err);
    if (status == MM_OK)
        status = weigh(w, image_id, annotations, err);
    if (status != MM_OK)
        mm_annotations_free(annotations);
    work_until(w, start, seconds);
    const double took = mm_seconds_now() - start;
    w->worked += took < seconds ? took : seconds;
    w->overslept += took > seconds ? took - seconds : 0;
    w->cpu_of_mine += cpu_of_thread() - cpu;
    return status;
}

static void print(const mm_run_summary *summary, const share_of_rank *all, size_t ranks, double start, double end)
{
    share_of_rank sum = {.first = end};
    uint64_t others = 0;
    for (size_t i = 0; i < ranks; i++) {
        sum.first = all[i].first > 0 && all[i].first < sum.first ? all[i].first : sum.first;
        sum.worked += all[i].worked;
        sum.overslept += all[i].overslept;
        sum.cpu += all[i].cpu;
        sum.cpu_setup += all[i].cpu_setup;
        sum.sampled_bytes += all[i].sampled_bytes;
        sum.sampled_masks += all[i].sampled_masks;
        others = i > 0 && all[i].peak_bytes > others ? all[i].peak_bytes : others;
    }
    const double sharing = end - sum.first;
    printf("{\"ranks\": %zu, \"images\": %" PRIu64 ", \"set_aside\": %" PRIu64 ", \"masks\": %" PRIu64
           ", \"seconds\": %.3f, \"seconds_sharing\": %.3f, \"worked\": %.3f, \"overslept\": %.3f, ",
           ranks, summary->images_done, summary->images_set_aside, summary->masks, end - start, sharing, sum.worked,
           sum.overslept);
    printf("\"cpu_setup\": %.3f, \"cpu\": %.3f, \"efficiency\": %.4f, \"record_bytes_per_mask\": %.1f, "
           "\"peak_bytes_rank_0\": %" PRIu64 ", \"peak_bytes_others\": %" PRIu64 "}\n",
           sum.cpu_setup, sum.cpu, sum.worked / ((double)ranks * sharing),
           sum.sampled_masks ? (double)sum.sampled_bytes / (double)sum.sampled_masks : 0.0, all[0].peak_bytes, others);
}

static share_of_rank share_of(const worker *w)
{
    struct rusage usage;
    memset(&usage, 0, sizeof usage);
    (void)getrusage(RUSAGE_SELF, &usage); /* cannot fail for these arguments */
    return (share_of_rank){.first = w->first,
                           .worked = w->worked,
                           .overslept = w->overslept,
                           .cpu = cpu_of_process() - w->cpu_setup - w->cpu_of_mine,
                           .cpu_setup = w->cpu_setup,
                           .peak_bytes = (uint64_t)usage.ru_maxrss * 1024,
                           .sampled_bytes = w->sampled_bytes,
                           .sampled_masks = w->sampled_masks};
}

static mm_status run(mm_comm *comm, const arguments *given, int argc, char **argv, mm_error *err)
{
    const mm_run_options options = {.sources = given->sources, .source_count = given->source_count, .out = given->out,
                                    .sets = given->sets, .set_count = given->set_count, .overwrite = given->overwrite,
                                    .quiet = given->quiet, .argc = argc, .argv = argv,
                                    .kernels = {.threads = 1}};
    worker w = {.given = given};
    const mm_stand_in stand_in = {.user = &w, .annotate = annotate};
    mm_run_summary summary = {0};
    const double start = mm_seconds_now();
    mm_status status = mm_engine_run_with(comm, &options, &stand_in, &summary, err);
    const double end = mm_seconds_now();
    if (status != MM_OK)
        return status;
    const share_of_rank mine = share_of(&w);
    const size_t ranks = (size_t)mm_comm_size(comm);
    share_of_rank *all = calloc(ranks, sizeof *all);
    status = mm_comm_agree(comm, all ? MM_OK : mm_fail_memory(err, "the ranks' shares"), err);
    if (status == MM_OK)
        status = mm_comm_gather(comm, &mine, sizeof mine, all, err);
    if (status == MM_OK && mm_comm_rank(comm) == 0)
        print(&summary, all, ranks, start, end);
    free(all);
    return status;
}

static const struct argp_option rows[] = {
    {"output", 'o', "FOLDER", 0, "where the dataset goes", 0},
    {"seconds", 's', "MEAN", 0, "mean time of an image (0.25)", 0},
    {"spread", 'd', "SIGMA", 0, "standard deviation of its logarithm (0.3)", 0},
    {"spin", 'p', NULL, 0, "compute instead of sleeping", 0},
    {"masks", 'm', "MEAN", 0, "mean number of masks (100)", 0},
    {"frame", 'f', "WxH", 0, "the masks' frame (2250x1500); 0x0: the image's own size", 0},
    {"set", 'S', "KEY=VALUE", 0, "as of maskmill run", 0},
    {"overwrite", 'w', NULL, 0, "as of maskmill run", 0},
    {"quiet", 'q', NULL, 0, "as of maskmill run", 0},
    {0},
};

static error_t parse(int key, char *value, struct argp_state *state)
{
    arguments *given = state->input;
    switch (key) {
    case 'o':
        given->out = value;
        return 0;
    case 's':
        given->seconds = strtod(value, NULL);
        return 0;
    case 'd':
        given->spread = strtod(value, NULL);
        return 0;
    case 'p':
        given->spin = true;
        return 0;
    case 'm':
        given->masks = (uint32_t)strtoul(value, NULL, 10);
        return 0;
    case 'f':
        if (sscanf(value, "%" SCNu32 "x%" SCNu32, &given->width, &given->height) != 2)
            argp_error(state, "--frame is a size like 2250x1500");
        return 0;
    case 'S':
        if (given->set_count == sizeof given->sets / sizeof given->sets[0])
            argp_error(state, "too many --set");
        given->sets[given->set_count++] = value;
        return 0;
    case 'w':
        given->overwrite = true;
        return 0;
    case 'q':
        given->quiet = true;
        return 0;
    case ARGP_KEY_ARG:
        if (given->source_count == sizeof given->sources / sizeof given->sources[0])
            argp_error(state, "too many sources");
        given->sources[given->source_count++] = value;
        return 0;
    case ARGP_KEY_END:
        if (given->source_count == 0 || !given->out)
            argp_usage(state);
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

int main(int argc, char **argv)
{
    static const struct argp argp = {rows, parse, "CORPUS... -o FOLDER",
                                     "A run of maskmill in which each image sleeps instead of being looked at.", NULL,
                                     NULL, NULL};
    arguments given = {.seconds = 0.25, .spread = 0.3, .masks = 100, .width = 2250, .height = 1500};
    if (argp_parse(&argp, argc, argv, 0, NULL, &given) != 0)
        return 2;
    mm_error err = {0};
    mm_comm *comm = NULL;
    mm_status status = mm_comm_start(NULL, NULL, &comm, &err);
    bool speaks = true;
    if (status == MM_OK) {
        speaks = mm_comm_rank(comm) == 0;
        status = run(comm, &given, argc, argv, &err);
        const mm_status apart = mm_comm_barrier(comm, NULL);
        (void)apart; /* what failed before is what matters */
        mm_comm_stop(comm);
    }
    if (status != MM_OK && speaks)
        (void)fprintf(stderr, "maskmill-stand-in: %s\n", err.text);
    return status == MM_OK || !speaks ? 0 : 4;
}
