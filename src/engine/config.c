/* engine/config: what decides a run. YAML by sections, then --set, then checks; the same keys are written into every
 * shard, so that a dataset says how it was made. */
#include "config_keys.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"

enum { MAX_FILE = 1 << 20 };

mm_config mm_config_defaults(void)
{
    mm_config config = {.amg = mm_amg_defaults()};
    config.corpus.duplicate_distance = 3;
    config.output.images_per_shard = 1000;
    config.image.max_pixels = UINT64_C(1) << 28;
    config.image.max_bytes = UINT64_C(1) << 30;
    config.journal.sync_seconds = 5;
    return config;
}

/* Whatever keeps a config from being read is wrong usage, unless it is memory. */
static mm_status load_file(const char *path, mm_config *config, mm_error *err)
{
    unsigned char *bytes = NULL;
    size_t size = 0;
    mm_error why = {0};
    mm_status status = mm_file_read(path, MAX_FILE, &bytes, &size, &why);
    if (status != MM_OK)
        return mm_fail(err, status == MM_ERR_NOMEM ? status : MM_ERR_USAGE, "config %s", why.text);
    status = mm_config_parse_yaml(path, bytes, size, config, err);
    free(bytes);
    return status;
}

static mm_status apply_set(const char *set, mm_config *config, mm_error *err)
{
    const char *dot = strchr(set, '.'), *equals = strchr(set, '=');
    char section[32], name[64];
    if (!dot || !equals || dot > equals)
        return mm_fail(err, MM_ERR_USAGE, "--set %.80s: write it as section.key=value, e.g. amg.points_per_side=16",
                       set);
    const size_t section_length = (size_t)(dot - set), name_length = (size_t)(equals - dot - 1);
    size_t key = mm_config_key_count();
    if (section_length < sizeof section && name_length < sizeof name) {
        (void)snprintf(section, sizeof section, "%.*s", (int)section_length, set);
        (void)snprintf(name, sizeof name, "%.*s", (int)name_length, dot + 1);
        key = mm_config_key_find(section, name);
    }
    if (key == mm_config_key_count())
        return mm_fail(err, MM_ERR_USAGE, "--set %.80s: unknown key; docs/configuration.md lists all keys", set);
    const mm_status status = mm_config_key_set(config, key, equals + 1, err);
    return status == MM_OK ? MM_OK : mm_error_prefix(err, "--set");
}

/* On top of what *config holds: the file, if any, then the sets; then all of it is checked. */
static mm_status load_over(const char *path, const char *const *sets, size_t set_count, mm_config *config, mm_error *err)
{
    mm_status status = path ? load_file(path, config, err) : MM_OK;
    for (size_t i = 0; status == MM_OK && i < set_count; i++)
        status = apply_set(sets[i], config, err);
    if (status != MM_OK)
        return status;
    status = mm_config_check(config, err);
    return status != MM_OK && path ? mm_error_prefix(err, "%s", path) : status;
}

mm_status mm_config_load(const char *path, const char *const *sets, size_t set_count, mm_config *config,
                         mm_error *err)
{
    mm_config loaded = mm_config_defaults();
    const mm_status status = load_over(path, sets, set_count, &loaded, err);
    if (status == MM_OK)
        *config = loaded;
    return status;
}

mm_status mm_config_load_for(const char *model_path, const char *config, const char *const *sets, size_t set_count,
                             mm_config *loaded, bool *own, mm_error *err)
{
    mm_config over = mm_config_defaults();
    char path[PATH_MAX];
    bool found = false;
    mm_status status = config ? mm_config_locate(config, path, sizeof path, err) : MM_OK;
    if (status == MM_OK)
        status = mm_config_take_thresholds(model_path, &over, &found, err);
    if (status == MM_OK)
        status = load_over(config ? path : NULL, sets, set_count, &over, err);
    if (status != MM_OK)
        return status;
    *loaded = over;
    if (own)
        *own = found;
    return MM_OK;
}

mm_status mm_config_from_yaml(const char *yaml, mm_config *config, mm_error *err)
{
    mm_config read = mm_config_defaults();
    mm_status status = mm_config_parse_yaml("config", (const unsigned char *)yaml, strlen(yaml), &read, err);
    if (status == MM_OK)
        status = mm_config_check(&read, err);
    if (status == MM_OK)
        *config = read;
    return status;
}

mm_status mm_config_to_yaml(const mm_config *config, char **yaml, mm_error *err)
{
    size_t size = 0;
    char *text = NULL;
    FILE *out = open_memstream(&text, &size);
    if (!out)
        return mm_fail_memory(err, "writing a config");
    const char *section = "";
    for (size_t key = 0; key < mm_config_key_count(); key++) {
        char value[40];
        if (!mm_config_key_decides(key))
            continue;
        if (strcmp(section, mm_config_key_section(key)) != 0) {
            section = mm_config_key_section(key);
            (void)fprintf(out, "%s:\n", section); /* a failed write shows in fclose */
        }
        mm_config_key_get(config, key, value);
        (void)fprintf(out, "  %s: %s\n", mm_config_key_name(key), value);
    }
    const bool failed = ferror(out) != 0;
    if (fclose(out) != 0 || failed) {
        free(text);
        return mm_fail_memory(err, "writing a config");
    }
    *yaml = text;
    return MM_OK;
}
