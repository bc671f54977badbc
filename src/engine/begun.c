#include "engine/begun.h"

#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "base/file.h"
#include "engine/config_keys.h"
#include "engine/json_out.h"
#include "engine/output.h"

enum { FORMAT = 1, MOST_BYTES = 16 << 20 };

static const char *const file_name = "begun.json";
static const char *const isas[] = {"auto", "portable", "avx2", "avx512"};

void mm_begun_free(mm_begun *begun)
{
    for (size_t i = 0; i < begun->source_count; i++)
        free(begun->sources[i]);
    free(begun->sources);
    free(begun->model_name);
    free(begun->config);
    *begun = (mm_begun){0};
}

mm_status mm_begun_set_sources(mm_begun *begun, const char *const *sources, size_t count, mm_error *err)
{
    begun->sources = calloc(count + 1, sizeof *begun->sources);
    if (!begun->sources)
        return mm_fail_memory(err, "the names of the corpus");
    for (size_t i = 0; i < count; i++) {
        char *path = realpath(sources[i], NULL);
        begun->sources[i] = path ? path : strdup(sources[i]);
        if (!begun->sources[i])
            return mm_fail_memory(err, "the names of the corpus");
        begun->source_count = i + 1;
    }
    return MM_OK;
}

/* --- Writing. --- */

static json_t *hex(uint64_t value)
{
    char text[24];
    (void)snprintf(text, sizeof text, "%016" PRIx64, value);
    return json_string(text);
}

/* Without sources. A text that is no UTF-8 makes it NULL. */
static json_t *to_json(const mm_begun *begun)
{
    const mm_kernels *k = &begun->kernels;
    json_t *object = json_pack("{s:i, s:s, s:{s:s, s:s}, s:{s:s, s:s, s:s, s:b}, s:{s:I, s:o}, s:{s:I, s:I}}",
                     "format", FORMAT, "config", begun->config,
                     "model", "name", begun->model_name, "sha256", begun->model_sha256,
                     "kernels", "backend", mm_backend_names[k->backend], "precision", mm_precision_names[k->precision], "isa",
                     isas[k->isa], "bf16_small_encoders", (int)k->bf16_small_encoders,
                     "manifest", "images", (json_int_t)begun->images, "xxh3", hex(begun->manifest),
                     "range", "first", (json_int_t)begun->first, "end", (json_int_t)begun->end);
    bool whole = object != NULL;
    /* Only where there are such: begun.json of a plain run does not mention them. */
    if (whole && begun->detector_sha256[0])
        whole = json_object_set_new(object, "detector", json_pack("{s:s}", "sha256", begun->detector_sha256)) == 0;
    if (whole && begun->dataset)
        whole = json_object_set_new(object, "dataset", json_pack("{s:o}", "xxh3", hex(begun->dataset))) == 0;
    if (whole)
        return object;
    json_decref(object);
    return NULL;
}

mm_status mm_begun_digest(const mm_begun *begun, uint8_t digest[16], mm_error *err)
{
    json_t *object = to_json(begun);
    char *text = object ? json_dumps(object, JSON_COMPACT | JSON_SORT_KEYS) : NULL;
    json_decref(object);
    if (!text)
        return mm_fail_memory(err, file_name);
    XXH128_canonical_t canonical;
    XXH128_canonicalFromHash(&canonical, XXH3_128bits(text, strlen(text)));
    free(text);
    memcpy(digest, canonical.digest, 16);
    return MM_OK;
}

/* Paths may be any bytes, JSON strings may not: bytes beyond ASCII are written as code points of the same number. */
static json_t *path_to_json(const char *path)
{
    const size_t length = strlen(path);
    char *wide = malloc(2 * length + 1), *to = wide;
    if (!wide)
        return NULL;
    for (const unsigned char *c = (const unsigned char *)path; *c; c++) {
        if (*c >= 0x80)
            *to++ = (char)(0xc0 | *c >> 6);
        *to++ = (char)(*c >= 0x80 ? 0x80 | (*c & 0x3f) : *c);
    }
    json_t *value = json_stringn(wide, (size_t)(to - wide));
    free(wide);
    return value;
}

static char *path_from_json(const json_t *value)
{
    const char *text = json_string_value(value);
    char *path = text ? malloc(strlen(text) + 1) : NULL, *to = path;
    for (const unsigned char *c = (const unsigned char *)text; path && *c; c++)
        *to++ = (char)((*c & 0xe0) == 0xc0 && c[1] ? (c++, (c[-1] & 3) << 6 | (*c & 0x3f)) : *c);
    if (path)
        *to = '\0';
    return path;
}

mm_status mm_begun_write(const mm_begun *begun, const char *out, mm_error *err)
{
    json_t *object = to_json(begun), *sources = json_array();
    bool whole = object && sources;
    for (size_t i = 0; whole && i < begun->source_count; i++)
        whole = json_array_append_new(sources, path_to_json(begun->sources[i])) == 0;
    whole = whole && json_object_set(object, "sources", sources) == 0;
    const mm_status status = mm_json_put(out, file_name, whole ? object : NULL, JSON_INDENT(2), err);
    json_decref(sources);
    json_decref(object);
    return status;
}

/* --- Reading. --- */

static int find_word(const char *word, const char *const *words, int count)
{
    for (int i = 0; word && i < count; i++)
        if (strcmp(word, words[i]) == 0)
            return i;
    return 0; /* AUTO, which no run was begun with: it differs from whatever there is now */
}

static mm_status from_json(json_t *object, mm_begun *begun, mm_error *err)
{
    const char *config = NULL, *name = NULL, *sha256 = NULL, *backend = NULL, *precision = NULL, *isa = NULL;
    const char *digest = NULL;
    int format = 0, small = 0;
    json_int_t images = 0, first = 0, end = 0;
    json_t *sources = NULL;
    json_error_t why;
    if (json_unpack_ex(object, &why, 0, "{s:i, s:s, s:{s:s, s:s}, s:{s:s, s:s, s:s, s:b}, s:{s:I, s:s}, s:{s:I, s:I}, "
                       "s:o}", "format", &format, "config", &config, "model", "name", &name, "sha256", &sha256,
                       "kernels", "backend", &backend, "precision", &precision, "isa", &isa, "bf16_small_encoders",
                       &small, "manifest", "images", &images, "xxh3", &digest, "range", "first", &first, "end", &end,
                       "sources", &sources) != 0)
        return mm_fail(err, MM_ERR_FORMAT, "%s", why.text);
    if (format != FORMAT)
        return mm_fail(err, MM_ERR_UNSUPPORTED, "it has format %d, this maskmill reads format %d", format, FORMAT);
    if (!json_is_array(sources) || strlen(sha256) != sizeof begun->model_sha256 - 1)
        return mm_fail(err, MM_ERR_FORMAT, "it is damaged");
    memcpy(begun->model_sha256, sha256, sizeof begun->model_sha256);
    const char *detector = json_string_value(json_object_get(json_object_get(object, "detector"), "sha256"));
    const char *dataset = json_string_value(json_object_get(json_object_get(object, "dataset"), "xxh3"));
    if (detector && strlen(detector) == sizeof begun->detector_sha256 - 1)
        memcpy(begun->detector_sha256, detector, sizeof begun->detector_sha256);
    begun->dataset = dataset ? strtoull(dataset, NULL, 16) : 0;
    begun->kernels = (mm_kernels){.backend = (mm_backend)find_word(backend, mm_backend_names, MM_BACKENDS),
                                  .precision = (mm_precision)find_word(precision, mm_precision_names, MM_PRECISIONS),
                                  .isa = (mm_isa)find_word(isa, isas, 4),
                                  .bf16_small_encoders = small != 0};
    begun->images = (uint64_t)images;
    begun->first = (uint64_t)first;
    begun->end = (uint64_t)end;
    begun->manifest = strtoull(digest, NULL, 16);
    begun->config = strdup(config);
    begun->model_name = strdup(name);
    begun->sources = calloc(json_array_size(sources) + 1, sizeof *begun->sources);
    bool whole = begun->config && begun->model_name && begun->sources;
    for (size_t i = 0; whole && i < json_array_size(sources); i++) {
        begun->sources[i] = path_from_json(json_array_get(sources, i));
        begun->source_count = i + 1;
        whole = begun->sources[i] != NULL;
    }
    return whole ? MM_OK : mm_fail_memory(err, file_name);
}

mm_status mm_begun_read(const char *out, bool *there, mm_begun *begun, mm_error *err)
{
    char path[PATH_MAX];
    uint8_t *bytes = NULL;
    size_t size = 0;
    *begun = (mm_begun){0};
    mm_status status = mm_output_path(out, file_name, path, sizeof path, err);
    if (status != MM_OK)
        return status;
    *there = mm_file_exists(path);
    if (!*there)
        return MM_OK;
    status = mm_file_read(path, MOST_BYTES, &bytes, &size, err);
    if (status != MM_OK)
        return status;
    json_error_t why;
    json_t *object = json_loadb((const char *)bytes, size, 0, &why);
    free(bytes);
    status = object ? from_json(object, begun, err) : mm_fail(err, MM_ERR_FORMAT, "%s", why.text);
    json_decref(object);
    if (status != MM_OK) {
        mm_begun_free(begun);
        if (err)
            (void)mm_error_prefix(err, "%s, which says what the run was begun with", path); /* same status */
    }
    return status;
}

/* --- Comparing. --- */

typedef struct differences {
    char text[400];
    size_t used, left_out;
} differences;

static void add(differences *found, const char *format, ...) MM_PRINTF(2, 3);
static void add(differences *found, const char *format, ...)
{
    char line[160];
    va_list arguments;
    va_start(arguments, format);
    int length = vsnprintf(line, sizeof line, format, arguments);
    va_end(arguments);
    length = length < 0 ? 0 : length < (int)sizeof line ? length : (int)sizeof line - 1;
    if (found->used + (size_t)length + sizeof "; " >= sizeof found->text) {
        found->left_out++;
        return;
    }
    found->used += (size_t)snprintf(found->text + found->used, sizeof found->text - found->used, "%s%s",
                                    found->used ? "; " : "", line);
}

static void compare_configs(const char *then, const char *now, differences *found)
{
    mm_config a, b;
    if (mm_config_from_yaml(then, &a, NULL) != MM_OK || mm_config_from_yaml(now, &b, NULL) != MM_OK) {
        if (strcmp(then, now) != 0)
            add(found, "the configuration, which another version of maskmill wrote");
        return;
    }
    for (size_t key = 0; key < mm_config_key_count(); key++) {
        char x[40], y[40];
        mm_config_key_get(&a, key, x);
        mm_config_key_get(&b, key, y);
        if (strcmp(x, y) != 0 && mm_config_key_decides(key))
            add(found, "%s.%s was %s and is now %s", mm_config_key_section(key), mm_config_key_name(key), x, y);
    }
}

static void compare_kernels(const mm_kernels *then, const mm_kernels *now, differences *found)
{
    if (now->backend != MM_BACKEND_AUTO && then->backend != now->backend)
        add(found, "the backend was %s and is now %s", mm_backend_names[then->backend], mm_backend_names[now->backend]);
    if (now->precision != MM_PRECISION_AUTO && then->precision != now->precision)
        add(found, "the precision was %s and is now %s", mm_precision_names[then->precision], mm_precision_names[now->precision]);
    if (now->isa != MM_ISA_AUTO && then->isa != now->isa)
        add(found, "the instruction set was %s and is now %s", isas[then->isa], isas[now->isa]);
    if (then->bf16_small_encoders != now->bf16_small_encoders)
        add(found, "small encoders in bf16 were %s and are now %s", then->bf16_small_encoders ? "on" : "off",
            now->bf16_small_encoders ? "on" : "off");
}

static void compare_sources(const mm_begun *then, const mm_begun *now, differences *found)
{
    if (then->source_count != now->source_count)
        add(found, "the corpus was %zu source%s and is now %zu", then->source_count, then->source_count == 1 ? "" : "s",
            now->source_count);
    for (size_t i = 0; i < now->source_count && then->source_count == now->source_count; i++)
        if (strcmp(then->sources[i], now->sources[i]) != 0)
            add(found, "the corpus was %.60s and is now %.60s", then->sources[i], now->sources[i]);
}

mm_status mm_begun_compare(const mm_begun *then, const mm_begun *now, const char *out, mm_error *err)
{
    differences found = {.used = 0};
    if (now->config)
        compare_configs(then->config, now->config, &found);
    if (now->model_sha256[0] && strcmp(then->model_sha256, now->model_sha256) != 0)
        add(&found, "the model was %.40s with SHA-256 %.12s... and now has %.12s...", then->model_name,
            then->model_sha256, now->model_sha256);
    if (now->model_sha256[0] && strcmp(then->detector_sha256, now->detector_sha256) != 0)
        add(&found, "the detector had SHA-256 %.12s... and now has %.12s...",
            then->detector_sha256[0] ? then->detector_sha256 : "none",
            now->detector_sha256[0] ? now->detector_sha256 : "none");
    if (now->model_sha256[0] && then->dataset != now->dataset)
        add(&found, "the dataset that masks are taken from was another");
    if (now->images && (then->images != now->images || then->manifest != now->manifest))
        add(&found, "manifest.h5 had %" PRIu64 " images and digest %016" PRIx64 " and now has %" PRIu64 " and %016"
            PRIx64, then->images, then->manifest, now->images, now->manifest);
    if (now->end && (then->first != now->first || then->end != now->end))
        add(&found, "the images were %" PRIu64 " to %" PRIu64 " and are now %" PRIu64 " to %" PRIu64, then->first,
            then->end - 1, now->first, now->end - 1);
    compare_kernels(&then->kernels, &now->kernels, &found);
    if (now->source_count)
        compare_sources(then, now, &found);
    if (!found.used)
        return MM_OK;
    char more[32] = "";
    if (found.left_out)
        (void)snprintf(more, sizeof more, "; and %zu more", found.left_out);
    return mm_fail(err, MM_ERR_USAGE, "%.80s was begun otherwise: %s%s; give the same, or another folder", out,
                   found.text, more);
}
