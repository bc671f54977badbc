/* corpus: which images there are. This file keeps the list; the others fill it, store it and read what it names. */
#include "corpus/manifest.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

mm_status mm_manifest_new(mm_manifest **manifest, mm_error *err)
{
    *manifest = calloc(1, sizeof **manifest);
    return *manifest ? MM_OK : mm_fail_memory(err, "a manifest");
}

void mm_manifest_free(mm_manifest *manifest)
{
    if (!manifest)
        return;
    for (size_t i = 0; i < manifest->root_count; i++)
        free(manifest->roots[i]);
    free(manifest->roots);
    if (manifest->mapping) {
        (void)munmap(manifest->mapping, manifest->mapping_size); /* nothing can be done about it */
        free(manifest);
        return;
    }
    free(manifest->text);
    free(manifest->duplicate_of);
    free(manifest->name);
    free(manifest->offset);
    free(manifest->length);
    free(manifest->phash);
    free(manifest->width);
    free(manifest->height);
    free(manifest);
}

mm_status mm_manifest_add_root(mm_manifest *manifest, const char *root, mm_error *err)
{
    for (size_t i = 0; i < manifest->root_count; i++)
        if (strcmp(manifest->roots[i], root) == 0)
            return MM_OK;
    char **roots = realloc(manifest->roots, (manifest->root_count + 1) * sizeof *roots);
    if (!roots)
        return mm_fail_memory(err, "a manifest");
    manifest->roots = roots;
    roots[manifest->root_count] = strdup(root);
    if (!roots[manifest->root_count])
        return mm_fail_memory(err, "a manifest");
    manifest->root_count++;
    return MM_OK;
}

static bool grow(void *column, size_t room, size_t value)
{
    void *old;
    memcpy(&old, column, sizeof old);
    void *moved = realloc(old, room * value);
    if (moved)
        memcpy(column, &moved, sizeof moved);
    return moved;
}

/* Room for one more row and `bytes` more bytes of names. */
static bool make_room(mm_manifest *manifest, size_t bytes)
{
    if (bytes > manifest->text_room - manifest->text_used) {
        const size_t room = manifest->text_room + manifest->text_room / 4 + bytes + 65536;
        if (!grow(&manifest->text, room, 1))
            return false;
        manifest->text_room = room;
    }
    if (manifest->count < manifest->room)
        return true;
    const size_t room = manifest->room + manifest->room / 4 + 1024;
    if (!grow(&manifest->name, room, sizeof *manifest->name) ||
        !grow(&manifest->offset, room, sizeof *manifest->offset) ||
        !grow(&manifest->length, room, sizeof *manifest->length) ||
        !grow(&manifest->phash, room, sizeof *manifest->phash) ||
        !grow(&manifest->width, room, sizeof *manifest->width) ||
        !grow(&manifest->height, room, sizeof *manifest->height))
        return false;
    manifest->room = room;
    return true;
}

mm_status mm_manifest_add(mm_manifest *manifest, const mm_manifest_entry *row, mm_error *err)
{
    const size_t bytes = strlen(row->path) + 1;
    if (!make_room(manifest, bytes))
        return mm_fail_memory(err, "a manifest");
    const size_t i = manifest->count++;
    manifest->name[i] = manifest->text_used;
    memcpy(manifest->text + manifest->text_used, row->path, bytes);
    manifest->text_used += bytes;
    manifest->offset[i] = row->offset;
    manifest->length[i] = row->length;
    manifest->phash[i] = row->phash;
    manifest->width[i] = row->width;
    manifest->height[i] = row->height;
    return MM_OK;
}

uint64_t mm_manifest_count(const mm_manifest *manifest)
{
    return manifest->count;
}

mm_manifest_entry mm_manifest_at(const mm_manifest *manifest, uint64_t image_id)
{
    return (mm_manifest_entry){.image_id = image_id,
                               .path = manifest->text + manifest->name[image_id],
                               .offset = manifest->offset[image_id],
                               .length = manifest->length[image_id],
                               .width = manifest->width[image_id],
                               .height = manifest->height[image_id],
                               .phash = manifest->phash[image_id]};
}

uint64_t mm_manifest_duplicate_of(const mm_manifest *manifest, uint64_t image_id)
{
    return manifest->duplicate_of ? manifest->duplicate_of[image_id] : image_id;
}

bool mm_manifest_grouped(const mm_manifest *manifest, uint32_t *distance)
{
    *distance = manifest->duplicate_of ? (uint32_t)manifest->duplicate_distance : 0;
    return manifest->duplicate_of != NULL;
}

/* The rest of an absolute path, if it leads through the only root; else NULL. */
static const char *below_only_root(const mm_manifest *manifest, const char *what)
{
    if (manifest->root_count != 1)
        return NULL;
    const char *root = manifest->roots[0];
    const size_t length = strcmp(root, "/") == 0 ? 0 : strlen(root);
    return strncmp(what, root, length) == 0 && what[length] == '/' ? what + length + 1 : NULL;
}

/* `end`, of that length, is the path from one of its slashes on. */
static bool ends_with(const char *path, const char *end, size_t length)
{
    const size_t whole = strlen(path);
    return whole > length && path[whole - length - 1] == '/' && memcmp(path + whole - length, end, length) == 0;
}

uint64_t mm_manifest_find(const mm_manifest *manifest, const char *what)
{
    const uint64_t none = manifest->count;
    const char *below_root = below_only_root(manifest, what);
    const size_t length = strlen(what);
    uint64_t by_end = none;
    bool unique = true;
    for (uint64_t i = 0; i < manifest->count; i++) {
        const char *path = manifest->text + manifest->name[i];
        if (strcmp(path, what) == 0 || (below_root && strcmp(path, below_root) == 0))
            return i;
        if (ends_with(path, what, length)) {
            unique = by_end == none;
            by_end = by_end == none ? i : by_end;
        }
    }
    if (by_end != none)
        return unique ? by_end : none;
    if (*what < '0' || *what > '9')
        return none;
    char *end;
    errno = 0;
    const unsigned long long number = strtoull(what, &end, 10);
    return errno == 0 && *end == '\0' && number < none ? number : none;
}

mm_status mm_manifest_locate(const mm_manifest *manifest, const char *path, char **full, mm_error *err)
{
    int made;
    if (path[0] == '/')
        made = (*full = strdup(path)) ? 0 : -1;
    else if (manifest->root_count == 1)
        made = asprintf(full, "%s/%s", manifest->roots[0], path);
    else
        return mm_fail(err, MM_ERR_FORMAT,
                       "the manifest has %zu roots, so that the relative path %s could mean several files; "
                       "scan the corpus again",
                       manifest->root_count, path);
    if (made >= 0)
        return MM_OK;
    *full = NULL;
    return mm_fail_memory(err, "a path");
}
