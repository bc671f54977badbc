/* How much time and memory a manifest of millions of images takes:
 * manifest_scale make N FILE | open FILE | group FILE BITS.
 *
 * `make` builds the rows that a scan of SA-1B's archives gives (sa_000123.tar/sa_1234567.jpg, in the order of the
 * archives' members), sorts and writes them; `open` opens the file and `group` finds
 * near-duplicates, on as many ranks as mpirun starts. One hash in 100 is near an earlier one. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

#include "corpus/manifest.h"
#include "corpus/pairs.h"

enum { IMAGES_PER_TAR = 11186 };

static double now(void)
{
    struct timespec time;
    (void)clock_gettime(CLOCK_MONOTONIC, &time); /* cannot fail for this clock */
    return (double)time.tv_sec + 1e-9 * (double)time.tv_nsec;
}

static long peak_mib(void)
{
    struct rusage usage = {0};
    (void)getrusage(RUSAGE_SELF, &usage); /* cannot fail for ourselves */
    return usage.ru_maxrss / 1024;
}

static double tell(int rank, const char *what, double since)
{
    printf("rank %d: %-8s %6.2f s, peak %ld MiB\n", rank, what, now() - since, peak_mib());
    return now();
}

/* A few bits away from an earlier one, now and then. */
static uint64_t hash_at(uint64_t i)
{
    return i % 100 == 99 ? mm_hash_mix(i - 50) ^ (UINT64_C(1) << i % 64 | UINT64_C(1) << i % 61) : mm_hash_mix(i);
}

static mm_status fill(mm_manifest *manifest, uint64_t images, mm_error *err)
{
    mm_status status = mm_manifest_add_root(manifest, "/data/sa1b", err);
    for (uint64_t i = 0; status == MM_OK && i < images; i++) {
        /* Members stand in no order in their archive: 4093 has no divisor in common with 11186. */
        const uint64_t tar = i / IMAGES_PER_TAR, member = i % IMAGES_PER_TAR;
        char path[64];
        (void)snprintf(path, sizeof path, "sa_%06" PRIu64 ".tar/sa_%" PRIu64 ".jpg", tar,
                       tar * IMAGES_PER_TAR + member * 4093 % IMAGES_PER_TAR + 1);
        const mm_manifest_entry row = {.path = path,
                                       .offset = 512 + member * 440832,
                                       .length = 300000 + i * 7919 % 150000,
                                       .width = 2250,
                                       .height = (uint32_t)(1500 + i % 3),
                                       .phash = hash_at(i)};
        status = mm_manifest_add(manifest, &row, err);
    }
    return status;
}

static mm_status make(uint64_t images, const char *path, mm_error *err)
{
    mm_manifest *manifest = NULL;
    uint64_t duplicates = 0;
    double start = now();
    mm_status status = mm_manifest_new(&manifest, err);
    if (status == MM_OK)
        status = fill(manifest, images, err);
    start = tell(0, "collect", start);
    if (status == MM_OK)
        status = mm_manifest_sort(manifest, &duplicates, err);
    start = tell(0, "sort", start);
    if (status == MM_OK)
        status = mm_manifest_write(manifest, path, err);
    (void)tell(0, "write", start);
    mm_manifest_free(manifest);
    return status;
}

static mm_status open_on_all(const char *path, mm_error *err)
{
    mm_comm *comm = NULL;
    mm_manifest *manifest = NULL;
    mm_status status = mm_comm_start(NULL, NULL, &comm, err);
    if (status != MM_OK)
        return status;
    const long before = peak_mib();
    const double start = now();
    status = mm_manifest_open_together(comm, path, &manifest, err);
    if (status == MM_OK) {
        (void)tell(mm_comm_rank(comm), "open", start);
        printf("rank %d: of which %ld MiB before\n", mm_comm_rank(comm), before);
        const uint64_t last = mm_manifest_count(manifest) - 1;
        const double search = now();
        const uint64_t found = mm_manifest_find(manifest, mm_manifest_at(manifest, last).path);
        printf("rank %d: %" PRIu64 " images; the last found by its path in %.3f s%s\n", mm_comm_rank(comm), last + 1,
               now() - search, found == last ? "" : ", WRONGLY");
        char smaps[64], line[256];
        (void)snprintf(smaps, sizeof smaps, "/proc/self/smaps_rollup");
        FILE *file = fopen(smaps, "re");
        while (file && fgets(line, sizeof line, file))
            if (strncmp(line, "Pss:", 4) == 0 || strncmp(line, "Private_Dirty:", 14) == 0)
                printf("rank %d: %s", mm_comm_rank(comm), line);
        if (file)
            (void)fclose(file); /* only read from */
    }
    mm_manifest_free(manifest);
    const mm_status apart = mm_comm_barrier(comm, NULL);
    (void)apart; /* what failed before is what counts */
    mm_comm_stop(comm);
    return status;
}

static mm_status group(const char *path, uint32_t bits, mm_error *err)
{
    mm_comm *comm = NULL;
    mm_manifest *manifest = NULL;
    mm_status status = mm_comm_start(NULL, NULL, &comm, err);
    if (status != MM_OK)
        return status;
    if (mm_comm_rank(comm) == 0)
        status = mm_manifest_open(path, &manifest, err);
    status = mm_comm_agree(comm, status, err);
    const double start = now();
    uint64_t duplicates = 0;
    if (status == MM_OK)
        status = mm_corpus_group(comm, manifest, bits, &duplicates, err);
    (void)tell(mm_comm_rank(comm), "group", start);
    if (manifest)
        printf("rank 0: %" PRIu64 " near-duplicates of %" PRIu64 " images at %" PRIu32 " bits\n", duplicates,
               mm_manifest_count(manifest), bits);
    mm_manifest_free(manifest);
    const mm_status apart = mm_comm_barrier(comm, NULL);
    (void)apart; /* what failed before is what counts */
    mm_comm_stop(comm);
    return status;
}

int main(int argc, char **argv)
{
    mm_error err = {0};
    mm_status status = MM_ERR_USAGE;
    if (argc == 4 && strcmp(argv[1], "make") == 0)
        status = make(strtoull(argv[2], NULL, 10), argv[3], &err);
    else if (argc == 3 && strcmp(argv[1], "open") == 0)
        status = open_on_all(argv[2], &err);
    else if (argc == 4 && strcmp(argv[1], "group") == 0)
        status = group(argv[2], (uint32_t)strtoul(argv[3], NULL, 10), &err);
    else
        (void)snprintf(err.text, sizeof err.text, "usage: manifest_scale make N FILE | open FILE | group FILE BITS");
    if (status != MM_OK)
        (void)fprintf(stderr, "%s\n", err.text);
    return status == MM_OK ? EXIT_SUCCESS : EXIT_FAILURE;
}
