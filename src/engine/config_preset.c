/* Presets: configurations found by name. */
#include "maskmill/engine.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static bool is_plain_name(const char *name)
{
    const size_t length = strlen(name);
    return length > 0 && length < 64 &&
           strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-") == length;
}

static bool is_file(const char *path)
{
    struct stat about;
    return stat(path, &about) == 0 && !S_ISDIR(about.st_mode);
}

/* The folder of the running program, without the file's name; empty if it cannot be known. */
static void program_folder(char folder[4096])
{
    const ssize_t length = readlink("/proc/self/exe", folder, 4095);
    folder[length > 0 ? length : 0] = '\0';
    char *slash = strrchr(folder, '/');
    if (slash)
        *slash = '\0';
}

mm_status mm_config_locate(const char *name_or_path, char *path, size_t size, mm_error *err)
{
    const char *name = name_or_path;
    char program[4096], candidates[3][8192] = {"", "", ""};
    program_folder(program);
    (void)snprintf(candidates[0], sizeof candidates[0], "%s", name); /* cut short, it is simply not found */
    if (is_plain_name(name)) {
        (void)snprintf(candidates[1], sizeof candidates[1], "%s/../share/maskmill/configs/%s.yaml", program, name);
        (void)snprintf(candidates[2], sizeof candidates[2], "%s/%s.yaml", MM_SOURCE_CONFIGS, name);
    }
    for (size_t i = 0; i < sizeof candidates / sizeof candidates[0]; i++) {
        if (!is_file(candidates[i]))
            continue;
        if (strlen(candidates[i]) >= size)
            return mm_fail(err, MM_ERR_LIMIT, "config %s: its path is too long", candidates[i]);
        (void)snprintf(path, size, "%s", candidates[i]);
        return MM_OK;
    }
    return mm_fail(err, MM_ERR_USAGE, "config %s: neither a file nor a preset; presets are default, sa1b, fast and "
                                      "small-model", name);
}

const char *mm_config_preset_for(const char *model)
{
    return !model || strcmp(model, "default") == 0 ? "small-model" : "default";
}
