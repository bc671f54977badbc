/* Where a model given as -m lies. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "maskmill/checkpoint.h"

#define MAX_PATH 4096

static const char *const endings[] = {".safetensors", ".pth", ".pt"};
enum { ENDINGS = sizeof endings / sizeof endings[0] };

/* folder/name with each of the endings of a checkpoint. */
static bool look_in(const char *folder, const char *name, char *path, size_t size)
{
    for (size_t i = 0; i < ENDINGS; i++) {
        const int length = snprintf(path, size, "%s/%s%s", folder, name, endings[i]);
        if (length > 0 && (size_t)length < size && mm_file_exists(path))
            return true;
    }
    return false;
}

/* Beside the running program, or in the source tree. */
static bool look_in_shipped(const char *name, char *path, size_t size)
{
    char file[256];
    for (size_t i = 0; i < ENDINGS; i++) {
        const int length = snprintf(file, sizeof file, "%s%s", name, endings[i]);
        if (length > 0 && (size_t)length < sizeof file &&
            mm_file_find_shipped("models", MM_SOURCE_MODELS, file, path, size))
            return true;
    }
    return false;
}

static bool user_data(char *folder, size_t size)
{
    const char *data = getenv("XDG_DATA_HOME"), *home = getenv("HOME");
    int written;
    if (data && data[0] == '/') /* the XDG specification: relative paths are to be ignored */
        written = snprintf(folder, size, "%s/maskmill/models", data);
    else if (home && *home)
        written = snprintf(folder, size, "%s/.local/share/maskmill/models", home);
    else
        return false;
    return written > 0 && (size_t)written < size;
}

mm_status mm_checkpoint_locate(const char *name_or_path, char *path, size_t size, mm_error *err)
{
    char folder[MAX_PATH];
    const char *given = getenv("MASKMILL_MODELS");
    if (mm_file_exists(name_or_path)) {
        const size_t length = strlen(name_or_path);
        if (length >= size)
            return mm_fail(err, MM_ERR_USAGE, "the path of the model is too long");
        memcpy(path, name_or_path, length + 1);
        return MM_OK;
    }
    if (!*name_or_path || strchr(name_or_path, '/'))
        return mm_fail(err, MM_ERR_USAGE, "there is no model file %s", name_or_path);
    if ((given && *given && look_in(given, name_or_path, path, size)) ||
        (user_data(folder, sizeof folder) && look_in(folder, name_or_path, path, size)) ||
        look_in_shipped(name_or_path, path, size))
        return MM_OK;
    return mm_fail(err, MM_ERR_USAGE,
                   "there is no model %s: neither a file of that name, nor %s.safetensors, .pth or .pt in "
                   "$MASKMILL_MODELS or the data folders; scripts/fetch-weights downloads vit_b, vit_l, vit_h and "
                   "mobile_sam",
                   name_or_path, name_or_path);
}
