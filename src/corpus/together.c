/* One copy of the manifest a host. The first rank of a host opens the file and lays text and columns into memory that
 * has no name in any folder (memfd), and the others map that, read-only, through /proc. Where they cannot, because
 * /proc is hidden or ranks are in containers of their own, each opens the file for itself. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "corpus/manifest.h"

enum { PARTS = 8, PAGE = 4096 };

/* The first page of the memory; parts begin at multiples of 64 bytes. */
typedef struct shared_head {
    uint64_t token; /* chosen by chance: that this is the memory that was meant */
    uint64_t size, count, text_used, grouped, duplicate_distance;
} shared_head;

/* How the first rank of a host tells the others where it is. */
typedef struct shared_place {
    int64_t process;
    int32_t descriptor; /* -1: there is none */
    int32_t padding;
    uint64_t token;
} shared_place;

static size_t rounded(size_t bytes)
{
    return (bytes + 63) / 64 * 64;
}

/* Where each part begins and how long it is, the same in all ranks: it follows from the head. */
static size_t lay_out(const shared_head *head, size_t starts[PARTS], size_t sizes[PARTS])
{
    const size_t rows = (size_t)head->count, wide = rows * sizeof(uint64_t), narrow = rows * sizeof(uint32_t);
    const size_t all[PARTS] = {(size_t)head->text_used, wide, wide, wide, wide, narrow, narrow,
                               head->grouped ? wide : 0};
    size_t at = PAGE;
    for (int i = 0; i < PARTS; i++) {
        starts[i] = at;
        sizes[i] = all[i];
        at += rounded(all[i]);
    }
    return at;
}

static void point_into(mm_manifest *manifest, const shared_head *head, uint8_t *memory, const size_t starts[PARTS])
{
    void *parts[PARTS];
    for (int i = 0; i < PARTS; i++)
        parts[i] = memory + starts[i];
    manifest->text = parts[0];
    manifest->name = parts[1];
    manifest->offset = parts[2];
    manifest->length = parts[3];
    manifest->phash = parts[4];
    manifest->width = parts[5];
    manifest->height = parts[6];
    manifest->duplicate_of = head->grouped ? parts[7] : NULL;
    manifest->duplicate_distance = head->duplicate_distance;
    manifest->text_used = manifest->text_room = (size_t)head->text_used;
    manifest->count = manifest->room = (size_t)head->count;
    manifest->mapping = memory;
    manifest->mapping_size = (size_t)head->size;
}

/* The manifest's own memory goes over into the shared one, part by part, so that there are never two copies. False,
 * with the manifest as it was, where the system gives none. */
static bool move_into_shared(mm_manifest *manifest, shared_place *place)
{
    shared_head head = {.count = manifest->count,
                        .text_used = manifest->text_used,
                        .grouped = manifest->duplicate_of != NULL,
                        .duplicate_distance = manifest->duplicate_distance};
    size_t starts[PARTS], sizes[PARTS];
    head.size = lay_out(&head, starts, sizes);
    if (manifest->mapping || getrandom(&head.token, sizeof head.token, 0) != (ssize_t)sizeof head.token)
        return false;
    const int fd = memfd_create("maskmill-manifest", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    uint8_t *memory = MAP_FAILED;
    /* Taken now: memory that is not there must not show as a signal in the middle of the run. */
    if (fd >= 0 && posix_fallocate(fd, 0, (off_t)head.size) == 0)
        memory = mmap(NULL, (size_t)head.size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (memory == MAP_FAILED) {
        if (fd >= 0)
            (void)close(fd); /* nothing of it is wanted */
        return false;
    }
    memcpy(memory, &head, sizeof head);
    void *const from[PARTS] = {manifest->text,  manifest->name,  manifest->offset, manifest->length,
                               manifest->phash, manifest->width, manifest->height, manifest->duplicate_of};
    for (int i = 0; i < PARTS; i++) {
        if (sizes[i] > 0)
            memcpy(memory + starts[i], from[i], sizes[i]);
        free(from[i]);
    }
    point_into(manifest, &head, memory, starts);
    (void)mprotect(memory, (size_t)head.size, PROT_READ); /* a guard against ourselves, and no more */
    (void)fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW);
    *place = (shared_place){.process = getpid(), .descriptor = fd, .token = head.token};
    return true;
}

/* Another rank's memory. False where it cannot be had. */
static bool map_shared(const shared_place *place, mm_manifest *manifest)
{
    if (place->descriptor < 0)
        return false;
    char path[64];
    (void)snprintf(path, sizeof path, "/proc/%lld/fd/%d", (long long)place->process, (int)place->descriptor);
    const int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    struct stat info;
    shared_head head;
    size_t starts[PARTS], sizes[PARTS];
    void *memory = MAP_FAILED;
    if (fd < 0)
        return false;
    if (fstat(fd, &info) == 0 && S_ISREG(info.st_mode) && pread(fd, &head, sizeof head, 0) == (ssize_t)sizeof head &&
        head.token == place->token && (uint64_t)info.st_size == head.size && head.count < head.size &&
        head.text_used < head.size && lay_out(&head, starts, sizes) == head.size)
        memory = mmap(NULL, (size_t)head.size, PROT_READ, MAP_SHARED, fd, 0);
    (void)close(fd); /* the mapping stays */
    if (memory == MAP_FAILED)
        return false;
    point_into(manifest, &head, memory, starts);
    return true;
}

/* Roots are few, and --corpus may change them: each rank has its own. */
static mm_status share_roots(mm_comm *comm, mm_manifest *manifest, bool mapped, mm_error *err)
{
    mm_buffer roots = {0};
    mm_status status = MM_OK;
    if (mm_comm_rank(comm) == 0)
        for (size_t i = 0; status == MM_OK && i < manifest->root_count; i++)
            status = mm_buffer_put_text(&roots, manifest->roots[i], err);
    status = mm_comm_agree(comm, status, err);
    if (status == MM_OK)
        status = mm_buffer_broadcast(comm, &roots, err);
    mm_cursor cursor = mm_cursor_of(roots.bytes, roots.used);
    while (status == MM_OK && mapped && !mm_cursor_done(&cursor)) {
        const char *root;
        status = mm_cursor_text(&cursor, &root) ? mm_manifest_add_root(manifest, root, err) : mm_cursor_fail(err);
    }
    mm_buffer_free(&roots);
    return mm_comm_agree(comm, status, err);
}

/* All but the first of a host: map, or failing that open. */
static mm_status join_host(const shared_place *place, const char *path, mm_manifest **manifest, bool *mapped,
                           mm_error *err)
{
    mm_status status = mm_manifest_new(manifest, err);
    if (status != MM_OK)
        return status;
    *mapped = map_shared(place, *manifest);
    if (*mapped)
        return MM_OK;
    mm_manifest_free(*manifest);
    return mm_manifest_open(path, manifest, err);
}

static mm_status share(mm_comm *comm, const char *path, mm_manifest **manifest, mm_error *err)
{
    const bool first = mm_comm_first_on_host(comm);
    shared_place place = {.descriptor = -1};
    bool mapped = false;
    if (first && mm_comm_host_size(comm) > 1 && !getenv("MASKMILL_NO_SHARED_MANIFEST"))
        (void)move_into_shared(*manifest, &place); /* if not, the others find no descriptor */
    mm_status status = mm_comm_host_broadcast(comm, &place, sizeof place, err);
    if (status == MM_OK && !first)
        status = join_host(&place, path, manifest, &mapped, err);
    status = mm_comm_agree(comm, status, err); /* all have mapped it: the descriptor may go */
    if (first && place.descriptor >= 0)
        (void)close(place.descriptor); /* the mappings stay */
    return status == MM_OK ? share_roots(comm, *manifest, mapped, err) : status;
}

mm_status mm_manifest_share(mm_comm *comm, const char *path, mm_manifest **manifest, mm_error *err)
{
    mm_status status = MM_OK;
    if (mm_comm_first_on_host(comm) && !*manifest)
        status = mm_manifest_open(path, manifest, err);
    status = mm_comm_agree(comm, status, err);
    if (status == MM_OK)
        status = share(comm, path, manifest, err);
    if (status != MM_OK) {
        mm_manifest_free(*manifest);
        *manifest = NULL;
    }
    return status;
}

mm_status mm_manifest_open_together(mm_comm *comm, const char *path, mm_manifest **manifest, mm_error *err)
{
    *manifest = NULL;
    return mm_manifest_share(comm, path, manifest, err);
}
