#include "engine/rounds.h"

#include <inttypes.h>
#include <jansson.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/path.h"
#include "engine/json_out.h"
#include "engine/output.h"
#include "maskmill/shard.h"

enum { MOST_BYTES = 16 << 20, MOST_ROUNDS = 100000, FORMAT = 1 };
static const char *const source_names[MM_ROUND_SOURCES] = {"automatic", "confident", "human"};
_Static_assert(MM_ROUND_SOURCES == (int)MM_STATS_SOURCES, "a round counts by the same sources");

static void free_round(mm_round *round)
{
    free(round->stage);
    free(round->model);
    free(round->model_sha256);
    free(round->detector_sha256);
    *round = (mm_round){0};
}

void mm_rounds_free(mm_rounds *rounds)
{
    for (size_t i = 0; i < rounds->count; i++)
        free_round(&rounds->items[i]);
    free(rounds->items);
    free(rounds->parent);
    *rounds = (mm_rounds){0};
}

static mm_status append(mm_rounds *rounds, const mm_round *round, mm_error *err)
{
    mm_round *more = reallocarray(rounds->items, rounds->count + 1, sizeof *more);
    if (!more)
        return mm_fail_memory(err, "rounds");
    rounds->items = more;
    mm_round copy = *round;
    copy.stage = strdup(round->stage);
    copy.model = strdup(round->model);
    copy.model_sha256 = strdup(round->model_sha256);
    copy.detector_sha256 = round->detector_sha256 ? strdup(round->detector_sha256) : NULL;
    if (!copy.stage || !copy.model || !copy.model_sha256 || (round->detector_sha256 && !copy.detector_sha256)) {
        free_round(&copy);
        return mm_fail_memory(err, "rounds");
    }
    rounds->items[rounds->count++] = copy;
    return MM_OK;
}

mm_status mm_rounds_add(mm_rounds *rounds, const mm_round *round, mm_error *err)
{
    mm_round numbered = *round;
    numbered.number = 1;
    for (size_t i = 0; i < rounds->count; i++)
        if (strcmp(rounds->items[i].stage, round->stage) == 0 && rounds->items[i].number >= numbered.number)
            numbered.number = rounds->items[i].number + 1;
    return append(rounds, &numbered, err);
}

mm_status mm_rounds_set_parent(mm_rounds *rounds, const char *folder, const char *parent, uint64_t digest,
                               mm_error *err)
{
    char *path = NULL;
    const mm_status status = mm_path_relative(folder, parent, &path, err);
    if (status != MM_OK)
        return status;
    free(rounds->parent);
    rounds->parent = path;
    rounds->parent_digest = digest;
    return MM_OK;
}

mm_status mm_round_count(const char *folder, mm_round *round, mm_error *err)
{
    mm_dataset *dataset = NULL;
    mm_stats *stats = malloc(sizeof *stats);
    if (!stats)
        return mm_fail_memory(err, "statistics");
    mm_status status = mm_dataset_open(folder, &dataset, err);
    if (status == MM_OK)
        status = mm_dataset_statistics(dataset, stats, err);
    if (status == MM_OK) {
        round->images = stats->images_done;
        memcpy(round->masks, stats->masks_by_source, sizeof round->masks);
        round->confident = stats->confident_masks;
        round->hints = stats->hint_masks;
    }
    mm_dataset_close(dataset);
    free(stats);
    return status;
}

/* --- reading --- */

static bool read_count(const json_t *object, const char *key, uint64_t *count)
{
    const json_t *value = json_object_get(object, key);
    *count = json_is_integer(value) && json_integer_value(value) > 0 ? (uint64_t)json_integer_value(value) : 0;
    return json_is_integer(value) && json_integer_value(value) >= 0;
}

/* A text without control characters: it is printed. */
static char *read_text(const json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));
    for (const char *c = text; c && *c; c++)
        if ((unsigned char)*c < 0x20 || *c == 0x7f)
            return NULL;
    return (char *)text; /* belongs to the object */
}

static mm_status read_round(const json_t *item, size_t number, const char *path, mm_rounds *rounds, mm_error *err)
{
    const json_t *masks = json_object_get(item, "masks"), *detector = json_object_get(item, "detector");
    const json_t *model = json_object_get(item, "model");
    mm_round round = {.stage = read_text(item, "stage"),
                      .model = read_text(model, "name"),
                      .model_sha256 = read_text(model, "sha256"),
                      .detector_sha256 = read_text(detector, "sha256")};
    bool good = round.stage && round.model && round.model_sha256 && read_count(item, "round", &round.number) &&
                read_count(item, "images", &round.images) && read_count(item, "confident_masks", &round.confident) &&
                read_count(item, "hint_masks", &round.hints) &&
                (round.detector_sha256 || json_is_null(detector) || !detector);
    for (int i = 0; i < MM_ROUND_SOURCES; i++)
        good = read_count(masks, source_names[i], &round.masks[i]) && good;
    return good ? append(rounds, &round, err)
                : mm_fail(err, MM_ERR_FORMAT, "%s: round %zu is not whole; the file was changed or is damaged", path,
                          number + 1);
}

static mm_status read_parent(const json_t *object, const char *path, mm_rounds *rounds, mm_error *err)
{
    const json_t *parent = json_object_get(object, "parent");
    if (!parent || json_is_null(parent))
        return MM_OK;
    const char *folder = read_text(parent, "dataset"), *digest = read_text(parent, "xxh3");
    char *end = NULL;
    if (folder && digest && strlen(digest) == 16)
        rounds->parent_digest = strtoull(digest, &end, 16);
    if (!end || *end)
        return mm_fail(err, MM_ERR_FORMAT, "%s: its \"parent\" is not whole; the file was changed or is damaged", path);
    rounds->parent = strdup(folder);
    return rounds->parent ? MM_OK : mm_fail_memory(err, "rounds");
}

static mm_status read_object(const json_t *object, const char *path, mm_rounds *rounds, mm_error *err)
{
    const json_t *list = json_object_get(object, "rounds");
    const json_int_t format = json_integer_value(json_object_get(object, "format"));
    if (!json_is_array(list) || format < 1 || json_array_size(list) > MOST_ROUNDS)
        return mm_fail(err, MM_ERR_FORMAT, "%s is no list of rounds", path);
    if (format != FORMAT)
        return mm_fail(err, MM_ERR_UNSUPPORTED, "%s has format %" JSON_INTEGER_FORMAT ", this maskmill reads %d", path,
                       format, FORMAT);
    mm_status status = read_parent(object, path, rounds, err);
    for (size_t i = 0; status == MM_OK && i < json_array_size(list); i++)
        status = read_round(json_array_get(list, i), i, path, rounds, err);
    return status;
}

mm_status mm_rounds_read(const char *folder, bool *there, mm_rounds *rounds, mm_error *err)
{
    char path[PATH_MAX];
    uint8_t *bytes = NULL;
    size_t size = 0;
    json_error_t why;
    *rounds = (mm_rounds){0};
    *there = false;
    mm_status status = mm_output_path(folder, "engine.json", path, sizeof path, err);
    if (status != MM_OK || !mm_file_exists(path))
        return status;
    status = mm_file_read(path, MOST_BYTES, &bytes, &size, err);
    if (status != MM_OK)
        return status;
    json_t *object = json_loadb((const char *)bytes, size, JSON_REJECT_DUPLICATES, &why);
    free(bytes);
    if (!object)
        return mm_fail(err, MM_ERR_FORMAT, "%s:%d: is not JSON: %s", path, why.line, why.text);
    status = read_object(object, path, rounds, err);
    json_decref(object);
    *there = status == MM_OK;
    if (status != MM_OK)
        mm_rounds_free(rounds);
    return status;
}

/* --- writing --- */

/* NULL without memory, as the following. */
static json_t *round_object(const mm_round *round)
{
    json_t *detector = round->detector_sha256 ? json_pack("{s:s}", "sha256", round->detector_sha256) : json_null();
    return json_pack("{s:o, s:I, s:{s:o, s:s}, s:o, s:I, s:{s:I, s:I, s:I}, s:I, s:I}", "stage",
                     mm_json_text(round->stage), "round", (json_int_t)round->number, "model", "name",
                     mm_json_text(round->model), "sha256", round->model_sha256, "detector", detector, "images",
                     (json_int_t)round->images, "masks", source_names[0], (json_int_t)round->masks[0], source_names[1],
                     (json_int_t)round->masks[1], source_names[2], (json_int_t)round->masks[2], "confident_masks",
                     (json_int_t)round->confident, "hint_masks", (json_int_t)round->hints);
}

static json_t *round_list(const mm_rounds *rounds)
{
    json_t *list = json_array();
    for (size_t i = 0; list && i < rounds->count; i++)
        if (json_array_append_new(list, round_object(&rounds->items[i])) != 0) {
            json_decref(list);
            return NULL;
        }
    return list;
}

mm_status mm_rounds_write(const char *folder, const mm_rounds *rounds, mm_error *err)
{
    char digest[20];
    (void)snprintf(digest, sizeof digest, "%016" PRIx64, rounds->parent_digest);
    json_t *parent = rounds->parent
                         ? json_pack("{s:o, s:s}", "dataset", mm_json_text(rounds->parent), "xxh3", digest)
                         : json_null();
    json_t *object = json_pack("{s:i, s:o, s:o}", "format", FORMAT, "parent", parent, "rounds", round_list(rounds));
    const mm_status status = mm_json_put(folder, "engine.json", object, JSON_INDENT(2), err);
    json_decref(object);
    return status;
}

/* MM_ERR_USAGE if there are none. */
static mm_status read_earlier(const char *after, mm_rounds *rounds, mm_error *err)
{
    bool there = false;
    const mm_status status = mm_rounds_read(after, &there, rounds, err);
    if (status != MM_OK || there)
        return status;
    return mm_fail(err, MM_ERR_USAGE, "%s has no engine.json, so there are no rounds to follow", after);
}

mm_status mm_rounds_check(const char *after, mm_error *err)
{
    mm_rounds rounds = {0};
    const mm_status status = after ? read_earlier(after, &rounds, err) : MM_OK;
    mm_rounds_free(&rounds);
    return status;
}

mm_status mm_rounds_follow(const char *out, const char *after, const mm_round *round, mm_error *err)
{
    mm_rounds rounds = {0};
    mm_round counted = *round;
    mm_status status = mm_round_count(out, &counted, err);
    if (status == MM_OK && after)
        status = read_earlier(after, &rounds, err);
    free(rounds.parent); /* this dataset is no version of that one, it only comes after it */
    rounds.parent = NULL;
    if (status == MM_OK)
        status = mm_rounds_add(&rounds, &counted, err);
    if (status == MM_OK)
        status = mm_rounds_write(out, &rounds, err);
    mm_rounds_free(&rounds);
    return status;
}

mm_status mm_rounds_join(const char *out, const char *part, mm_error *err)
{
    mm_rounds rounds = {0};
    bool there = false;
    mm_status status = mm_rounds_read(part, &there, &rounds, err);
    if (status == MM_OK && there && rounds.count > 0) { /* a part of an earlier maskmill has none */
        status = mm_round_count(out, &rounds.items[rounds.count - 1], err);
        if (status == MM_OK)
            status = mm_rounds_write(out, &rounds, err);
    }
    mm_rounds_free(&rounds);
    return status;
}

void mm_rounds_print_text(const mm_rounds *rounds, FILE *out)
{
    if (rounds->count > 0)
        (void)fprintf(out, "\nrounds  %-16s%6s%12s%14s%14s%14s  model\n", "stage", "round", "images", "automatic",
                      "confident", "human");
    for (size_t i = 0; i < rounds->count; i++) {
        const mm_round *round = &rounds->items[i];
        (void)fprintf(out,
                      "        %-16.40s%6" PRIu64 "%12" PRIu64 "%14" PRIu64 "%14" PRIu64 "%14" PRIu64 "  %.40s %.12s",
                      round->stage, round->number, round->images, round->masks[0], round->masks[1], round->masks[2],
                      round->model, round->model_sha256);
        if (round->detector_sha256)
            (void)fprintf(out, ", detector %.12s", round->detector_sha256);
        (void)fputc('\n', out);
    }
}

mm_status mm_rounds_print_json(const mm_rounds *rounds, FILE *out, mm_error *err)
{
    json_t *list = round_list(rounds);
    char *text = list ? json_dumps(list, JSON_COMPACT) : NULL;
    if (text)
        (void)fprintf(out, ",\n \"rounds\": %s", text); /* errors stay with the stream */
    json_decref(list);
    free(text);
    return text ? MM_OK : mm_fail_memory(err, "rounds");
}
