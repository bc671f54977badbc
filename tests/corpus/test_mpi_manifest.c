/* One manifest for the ranks of a host: the same rows everywhere, shared or not, and failures on all ranks alike. */
#include "mpi_check.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "corpus/manifest.h"

enum { ROWS = 5000 };

static char folder[64], path[128];

static mm_manifest_entry row_at(uint64_t i, char name[32])
{
    (void)snprintf(name, 32, "%06llu/%llu.jpg", (unsigned long long)i / 100, (unsigned long long)i * 13);
    return (mm_manifest_entry){.path = name, .offset = i % 5 * 512, .length = i * 7 + 1, .width = (uint32_t)i,
                               .height = (uint32_t)(i % 99), .phash = i % 3 ? i * 0x9e3779b97f4a7c15u : 77};
}

static mm_manifest *make(void)
{
    mm_manifest *manifest = NULL;
    mm_error err = {0};
    uint64_t duplicates, found;
    mm_must_ok(mm_manifest_new(&manifest, &err), err);
    mm_must_ok(mm_manifest_add_root(manifest, "/data/photographs", &err), err);
    for (uint64_t i = 0; i < ROWS; i++) {
        char name[32];
        const mm_manifest_entry row = row_at(i, name);
        mm_must_ok(mm_manifest_add(manifest, &row, &err), err);
    }
    mm_must_ok(mm_manifest_sort(manifest, &duplicates, &err), err);
    mm_must_ok(mm_corpus_group(NULL, manifest, 2, &found, &err), err);
    return manifest;
}

static void must_be_equal(const mm_manifest *a, const mm_manifest *b)
{
    mm_must(mm_manifest_count(a) == mm_manifest_count(b));
    for (uint64_t i = 0; i < mm_manifest_count(a); i++) {
        const mm_manifest_entry x = mm_manifest_at(a, i), y = mm_manifest_at(b, i);
        mm_must(strcmp(x.path, y.path) == 0 && x.offset == y.offset && x.length == y.length && x.width == y.width &&
                x.height == y.height && x.phash == y.phash);
        mm_must(mm_manifest_duplicate_of(a, i) == mm_manifest_duplicate_of(b, i));
    }
    uint32_t first, second;
    mm_must(mm_manifest_grouped(a, &first) && mm_manifest_grouped(b, &second) && first == second);
}

static void open_together(mm_comm *comm, const mm_manifest *expected, bool is_shared)
{
    mm_manifest *manifest = NULL;
    mm_error err = {0};
    mm_must_ok(mm_manifest_open_together(comm, path, &manifest, &err), err);
    must_be_equal(expected, manifest);
    mm_must((manifest->mapping != NULL) == is_shared);
    /* Each rank has roots of its own. */
    char *full = NULL;
    mm_must_ok(mm_manifest_move_root(manifest, mm_comm_rank(comm) ? "/elsewhere" : "/here", &err), err);
    mm_must_ok(mm_manifest_locate(manifest, "x.jpg", &full, &err), err);
    mm_must(strcmp(full, mm_comm_rank(comm) ? "/elsewhere/x.jpg" : "/here/x.jpg") == 0);
    free(full);
    mm_must_ok(mm_comm_barrier(comm, &err), err);
    mm_manifest_free(manifest);
}

/* As after a scan: rank 0 has it, the others get it. */
static void share(mm_comm *comm, const mm_manifest *expected)
{
    mm_manifest *manifest = mm_comm_rank(comm) == 0 ? make() : NULL;
    mm_error err = {0};
    mm_must_ok(mm_manifest_share(comm, path, &manifest, &err), err);
    must_be_equal(expected, manifest);
    mm_manifest_free(manifest);
}

static void what_is_missing_is_missing_for_all(mm_comm *comm)
{
    mm_manifest *manifest = NULL;
    mm_error err = {0};
    mm_must(mm_manifest_open_together(comm, "/nowhere/manifest.h5", &manifest, &err) == MM_ERR_IO);
    mm_must(manifest == NULL && strstr(err.text, "/nowhere/manifest.h5") != NULL);
}

int main(int argc, char **argv)
{
    mm_error err = {0};
    mm_comm *comm = NULL;
    mm_must_ok(mm_comm_start(&argc, &argv, &comm, &err), err);
    const bool first = mm_comm_rank(comm) == 0, several = mm_comm_size(comm) > 1;
    mm_manifest *expected = make();
    (void)snprintf(folder, sizeof folder, "/tmp/maskmill-manifest-XXXXXX");
    mm_must(!first || mkdtemp(folder) != NULL);
    mm_must_ok(mm_comm_broadcast(comm, 0, folder, sizeof folder, &err), err);
    (void)snprintf(path, sizeof path, "%s/manifest.h5", folder);
    if (first)
        mm_must_ok(mm_manifest_write(expected, path, &err), err);
    mm_must_ok(mm_comm_barrier(comm, &err), err);

    open_together(comm, expected, several);
    mm_must(setenv("MASKMILL_NO_SHARED_MANIFEST", "1", 1) == 0);
    open_together(comm, expected, false);
    mm_must(unsetenv("MASKMILL_NO_SHARED_MANIFEST") == 0);
    share(comm, expected);
    what_is_missing_is_missing_for_all(comm);

    mm_manifest_free(expected);
    mm_must_ok(mm_comm_barrier(comm, &err), err);
    if (first)
        mm_must(unlink(path) == 0 && rmdir(folder) == 0);
    mm_comm_stop(comm);
    return EXIT_SUCCESS;
}
