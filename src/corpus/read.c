/* The bytes of one image, from its file or from inside its archive. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "corpus/manifest.h"

static int open_regular(const char *path, struct stat *info)
{
    const int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (fd < 0)
        return -1;
    if (fstat(fd, info) == 0 && S_ISREG(info->st_mode))
        return fd;
    (void)close(fd); /* nothing was read */
    errno = EINVAL;
    return -1;
}

/* path is archive/member; a folder may well be called x.tar too, so the first part that is a file is the archive. */
static int open_archive(char *path, struct stat *info)
{
    for (char *slash = strchr(path + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        struct stat part;
        const bool file = stat(path, &part) == 0 && S_ISREG(part.st_mode);
        const int fd = file ? open_regular(path, info) : -1;
        const int number = errno;
        *slash = '/';
        if (file) {
            errno = number;
            return fd;
        }
    }
    errno = ENOENT;
    return -1;
}

static mm_status read_span(int fd, const char *path, uint64_t start, uint64_t length, uint8_t *bytes, mm_error *err)
{
    for (uint64_t done = 0; done < length;) {
        const uint64_t most = 1u << 30, left = length - done;
        const ssize_t got = pread(fd, bytes + done, left < most ? (size_t)left : (size_t)most, (off_t)(start + done));
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return mm_fail_errno(err, "cannot read %s at byte %" PRIu64, path, start + done);
        if (got == 0)
            return mm_fail(err, MM_ERR_IO, "%s ended at byte %" PRIu64 " while it was read; is it still being written?",
                           path, start + done);
        done += (uint64_t)got;
    }
    return MM_OK;
}

mm_status mm_corpus_read_at(char *path, uint64_t offset, uint64_t length, uint64_t max_bytes, uint8_t **bytes,
                            size_t *size, mm_error *err)
{
    struct stat info;
    *bytes = NULL;
    *size = 0;
    const int fd = offset ? open_archive(path, &info) : open_regular(path, &info);
    if (fd < 0)
        return mm_fail_errno(err, "cannot open %s", path);
    const uint64_t there = (uint64_t)info.st_size;
    length = offset ? length : there;
    mm_status status = MM_OK;
    if (length == 0)
        status = mm_fail(err, MM_ERR_FORMAT, "%s is empty", path);
    else if (max_bytes && length > max_bytes)
        status = mm_fail(err, MM_ERR_LIMIT, "%s has %" PRIu64 " bytes, more than the limit of %" PRIu64, path, length,
                         max_bytes);
    else if (offset > there || length > there - offset)
        status = mm_fail(err, MM_ERR_FORMAT,
                         "%s: its archive has become shorter (%" PRIu64 " bytes); scan the corpus again", path, there);
    if (status == MM_OK) {
        *bytes = malloc((size_t)length);
        if (!*bytes)
            status = mm_fail_memory(err, "an image file");
    }
    if (status == MM_OK)
        status = read_span(fd, path, offset, length, *bytes, err);
    if (status == MM_OK)
        *size = (size_t)length;
    else {
        free(*bytes);
        *bytes = NULL;
    }
    (void)close(fd); /* only read from */
    return status;
}

mm_status mm_corpus_read(const mm_manifest *manifest, uint64_t image_id, uint64_t max_bytes, uint8_t **bytes,
                         size_t *size, mm_error *err)
{
    *bytes = NULL;
    *size = 0;
    if (image_id >= mm_manifest_count(manifest))
        return mm_fail(err, MM_ERR_USAGE, "there is no image %" PRIu64 "; the manifest has %" PRIu64, image_id,
                       mm_manifest_count(manifest));
    const mm_manifest_entry entry = mm_manifest_at(manifest, image_id);
    char *path = NULL;
    mm_status status = mm_manifest_locate(manifest, entry.path, &path, err);
    if (status == MM_OK)
        status = mm_corpus_read_at(path, entry.offset, entry.length, max_bytes, bytes, size, err);
    free(path);
    return status;
}
