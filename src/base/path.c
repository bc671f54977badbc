#include "base/path.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Length of what two absolute real paths have in common, up to a slash or an end. */
static size_t common(const char *a, const char *b)
{
    size_t last = 0, i = 0;
    for (; a[i] && a[i] == b[i]; i++)
        if (a[i] == '/')
            last = i;
    return (a[i] == '\0' || a[i] == '/') && (b[i] == '\0' || b[i] == '/') ? i : last;
}

static char *climb(const char *from, const char *to)
{
    const size_t shared = common(from, to);
    size_t up = 0;
    for (const char *c = from + shared; *c; c++)
        up += *c == '/';
    if (shared == 0)
        return strdup(to);
    const char *rest = to[shared] == '/' ? to + shared + 1 : to + shared;
    const size_t length = 3 * up + strlen(rest) + 2;
    char *path = malloc(length);
    if (!path)
        return NULL;
    char *end = path;
    for (size_t i = 0; i < up; i++)
        end = stpcpy(end, i + 1 < up || *rest ? "../" : "..");
    (void)strcpy(end, up == 0 && !*rest ? "." : rest); /* one byte longer than the longest */
    return path;
}

mm_status mm_path_relative(const char *from, const char *folder, char **path, mm_error *err)
{
    mm_status status = MM_OK;
    char *real_from = realpath(from, NULL), *real_folder = NULL;
    *path = NULL;
    if (!real_from)
        return mm_fail_errno(err, "cannot look at %s", from);
    real_folder = realpath(folder, NULL);
    if (!real_folder)
        status = mm_fail_errno(err, "cannot look at %s", folder);
    if (status == MM_OK) {
        *path = climb(real_from, real_folder);
        if (!*path)
            status = mm_fail_memory(err, "a path");
    }
    free(real_from);
    free(real_folder);
    return status;
}

mm_status mm_path_join(const char *from, const char *path, char **joined, mm_error *err)
{
    const int made = *path == '/' ? asprintf(joined, "%s", path) : asprintf(joined, "%s/%s", from, path);
    if (made >= 0)
        return MM_OK;
    *joined = NULL;
    return mm_fail_memory(err, "a path");
}
