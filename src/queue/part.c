#include "queue/part.h"

#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/file.h"

mm_status mm_part_name(mm_part_folder *part, const char *name, mm_error *err)
{
    size_t length = strlen(name);
    while (length > 1 && name[length - 1] == '/')
        length--;
    *part = (mm_part_folder){.name = name};
    if (length == 0 || length > PATH_MAX - 8)
        return mm_fail(err, MM_ERR_LIMIT, "the path %.100s... is too long, or empty", name);
    (void)snprintf(part->path, sizeof part->path, "%.*s.part", (int)length, name); /* it fits */
    return MM_OK;
}

mm_status mm_part_begin(mm_part_folder *part, const char *what, mm_error *err)
{
    struct stat about;
    char note[400] = "";
    if (lstat(part->name, &about) == 0)
        return mm_fail(err, MM_ERR_USAGE, "%s is there already; choose another name for the %s", part->name, what);
    if (mkdir(part->path, 0777) != 0 && errno != EEXIST)
        return mm_fail_errno(err, "cannot make the folder %s", part->path);
    const mm_status status = mm_lock_take(part->path, &part->lock, note, sizeof note, err);
    if (status == MM_OK && note[0])
        (void)fprintf(stderr, "maskmill: note: %s\n", note);
    return status;
}

mm_status mm_part_finish(mm_part_folder *part, mm_error *err)
{
    mm_part_leave(part); /* the lock's file must not come along */
    if (rename(part->path, part->name) != 0)
        return mm_fail_errno(err, "cannot rename %s to %s", part->path, part->name);
    return mm_file_sync_folder(part->name, err);
}

void mm_part_leave(mm_part_folder *part)
{
    mm_lock_release(part->lock);
    part->lock = NULL;
}
