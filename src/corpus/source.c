/* What the sources of a corpus are, and where. */
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#include "corpus/scan.h"

static bool ends_with(const char *text, const char *end)
{
    const size_t length = strlen(text), tail = strlen(end);
    return length >= tail && strcasecmp(text + length - tail, end) == 0;
}

/* What a source is, by its first bytes; a name decides only where the bytes cannot. */
static mm_status kind_of_file(const char *source, const uint8_t *first, size_t size, mm_source_kind *kind,
                              mm_error *err)
{
    static const struct {
        const char *magic;
        size_t size;
        const char *what;
    } refused[] = {
        {"\x1f\x8b", 2, "is compressed with gzip; unpack it (gunzip), for images are read inside the archive in place"},
        {"BZh", 3, "is compressed with bzip2; unpack it, for images are read inside the archive in place"},
        {"\xfd"
         "7zXZ",
         5, "is compressed with xz; unpack it, for images are read inside the archive in place"},
        {"\x28\xb5\x2f\xfd", 4, "is compressed with zstd; unpack it, for images are read inside the archive in place"},
        {"PK\x03\x04", 4, "is a zip archive; unpack it into a folder, or pack the images as .tar"},
        {"\xff\xd8\xff", 3, "is one image, not a corpus; use `maskmill segment` for it, or name its folder"},
        {"\x89PNG", 4, "is one image, not a corpus, and no JPEG"},
    };
    for (size_t i = 0; i < sizeof refused / sizeof refused[0]; i++)
        if (size >= refused[i].size && memcmp(first, refused[i].magic, refused[i].size) == 0)
            return mm_fail(err, MM_ERR_UNSUPPORTED, "%s %s", source, refused[i].what);
    if ((size >= 8 && memcmp(first, "\x89HDF\r\n\x1a\n", 8) == 0) || (size >= 9 && memcmp(first, "maskmill ", 9) == 0))
        *kind = MM_SOURCE_MANIFEST;
    else if ((size >= 262 && memcmp(first + 257, "ustar", 5) == 0) || ends_with(source, ".tar"))
        *kind = MM_SOURCE_TAR;
    else
        *kind = MM_SOURCE_LIST;
    return MM_OK;
}

static mm_status kind_of(const char *source, mm_source_kind *kind, mm_error *err)
{
    const int fd = open(source, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    struct stat info;
    if (fd < 0 || fstat(fd, &info) != 0) {
        const mm_status status = mm_fail_errno(err, "cannot open the corpus %s", source);
        if (fd >= 0)
            (void)close(fd); /* nothing was read */
        return status;
    }
    mm_status status = MM_OK;
    if (S_ISDIR(info.st_mode)) {
        *kind = MM_SOURCE_FOLDER;
    } else if (!S_ISREG(info.st_mode)) {
        status = mm_fail(err, MM_ERR_UNSUPPORTED, "the corpus %s is neither a folder nor a file", source);
    } else {
        uint8_t first[512];
        const ssize_t got = pread(fd, first, sizeof first, 0);
        status = got < 0 ? mm_fail_errno(err, "cannot read the corpus %s", source)
                         : kind_of_file(source, first, (size_t)got, kind, err);
    }
    (void)close(fd); /* only read from */
    return status;
}

/* The real, absolute folder that a source's paths count from, and the source's own name in it. */
static mm_status split_source(const char *source, mm_source_kind kind, char **root, char **name, mm_error *err)
{
    char *for_folder = strdup(source), *for_name = strdup(source);
    *root = NULL;
    *name = for_name ? strdup(basename(for_name)) : NULL;
    mm_status status = MM_OK;
    if (!for_folder || !*name)
        status = mm_fail_memory(err, "a path");
    if (status == MM_OK) {
        *root = realpath(kind == MM_SOURCE_FOLDER ? source : dirname(for_folder), NULL);
        if (!*root)
            status = mm_fail_errno(err, "cannot find where %s is", source);
    }
    free(for_folder);
    free(for_name);
    if (status != MM_OK) {
        free(*name);
        *name = NULL;
    }
    return status;
}

/* Before the others hear of it: a folder that rank 0 cannot enter is no corpus. */
static mm_status check_source(mm_source *source, mm_error *err)
{
    struct stat info;
    if (source->kind == MM_SOURCE_FOLDER) {
        const int fd = open(source->root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (fd < 0)
            return mm_fail_errno(err, "cannot enter the corpus folder %s", source->root);
        (void)close(fd); /* nothing was read */
    } else if (source->kind == MM_SOURCE_TAR && stat(source->given, &info) == 0) {
        source->size = (uint64_t)info.st_size; /* a size that cannot be had only unbalances the ranks */
    }
    return MM_OK;
}

static int larger_first(const void *a, const void *b)
{
    const mm_source *x = *(mm_source *const *)a, *y = *(mm_source *const *)b;
    if (x->size != y->size)
        return x->size < y->size ? 1 : -1;
    return (x > y) - (x < y);
}

/* Largest first, each to the rank that has the least so far. */
static mm_status share_out_tars(mm_scan *scan, mm_error *err)
{
    const size_t ranks = (size_t)mm_comm_size(scan->comm);
    mm_source **tars = calloc(scan->source_count, sizeof *tars);
    uint64_t *load = calloc(ranks, sizeof *load);
    size_t count = 0;
    mm_status status = tars && load ? MM_OK : mm_fail_memory(err, "sharing out archives");
    for (size_t i = 0; status == MM_OK && i < scan->source_count; i++)
        if (scan->sources[i].kind == MM_SOURCE_TAR)
            tars[count++] = &scan->sources[i];
    if (count > 0)
        qsort(tars, count, sizeof *tars, larger_first);
    for (size_t i = 0; i < count; i++) {
        size_t least = 0;
        for (size_t rank = 1; rank < ranks; rank++)
            if (load[rank] < load[least])
                least = rank;
        tars[i]->owner = least;
        load[least] += tars[i]->size + 1;
    }
    free(tars);
    free(load);
    return status;
}

/* Sources in one folder (sa_000000.tar, sa_000001.tar, ...) have their paths relative to it, as one alone would. */
static bool have_one_root(const mm_scan *scan)
{
    for (size_t i = 0; scan->source_count > 1 && i < scan->source_count; i++)
        if (scan->sources[i].kind == MM_SOURCE_MANIFEST || strcmp(scan->sources[i].root, scan->sources[0].root) != 0)
            return false;
    return true;
}

static mm_status find_sources(mm_scan *scan, const char *const *given, size_t count, mm_error *err)
{
    if (count == 0)
        return mm_fail(err, MM_ERR_USAGE, "no corpus is given; name a folder, a .tar, a list or a manifest");
    scan->sources = calloc(count, sizeof *scan->sources);
    if (!scan->sources)
        return mm_fail_memory(err, "the sources");
    scan->source_count = count;
    mm_status status = MM_OK;
    for (size_t i = 0; status == MM_OK && i < count; i++) {
        mm_source *source = &scan->sources[i];
        source->given = strdup(given[i]);
        status = source->given ? kind_of(given[i], &source->kind, err) : mm_fail_memory(err, "the sources");
        if (status == MM_OK)
            status = split_source(given[i], source->kind, &source->root, &source->name, err);
        if (status == MM_OK)
            status = check_source(source, err);
    }
    if (status != MM_OK)
        return status;
    scan->absolute = !have_one_root(scan);
    return share_out_tars(scan, err);
}

static mm_status pack_sources(const mm_scan *scan, mm_buffer *buffer, mm_error *err)
{
    const uint64_t head[2] = {scan->absolute, scan->source_count};
    mm_status status = mm_buffer_put(buffer, head, sizeof head, err);
    for (size_t i = 0; status == MM_OK && i < scan->source_count; i++) {
        const mm_source *source = &scan->sources[i];
        const uint64_t numbers[3] = {source->kind, source->size, source->owner};
        status = mm_buffer_put(buffer, numbers, sizeof numbers, err);
        if (status == MM_OK)
            status = mm_buffer_put_text(buffer, source->given, err);
        if (status == MM_OK)
            status = mm_buffer_put_text(buffer, source->root, err);
        if (status == MM_OK)
            status = mm_buffer_put_text(buffer, source->name, err);
    }
    return status;
}

static mm_status unpack_sources(mm_scan *scan, const mm_buffer *buffer, mm_error *err)
{
    mm_cursor cursor = mm_cursor_of(buffer->bytes, buffer->used);
    uint64_t head[2], numbers[3];
    const char *texts[3];
    if (!mm_cursor_take(&cursor, head, sizeof head) || head[1] > buffer->used)
        return mm_cursor_fail(err);
    scan->absolute = head[0] != 0;
    scan->sources = calloc((size_t)head[1] + 1, sizeof *scan->sources);
    if (!scan->sources)
        return mm_fail_memory(err, "the sources");
    scan->source_count = (size_t)head[1];
    for (size_t i = 0; i < scan->source_count; i++) {
        mm_source *source = &scan->sources[i];
        if (!mm_cursor_take(&cursor, numbers, sizeof numbers) || !mm_cursor_text(&cursor, &texts[0]) ||
            !mm_cursor_text(&cursor, &texts[1]) || !mm_cursor_text(&cursor, &texts[2]))
            return mm_cursor_fail(err);
        *source = (mm_source){.kind = (mm_source_kind)numbers[0], .given = strdup(texts[0]), .root = strdup(texts[1]),
                              .name = strdup(texts[2]), .size = numbers[1], .owner = numbers[2]};
        if (!source->given || !source->root || !source->name)
            return mm_fail_memory(err, "the sources");
    }
    return MM_OK;
}

mm_status mm_scan_sources(mm_scan *scan, const char *const *given, size_t count, mm_error *err)
{
    const bool first = mm_comm_rank(scan->comm) == 0;
    mm_buffer buffer = {0};
    mm_status status = MM_OK;
    if (first)
        status = find_sources(scan, given, count, err);
    if (first && status == MM_OK)
        status = pack_sources(scan, &buffer, err);
    status = mm_comm_agree(scan->comm, status, err);
    if (status == MM_OK)
        status = mm_buffer_broadcast(scan->comm, &buffer, err);
    if (status == MM_OK)
        status = mm_comm_agree(scan->comm, first ? MM_OK : unpack_sources(scan, &buffer, err), err);
    mm_buffer_free(&buffer);
    return status;
}

void mm_scan_sources_free(mm_scan *scan)
{
    for (size_t i = 0; i < scan->source_count; i++) {
        free(scan->sources[i].given);
        free(scan->sources[i].root);
        free(scan->sources[i].name);
    }
    free(scan->sources);
    scan->sources = NULL;
    scan->source_count = 0;
}
