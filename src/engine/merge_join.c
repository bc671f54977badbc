/* Putting the parts' files together. Every step leaves a file that is whole or none, and finds what an earlier merge
 * has done, so an interrupted merge is repeated from the start. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "engine/merge.h"
#include "engine/output.h"

/* A sealed file of a part under its name in the whole. */
static mm_status place(const char *from, const char *to, mm_error *err)
{
    mm_seal wanted, there;
    mm_status status = mm_seal_read(from, &wanted, err);
    if (status != MM_OK)
        return status;
    if (link(from, to) == 0)
        return MM_OK;
    if (errno != EEXIST)
        return mm_file_copy(from, to, err); /* another file system, or one without hard links */
    status = mm_seal_read(to, &there, err);
    if (status == MM_OK && (there.digest != wanted.digest || there.bytes != wanted.bytes))
        status = mm_fail(err, MM_ERR_USAGE, "%s is there already and is not %s; choose an empty output folder", to,
                         from);
    return status;
}

static mm_status sync_folder(const char *path, mm_error *err)
{
    const int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return mm_fail_errno(err, "cannot open %s", path);
    /* As in base/file_commit.c: some file systems cannot sync a folder. */
    const mm_status status = fsync(fd) == 0 || errno == EINVAL ? MM_OK : mm_fail_errno(err, "cannot sync %s", path);
    (void)close(fd); /* only synced */
    return status;
}

static mm_status place_shards(const mm_part *part, const char *out, mm_error *err)
{
    char from[PATH_MAX], to[PATH_MAX];
    mm_status status = MM_OK;
    for (uint64_t k = part->first; status == MM_OK && k < part->first + part->count; k++) {
        status = mm_shard_path(part->folder, k, from, sizeof from, err);
        if (status == MM_OK)
            status = mm_shard_path(out, k, to, sizeof to, err);
        if (status == MM_OK)
            status = place(from, to, err);
    }
    return status;
}

static mm_status place_manifest(const mm_part *part, const char *out, mm_error *err)
{
    char from[PATH_MAX], to[PATH_MAX];
    mm_status status = mm_output_path(part->folder, "manifest.h5", from, sizeof from, err);
    if (status == MM_OK)
        status = mm_output_path(out, "manifest.h5", to, sizeof to, err);
    return status == MM_OK ? place(from, to, err) : status;
}

/* --- quarantine.tsv --- */

/* The part's lines, without the header if another part's has been written. */
static mm_status append_quarantine(const char *path, mm_file_draft *draft, bool *headed, mm_error *err)
{
    uint8_t *text = NULL;
    size_t size = 0;
    const mm_status status = mm_file_read(path, 0, &text, &size, err);
    if (status != MM_OK)
        return status;
    const uint8_t *end = memchr(text, '\n', size);
    const size_t skip = *headed && end ? (size_t)(end - text) + 1 : 0;
    (void)fwrite(text + skip, 1, size - skip, draft->stream); /* mm_file_finish looks at the error flag */
    *headed = true;
    free(text);
    return MM_OK;
}

/* Parts come in the order of their images, so the lines stay sorted. */
static mm_status join_quarantine(const mm_parts *parts, const char *out, mm_error *err)
{
    char path[PATH_MAX];
    bool headed = false, any = false;
    mm_file_draft draft;
    mm_status status = MM_OK;
    for (size_t i = 0; status == MM_OK && !any && i < parts->count; i++) {
        status = mm_output_path(parts->items[i].folder, "quarantine.tsv", path, sizeof path, err);
        any = status == MM_OK && mm_file_exists(path);
    }
    if (status != MM_OK || !any)
        return status;
    status = mm_output_path(out, "quarantine.tsv", path, sizeof path, err);
    if (status == MM_OK)
        status = mm_file_begin(path, &draft, err);
    if (status != MM_OK)
        return status;
    for (size_t i = 0; status == MM_OK && i < parts->count; i++) {
        status = mm_output_path(parts->items[i].folder, "quarantine.tsv", path, sizeof path, err);
        if (status == MM_OK && mm_file_exists(path))
            status = append_quarantine(path, &draft, &headed, err);
    }
    return mm_file_finish(&draft, status, err);
}

mm_status mm_parts_join(const mm_parts *parts, const char *out, mm_error *err)
{
    char shards[PATH_MAX];
    mm_status status = mm_output_path(out, "shards", shards, sizeof shards, err);
    if (status == MM_OK)
        status = mm_output_make(out, "shards", err);
    if (status == MM_OK)
        status = place_manifest(&parts->items[0], out, err);
    for (size_t i = 0; status == MM_OK && i < parts->count; i++)
        status = place_shards(&parts->items[i], out, err);
    if (status == MM_OK)
        status = sync_folder(shards, err);
    if (status == MM_OK)
        status = sync_folder(out, err);
    return status == MM_OK ? join_quarantine(parts, out, err) : status;
}
