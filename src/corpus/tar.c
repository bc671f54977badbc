/* Images inside a .tar: libarchive reads the headers, and each member's bytes are then read in place. */
#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "corpus/scan.h"
#include "corpus/tar.h"

typedef struct open_tar {
    struct archive *archive;
    const char *path; /* for messages and to open */
    const mm_tar_visitor *visitor;
    int fd;
    uint64_t size;
} open_tar;

/* A name that cannot be said in this locale is taken as UTF-8, which is what newer tar formats store. */
static const char *member_name(struct archive_entry *entry)
{
    const char *name = archive_entry_pathname(entry);
    if (!name)
        name = archive_entry_pathname_utf8(entry);
    while (name && strncmp(name, "./", 2) == 0)
        name += 2;
    return name;
}

/* That the position after the header is where the data are is libarchive's habit, not its promise: so compare. */
static mm_status check_place(const open_tar *tar, const char *member, uint64_t offset, uint64_t length, mm_error *err)
{
    const void *block;
    size_t size;
    la_int64_t at;
    uint8_t first[256];
    if (length == 0)
        return MM_OK;
    if (archive_read_data_block(tar->archive, &block, &size, &at) != ARCHIVE_OK || at != 0 || size == 0)
        return mm_fail(err, MM_ERR_FORMAT, "%s is damaged at its member %s; pack it again", tar->path, member);
    if (size > sizeof first)
        size = sizeof first;
    if (pread(tar->fd, first, size, (off_t)offset) != (ssize_t)size)
        return mm_fail(err, MM_ERR_IO, "cannot read %s at byte %" PRIu64, tar->path, offset);
    if (memcmp(first, block, size) != 0)
        return mm_fail(err, MM_ERR_UNSUPPORTED,
                       "%s does not hold its member %s in one piece; pack it again as plain tar", tar->path, member);
    return MM_OK;
}

static mm_status show_member(const open_tar *tar, struct archive_entry *entry, bool *enough, mm_error *err)
{
    const char *member = member_name(entry);
    const bool link = archive_entry_hardlink(entry) != NULL;
    if (archive_entry_filetype(entry) != AE_IFREG && !link)
        return MM_OK; /* folders and the like are not files to be counted */
    if (!tar->visitor->wants(tar->visitor->user, link ? NULL : member) || link || !member)
        return MM_OK;
    const la_int64_t offset = archive_filter_bytes(tar->archive, -1), length = archive_entry_size(entry);
    if (offset <= 0 || length < 0 || (uint64_t)offset > tar->size || (uint64_t)length > tar->size - (uint64_t)offset)
        return mm_fail(err, MM_ERR_FORMAT,
                       "%s is cut short: its member %s does not end within its %" PRIu64
                       " bytes; fetch or pack it again",
                       tar->path, member, tar->size);
    if (archive_entry_sparse_count(entry) > 0)
        return mm_fail(err, MM_ERR_UNSUPPORTED, "%s holds its member %s with holes; pack it again without --sparse",
                       tar->path, member);
    const mm_status status = check_place(tar, member, (uint64_t)offset, (uint64_t)length, err);
    if (status != MM_OK)
        return status;
    const mm_tar_member found = {.name = member, .fd = tar->fd, .offset = (uint64_t)offset, .length = (uint64_t)length};
    return tar->visitor->member(tar->visitor->user, &found, enough, err);
}

static mm_status read_members(const open_tar *tar, mm_error *err)
{
    for (bool enough = false; !enough;) {
        struct archive_entry *entry;
        const int result = archive_read_next_header(tar->archive, &entry);
        if (result == ARCHIVE_EOF)
            return MM_OK;
        if (result == ARCHIVE_RETRY)
            continue;
        if (result != ARCHIVE_OK && result != ARCHIVE_WARN)
            return mm_fail(err, MM_ERR_FORMAT, "cannot read the archive %s: %s; fetch or pack it again", tar->path,
                           archive_error_string(tar->archive) ? archive_error_string(tar->archive) : "damaged");
        const mm_status status = show_member(tar, entry, &enough, err);
        if (status != MM_OK)
            return status;
    }
    return MM_OK;
}

mm_status mm_tar_read(const char *path, const mm_tar_visitor *visitor, mm_error *err)
{
    open_tar tar = {.path = path, .visitor = visitor, .fd = open(path, O_RDONLY | O_CLOEXEC)};
    struct stat info;
    mm_status status = MM_OK;
    if (tar.fd < 0 || fstat(tar.fd, &info) != 0) {
        status = mm_fail_errno(err, "cannot open the archive %s", path);
    } else {
        const size_t block = 16u << 10; /* more than headers would be read for nothing: members are skipped */
        tar.size = (uint64_t)info.st_size;
        tar.archive = archive_read_new();
        if (!tar.archive)
            status = mm_fail_memory(err, "reading an archive");
        else if (archive_read_support_format_tar(tar.archive) != ARCHIVE_OK ||
                 archive_read_open_filename(tar.archive, path, block) != ARCHIVE_OK)
            status = mm_fail(err, MM_ERR_IO, "cannot open the archive %s: %s", path, archive_error_string(tar.archive));
        else
            status = read_members(&tar, err);
    }
    if (tar.archive)
        (void)archive_read_free(tar.archive); /* only read from */
    if (tar.fd >= 0)
        (void)close(tar.fd); /* only read from */
    return status;
}

/* --- A scan of one. --- */

typedef struct tar_scan {
    mm_scan *scan;
    const mm_source *source;
} tar_scan;

static bool wants_jpeg(void *user, const char *name)
{
    const tar_scan *at = user;
    if (name && mm_scan_is_jpeg_name(name))
        return true;
    at->scan->counts.ignored++;
    return false;
}

static mm_status add_member(void *user, const mm_tar_member *member, bool *enough, mm_error *err)
{
    const tar_scan *at = user;
    char *path = NULL;
    (void)enough; /* all of them */
    if (asprintf(&path, "%s/%s", at->source->name, member->name) < 0)
        return mm_fail_memory(err, "a path");
    mm_manifest_entry row = {.path = path, .offset = member->offset, .length = member->length};
    mm_scan_probe(member->fd, row.offset, row.length, &row.width, &row.height);
    const mm_status status = mm_scan_add(at->scan, at->source, &row, err);
    free(path);
    return status;
}

mm_status mm_scan_tar(mm_scan *scan, const mm_source *source, mm_error *err)
{
    tar_scan at = {scan, source};
    const mm_tar_visitor visitor = {.user = &at, .wants = wants_jpeg, .member = add_member};
    char *path = NULL;
    if (asprintf(&path, "%s/%s", source->root, source->name) < 0)
        return mm_fail_memory(err, "a path");
    const mm_status status = mm_tar_read(path, &visitor, err);
    free(path);
    return status;
}
