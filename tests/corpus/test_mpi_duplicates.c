/* Groups of near-duplicates, held against the definition (all pairs), on any number of ranks. */
#include "mpi_check.h"

#include <stdlib.h>
#include <string.h>

#include "corpus/manifest.h"
#include "corpus/pairs.h"

static uint64_t state;

static uint64_t chance(void)
{
    state += 0x9e3779b97f4a7c15u;
    return mm_hash_mix(state);
}

/* Flip `bits` different bits. */
static uint64_t flipped(uint64_t hash, uint32_t bits)
{
    for (uint64_t done = 0; (uint32_t)__builtin_popcountll(done) < bits;) {
        const uint64_t bit = UINT64_C(1) << chance() % 64;
        hash ^= done & bit ? 0 : bit;
        done |= bit;
    }
    return hash;
}

/* Random hashes, half of them near an earlier one, some equal to one, some none. */
static void clusters(uint64_t *hashes, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        const uint64_t kind = chance() % 8;
        if (i == 0 || kind < 3)
            hashes[i] = chance();
        else if (kind < 6)
            hashes[i] = flipped(hashes[chance() % i], (uint32_t)(chance() % 12));
        else
            hashes[i] = kind == 6 ? hashes[chance() % i] : 0;
    }
}

/* A film that hardly moves: all near one hash, many of them different. */
static void one_scene(uint64_t *hashes, size_t count)
{
    const uint64_t scene = chance();
    for (size_t i = 0; i < count; i++)
        hashes[i] = flipped(scene, (uint32_t)(chance() % 9));
}

/* All agree in half of the bits, but are far apart in the others: large buckets without pairs. */
static void half_equal(uint64_t *hashes, size_t count)
{
    for (size_t i = 0; i < count; i++)
        hashes[i] = i % 97 == 5 ? hashes[i - 1] ^ 5 : (chance() & UINT64_C(0x5555555555555555)) | 2;
}

/* The definition, as it stands in corpus.h. */
static void by_definition(const uint64_t *hashes, size_t count, uint32_t distance, uint64_t *duplicate_of)
{
    for (size_t i = 0; i < count; i++) {
        duplicate_of[i] = i;
        for (size_t j = 0; hashes[i] && j < i && duplicate_of[i] == i; j++)
            if (hashes[j] && duplicate_of[j] == j &&
                (uint32_t)__builtin_popcountll(hashes[i] ^ hashes[j]) <= distance)
                duplicate_of[i] = j;
    }
}

static mm_manifest *manifest_of(const uint64_t *hashes, size_t count)
{
    mm_error err = {0};
    mm_manifest *manifest = NULL;
    mm_must_ok(mm_manifest_new(&manifest, &err), err);
    mm_must_ok(mm_manifest_add_root(manifest, "/nowhere", &err), err);
    for (size_t i = 0; i < count; i++) {
        char path[32];
        (void)snprintf(path, sizeof path, "%08zu.jpg", i);
        const mm_manifest_entry row = {.path = path, .length = 1, .phash = hashes[i]};
        mm_must_ok(mm_manifest_add(manifest, &row, &err), err);
    }
    return manifest;
}

typedef void corpus_maker(uint64_t *hashes, size_t count);

static void compare(mm_comm *comm, corpus_maker *make, size_t count, uint32_t distance, bool finds)
{
    const bool first = mm_comm_rank(comm) == 0;
    mm_error err = {0};
    uint64_t *hashes = malloc(count * sizeof *hashes), *expected = malloc(count * sizeof *expected), found = 0;
    mm_must(hashes && expected);
    make(hashes, count);
    mm_manifest *manifest = first ? manifest_of(hashes, count) : NULL;
    mm_must_ok(mm_corpus_group(comm, manifest, distance, &found, &err), err);
    if (first) {
        uint64_t duplicates = 0;
        uint32_t at = 0;
        by_definition(hashes, count, distance, expected);
        for (size_t i = 0; i < count; i++) {
            mm_must(mm_manifest_duplicate_of(manifest, i) == expected[i]);
            duplicates += expected[i] != i;
        }
        mm_must(found == duplicates);
        mm_must((duplicates > 0) == finds);
        mm_must(mm_manifest_grouped(manifest, &at) && at == distance);
    }
    mm_manifest_free(manifest);
    free(hashes);
    free(expected);
}

/* Any two hashes that differ in at most d bits agree in a table, and no table is everything. */
static void tables_miss_nothing(void)
{
    for (uint32_t distance = 1; distance <= MM_MAX_DISTANCE; distance++) {
        const mm_tables tables = mm_tables_for(distance);
        mm_must(tables.count == (distance + 2) * (distance + 1) / 2);
        for (int i = 0; i < 2000; i++) {
            const uint64_t difference = flipped(0, distance);
            bool agrees = false;
            for (uint32_t t = 0; t < tables.count; t++)
                agrees = agrees || (difference & tables.masks[t]) == 0;
            mm_must(agrees);
        }
        for (uint32_t t = 0; t < tables.count; t++)
            mm_must(__builtin_popcountll(tables.masks[t]) >= 2 * (64 / ((int)distance + 2)));
    }
}

/* A distance that is no distance is refused on all ranks, and a manifest without hashes has no groups. */
static void edges(mm_comm *comm)
{
    mm_error err = {0};
    uint64_t found = 7, none[3] = {0, 0, 0};
    mm_manifest *manifest = mm_comm_rank(comm) == 0 ? manifest_of(none, 3) : NULL;
    mm_must(mm_corpus_group(comm, manifest, MM_MAX_DISTANCE + 1, &found, &err) == MM_ERR_USAGE);
    mm_must_ok(mm_corpus_group(comm, manifest, 4, &found, &err), err);
    mm_must(found == 0);
    mm_manifest_free(manifest);
}

int main(int argc, char **argv)
{
    mm_error err = {0};
    mm_comm *comm = NULL;
    mm_must_ok(mm_comm_start(&argc, &argv, &comm, &err), err);
    tables_miss_nothing();
    edges(comm);
    for (uint32_t distance = 0; distance <= MM_MAX_DISTANCE; distance++)
        compare(comm, clusters, 1500, distance, true);
    compare(comm, clusters, 1, 4, false);
    compare(comm, one_scene, 3000, 4, true);
    compare(comm, half_equal, 3000, 3, true);
    mm_must_ok(mm_comm_barrier(comm, &err), err);
    mm_comm_stop(comm);
    return EXIT_SUCCESS;
}
