/* Scanning sources of any kind into one manifest. */
#include "corpus/scan.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <libgen.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

mm_status mm_scan_add(mm_scan *scan, const char *root, const mm_manifest_entry *row, mm_error *err)
{
    if (!scan->absolute || row->path[0] == '/')
        return mm_manifest_add(scan->manifest, row, err);
    mm_manifest_entry whole = *row;
    char *path = NULL;
    if (asprintf(&path, "%s/%s", strcmp(root, "/") == 0 ? "" : root, row->path) < 0)
        return mm_fail_memory(err, "a path");
    whole.path = path;
    const mm_status status = mm_manifest_add(scan->manifest, &whole, err);
    free(path);
    return status;
}

typedef enum source_kind { FOLDER, TAR, MANIFEST, LIST } source_kind;

static bool ends_with(const char *text, const char *end)
{
    const size_t length = strlen(text), tail = strlen(end);
    return length >= tail && strcasecmp(text + length - tail, end) == 0;
}

/* What a source is, by its first bytes; a name decides only where the bytes cannot. */
static mm_status kind_of_file(const char *source, const uint8_t *first, size_t size, source_kind *kind, mm_error *err)
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
        *kind = MANIFEST;
    else if ((size >= 262 && memcmp(first + 257, "ustar", 5) == 0) || ends_with(source, ".tar"))
        *kind = TAR;
    else
        *kind = LIST;
    return MM_OK;
}

static mm_status kind_of(const char *source, source_kind *kind, mm_error *err)
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
        *kind = FOLDER;
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
static mm_status split_source(const char *source, source_kind kind, char **root, char **name, mm_error *err)
{
    char *for_folder = strdup(source), *for_name = strdup(source);
    *root = NULL;
    *name = for_name ? strdup(basename(for_name)) : NULL;
    mm_status status = MM_OK;
    if (!for_folder || !*name)
        status = mm_fail_memory(err, "a path");
    if (status == MM_OK) {
        *root = realpath(kind == FOLDER ? source : dirname(for_folder), NULL);
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

static mm_status join_manifest(mm_scan *scan, const char *path, mm_error *err)
{
    mm_manifest *other;
    mm_status status = mm_manifest_open(path, &other, err);
    if (status != MM_OK)
        return status;
    for (uint64_t i = 0; status == MM_OK && i < mm_manifest_count(other); i++) {
        mm_manifest_entry row = mm_manifest_at(other, i);
        char *full = NULL;
        if (scan->absolute) {
            status = mm_manifest_locate(other, row.path, &full, err);
            row.path = full;
        }
        if (status == MM_OK)
            status = mm_manifest_add(scan->manifest, &row, err);
        free(full);
    }
    for (size_t i = 0; status == MM_OK && i < other->root_count; i++)
        status = mm_manifest_add_root(scan->manifest, other->roots[i], err);
    mm_manifest_free(other);
    return status;
}

static mm_status scan_source(mm_scan *scan, const char *source, mm_error *err)
{
    source_kind kind;
    mm_status status = kind_of(source, &kind, err);
    if (status != MM_OK)
        return status;
    if (kind == MANIFEST)
        return join_manifest(scan, source, err);
    char *root, *name;
    status = split_source(source, kind, &root, &name, err);
    if (status != MM_OK)
        return status;
    status = mm_manifest_add_root(scan->manifest, root, err);
    if (status == MM_OK)
        status = kind == FOLDER ? mm_scan_folder(scan, root, err)
                 : kind == TAR  ? mm_scan_tar(scan, root, name, err)
                                : mm_scan_list(scan, root, source, err);
    free(root);
    free(name);
    return status;
}

static mm_status nothing_found(const char *const *sources, size_t count, const mm_scan_report *report, mm_error *err)
{
    char more[64] = "", locked[96] = "";
    if (count > 1)
        (void)snprintf(more, sizeof more, " and %zu more", count - 1);
    if (report->unreadable > 0)
        (void)snprintf(locked, sizeof locked, " (%" PRIu64 " folders could not be entered)", report->unreadable);
    if (report->ignored > 0)
        return mm_fail(err, MM_ERR_FORMAT,
                       "no image in %s%s: none of the %" PRIu64 " files there is named .jpg or .jpeg%s", sources[0],
                       more, report->ignored, locked);
    return mm_fail(err, MM_ERR_FORMAT,
                   "no image in %s%s: it is empty%s; name a folder, a .tar or a list that has JPEGs", sources[0], more,
                   locked);
}

mm_status mm_corpus_scan(const char *const *sources, size_t count, mm_manifest **manifest, mm_scan_report *report,
                         mm_error *err)
{
    mm_scan_report counts = {0};
    *manifest = NULL;
    if (count == 0)
        return mm_fail(err, MM_ERR_USAGE, "no corpus is given; name a folder, a .tar, a list or a manifest");
    mm_scan scan = {.report = &counts, .absolute = count > 1};
    mm_status status = mm_manifest_new(&scan.manifest, err);
    for (size_t i = 0; status == MM_OK && i < count; i++)
        status = scan_source(&scan, sources[i], err);
    if (status == MM_OK && scan.manifest->count == 0)
        status = nothing_found(sources, count, &counts, err);
    if (status == MM_OK)
        status = mm_manifest_sort(scan.manifest, &counts.duplicates, err);
    if (status != MM_OK) {
        mm_manifest_free(scan.manifest);
        return status;
    }
    counts.images = scan.manifest->count;
    *manifest = scan.manifest;
    if (report)
        *report = counts;
    return MM_OK;
}
