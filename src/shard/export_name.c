/* Which file an image's JSON goes to. */
#include "shard/export_name.h"

#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

static bool stays_inside(const char *name)
{
    if (*name == '/')
        return false;
    for (const char *part = name; part;) {
        const char *slash = strchr(part, '/');
        const size_t length = slash ? (size_t)(slash - part) : strlen(part);
        if (length == 0 || (length == 1 && part[0] == '.') || (length == 2 && part[0] == '.' && part[1] == '.'))
            return false;
        part = slash ? slash + 1 : NULL;
    }
    return true;
}

/* The name without its extension, flat if need be. */
static char *stem_of(const char *file_name)
{
    const bool inside = stays_inside(file_name);
    char *stem = strdup(file_name + (*file_name == '/' ? 1 : 0));
    if (!stem)
        return NULL;
    for (char *c = stem; !inside && *c; c++)
        if (*c == '/')
            *c = '_';
    char *last = strrchr(stem, '/'), *dot = strrchr(last ? last + 1 : stem, '.');
    if (dot && dot != stem && dot[-1] != '/')
        *dot = '\0';
    return stem;
}

/* True if the name was not there yet; *failed on want of memory. */
static bool take(mm_export_names *names, const char *name, bool *failed)
{
    if (2 * (names->count + 1) > names->room) {
        const size_t room = names->room ? 2 * names->room : 1024;
        uint64_t *digests = calloc(room, sizeof *digests);
        if (!digests) {
            *failed = true;
            return false;
        }
        for (size_t i = 0; i < names->room; i++) {
            size_t at = names->digests[i] & (room - 1);
            while (names->digests[i] && digests[at])
                at = (at + 1) & (room - 1);
            if (names->digests[i])
                digests[at] = names->digests[i];
        }
        free(names->digests);
        names->digests = digests;
        names->room = room;
    }
    const uint64_t found = XXH3_64bits(name, strlen(name)), digest = found ? found : 1;
    size_t at = digest & (names->room - 1);
    while (names->digests[at] && names->digests[at] != digest)
        at = (at + 1) & (names->room - 1);
    if (names->digests[at])
        return false;
    names->digests[at] = digest;
    names->count++;
    return true;
}

mm_status mm_export_name(mm_export_names *names, const char *file_name, uint64_t image_id, char **name, mm_error *err)
{
    bool failed = false;
    char *stem = stem_of(file_name);
    *name = NULL;
    if (!stem || asprintf(name, "%s.json", stem) < 0) {
        free(stem);
        return mm_fail_memory(err, "a file name");
    }
    /* The id makes it unique: two images can only meet again if one is really called like the other's way out. */
    for (int tries = 0; !failed && tries < 2 && !take(names, *name, &failed); tries++) {
        free(*name);
        *name = NULL;
        failed = failed || asprintf(name, "%s.%" PRIu64 ".json", stem, image_id) < 0;
    }
    free(stem);
    if (!failed)
        return MM_OK;
    free(*name);
    *name = NULL;
    return mm_fail_memory(err, "a file name");
}

void mm_export_names_free(mm_export_names *names)
{
    free(names->digests);
    *names = (mm_export_names){0};
}
