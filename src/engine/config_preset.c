/* Presets: configurations found by name. */
#include "maskmill/engine.h"

#include <stdio.h>
#include <string.h>

#include "base/file.h"

static bool is_plain_name(const char *name)
{
    const size_t length = strlen(name);
    return length > 0 && length < 64 &&
           strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-") == length;
}

mm_status mm_config_locate(const char *name_or_path, char *path, size_t size, mm_error *err)
{
    if (mm_file_exists(name_or_path)) {
        if (strlen(name_or_path) >= size)
            return mm_fail(err, MM_ERR_LIMIT, "config %s: its path is too long", name_or_path);
        (void)snprintf(path, size, "%s", name_or_path);
        return MM_OK;
    }
    char file[80];
    if (is_plain_name(name_or_path)) {
        (void)snprintf(file, sizeof file, "%s.yaml", name_or_path);
        if (mm_file_find_shipped("configs", MM_SOURCE_CONFIGS, file, path, size))
            return MM_OK;
    }
    return mm_fail(err, MM_ERR_USAGE, "config %s: neither a file nor a preset; presets are default, sa1b and fast",
                   name_or_path);
}
