#include "engine/output.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"

/* All that a run writes into its folder; the first kind shows that there is a dataset. */
static const char *const files[] = {
    "manifest.h5",
    "begun.json",
    "dataset.h5",
    "run.json",
    "quarantine.tsv",
    "progress.json",
    "engine.json",
    "answered.h5",
};
static const char *const folders[] = {"shards", "journal"};
/* What the names in those folders begin with. */
static const char *const prefixes[] = {"sa_", "hand_", "suspects", "attempts"};
static const char *const temporary_suffix = ".tmp";

enum { FILE_COUNT = sizeof files / sizeof files[0], FOLDER_COUNT = sizeof folders / sizeof folders[0] };

mm_status mm_output_path(const char *out, const char *name, char *path, size_t size, mm_error *err)
{
    const int length = snprintf(path, size, "%s/%s", out, name);
    return length > 0 && (size_t)length < size
               ? MM_OK
               : mm_fail(err, MM_ERR_LIMIT, "the path of the output folder %.100s... is too long", out);
}

/* The lock says who is here, not that something is here (lock.h). */
static bool is_lock(const char *name)
{
    return strncmp(name, "lock", 4) == 0 && (name[4] == '\0' || name[4] == '.');
}

static bool is_ours(const char *name)
{
    for (size_t i = 0; i < FOLDER_COUNT; i++)
        if (strcmp(name, folders[i]) == 0)
            return true;
    for (size_t i = 0; i < FILE_COUNT; i++) {
        const size_t length = strlen(files[i]);
        if (strncmp(name, files[i], length) == 0 &&
            (name[length] == '\0' || strcmp(name + length, temporary_suffix) == 0))
            return true;
    }
    return false;
}

typedef struct contents {
    size_t ours, others;
    bool dataset, begun, complete;
} contents;

static mm_status list(const char *out, contents *found, mm_error *err)
{
    DIR *folder = opendir(out);
    if (!folder)
        return mm_fail_errno(err, "cannot read the output folder %s", out);
    const struct dirent *entry;
    while ((errno = 0, entry = readdir(folder))) {
        const char *name = entry->d_name;
        if (strcmp(name, ".") == 0 || strcmp(name, "..") == 0 || is_lock(name))
            continue;
        found->begun = found->begun || strcmp(name, "begun.json") == 0;
        found->complete = found->complete || strcmp(name, "run.json") == 0;
        if (is_ours(name))
            found->ours++;
        else
            found->others++;
        for (size_t i = 0; i < FILE_COUNT; i++)
            found->dataset = found->dataset || strcmp(name, files[i]) == 0;
    }
    const mm_status status = errno ? mm_fail_errno(err, "cannot read the output folder %s", out) : MM_OK;
    (void)closedir(folder); /* only read */
    return status;
}

static mm_status inspect_existing(const char *out, bool overwrite, mm_error *err)
{
    contents found = {0};
    const mm_status status = list(out, &found, err);
    if (status != MM_OK)
        return status;
    if (access(out, W_OK | X_OK) != 0)
        return mm_fail_errno(err, "cannot write into the output folder %s", out);
    if (found.ours + found.others == 0)
        return MM_OK;
    if (!overwrite && found.begun && !found.complete)
        return mm_fail(err, MM_ERR_USAGE,
                       "the output folder %s holds a run that has not ended; go on with it with --resume, or choose "
                       "another, or --overwrite it", out);
    if (!overwrite)
        return mm_fail(err, MM_ERR_USAGE,
                       "the output folder %s is not empty; choose another, or --overwrite the dataset in it", out);
    if (!found.dataset && found.others > 0)
        return mm_fail(err, MM_ERR_USAGE,
                       "the output folder %s holds something else than a maskmill dataset, which --overwrite leaves "
                       "alone; choose another folder", out);
    return MM_OK;
}

/* The nearest folder above that exists must be one in which something can be made. */
static mm_status inspect_above(const char *out, mm_error *err)
{
    char path[PATH_MAX];
    if (strlen(out) >= sizeof path)
        return mm_fail(err, MM_ERR_LIMIT, "the path of the output folder %.100s... is too long", out);
    memcpy(path, out, strlen(out) + 1);
    struct stat about;
    do {
        char *slash = strrchr(path, '/');
        if (!slash)
            memcpy(path, ".", sizeof ".");
        else if (slash == path)
            path[1] = '\0';
        else
            *slash = '\0';
    } while (stat(path, &about) != 0 && errno == ENOENT && strcmp(path, ".") != 0);
    if (access(path, W_OK | X_OK) != 0)
        return mm_fail_errno(err, "cannot make the output folder %s in %s", out, path);
    errno = ENOTDIR;
    return S_ISDIR(about.st_mode) ? MM_OK : mm_fail_errno(err, "cannot make the output folder %s in %s", out, path);
}

mm_status mm_output_inspect(const char *out, bool overwrite, mm_error *err)
{
    if (!out || !*out)
        return mm_fail(err, MM_ERR_USAGE, "no output folder; name one with -o OUT");
    struct stat about;
    if (stat(out, &about) == 0) {
        errno = ENOTDIR;
        return S_ISDIR(about.st_mode) ? inspect_existing(out, overwrite, err)
                                      : mm_fail_errno(err, "cannot write into the output folder %s", out);
    }
    if (errno != ENOENT)
        return mm_fail_errno(err, "cannot make the output folder %s", out);
    return inspect_above(out, err);
}

static mm_status unlink_if_there(int folder, const char *name, const char *where, mm_error *err)
{
    return unlinkat(folder, name, 0) == 0 || errno == ENOENT
               ? MM_OK
               : mm_fail_errno(err, "cannot remove %s in %s", name, where);
}

/* Our files in OUT/shards or OUT/journal, and the folder itself if nothing else was in it. */
static mm_status clear_folder(const char *path, mm_error *err)
{
    DIR *folder = opendir(path);
    if (!folder)
        return errno == ENOENT ? MM_OK : mm_fail_errno(err, "cannot read %s, to remove what is in it", path);
    mm_status status = MM_OK;
    const struct dirent *entry;
    while (status == MM_OK && (errno = 0, entry = readdir(folder)))
        for (size_t i = 0; status == MM_OK && i < sizeof prefixes / sizeof prefixes[0]; i++)
            if (strncmp(entry->d_name, prefixes[i], strlen(prefixes[i])) == 0)
                status = unlink_if_there(dirfd(folder), entry->d_name, path, err);
    if (status == MM_OK && errno)
        status = mm_fail_errno(err, "cannot read %s, to remove what is in it", path);
    (void)closedir(folder);
    if (status == MM_OK)
        (void)rmdir(path); /* someone else's file in it keeps it, and so does a symbolic link to another disk */
    return status;
}

static mm_status clear(const char *out, mm_error *err)
{
    char path[PATH_MAX];
    mm_status status = MM_OK;
    /* dataset.h5 first: half a dataset must not look like a whole one. manifest.h5 last: while it is there, what is
     * left is known to be a dataset. */
    for (size_t i = FILE_COUNT; i-- > 1 && status == MM_OK;) {
        status = mm_output_path(out, files[i], path, sizeof path, err);
        if (status == MM_OK)
            status = unlink_if_there(AT_FDCWD, path, out, err);
    }
    for (size_t i = 0; i < FOLDER_COUNT && status == MM_OK; i++) {
        status = mm_output_path(out, folders[i], path, sizeof path, err);
        if (status == MM_OK)
            status = clear_folder(path, err);
    }
    for (size_t i = FILE_COUNT; i-- > 0 && status == MM_OK;) {
        char name[64];
        (void)snprintf(name, sizeof name, "%s%s", files[i], temporary_suffix); /* short names of our own */
        status = mm_output_path(out, name, path, sizeof path, err);
        if (status == MM_OK)
            status = unlink_if_there(AT_FDCWD, path, out, err);
    }
    if (status == MM_OK)
        status = mm_output_path(out, files[0], path, sizeof path, err);
    return status == MM_OK ? unlink_if_there(AT_FDCWD, path, out, err) : status;
}

/* The folder and those above it that are not there. */
static mm_status make_folders(const char *out, mm_error *err)
{
    char path[PATH_MAX];
    if (strlen(out) >= sizeof path)
        return mm_fail(err, MM_ERR_LIMIT, "the path of the output folder %.100s... is too long", out);
    memcpy(path, out, strlen(out) + 1);
    for (char *c = path + 1;; c++) {
        if (*c != '/' && *c != '\0')
            continue;
        const char kept = *c;
        *c = '\0';
        if (mkdir(path, 0777) != 0 && errno != EEXIST)
            return mm_fail_errno(err, "cannot make the folder %s", path);
        *c = kept;
        if (kept == '\0')
            return MM_OK;
    }
}

mm_status mm_output_make(const char *out, const char *name, mm_error *err)
{
    char path[PATH_MAX];
    const mm_status status = name ? mm_output_path(out, name, path, sizeof path, err) : MM_OK;
    return status == MM_OK ? make_folders(name ? path : out, err) : status;
}

mm_status mm_output_remove_journal(const char *out, mm_error *err)
{
    char path[PATH_MAX];
    const mm_status status = mm_output_path(out, "journal", path, sizeof path, err);
    return status == MM_OK ? clear_folder(path, err) : status;
}

mm_status mm_output_state(const char *out, mm_output_kind *kind, mm_error *err)
{
    struct stat about;
    contents found = {0};
    *kind = MM_OUTPUT_FRESH;
    if (stat(out, &about) != 0 || !S_ISDIR(about.st_mode))
        return MM_OK; /* mm_output_inspect says what is wrong, if anything is */
    const mm_status status = list(out, &found, err);
    if (found.begun)
        *kind = found.complete ? MM_OUTPUT_COMPLETE : MM_OUTPUT_BEGUN;
    else if (found.ours > 0 && found.others == 0 && !found.complete)
        *kind = MM_OUTPUT_SCRAPS;
    return status;
}

mm_status mm_output_prepare(const char *out, bool overwrite, mm_error *err)
{
    mm_status status = mm_output_inspect(out, overwrite, err);
    if (status == MM_OK)
        status = make_folders(out, err);
    if (status == MM_OK && overwrite)
        status = clear(out, err);
    char shards[PATH_MAX];
    if (status == MM_OK)
        status = mm_output_path(out, "shards", shards, sizeof shards, err);
    return status == MM_OK ? make_folders(shards, err) : status;
}

mm_status mm_output_put(const char *out, const char *name, const void *bytes, size_t size, mm_error *err)
{
    char path[PATH_MAX];
    const mm_status status = mm_output_path(out, name, path, sizeof path, err);
    return status == MM_OK ? mm_file_commit(path, bytes, size, err) : status;
}
