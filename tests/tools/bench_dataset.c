/* Makes a dataset of many small shards and one with many masks, and tells what each step costs in time and memory.
 *
 * Usage: maskmill-bench-dataset FOLDER SHARDS IMAGES_PER_SHARD MASKS_PER_IMAGE MASKS_IN_THE_LAST_SHARD
 * FOLDER must not be there. Each step runs in a process of its own, so that its peak is its own. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "maskmill/shard.h"

enum { SIDE = 64 };

static const mm_shard_origin origin = {
    .config_yaml = "output:\n  images_per_shard: 1\n",
    .model_name = "none",
    .model_sha256 = "0000000000000000000000000000000000000000000000000000000000000000",
};

typedef struct plan {
    const char *out;
    uint64_t shards, images, masks, last_masks;
} plan;

static _Noreturn void die(const char *what)
{
    (void)fprintf(stderr, "bench_dataset: %s\n", what);
    exit(EXIT_FAILURE);
}

static uint32_t random_below(uint64_t *state, uint32_t limit)
{
    *state = *state * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(*state >> 33) % limit;
}

/* Masks are rectangles of random places and sizes. */
static void fill(mm_record *record, uint64_t masks, uint64_t *seed)
{
    mm_annotation *items = calloc(masks + 1, sizeof *items);
    uint8_t bits[SIDE * SIDE];
    mm_error err = {0};
    if (!items)
        die("out of memory");
    for (uint64_t i = 0; i < masks; i++) {
        mm_annotation *item = &items[i];
        const uint32_t x0 = random_below(seed, SIDE), y0 = random_below(seed, SIDE);
        const uint32_t x1 = x0 + random_below(seed, SIDE - x0), y1 = y0 + random_below(seed, SIDE - y0);
        memset(bits, 0, sizeof bits);
        for (uint32_t y = y0; y <= y1; y++)
            memset(bits + y * SIDE + x0, 1, x1 - x0 + 1);
        if (mm_rle_from_bits(bits, SIDE, SIDE, &item->rle, &err) != MM_OK)
            die(err.text);
        item->bbox[0] = (float)x0;
        item->bbox[1] = (float)y0;
        item->bbox[2] = (float)(x1 - x0);
        item->bbox[3] = (float)(y1 - y0);
        item->area = (x1 - x0 + 1) * (y1 - y0 + 1);
        item->predicted_iou = 0.5f + (float)random_below(seed, 1000) / 2000;
        item->stability_score = 0.9f;
        item->crop_box[2] = item->crop_box[3] = SIDE;
    }
    const mm_annotations all = {.width = SIDE, .height = SIDE, .items = items, .count = masks};
    if (mm_record_from_annotations(record->image_id, &all, record, &err) != MM_OK)
        die(err.text);
    for (uint64_t i = 0; i < masks; i++)
        mm_rle_free(&items[i].rle);
    free(items);
}

static void write_shards(const plan *p)
{
    mm_record *records = calloc(p->images, sizeof *records);
    const char **names = calloc(p->images, sizeof *names);
    mm_error err = {0};
    uint64_t seed = 1;
    if (!records || !names)
        die("out of memory");
    for (uint64_t i = 0; i < p->images; i++) {
        char name[32];
        (void)snprintf(name, sizeof name, "image_%06" PRIu64 ".jpg", i);
        names[i] = strdup(name);
    }
    for (uint64_t k = 0; k < p->shards; k++) {
        const bool last = k + 1 == p->shards;
        for (uint64_t i = 0; i < p->images; i++) {
            records[i].image_id = k * p->images + i;
            fill(&records[i], last ? p->last_masks / p->images : p->masks, &seed);
        }
        if (mm_shard_write(p->out, k, k * p->images, records, names, p->images, &origin, &err) != MM_OK)
            die(err.text);
        for (uint64_t i = 0; i < p->images; i++)
            mm_record_free(&records[i]);
    }
}

static void index_them(const plan *p)
{
    mm_error err = {0};
    if (mm_dataset_index(p->out, 0, p->shards, &origin, NULL, &err) != MM_OK)
        die(err.text);
}

static void open_it(const plan *p)
{
    mm_error err = {0};
    mm_dataset *dataset = NULL;
    if (mm_dataset_open(p->out, &dataset, &err) != MM_OK)
        die(err.text);
    mm_dataset_close(dataset);
}

static void verify_it(const plan *p)
{
    mm_error err = {0};
    mm_verify_report report;
    if (mm_dataset_verify(p->out, NULL, stderr, &report, &err) != MM_OK)
        die(err.text);
    if (report.faults)
        die(report.first);
}

static void export_it(const plan *p)
{
    char folder[4096];
    mm_error err = {0};
    mm_dataset *dataset = NULL;
    uint64_t written;
    (void)snprintf(folder, sizeof folder, "%s/coco", p->out);
    if (mm_dataset_open(p->out, &dataset, &err) != MM_OK ||
        mm_dataset_export_coco(dataset, folder, &written, &err) != MM_OK)
        die(err.text);
    mm_dataset_close(dataset);
}

static double seconds(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now); /* cannot fail for this clock */
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

static void step(const char *name, void (*work)(const plan *), const plan *p)
{
    const double start = seconds();
    struct rusage usage;
    int status;
    (void)fflush(stdout);
    const pid_t child = fork();
    if (child == 0) {
        work(p);
        _exit(EXIT_SUCCESS);
    }
    if (child < 0 || wait4(child, &status, 0, &usage) != child || status != 0)
        die(name);
    printf("%-14s %8.2f s   peak %7.1f MB\n", name, seconds() - start, (double)usage.ru_maxrss / 1024);
}

int main(int argc, char **argv)
{
    plan p = {0};
    uint64_t *const numbers[] = {&p.shards, &p.images, &p.masks, &p.last_masks};
    if (argc != 6)
        die("needs FOLDER SHARDS IMAGES_PER_SHARD MASKS_PER_IMAGE MASKS_IN_THE_LAST_SHARD");
    p.out = argv[1];
    for (int i = 0; i < 4; i++)
        *numbers[i] = strtoull(argv[i + 2], NULL, 10);
    if (p.shards == 0 || p.images == 0 || mkdir(p.out, 0777) != 0)
        die("FOLDER must not be there yet, and there must be shards and images");
    step("write shards", write_shards, &p);
    step("dataset.h5", index_them, &p);
    step("open", open_it, &p);
    step("verify", verify_it, &p);
    step("export coco", export_it, &p);
    char path[4096];
    struct stat info;
    (void)snprintf(path, sizeof path, "%s/dataset.h5", p.out);
    if (stat(path, &info) == 0)
        printf("dataset.h5 has %.1f MB\n", (double)info.st_size / 1e6);
    return EXIT_SUCCESS;
}
