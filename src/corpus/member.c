/* One image that a user names: a file, or archive.tar/member. */
#include <errno.h>
#include <string.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "base/file.h"
#include "corpus/manifest.h"
#include "corpus/tar.h"

typedef struct member_search {
    const char *name;
    uint64_t offset, length;
} member_search;

static bool is_it(void *user, const char *name)
{
    const member_search *search = user;
    return name && strcmp(name, search->name) == 0;
}

static mm_status take(void *user, const mm_tar_member *member, bool *enough, mm_error *err)
{
    (void)err;
    member_search *search = user;
    search->offset = member->offset;
    search->length = member->length;
    *enough = true;
    return MM_OK;
}

/* `path` cut at the slash behind its first part that is a file, which is returned as the archive's path. */
static char *archive_in(const char *path)
{
    char *copy = strdup(path);
    for (char *slash = copy ? strchr(copy + 1, '/') : NULL; slash; slash = strchr(slash + 1, '/')) {
        struct stat info;
        *slash = '\0';
        if (stat(copy, &info) == 0 && S_ISREG(info.st_mode))
            return copy;
        *slash = '/';
    }
    free(copy);
    return NULL;
}

static mm_status read_member(char *archive, const char *path, uint64_t max_bytes, uint8_t **bytes, size_t *size,
                             mm_error *err)
{
    member_search search = {.name = path + strlen(archive) + 1};
    while (strncmp(search.name, "./", 2) == 0)
        search.name += 2;
    const mm_tar_visitor visitor = {.user = &search, .wants = is_it, .member = take};
    mm_status status = mm_tar_read(archive, &visitor, err);
    if (status != MM_OK)
        return status;
    if (search.offset == 0)
        return mm_fail(err, MM_ERR_IO, "%s has no member %s", archive, search.name);
    char *whole = strdup(path);
    if (!whole)
        return mm_fail_memory(err, "a path");
    status = mm_corpus_read_at(whole, search.offset, search.length, max_bytes, bytes, size, err);
    free(whole);
    return status;
}

mm_status mm_corpus_read_path(const char *path, uint64_t max_bytes, uint8_t **bytes, size_t *size, mm_error *err)
{
    struct stat info;
    *bytes = NULL;
    *size = 0;
    char *archive = stat(path, &info) != 0 && errno == ENOTDIR ? archive_in(path) : NULL;
    if (!archive)
        return mm_file_read(path, max_bytes, bytes, size, err);
    const mm_status status = read_member(archive, path, max_bytes, bytes, size, err);
    free(archive);
    return status;
}
