/* Files that are there whole or not at all. */
#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static mm_status write_all(int fd, const char *path, const uint8_t *bytes, size_t size, mm_error *err)
{
    const size_t most = 1U << 30; /* one write of Linux takes at most 2 GiB */
    for (size_t done = 0; done < size;) {
        const ssize_t put = write(fd, bytes + done, size - done < most ? size - done : most);
        if (put < 0 && errno == EINTR)
            continue;
        if (put < 0)
            return mm_fail_errno(err, "cannot write %s (%zu bytes); make room or choose another folder", path, size);
        done += (size_t)put;
    }
    return fsync(fd) == 0 ? MM_OK : mm_fail_errno(err, "cannot write %s; make room or choose another folder", path);
}

static mm_status sync_folder(const char *path, mm_error *err)
{
    char *copy = strdup(path);
    if (!copy)
        return mm_fail_memory(err, "a path");
    const int fd = open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    free(copy);
    if (fd < 0)
        return mm_fail_errno(err, "cannot open the folder of %s", path);
    /* Some file systems cannot sync a folder and say EINVAL; they order the rename themselves. */
    const mm_status status = fsync(fd) == 0 || errno == EINVAL ? MM_OK
                                                               : mm_fail_errno(err, "cannot sync the folder of %s", path);
    (void)close(fd); /* only synced */
    return status;
}

mm_status mm_file_commit(const char *path, const void *bytes, size_t size, mm_error *err)
{
    char *temporary = NULL;
    if (asprintf(&temporary, "%s.tmp", path) < 0)
        return mm_fail_memory(err, "a path");
    const int fd = open(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    if (fd < 0) {
        const mm_status status = mm_fail_errno(err, "cannot create %s", temporary);
        free(temporary);
        return status;
    }
    mm_status status = write_all(fd, path, bytes, size, err);
    if (close(fd) != 0 && status == MM_OK)
        status = mm_fail_errno(err, "cannot write %s", path);
    if (status == MM_OK && rename(temporary, path) != 0)
        status = mm_fail_errno(err, "cannot rename %s", temporary);
    if (status != MM_OK)
        (void)unlink(temporary); /* the failure that counts is already told */
    free(temporary);
    return status == MM_OK ? sync_folder(path, err) : status;
}
