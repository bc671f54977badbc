#include "shard/folder.h"

#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static mm_status join(const char *folder, const char *name, char path[PATH_MAX], mm_error *err)
{
    const int length = snprintf(path, PATH_MAX, "%s/%s", folder, name);
    return length > 0 && length < PATH_MAX ? MM_OK
                                           : mm_fail(err, MM_ERR_LIMIT, "the path of %.100s... is too long", folder);
}

bool mm_folder_has(const char *folder, const char *name)
{
    char path[PATH_MAX];
    struct stat info;
    return join(folder, name, path, NULL) == MM_OK && lstat(path, &info) == 0;
}

/* *opened is NULL if there is no such folder. */
static mm_status open_folder(const char *folder, const char *name, DIR **opened, mm_error *err)
{
    char path[PATH_MAX];
    const mm_status status = join(folder, name, path, err);
    *opened = NULL;
    if (status != MM_OK)
        return status;
    *opened = opendir(path);
    return *opened || errno == ENOENT ? MM_OK : mm_fail_errno(err, "cannot read the folder %s", path);
}

/* True for sa_000000.h5 and the like, spelt as maskmill spells them. */
static bool shard_number(const char *name, uint64_t *number)
{
    char again[40];
    if (sscanf(name, "sa_%20" SCNu64, number) != 1)
        return false;
    (void)snprintf(again, sizeof again, "sa_%06" PRIu64 ".h5", *number);
    return strcmp(name, again) == 0;
}

static int by_value(const void *a, const void *b)
{
    const uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

mm_status mm_folder_shards(const char *folder, uint64_t **numbers, size_t *count, mm_error *err)
{
    DIR *opened;
    size_t room = 0;
    *numbers = NULL;
    *count = 0;
    mm_status status = open_folder(folder, "shards", &opened, err);
    if (!opened)
        return status;
    const struct dirent *entry;
    uint64_t number;
    while (status == MM_OK && (errno = 0, entry = readdir(opened))) {
        if (!shard_number(entry->d_name, &number))
            continue;
        if (*count == room) {
            room = room ? 2 * room : 64;
            uint64_t *more = realloc(*numbers, room * sizeof *more);
            if (!more) {
                status = mm_fail_memory(err, "a list of shards");
                break;
            }
            *numbers = more;
        }
        (*numbers)[(*count)++] = number;
    }
    if (status == MM_OK && errno)
        status = mm_fail_errno(err, "cannot read the folder %s/shards", folder);
    (void)closedir(opened); /* only read */
    if (status != MM_OK) {
        free(*numbers);
        *numbers = NULL;
        *count = 0;
    } else if (*count) {
        qsort(*numbers, *count, sizeof **numbers, by_value);
    }
    return status;
}

mm_status mm_folder_journals(const char *folder, uint64_t *count, mm_error *err)
{
    DIR *opened;
    *count = 0;
    mm_status status = open_folder(folder, "journal", &opened, err);
    if (!opened)
        return status;
    const struct dirent *entry;
    while ((errno = 0, entry = readdir(opened))) {
        const size_t length = strlen(entry->d_name);
        *count += length > 4 && strcmp(entry->d_name + length - 4, ".mmj") == 0;
    }
    if (errno)
        status = mm_fail_errno(err, "cannot read the folder %s/journal", folder);
    (void)closedir(opened); /* only read */
    return status;
}
