/* Files that are there whole or not at all. */
#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

mm_status mm_file_sync_folder(const char *path, mm_error *err)
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

mm_status mm_file_begin(const char *path, mm_file_draft *draft, mm_error *err)
{
    *draft = (mm_file_draft){0};
    draft->path = strdup(path);
    if (!draft->path || asprintf(&draft->temporary, "%s.tmp", path) < 0) {
        free(draft->path);
        *draft = (mm_file_draft){0};
        return mm_fail_memory(err, "a path");
    }
    draft->stream = fopen(draft->temporary, "wbe");
    if (draft->stream)
        return MM_OK;
    const mm_status status = mm_fail_errno(err, "cannot create %s", draft->temporary);
    free(draft->path);
    free(draft->temporary);
    *draft = (mm_file_draft){0};
    return status;
}

mm_status mm_file_finish(mm_file_draft *draft, mm_status so_far, mm_error *err)
{
    mm_status status = so_far;
    if (status == MM_OK && (ferror(draft->stream) || fflush(draft->stream) != 0 || fsync(fileno(draft->stream)) != 0))
        status = mm_fail_errno(err, "cannot write %s; make room or choose another folder", draft->path);
    if (fclose(draft->stream) != 0 && status == MM_OK)
        status = mm_fail_errno(err, "cannot write %s; make room or choose another folder", draft->path);
    if (status == MM_OK && rename(draft->temporary, draft->path) != 0)
        status = mm_fail_errno(err, "cannot rename %s to %s", draft->temporary, draft->path);
    if (status != MM_OK)
        (void)unlink(draft->temporary); /* the failure that counts is already told */
    else
        status = mm_file_sync_folder(draft->path, err);
    free(draft->path);
    free(draft->temporary);
    *draft = (mm_file_draft){0};
    return status;
}

mm_status mm_file_commit(const char *path, const void *bytes, size_t size, mm_error *err)
{
    mm_file_draft draft;
    mm_status status = mm_file_begin(path, &draft, err);
    if (status != MM_OK)
        return status;
    if (size && fwrite(bytes, 1, size, draft.stream) != size)
        status = mm_fail_errno(err, "cannot write %s (%zu bytes); make room or choose another folder", path, size);
    return mm_file_finish(&draft, status, err);
}

mm_status mm_file_copy(const char *from, const char *to, mm_error *err)
{
    const size_t room = 1u << 20;
    mm_file_draft draft;
    FILE *in = fopen(from, "rbe");
    if (!in)
        return mm_fail_errno(err, "cannot open %s", from);
    char *block = malloc(room);
    mm_status status = block ? mm_file_begin(to, &draft, err) : mm_fail_memory(err, "copying a file");
    if (status == MM_OK) {
        size_t got;
        while ((got = fread(block, 1, room, in)) > 0 && fwrite(block, 1, got, draft.stream) == got)
            ;
        if (ferror(in))
            status = mm_fail_errno(err, "cannot read %s", from);
        status = mm_file_finish(&draft, status, err); /* looks at the written stream's error flag */
    }
    free(block);
    (void)fclose(in); /* only read from */
    return status;
}
