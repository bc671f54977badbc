/* Where a model given as -m lies. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "maskmill/checkpoint.h"

#define MAX_PATH 4096

static bool is_file(const char *path)
{
    struct stat info;
    return stat(path, &info) == 0 && !S_ISDIR(info.st_mode);
}

/* folder/name with each of the endings of a checkpoint. */
static bool look_in(const char *folder, const char *name, char *path, size_t size)
{
    static const char *const endings[] = {".safetensors", ".pth", ".pt"};
    for (size_t i = 0; i < sizeof endings / sizeof endings[0]; i++) {
        char candidate[MAX_PATH];
        const int length = snprintf(candidate, sizeof candidate, "%s/%s%s", folder, name, endings[i]);
        if (length < 0 || (size_t)length >= sizeof candidate || (size_t)length >= size || !is_file(candidate))
            continue;
        memcpy(path, candidate, (size_t)length + 1);
        return true;
    }
    return false;
}

/* ../share/maskmill/models seen from the running program; false if that cannot be told. */
static bool beside_program(char *folder, size_t size)
{
    char program[MAX_PATH];
    const ssize_t length = readlink("/proc/self/exe", program, sizeof program - 1);
    if (length <= 0)
        return false;
    program[length] = '\0';
    char *slash = strrchr(program, '/');
    if (!slash)
        return false;
    *slash = '\0';
    const int written = snprintf(folder, size, "%s/../share/maskmill/models", program);
    return written > 0 && (size_t)written < size;
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
    if (is_file(name_or_path)) {
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
        (beside_program(folder, sizeof folder) && look_in(folder, name_or_path, path, size)) ||
        look_in(MM_SOURCE_MODELS, name_or_path, path, size))
        return MM_OK;
    return mm_fail(err, MM_ERR_USAGE,
                   "there is no model %s: neither a file of that name, nor %s.safetensors, .pth or .pt in "
                   "$MASKMILL_MODELS or the data folders; scripts/fetch-weights downloads vit_b, vit_l, vit_h and "
                   "mobile_sam",
                   name_or_path, name_or_path);
}
